//! Any request to a source of any scheme: none is authenticated, because no input knows a key, and none is read in a way that
//! panics.
//!
//! ```text
//! which source u8 | target of the request LF | headers as name:value LF | LF | body
//! ```

#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use libfuzzer_sys::fuzz_target;
use ringback::ingest::Ingest;
use ringback_fuzz::{Checked, ingest};

/// When the signatures of the corpus were made, in milliseconds since the Unix epoch.
const NOW_MS: u64 = 1_614_265_330_000;

/// Their keys are files here: public, but made for this alone.
const SOURCES: [(&str, &str); 14] = [
    ("verify = \"retell\"", "text"),
    ("verify = \"standard-webhooks\"", "symmetric"),
    ("verify = \"standard-webhooks\"", "ed25519"),
    ("verify = \"github\"", "text"),
    ("verify = \"stripe\"", "text"),
    ("verify = \"slack\"", "text"),
    ("verify = \"shopify\"", "text"),
    (
        "verify = \"twilio\"\ntwilio = { url = \"https://hooks.example.com/twilio\" }",
        "text",
    ),
    (
        "verify = \"hmac\"\nhmac = { header = \"X-Signature\", prefix = \"sha256=\" }",
        "text",
    ),
    (
        "verify = \"hmac\"\nhmac = { header = \"X-Signature\", digest = \"sha512\", encoding = \"base64\", \
         content = \"{id}.{timestamp}.{body}\", timestamp_header = \"X-Timestamp\", id_header = \"X-Id\" }",
        "text",
    ),
    (
        "verify = \"hmac\"\nhmac = { header = \"X-Signature\", digest = \"sha1\", encoding = \"hex-upper\" }",
        "text",
    ),
    ("verify = \"bearer\"", "text"),
    (
        "verify = \"bearer\"\nbearer = { header = \"X-Token\" }",
        "text",
    ),
    ("verify = \"basic\"", "basic"),
];

static INGESTS: LazyLock<Vec<Ingest<Checked>>> = LazyLock::new(|| {
    let sources = SOURCES.iter().map(|(scheme, key)| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/keys");
        ingest(
            &format!("{scheme}\nkeys = [{{ file = \"{folder}/{key}\" }}]"),
            "",
        )
    });
    sources.collect()
});

fuzz_target!(|input: &[u8]| {
    let Some((which, rest)) = input.split_first() else {
        return;
    };
    let mut lines = rest.splitn(2, |byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let uri = Uri::try_from(target).unwrap_or_default();
    let mut rest = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            break;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let ingest = &INGESTS[usize::from(*which) % INGESTS.len()];
    let verdict = ingest.authenticate(&headers, &uri, rest, NOW_MS);
    let refusal = verdict.expect_err("a request was authenticated without a key");
    assert!(!refusal.to_string().is_empty());
    let (id, _) = ingest.beside_the_signature(&headers, rest);
    let is_short_text =
        |id: &str| id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(id.is_none_or(is_short_text), "{id:?}");
});
