//! Stripe's signature: `Stripe-Signature: t=<unix s>,v1=<hex>,…`, HMAC-SHA256 with the endpoint's secret over time, `.`
//! and body.
//!
//! <https://docs.stripe.com/webhooks/signature>. There is a `v1` for each live secret of the endpoint; other schemes, such
//! as the `v0` of test events, are ignored. Stripe's libraries refuse what is older than five minutes and do not look at
//! times ahead of the clock, so neither does this.

use super::claim::{
    Claim, FIVE_MINUTES, Header, Scheme, Signature, Signatures, SignedTime, UnverifiedRequest,
    number,
};
use super::error::AuthenticateError;
use super::key::Key;
use super::sign::{Draft, Proof};

static SIGNATURE: Header = Header::new(
    "stripe-signature",
    "Stripe-Signature",
    "t=<unix s>,v1=<64 hexadecimal digits in lower case>, with 1 to 16 v1",
);

#[derive(Debug)]
pub(super) struct Stripe;

impl Scheme for Stripe {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let text = SIGNATURE.read(request.headers)?;
        let (digits, signatures) = parse(text).ok_or_else(|| SIGNATURE.malformed())?;
        let seconds = number(digits).ok_or_else(|| SIGNATURE.malformed())?;
        let content = [digits.as_bytes(), b".", request.body];
        Ok(Claim::of(&content, signatures).at(SignedTime {
            ms: seconds.saturating_mul(1000),
            behind: FIVE_MINUTES,
            ahead: None,
        }))
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        let signature = format!("t={},v1={}", draft.seconds(), hex::encode(draft.tag));
        vec![(SIGNATURE.name.clone(), signature)]
    }

    /// All of the secret, its `whsec_` included.
    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        Key::sha256(secret.as_bytes()).ok_or("a text")
    }
}

/// The time's digits and the signatures.
fn parse(text: &str) -> Option<(&str, Signatures)> {
    let mut time = None;
    let mut signatures = Signatures::default();
    for item in text.split(',') {
        match item.split_once('=')? {
            // Of two times, Stripe's libraries in different languages would take different ones.
            ("t", digits) if time.is_none() => time = Some(digits),
            ("t", _) => return None,
            ("v1", hex) => signatures.push(Signature::from_hex(hex, 32)?)?,
            _ => {}
        }
    }
    Some((time?, signatures)).filter(|(_, signatures)| !signatures.is_empty())
}
