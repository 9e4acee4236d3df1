//! A shared token: `Authorization: Bearer <token>` (RFC 6750, section 2.1), or alone in a header of the sender's choice.
//!
//! The token authenticates the sender, not the body: whoever can read a request can send others.

use std::borrow::Cow;

use http::HeaderName;

use super::claim::{Claim, Header, Scheme, Signatures, UnverifiedRequest};
use super::config::BearerConfig;
use super::error::{AuthenticateError, HeaderForm};
use super::key::Key;
use super::sign::{Draft, Proof};

#[derive(Debug)]
pub(super) struct Bearer {
    header: Header,
}

impl Bearer {
    /// `None` if the header's name is not one.
    pub(super) fn new(config: &BearerConfig) -> Option<Self> {
        let name: HeaderName = config.header.parse().ok()?;
        let is_standard = name == http::header::AUTHORIZATION;
        let form = if is_standard {
            "Bearer <token>"
        } else {
            "<token>"
        };
        Some(Self {
            header: Header {
                name,
                form: HeaderForm {
                    header: Cow::Owned(config.header.clone()),
                    form: Cow::Borrowed(form),
                    challenge: is_standard.then_some("Bearer"),
                },
            },
        })
    }
}

impl Scheme for Bearer {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let text = self.header.read(request.headers)?;
        let token = match self.header.form.challenge {
            Some(scheme) => credentials(text, scheme),
            None => Some(text),
        };
        let token = token.ok_or_else(|| self.header.malformed())?;
        Ok(Claim::of(&[token.as_bytes()], Signatures::default()))
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        let value = match self.header.form.challenge {
            Some(scheme) => format!("{scheme} {}", draft.secret),
            None => draft.secret.to_owned(),
        };
        vec![(self.header.name.clone(), value)]
    }

    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        let is_token = secret.bytes().all(|byte| byte.is_ascii_graphic());
        is_token
            .then(|| Key::token(secret.as_bytes()))
            .ok_or("a token of visible ASCII without spaces")
    }

    fn mismatch(&self) -> AuthenticateError {
        AuthenticateError::WrongCredentials(self.header.form.clone())
    }
}

/// What follows the name of the scheme, whose case does not matter (RFC 9110, section 11.1).
pub(super) fn credentials<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (name, credentials) = text.split_once(' ')?;
    let credentials = credentials.trim_matches(' ');
    (name.eq_ignore_ascii_case(scheme) && !credentials.is_empty()).then_some(credentials)
}
