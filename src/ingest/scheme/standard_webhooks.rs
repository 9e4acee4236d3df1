//! Standard Webhooks: `webhook-signature: v1,<base64> v1a,<base64> …` over `webhook-id`, `.`, the digits of
//! `webhook-timestamp`, `.` and the body; Svix's headers, its origin, are the same with `svix-`.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>. `v1` is HMAC-SHA256 with a
//! shared secret (`whsec_`), `v1a` is Ed25519, verified with a public key (`whpk_`); other versions are ignored. The time
//! may be five minutes off in both directions, as in the official libraries.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;

use super::claim::{
    Algorithm, Claim, Header, Scheme, Signature, Signatures, SignedTime, UnverifiedRequest, number,
    only,
};
use super::error::AuthenticateError;
use super::key::Key;
use super::sign::{Draft, Proof};

const FORM: &str = "v1,<32 bytes in base64> (or v1a,<64 bytes>), several of them with spaces between, at most 16 (v1a: 4)";
/// Some dashboards show secrets without the padding.
const SECRET: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The three headers under one prefix.
struct Headers {
    id: Header,
    timestamp: Header,
    signature: Header,
}

static WEBHOOK: Headers = Headers {
    id: Header::new("webhook-id", "webhook-id", "<visible ASCII>"),
    timestamp: Header::new("webhook-timestamp", "webhook-timestamp", "<unix s>"),
    signature: Header::new("webhook-signature", "webhook-signature", FORM),
};
static SVIX: Headers = Headers {
    id: Header::new("svix-id", "svix-id", "<visible ASCII>"),
    timestamp: Header::new("svix-timestamp", "svix-timestamp", "<unix s>"),
    signature: Header::new("svix-signature", "svix-signature", FORM),
};

/// A request's headers are all of one prefix, so that an id that is not signed cannot stand beside one that is.
fn used(headers: &HeaderMap) -> &'static Headers {
    if headers.contains_key(&SVIX.signature.name) && !headers.contains_key(&WEBHOOK.signature.name)
    {
        return &SVIX;
    }
    &WEBHOOK
}

#[derive(Debug)]
pub(super) struct StandardWebhooks;

impl Scheme for StandardWebhooks {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let Headers {
            id,
            timestamp,
            signature,
        } = used(request.headers);
        let text = signature.read(request.headers)?;
        let signatures = parse(text).ok_or_else(|| signature.malformed())?;
        let id = id.read(request.headers)?;
        let digits = timestamp.read(request.headers)?;
        let seconds = number(digits).ok_or_else(|| timestamp.malformed())?;
        let content = [id.as_bytes(), b".", digits.as_bytes(), b".", request.body];
        Ok(Claim::of(&content, signatures).at(SignedTime::of_seconds(seconds)))
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        vec![
            (WEBHOOK.id.name.clone(), draft.id.to_owned()),
            (WEBHOOK.timestamp.name.clone(), draft.seconds().to_string()),
            (
                WEBHOOK.signature.name.clone(),
                format!("v1,{}", SECRET.encode(draft.tag)),
            ),
        ]
    }

    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        const FORM: &str =
            "whsec_<base64>, or for Ed25519 the public key, whpk_<base64 of 32 bytes>";
        if let Some(public) = secret.strip_prefix("whpk_") {
            let public = SECRET.decode(public).map_err(|_| FORM)?;
            return Key::ed25519(&public).ok_or(FORM);
        }
        // The private key of an Ed25519 pair is nobody's but the sender's.
        let text = secret.strip_prefix("whsec_").unwrap_or(secret);
        let secret = SECRET.decode(text).map_err(|_| FORM)?;
        Key::sha256(&secret).ok_or(FORM)
    }

    fn message_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        only(headers, &used(headers).id.name)
    }
}

fn parse(text: &str) -> Option<Signatures> {
    let mut signatures = Signatures::default();
    for item in text.split(' ') {
        let (length, algorithm, text) = match item.split_once(',')? {
            ("v1", text) => (32, Algorithm::Hmac, text),
            ("v1a", text) => (64, Algorithm::Ed25519, text),
            _ => continue,
        };
        signatures.push(Signature::from_base64(text, length, algorithm)?)?;
    }
    Some(signatures).filter(|signatures| !signatures.is_empty())
}
