//! Shopify's signature: `X-Shopify-Hmac-Sha256: <base64>`, HMAC-SHA256 with the app's client secret over the body.
//!
//! <https://shopify.dev/docs/apps/build/webhooks/subscribe/https>. Shopify signs no time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

use super::claim::{Algorithm, Claim, Header, Scheme, Signature, UnverifiedRequest, only};
use super::error::AuthenticateError;
use super::key::Key;
use super::sign::{Draft, Proof};

static SIGNATURE: Header = Header::new(
    "x-shopify-hmac-sha256",
    "X-Shopify-Hmac-Sha256",
    "<32 bytes in base64>",
);
static WEBHOOK_ID: HeaderName = HeaderName::from_static("x-shopify-webhook-id");

#[derive(Debug)]
pub(super) struct Shopify;

impl Scheme for Shopify {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let text = SIGNATURE.read(request.headers)?;
        let signature = Signature::from_base64(text, 32, Algorithm::Hmac)
            .ok_or_else(|| SIGNATURE.malformed())?;
        Ok(Claim::of(&[request.body], signature.into()))
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        vec![
            (SIGNATURE.name.clone(), STANDARD.encode(draft.tag)),
            (WEBHOOK_ID.clone(), draft.id.to_owned()),
        ]
    }

    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        Key::sha256(secret.as_bytes()).ok_or("a text")
    }

    fn message_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        only(headers, &WEBHOOK_ID)
    }
}
