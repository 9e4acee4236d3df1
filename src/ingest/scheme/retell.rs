//! Retell AI's signature: `X-Retell-Signature: v=<unix ms>,d=<hex>`.
//!
//! `d` is HMAC-SHA256 under the API key over the raw body followed by the timestamp's digits as they were received. The time
//! may be five minutes off in both directions, as documented.

pub(crate) mod events;

use super::claim::{
    Claim, FIVE_MINUTES, Header, Scheme, Signature, SignedTime, UnverifiedRequest, number,
};
use super::error::AuthenticateError;
use super::key::Key;
use super::sign::{Draft, Proof};

static SIGNATURE: Header = Header::new(
    "x-retell-signature",
    "X-Retell-Signature",
    "v=<unix ms>,d=<hex>",
);
/// What to check if no key gives a signature.
pub(super) const KEY_HINT: &str = "only the API key with Retell's webhook badge signs webhooks";

#[derive(Debug)]
pub(super) struct Retell;

impl Scheme for Retell {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let text = SIGNATURE.read(request.headers)?;
        let (digits, ms, signature) = parse(text).ok_or_else(|| SIGNATURE.malformed())?;
        let content = [request.body, digits.as_bytes()];
        Ok(Claim::of(&content, signature.into()).at(SignedTime {
            ms,
            behind: FIVE_MINUTES,
            ahead: Some(FIVE_MINUTES),
        }))
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        let signature = format!("v={},d={}", draft.now_ms, hex::encode(draft.tag));
        vec![(SIGNATURE.name.clone(), signature)]
    }

    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        Key::sha256(secret.as_bytes()).ok_or("a text")
    }
}

/// The timestamp's digits, its milliseconds since the Unix epoch, and the signature.
fn parse(text: &str) -> Option<(&str, u64, Signature)> {
    let (digits, hex) = text.strip_prefix("v=")?.split_once(",d=")?;
    // Retell's own SDK takes digits of either case.
    let signature = Signature::from_any_hex(hex, 32)?;
    Some((digits, number(digits)?, signature))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Uri};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::ingest::scheme::claim::Algorithm;

    const DIGEST: &str = "a8101c78a72fd626efcb36f04cb2093cc1b193461d876d5354b4c9a98abd7cc9";

    /// Whether `key` made this header for this body.
    fn is_signed(header: &str, key: &str, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("x-retell-signature", header.parse().unwrap());
        let uri = Uri::default();
        let request = UnverifiedRequest {
            headers: &headers,
            uri: &uri,
            body,
        };
        let claim = Retell.claim(&request).unwrap();
        Retell.key(key).unwrap().matches(&claim)
    }

    #[test]
    fn the_senders_own_vectors_verify_and_nothing_near_them_does() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
        let vectors = std::fs::read(format!("{fixtures}retell-signatures.json")).unwrap();
        let vectors: Vec<Value> = serde_json::from_slice(&vectors).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let body = match &vector["body_file"] {
                Value::String(name) => std::fs::read(format!("{fixtures}{name}")).unwrap(),
                _ => vector["body"].as_str().unwrap().as_bytes().to_vec(),
            };
            let key = vector["key"].as_str().unwrap();
            let now = vector["timestamp_ms"].as_u64().unwrap();
            let header = vector["header"].as_str().unwrap();
            assert!(is_signed(header, key, &body));
            let (prefix, digest) = header.split_once(",d=").unwrap();
            let upper = format!("{prefix},d={}", digest.to_uppercase());
            assert!(is_signed(&upper, key, &body));
            assert!(!is_signed(header, "another", &body));
            let longer = [body.as_slice(), b"\n"].concat();
            assert!(!is_signed(header, key, &longer));
            let later = header.replace(&now.to_string(), &(now + 1).to_string());
            assert!(!is_signed(&later, key, &body));
        }
    }

    #[test]
    fn only_the_documented_form_is_well_formed() {
        assert!(parse(&format!("v=1,d={DIGEST}")).is_some());
        assert!(parse(&format!("v={},d={DIGEST}", u64::MAX)).is_some());
        for bad in [
            String::new(),
            format!("v=,d={DIGEST}"),
            format!("v=0,d={DIGEST}"),
            format!("v=01,d={DIGEST}"),
            format!("v=+1,d={DIGEST}"),
            format!("v=-1,d={DIGEST}"),
            format!("v= 1,d={DIGEST}"),
            format!("v=18446744073709551616,d={DIGEST}"),
            format!("v=1, d={DIGEST}"),
            format!("d={DIGEST},v=1"),
            format!("v=1,d={DIGEST},"),
            format!("v=1,d={DIGEST},d={DIGEST}"),
            format!("v=1,v=1,d={DIGEST}"),
            format!("v=1,d={DIGEST}0"),
            "v=1,d=abc".into(),
            "v=1,d=".into(),
            "v=1".into(),
            format!("v=1,d={}", "g".repeat(64)),
        ] {
            assert!(parse(&bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_parsed_signature_holds_everything_that_its_header_says(
            text in prop_oneof!["\\PC*", "v=[0-9]{0,21},d=[0-9a-fA-F]{63,65}"]
        ) {
            if let Some((digits, ms, signature)) = parse(&text) {
                let signatures = super::super::claim::Signatures::from(signature);
                let bytes: Vec<_> = signatures.of(Algorithm::Hmac).collect();
                let read = format!("v={digits},d={}", hex::encode(bytes[0]));
                prop_assert_eq!(read, text.to_lowercase());
                prop_assert_eq!(ms.to_string(), digits);
            }
        }
    }
}
