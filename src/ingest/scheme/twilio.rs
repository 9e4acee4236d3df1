//! Twilio's signature: `X-Twilio-Signature: <base64>`, HMAC-SHA1 with the account's auth token over the URL and, of a form,
//! its parameters.
//!
//! <https://www.twilio.com/docs/usage/security#validating-requests>. The URL is the one that Twilio was given, so the
//! configuration has it: behind a proxy the request itself does not show it. A form's parameters follow sorted by name, each
//! as name and value without anything between; of several values of one name each is taken once, sorted, as in Twilio's
//! libraries. Other bodies are covered by their SHA-256 in the URL's query, `bodySHA256`. As in the libraries, the URL counts
//! with and without its port. Twilio signs no time.
//!
//! Since nothing separates names and values, Twilio's signature does not tell `a=bc` from `ab=c`.

mod form;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};

use super::claim::{
    Algorithm, Claim, Content, Header, Scheme, Signature, UnverifiedRequest, is_form, only,
};
use super::config::TwilioConfig;
use super::error::AuthenticateError;
use super::key::Key;
use super::sign::{Draft, Proof};
use super::twilio_url::TwilioUrl;

static SIGNATURE: Header = Header::new(
    "x-twilio-signature",
    "X-Twilio-Signature",
    "<20 bytes in base64>",
);
static IDEMPOTENCY: HeaderName = HeaderName::from_static("i-twilio-idempotency-token");
const BODY_HASH: &str = "bodySHA256=";

#[derive(Debug)]
pub(super) struct Twilio {
    url: TwilioUrl,
}

impl Twilio {
    pub(super) fn new(config: &TwilioConfig) -> Self {
        Self {
            url: config.url.clone(),
        }
    }
}

impl Scheme for Twilio {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let text = SIGNATURE.read(request.headers)?;
        let signature = Signature::from_base64(text, 20, Algorithm::Hmac)
            .ok_or_else(|| SIGNATURE.malformed())?;
        let query = request.uri.query();
        let hash = query.and_then(|query| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(BODY_HASH))
        });
        let parameters = match hash {
            Some(hash) if is_hash(hash, request.body) => Vec::new(),
            Some(_) => return Err(AuthenticateError::Mismatch),
            None if is_form(request.headers) => {
                form::signed(request.body).ok_or(AuthenticateError::Uncovered {
                    wanted: "a form of at most 1000 parameters",
                })?
            }
            None => {
                return Err(AuthenticateError::Uncovered {
                    wanted: "a form, or bodySHA256 in the query of the URL",
                });
            }
        };
        let contents = self.url.forms().map(|url| {
            let query = query.map_or_else(String::new, |query| format!("?{query}"));
            [url.as_bytes(), query.as_bytes(), &parameters].concat()
        });
        Ok(Claim {
            content: Content::AnyOf(contents.into()),
            signatures: signature.into(),
            time: None,
        })
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        vec![
            (SIGNATURE.name.clone(), STANDARD.encode(draft.tag)),
            (IDEMPOTENCY.clone(), draft.id.to_owned()),
        ]
    }

    fn query(&self, request: &UnverifiedRequest<'_>) -> Option<String> {
        let hash = || format!("{BODY_HASH}{}", hex::encode(Sha256::digest(request.body)));
        (!is_form(request.headers)).then(hash)
    }

    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        Key::sha1(secret.as_bytes()).ok_or("a text")
    }

    fn message_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        only(headers, &IDEMPOTENCY)
    }
}

/// The hash is part of the signed URL, and no secret.
fn is_hash(hex: &str, body: &[u8]) -> bool {
    hex == hex::encode(Sha256::digest(body))
}
