//! A name and a password: `Authorization: Basic <base64 of name:password>` (RFC 7617).
//!
//! They authenticate the sender, not the body: whoever can read a request can send others.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::bearer::credentials;
use super::claim::{Claim, Content, Header, Scheme, Signatures, UnverifiedRequest};
use super::error::{AuthenticateError, HeaderForm};
use super::key::Key;
use super::sign::{Draft, Proof};

static AUTHORIZATION: Header = Header {
    name: http::header::AUTHORIZATION,
    form: HeaderForm {
        header: Cow::Borrowed("Authorization"),
        form: Cow::Borrowed("Basic <base64 of name:password>"),
        challenge: Some("Basic realm=\"webhooks\", charset=\"UTF-8\""),
    },
};

#[derive(Debug)]
pub(super) struct Basic;

impl Scheme for Basic {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let text = AUTHORIZATION.read(request.headers)?;
        let decoded = credentials(text, "Basic").and_then(|text| STANDARD.decode(text).ok());
        let decoded = decoded.ok_or_else(|| AUTHORIZATION.malformed())?;
        Ok(Claim {
            content: Content::AnyOf(vec![decoded]),
            signatures: Signatures::default(),
            time: None,
        })
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        let value = format!("Basic {}", STANDARD.encode(draft.secret));
        vec![(AUTHORIZATION.name.clone(), value)]
    }

    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        let has_both = secret
            .split_once(':')
            .is_some_and(|(name, password)| !name.is_empty() && !password.is_empty());
        has_both
            .then(|| Key::token(secret.as_bytes()))
            .ok_or("name:password")
    }

    fn mismatch(&self) -> AuthenticateError {
        AuthenticateError::WrongCredentials(AUTHORIZATION.form.clone())
    }
}
