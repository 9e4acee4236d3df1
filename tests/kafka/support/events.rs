//! Events and their signatures.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The sender's 63 sample events.
pub fn samples() -> Vec<Vec<u8>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/retell-events.ndjson"
    );
    let text = std::fs::read(path).expect("the fixture is there");
    let lines = text.split(|byte| *byte == b'\n');
    let events: Vec<_> = lines
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(events.len(), 63);
    events
}

/// The key that an event's record should have.
pub fn key(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).expect("it is JSON");
    ["/call/call_id", "/data/call_id", "/chat/chat_id"]
        .iter()
        .find_map(|pointer| Some(value.pointer(pointer)?.as_str()?.to_owned()))
}

/// An event of `call`, unlike every other, `padding` bytes longer than it need be.
pub fn event(call: &str, number: u64, padding: usize) -> Vec<u8> {
    let pad = "x".repeat(padding);
    format!(
        r#"{{"event":"transcript_updated","call":{{"call_id":"{call}","n":{number},"pad":"{pad}"}}}}"#
    )
    .into_bytes()
}

/// As [`event`], with a padding that no codec compresses much, because Kafka's limit applies to the compressed batch.
pub fn noisy_event(call: &str, number: u64, padding: usize) -> Vec<u8> {
    let mut hash = blake3::Hasher::new();
    hash.update(b"noise");
    let mut bytes = vec![0; padding / 2];
    hash.finalize_xof().fill(&mut bytes);
    let body = event(call, number, 0);
    let body = String::from_utf8(body).expect("it is text");
    let pad = format!("\"pad\":\"{}", hex::encode(bytes));
    body.replace("\"pad\":\"", &pad).into_bytes()
}

/// The wall clock, in milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.expect("the clock is past 1970").as_millis();
    i64::try_from(since).expect("the clock is before the end of time")
}

/// `X-Retell-Signature` of this time.
pub fn signature(key: &str, body: &[u8], unix_ms: i64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes any length");
    mac.update(body);
    mac.update(unix_ms.to_string().as_bytes());
    format!("v={unix_ms},d={}", hex::encode(mac.finalize().into_bytes()))
}
