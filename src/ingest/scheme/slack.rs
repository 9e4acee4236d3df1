//! Slack's signature: `X-Slack-Signature: v0=<hex>`, HMAC-SHA256 with the app's signing secret over `v0:`, the digits of
//! `X-Slack-Request-Timestamp`, `:` and the body.
//!
//! <https://docs.slack.dev/authentication/verifying-requests-from-slack>. The time may be five minutes off in both
//! directions, as in Slack's documentation and its Python SDK. Before Slack sends events it posts a challenge
//! (<https://docs.slack.dev/reference/events/url_verification>), which is signed like an event and is answered, not kept.

use serde::Deserialize;

use super::claim::{Claim, Header, Scheme, Signature, SignedTime, UnverifiedRequest, number};
use super::error::AuthenticateError;
use super::key::Key;
use super::sign::{Draft, Proof};

static SIGNATURE: Header = Header::new(
    "x-slack-signature",
    "X-Slack-Signature",
    "v0=<64 hexadecimal digits in lower case>",
);
static TIMESTAMP: Header = Header::new(
    "x-slack-request-timestamp",
    "X-Slack-Request-Timestamp",
    "<unix s>",
);
/// Bytes of the longest body that can be a challenge; Slack's has some 150.
const MAX_HANDSHAKE: usize = 1024;

#[derive(Debug)]
pub(super) struct Slack;

#[derive(Deserialize)]
struct Handshake {
    r#type: String,
    challenge: String,
}

impl Scheme for Slack {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let text = SIGNATURE.read(request.headers)?;
        let signature = text
            .strip_prefix("v0=")
            .and_then(|hex| Signature::from_hex(hex, 32))
            .ok_or_else(|| SIGNATURE.malformed())?;
        let digits = TIMESTAMP.read(request.headers)?;
        let seconds = number(digits).ok_or_else(|| TIMESTAMP.malformed())?;
        let content = [b"v0:", digits.as_bytes(), b":", request.body];
        Ok(Claim::of(&content, signature.into()).at(SignedTime::of_seconds(seconds)))
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        let signature = format!("v0={}", hex::encode(draft.tag));
        vec![
            (TIMESTAMP.name.clone(), draft.seconds().to_string()),
            (SIGNATURE.name.clone(), signature),
        ]
    }

    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        Key::sha256(secret.as_bytes()).ok_or("a text")
    }

    fn handshake(&self, body: &[u8]) -> Option<String> {
        let body = Some(body).filter(|body| body.len() <= MAX_HANDSHAKE)?;
        let handshake: Handshake = serde_json::from_slice(body).ok()?;
        let is_plain = handshake
            .challenge
            .bytes()
            .all(|byte| byte.is_ascii_graphic());
        (handshake.r#type == "url_verification" && is_plain).then_some(handshake.challenge)
    }
}
