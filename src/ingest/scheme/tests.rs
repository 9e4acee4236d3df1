//! Every scheme against its sender's own vectors, and against everything near them.

mod samples;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use proptest::prelude::*;

use self::samples::{Sample, samples};
use super::claim::{MAX_ED25519, MAX_SIGNATURES, Scheme};
use super::*;

/// What a sample's source makes of a request.
struct Source {
    verify: Verify,
    scheme: Box<dyn Scheme>,
    keys: Vec<Key>,
}

impl Source {
    fn new(sample: &Sample, keys: &[&str]) -> Self {
        let scheme = self::from_config::scheme(&sample.config())
            .unwrap()
            .unwrap();
        let keys = keys.iter().map(|key| scheme.key(key).unwrap()).collect();
        Self {
            verify: sample.verify,
            scheme,
            keys,
        }
    }

    /// As a request is authenticated, at the time of the sample unless `now_ms` is another.
    fn verdict(self, sample: &Sample, now_ms: u64) -> Result<Option<usize>, AuthenticateError> {
        let headers = headers(&sample.headers);
        let uri: Uri = sample.uri.parse().unwrap();
        let request = UnverifiedRequest {
            headers: &headers,
            uri: &uri,
            body: &sample.body,
        };
        let authenticator = Authenticator {
            verify: self.verify,
            scheme: Some(self.scheme),
            keys: self.keys,
        };
        authenticator.authenticate(&request, now_ms)
    }
}

fn headers(lines: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

fn verdict(sample: &Sample) -> Result<Option<usize>, AuthenticateError> {
    Source::new(sample, &[sample.key]).verdict(sample, sample.now_ms)
}

fn is_mismatch(verdict: &Result<Option<usize>, AuthenticateError>) -> bool {
    use AuthenticateError::{Mismatch, WrongCredentials};
    matches!(verdict, Err(Mismatch | WrongCredentials(_)))
}

/// The sample with another value of the header at `index`.
fn with(sample: &Sample, index: usize, value: String) -> Sample {
    let mut changed = sample.clone();
    changed.headers[index].1 = value;
    changed
}

fn swap_case(text: &str) -> String {
    let swap = |c: char| {
        if c.is_ascii_uppercase() {
            c.to_ascii_lowercase()
        } else {
            c.to_ascii_uppercase()
        }
    };
    text.chars().map(swap).collect()
}

#[test]
fn each_sender_s_own_signature_is_accepted_under_any_one_of_the_live_keys() {
    for sample in samples() {
        assert_eq!(verdict(&sample), Ok(Some(0)), "{sample:?}");
        let keys = [sample.another_key, sample.key];
        let second = Source::new(&sample, &keys).verdict(&sample, sample.now_ms);
        assert_eq!(second, Ok(Some(1)), "{sample:?}");
    }
    let covered = samples()
        .into_iter()
        .map(|sample| sample.verify.to_string());
    let covered: std::collections::BTreeSet<_> = covered.collect();
    assert_eq!(
        covered.len(),
        10,
        "every scheme but `none` has a sample: {covered:?}"
    );
}

#[test]
fn another_key_and_a_changed_body_are_refused() {
    for sample in samples() {
        let wrong = Source::new(&sample, &[sample.another_key]);
        assert!(
            is_mismatch(&wrong.verdict(&sample, sample.now_ms)),
            "{sample:?}"
        );
        let mut changed = sample.clone();
        changed.body.push(b'0');
        let verdict = verdict(&changed);
        if matches!(sample.verify, Verify::Bearer | Verify::Basic) {
            // Documented: what authenticates the sender alone says nothing of the body.
            assert_eq!(verdict, Ok(Some(0)));
        } else {
            assert!(is_mismatch(&verdict), "{sample:?}: {verdict:?}");
        }
    }
}

#[test]
fn headers_that_are_missing_empty_doubled_truncated_or_in_the_wrong_case_are_refused() {
    for sample in samples() {
        for index in 0..sample.signed_headers {
            let (name, value) = sample.headers[index].clone();
            let mut missing = sample.clone();
            missing.headers.remove(index);
            let refused = verdict(&missing);
            assert!(
                matches!(refused, Err(AuthenticateError::Missing(_))),
                "{name}: {refused:?}"
            );

            let empty = verdict(&with(&sample, index, String::new()));
            assert!(
                matches!(empty, Err(AuthenticateError::Malformed(_))),
                "{name}: {empty:?}"
            );

            let mut doubled = sample.clone();
            doubled.headers.push((name.clone(), value.clone()));
            let refused = verdict(&doubled);
            assert!(
                matches!(refused, Err(AuthenticateError::Malformed(_))),
                "{name}: {refused:?}"
            );

            for end in 1..value.len() {
                let truncated = verdict(&with(&sample, index, value[..end].to_owned()));
                assert!(truncated.is_err(), "{name}: {}", &value[..end]);
            }
            let swapped = swap_case(&value);
            if swapped != value {
                let refused = verdict(&with(&sample, index, swapped.clone()));
                assert!(refused.is_err(), "{name}: {swapped}");
            }
            let described = match &empty {
                Err(AuthenticateError::Malformed(form)) => form.header.to_ascii_lowercase(),
                other => panic!("{other:?}"),
            };
            assert_eq!(described, name, "the answer names the header at fault");
        }
    }
}

#[test]
fn a_signature_is_stale_beyond_the_sender_s_own_tolerance() {
    for sample in samples() {
        let at = |now_ms| Source::new(&sample, &[sample.key]).verdict(&sample, now_ms);
        let Some([behind, ahead]) = sample.tolerance else {
            // Nothing that is signed says when.
            assert_eq!(at(0), Ok(Some(0)), "{sample:?}");
            assert_eq!(at(u64::MAX), Ok(Some(0)), "{sample:?}");
            continue;
        };
        let behind_ms = u64::try_from(behind.as_millis()).unwrap();
        assert_eq!(at(sample.now_ms + behind_ms), Ok(Some(0)), "{sample:?}");
        let stale = at(sample.now_ms + behind_ms + 1);
        let expected = AuthenticateError::Stale {
            difference: behind + Duration::from_millis(1),
            is_ahead: false,
            tolerance: behind,
        };
        assert_eq!(stale, Err(expected), "{sample:?}");
        if ahead == Duration::MAX {
            assert_eq!(at(0), Ok(Some(0)), "{sample:?}");
            continue;
        }
        let ahead_ms = u64::try_from(ahead.as_millis()).unwrap();
        assert_eq!(at(sample.now_ms - ahead_ms), Ok(Some(0)), "{sample:?}");
        let early = at(sample.now_ms - ahead_ms - 1);
        let is_early = matches!(early, Err(AuthenticateError::Stale { is_ahead: true, .. }));
        assert!(is_early, "{sample:?}: {early:?}");
    }
}

#[test]
fn one_of_several_signatures_is_enough_and_their_number_is_bounded() {
    for (verify, separator) in [(Verify::Stripe, ","), (Verify::StandardWebhooks, " ")] {
        for sample in samples()
            .into_iter()
            .filter(|sample| sample.verify == verify)
        {
            let value = &sample.headers[0].1;
            let (time, genuine) = match verify {
                Verify::Stripe => value.split_once(separator).unwrap(),
                _ => ("v0,unknown", value.as_str()),
            };
            let changed = match genuine.chars().last() {
                Some('=') => genuine.replacen(
                    &genuine[4..5],
                    if &genuine[4..5] == "A" { "B" } else { "A" },
                    1,
                ),
                _ => format!(
                    "{}{}",
                    &genuine[..genuine.len() - 1],
                    if genuine.ends_with('0') { '1' } else { '0' }
                ),
            };
            let is_public = sample.key.starts_with("whpk_");
            let most = if is_public {
                MAX_ED25519
            } else {
                MAX_SIGNATURES
            };
            let several = |wrong: usize| {
                let mut parts = vec![time];
                parts.extend(vec![changed.as_str(); wrong]);
                parts.push(genuine);
                verdict(&with(&sample, 0, parts.join(separator)))
            };
            assert_eq!(several(1), Ok(Some(0)), "{sample:?}");
            assert_eq!(several(most - 1), Ok(Some(0)), "{sample:?}");
            let too_many = several(most);
            assert!(
                matches!(too_many, Err(AuthenticateError::Malformed(_))),
                "{too_many:?}"
            );
        }
    }
}

#[test]
fn a_message_id_is_the_sender_s_if_it_is_short_visible_ascii() {
    for sample in samples() {
        let id = |lines: &[(String, String)]| {
            let scheme = self::from_config::scheme(&sample.config()).unwrap();
            let authenticator = Authenticator {
                verify: sample.verify,
                scheme,
                keys: Vec::new(),
            };
            let headers = headers(lines);
            authenticator.message_id(&headers).map(str::to_owned)
        };
        let Some((name, value)) = sample.id else {
            assert_eq!(id(&sample.headers), None, "{sample:?}");
            continue;
        };
        assert_eq!(id(&sample.headers).as_deref(), Some(value), "{sample:?}");
        let index = sample
            .headers
            .iter()
            .position(|(known, _)| known == name)
            .unwrap();
        let fits = "x".repeat(MAX_MESSAGE_ID);
        assert_eq!(
            id(&with(&sample, index, fits.clone()).headers),
            Some(fits.clone())
        );
        for unusable in [
            String::new(),
            fits + "x",
            String::from("a b"),
            String::from("\u{e9}"),
        ] {
            assert_eq!(
                id(&with(&sample, index, unusable).headers),
                None,
                "{sample:?}"
            );
        }
    }
}

#[test]
fn a_twilio_body_that_nothing_covers_is_refused() {
    let samples = samples();
    let json = samples
        .iter()
        .find(|sample| sample.uri.contains("bodySHA256"))
        .unwrap();
    let mut uncovered = json.clone();
    uncovered.uri = "/twilio";
    let refused = verdict(&uncovered);
    assert!(
        matches!(refused, Err(AuthenticateError::Uncovered { .. })),
        "{refused:?}"
    );
}

#[test]
fn slack_s_challenge_is_answered_and_nothing_else_is() {
    let handshake = |body: &str| super::slack::Slack.handshake(body.as_bytes());
    let challenge = r#"{"token":"a","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let answer = handshake(challenge);
    assert_eq!(
        answer.as_deref(),
        Some("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P")
    );
    for other in [
        challenge.replace("url_verification", "event_callback"),
        challenge.replace("3eZ", "<b>\\n"),
        challenge.replace("3eZ", &"3".repeat(1024)),
        challenge.replace("challenge", "chalenge"),
        String::from("payload=%7B%7D"),
    ] {
        assert_eq!(handshake(&other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn whatever_the_headers_and_the_body_are_nothing_panics_and_nothing_is_believed(
        which in 0usize..64,
        value in prop_oneof![
            "\\PC{0,80}",
            "(t=|v1=|v0=|v=|,|d=|sha256=|v1,|v1a,| |[0-9]{1,20}|[0-9a-f]{64}|[A-Za-z0-9+/]{43}=){0,12}",
            "(Bearer|Basic|bearer) [!-~]{0,40}"
        ],
        body in proptest::collection::vec(any::<u8>(), 0..100),
        now_ms in any::<u64>(),
    ) {
        let samples = samples();
        let sample = &samples[which % samples.len()];
        for index in 0..sample.signed_headers {
            if HeaderValue::from_str(&value).is_err() || value == sample.headers[index].1 {
                continue;
            }
            let mut forged = with(sample, index, value.clone());
            forged.body.clone_from(&body);
            let verdict = Source::new(&forged, &[forged.key]).verdict(&forged, now_ms);
            prop_assert!(verdict.is_err(), "{:?}", verdict);
        }
    }
}

#[test]
fn what_is_signed_here_verifies_and_is_what_the_sender_s_own_library_writes() {
    for sample in samples() {
        let config = sample.config();
        let signer = Signer::new(&config, sample.key).unwrap().unwrap();
        let is_proof = |name: &HeaderName| {
            let mut proofs = sample.headers[..sample.signed_headers].iter();
            let id = sample.id.is_some_and(|(id, _)| name == id);
            id || proofs.any(|(other, _)| name == other.as_str())
        };
        let all = headers(&sample.headers);
        let mut bare = all.clone();
        let _ = all
            .keys()
            .filter(|name| is_proof(name))
            .map(|name| bare.remove(name))
            .count();
        let uri: Uri = sample.uri.parse().unwrap();
        let request = |headers| UnverifiedRequest {
            headers,
            uri: &uri,
            body: &sample.body,
        };
        let id = sample.id.map_or("msg_1", |(_, id)| id);
        let proof = match signer.sign(&request(&bare), sample.now_ms, id) {
            Err(SignError::Public) => {
                assert!(sample.key.starts_with("whpk_"), "{sample:?}");
                continue;
            }
            proof => proof.unwrap(),
        };
        let examined = {
            let mut complete = bare.clone();
            complete.extend(proof.clone());
            signer.examine(&request(&complete), sample.now_ms).unwrap()
        };
        assert!(examined.is_match && examined.stale.is_none(), "{sample:?}");
        // The sender's own has Svix's names, or signed the URL with its port.
        let is_other_form = all.contains_key("svix-id") || sample.uri == "/twilio";
        for (name, value) in proof.iter().filter(|_| !is_other_form) {
            assert_eq!(all.get(name), Some(value), "{sample:?}");
        }
    }
}
