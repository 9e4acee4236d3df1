//! What a client sends reaches the log only escaped, and no metric's label at all; hostile JSON is taken like any other, and its
//! name and key give a record no more headers or lines than any other's.

use crate::support::mock_kafka::MockKafka;
use crate::support::server::{KEY, Server, now_ms, post, signature};

/// In everything that a client can choose.
const MARK: &str = "hostile-mark";

fn relay() -> Server {
    Server::start("max_body = \"2MiB\"", "")
}

#[test]
fn what_a_client_sends_is_escaped_in_the_log_and_in_no_label() {
    let server = relay();
    // A line of its own, a colour, and what would end a JSON string.
    let text = format!("{MARK}\\n{{\\\"level\\\":\\\"ERROR\\\"}}\\u001b[31m\\u0000");
    let event = format!("{{\"event\":\"{text}\",\"call\":{{\"call_id\":\"{text}\"}}}}");
    let marked =
        format!("X-Forwarded-For: {MARK}\r\nUser-Agent: {MARK}\"\\\r\nConnection: close\r\n");
    let typed = format!("Content-Type: {MARK}/\"\r\nContent-Encoding: {MARK}\"\r\n{marked}");
    let signed = format!("X-Retell-Signature: v=1,d={MARK}\"\r\n{marked}");
    let genuine = signature(KEY, now_ms(), event.as_bytes()) + &marked;
    let not_json = format!("{MARK}\u{1b}[31m\n\"");
    let requests = [
        post("/open", &marked, event.as_bytes()),
        post("/webhook", &genuine, event.as_bytes()),
        post("/webhook", &signed, event.as_bytes()),
        post("/open", &typed, event.as_bytes()),
        post("/open", &marked, not_json.as_bytes()),
        post(&format!("/{MARK}\"\\%0a{{}}"), &marked, b"{}"),
        post(&format!("/open?{MARK}=\"\\"), &marked, b"{}"),
        format!("{MARK} /open HTTP/1.1\r\nHost: {MARK}\r\n{marked}\r\n").into_bytes(),
        format!("POST /\u{1b}[31m{MARK} HTTP/1.1\r\n\r\n").into_bytes(),
        format!("POST /open HTTP/1.1\r\n{MARK}: a\0b\r\n\r\n").into_bytes(),
    ];
    let answers: Vec<_> = requests
        .iter()
        .map(|bytes| server.exchange(bytes))
        .collect();
    let accepted = |answer: &&String| answer.starts_with("HTTP/1.1 204");
    assert_eq!(answers.iter().filter(accepted).count(), 2, "{answers:?}");
    for answer in &answers {
        let (head, _) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        assert!(!head.contains(MARK), "in a head: {answer}");
        assert!(!answer.contains('\u{1b}'), "raw in an answer: {answer:?}");
    }
    let metrics = server.admin("/metrics");
    assert!(!metrics.contains(MARK), "a label: {metrics}");
    let verbose = server.admin("/readyz?verbose");
    assert!(!verbose.contains(MARK), "{verbose}");
    server.terminate();
    server.logged("shut down; what is left");
    let log = server.log();
    assert!(log.iter().any(|line| line.contains(MARK)), "{log:#?}");
    for line in log {
        let text = line.trim_end_matches('\n');
        assert!(!text.contains(char::is_control), "raw in the log: {text:?}");
        let object: serde_json::Value = serde_json::from_str(text).expect("one JSON object a line");
        // There is no Kafka.
        let is_expected = object["level"] != "ERROR" || object["target"] == "librdkafka";
        assert!(is_expected, "forged, or a fault: {text}");
    }
}

#[test]
fn hostile_json_is_taken_as_any_other() {
    let server = relay();
    let deep =
        |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let megabyte = "k".repeat(1 << 20);
    let bodies = [
        format!(r#"{{"event":"e","a":{}}}"#, deep("[", "]")),
        format!(
            r#"{{"event":"e","a":{}}}"#,
            deep(r#"{"a":"#, "}").replacen("}", "1}", 1)
        ),
        format!(r#"{{"event":"e","a":{}}}"#, "9".repeat(100_000)),
        format!(r#"{{"event":"e","a":1e{}}}"#, "9".repeat(1_000)),
        format!(r#"{{"event":"e","{megabyte}":1}}"#),
        format!(r#"{{"event":"e","call":{{"call_id":"{megabyte}"}}}}"#),
        format!(r#"{{"event":"{megabyte}"}}"#),
        format!(r#"{{"event":"e"{}}}"#, r#","event":"e""#.repeat(50_000)),
        String::from(r#"{"event":"e","call":{"call_id":"a\u0000b"},"\u0000":1}"#),
        String::from(r#"{"event":"\ud800","call":{"call_id":"\udfff\ud800"}}"#),
        String::from("{\"event\":\"a\\r\\nce_type: b\",\"call\":{\"call_id\":\"\\r\\n\"}}"),
    ];
    for body in &bodies {
        let shown = &body[..body.len().min(60)];
        assert_eq!(server.post(body.as_bytes()), 204, "{shown}");
    }
    // No body is inflated, whatever its size would be then.
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let header = format!("Content-Encoding: {coding}\r\nConnection: close\r\n");
        let answer = server.exchange(&post("/open", &header, b"\x1f\x8b\x08"));
        assert!(answer.starts_with("HTTP/1.1 415"), "{coding}: {answer}");
    }
}

#[test]
fn no_name_and_no_key_puts_a_line_into_a_record_s_headers() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    // As the body has it, the key, and what the headers have of it.
    let line = (
        "\\r\\nce_id: mine",
        "\r\nce_id: mine",
        "\u{fffd}\u{fffd}ce_id: mine",
    );
    let nul = (
        "a\\u0000b\\u001b[2J",
        "a\0b\u{1b}[2J",
        "a\u{fffd}b\u{fffd}[2J",
    );
    let raw = ("\u{85}\u{7f}", "\u{85}\u{7f}", "\u{fffd}\u{fffd}");
    let texts = [line, nul, raw];
    for (text, ..) in texts {
        let event = format!(r#"{{"event":"{text}","call":{{"call_id":"{text}"}}}}"#);
        assert_eq!(server.post(event.as_bytes()), 204, "{text}");
    }
    // No text has these: the name has replacements, and there is no key.
    let surrogates = br#"{"event":"\ud800","call":{"call_id":"\udc00\ud800"}}"#;
    assert_eq!(server.post(surrogates), 204);
    let arrived = kafka.read(texts.len() + 1);
    for (record, (text, key, shown)) in arrived.iter().zip(texts) {
        assert_eq!(record.key.as_deref(), Some(key), "{text}: the key is exact");
        assert_eq!(record.header("ce_subject"), Some(shown), "{text}");
        assert_eq!(record.header("ce_type"), Some(&*format!("open.{shown}")));
    }
    let unpaired = &arrived[texts.len()];
    assert_eq!(
        (&unpaired.key, unpaired.header("ce_subject")),
        (&None, None)
    );
    assert_eq!(unpaired.value, surrogates);
    for record in arrived {
        let mut names: Vec<_> = record.headers.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), record.headers.len(), "one of each");
        for (name, value) in &record.headers {
            assert!(!value.contains(char::is_control), "{name}: {value:?}");
        }
    }
}
