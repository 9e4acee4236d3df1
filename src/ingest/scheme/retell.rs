//! Retell AI's signature: `X-Retell-Signature: v=<unix ms>,d=<hex>`.
//!
//! `d` is HMAC-SHA256 under the API key over the raw body followed by the timestamp's digits as they were received.

pub(crate) mod events;

use std::time::Duration;

use hmac::Mac as _;
use http::{HeaderMap, HeaderName};

use super::error::AuthenticateError;
use super::keys::Key;

const HEADER: HeaderName = HeaderName::from_static("x-retell-signature");
const MISSING: AuthenticateError = AuthenticateError::Missing {
    header: "X-Retell-Signature",
};
const MALFORMED: AuthenticateError = AuthenticateError::Malformed {
    form: "v=<unix ms>,d=<hex>",
};
/// What to check if no key gives a signature.
pub(super) const KEY_HINT: &str = "only the API key with Retell's webhook badge signs webhooks";
/// The documented window, before and after this server's clock.
const WINDOW_MS: u64 = 5 * 60 * 1000;

/// A well-formed signature that is not yet verified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signature<'a> {
    digits: &'a str,
    timestamp_ms: u64,
    digest: [u8; 32],
}

impl<'a> Signature<'a> {
    /// Reads the signature header. A repeated one is malformed, because it is ambiguous.
    pub(crate) fn from_headers(headers: &'a HeaderMap) -> Result<Self, AuthenticateError> {
        let mut values = headers.get_all(HEADER).iter();
        let value = values.next().ok_or(MISSING)?;
        if values.next().is_some() {
            return Err(MALFORMED);
        }
        let text = value.to_str().map_err(|_| MALFORMED)?;
        Self::parse(text).ok_or(MALFORMED)
    }

    fn parse(text: &'a str) -> Option<Self> {
        let (digits, hex) = text.strip_prefix("v=")?.split_once(",d=")?;
        // `parse` alone would also accept a sign and leading zeros, which the sender never sends.
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let timestamp_ms = digits.parse().ok().filter(|_| plain)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(hex, &mut digest).ok()?;
        Some(Self {
            digits,
            timestamp_ms,
            digest,
        })
    }

    /// Checks that the signature's time is within the window of `now_ms` (milliseconds since the Unix epoch).
    pub(crate) fn check_age(&self, now_ms: u64) -> Result<(), AuthenticateError> {
        let difference_ms = self.timestamp_ms.abs_diff(now_ms);
        if difference_ms > WINDOW_MS {
            return Err(AuthenticateError::Stale {
                difference: Duration::from_millis(difference_ms),
                is_ahead: self.timestamp_ms > now_ms,
            });
        }
        Ok(())
    }

    /// True if `key` gives this signature over `body`; compares in constant time.
    pub(crate) fn matches(&self, key: &Key, body: &[u8]) -> bool {
        let mut mac = key.mac();
        mac.update(body);
        mac.update(self.digits.as_bytes());
        mac.verify_slice(&self.digest).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const DIGEST: &str = "a8101c78a72fd626efcb36f04cb2093cc1b193461d876d5354b4c9a98abd7cc9";

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
            let key = Key::new(vector["key"].as_str().unwrap().as_bytes()).unwrap();
            let now = vector["timestamp_ms"].as_u64().unwrap();
            let header = vector["header"].as_str().unwrap();
            let signature = Signature::parse(header).unwrap();
            assert!(signature.matches(&key, &body));
            let upper = header
                .to_uppercase()
                .replace("V=", "v=")
                .replace(",D=", ",d=");
            assert!(Signature::parse(&upper).unwrap().matches(&key, &body));
            for edge in [now, now - WINDOW_MS, now + WINDOW_MS] {
                assert_eq!(signature.check_age(edge), Ok(()));
            }
            for (beyond, difference_ms, is_ahead) in [
                (0, now, true),
                (now - WINDOW_MS - 1, WINDOW_MS + 1, true),
                (now + WINDOW_MS + 1, WINDOW_MS + 1, false),
                (u64::MAX, u64::MAX - now, false),
            ] {
                let stale = AuthenticateError::Stale {
                    difference: Duration::from_millis(difference_ms),
                    is_ahead,
                };
                assert_eq!(signature.check_age(beyond), Err(stale));
            }
            assert!(!signature.matches(&Key::new(b"another").unwrap(), &body));
            let mut longer = body.clone();
            longer.push(b'\n');
            assert!(!signature.matches(&key, &longer));
            let later = header.replace(&now.to_string(), &(now + 1).to_string());
            assert!(!Signature::parse(&later).unwrap().matches(&key, &body));
        }
    }

    #[test]
    fn only_the_documented_form_is_well_formed() {
        assert!(Signature::parse(&format!("v=1,d={DIGEST}")).is_some());
        assert!(Signature::parse(&format!("v={},d={DIGEST}", u64::MAX)).is_some());
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
            assert_eq!(Signature::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_missing_and_a_repeated_header_are_distinguished() {
        let mut headers = HeaderMap::new();
        assert_eq!(Signature::from_headers(&headers), Err(MISSING));
        let value: http::HeaderValue = format!("v=1,d={DIGEST}").parse().unwrap();
        headers.append(HEADER, value.clone());
        assert!(Signature::from_headers(&headers).is_ok());
        headers.append(HEADER, value);
        assert_eq!(Signature::from_headers(&headers), Err(MALFORMED));
    }

    proptest! {
        #[test]
        fn a_parsed_signature_holds_everything_that_its_header_says(
            text in prop_oneof!["\\PC*", "v=[0-9]{0,21},d=[0-9a-fA-F]{63,65}"]
        ) {
            if let Some(signature) = Signature::parse(&text) {
                let read = format!("v={},d={}", signature.digits, hex::encode(signature.digest));
                prop_assert_eq!(read, text.to_lowercase());
                prop_assert_eq!(signature.timestamp_ms.to_string(), signature.digits);
            }
        }
    }
}
