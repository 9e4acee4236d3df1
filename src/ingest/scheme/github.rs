//! GitHub's signature: `X-Hub-Signature-256: sha256=<hex>`, HMAC-SHA256 with the webhook's secret over the body.
//!
//! <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>. GitHub signs no time, so a captured
//! request stays valid as long as its key; `X-GitHub-Delivery`, the message's id, is not signed.

use http::{HeaderMap, HeaderName};

use super::claim::{Claim, Header, Scheme, Signature, UnverifiedRequest, only};
use super::error::AuthenticateError;
use super::key::Key;
use super::sign::{Draft, Proof};

static SIGNATURE: Header = Header::new(
    "x-hub-signature-256",
    "X-Hub-Signature-256",
    "sha256=<64 hexadecimal digits in lower case>",
);
static DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");

#[derive(Debug)]
pub(super) struct Github;

impl Scheme for Github {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let text = SIGNATURE.read(request.headers)?;
        let signature = text
            .strip_prefix("sha256=")
            .and_then(|hex| Signature::from_hex(hex, 32))
            .ok_or_else(|| SIGNATURE.malformed())?;
        Ok(Claim::of(&[request.body], signature.into()))
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        let signature = format!("sha256={}", hex::encode(draft.tag));
        vec![
            (SIGNATURE.name.clone(), signature),
            (DELIVERY.clone(), draft.id.to_owned()),
        ]
    }

    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        Key::sha256(secret.as_bytes()).ok_or("a text")
    }

    fn message_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        only(headers, &DELIVERY)
    }
}
