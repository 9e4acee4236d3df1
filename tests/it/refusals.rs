//! Whoever operates a relay learns which senders are refused, and why: from the log and from `/readyz?verbose`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::server::{
    KEY, PATIENCE, Server, limits, now_ms, post, signature, small_limits,
};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const CLOSE: &str = "Connection: close\r\n";

/// The warnings with this reason.
fn warnings(server: &Server, reason: &str) -> Vec<Value> {
    of_reason(&server.log(), reason)
}

fn of_reason(log: &[String], reason: &str) -> Vec<Value> {
    let lines = log.iter();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON lines"));
    let of_reason = |line: &Value| line["level"] == "WARN" && line["reason"] == reason;
    lines.filter(of_reason).collect()
}

/// Waits for the first warning with this reason.
fn warning(server: &Server, reason: &str) -> Value {
    server.logged(&format!("\"reason\":\"{reason}\""));
    warnings(server, reason).swap_remove(0)
}

/// Asserts that there was one warning a minute at most.
fn assert_throttled(server: &Server, reason: &str, since: Instant) {
    let lines = warnings(server, reason).len() as u64;
    let most = 1 + since.elapsed().as_secs() / 60;
    assert!((1..=most).contains(&lines), "{lines} lines of {reason}");
}

fn refuse(server: &Server, path: &str, header: &str, status: u16) {
    let answer = server.exchange(&post(path, &format!("{header}{CLOSE}"), EVENT));
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
}

#[test]
fn a_wrong_key_is_logged_at_once_with_the_client_and_what_to_check() {
    let start = Instant::now();
    let server = Server::start("trusted_proxies = [\"127.0.0.0/8\"]", "");
    let forwarded = "X-Forwarded-For: 100.20.5.228\r\n";
    for _ in 0..50 {
        let header = signature("another key", now_ms(), EVENT) + forwarded;
        refuse(&server, "/webhook", &header, 401);
    }
    let line = warning(&server, "signature_mismatch");
    assert_eq!(line["source"], "retell");
    assert_eq!(line["count"], 1);
    assert_eq!(line["client"], "100.20.5.228");
    let hint = "only the API key with Retell's webhook badge signs webhooks";
    assert_eq!(line["hint"], hint);
    assert_throttled(&server, "signature_mismatch", start);
}

#[test]
fn each_fault_is_logged_with_what_would_be_right() {
    let server = small_limits();
    let now = now_ms();
    let behind = signature(KEY, now - 612_000, EVENT);
    let cases = [
        (
            String::new(),
            "signature_missing",
            "The header X-Retell-Signature is missing",
        ),
        (
            String::from("X-Retell-Signature: v=1\r\n"),
            "signature_malformed",
            "the form v=<unix ms>,d=<hex>.",
        ),
        (behind, "signature_stale", "is 10m 1"),
    ];
    for (header, reason, expected) in cases {
        refuse(&server, "/webhook", &header, 401);
        let line = warning(&server, reason);
        let message = line["message"].as_str().expect("a message");
        assert!(message.contains(expected), "{line}");
        assert_eq!(line["source"], "retell");
        assert_eq!(line["client"], "127.0.0.1");
        assert_eq!(line["path"], "/webhook");
    }
    let stale = warning(&server, "signature_stale")["message"].to_string();
    assert!(stale.contains("behind this server's clock"), "{stale}");
    // Another source has lines of its own; the first one has had its line of this reason.
    refuse(&server, "/open", "Content-Encoding: gzip\r\n", 415);
    assert_eq!(warning(&server, "content_encoding")["source"], "open");
}

#[test]
fn a_path_that_no_source_has_is_logged_short_escaped_and_without_its_query() {
    let start = Instant::now();
    let server = small_limits();
    let path = format!("/webhok\"{}?token=hunter2", "x".repeat(5000));
    refuse(&server, &path, "", 404);
    let line = warning(&server, "unknown_path");
    let shown = line["path"].as_str().expect("a path");
    assert!(
        shown.starts_with("/webhok\\\"xxx") && shown.ends_with("x…"),
        "{shown}"
    );
    assert!(shown.chars().count() <= 81, "{shown}");
    assert_eq!(line["method"], "POST");
    assert!(line["source"].is_null(), "{line}");
    // Whoever tries many paths fills neither memory nor log.
    for number in 0..200 {
        refuse(&server, &format!("/{number}"), "", 404);
    }
    assert_throttled(&server, "unknown_path", start);
    assert!(server.log().iter().all(|line| !line.contains("hunter2")));
}

/// Refuses three for one reason, of which one is logged at once.
fn burst() -> Server {
    let server = small_limits();
    for _ in 0..3 {
        let wrong = signature("another key", now_ms(), EVENT);
        refuse(&server, "/webhook", &wrong, 401);
    }
    assert_eq!(warning(&server, "signature_mismatch")["count"], 1);
    server
}

/// Waits for the line of the other two.
fn assert_rest(server: &Server, deadline: Instant) {
    let lines = loop {
        let lines = warnings(server, "signature_mismatch");
        if lines.len() > 1 {
            break lines;
        }
        assert!(Instant::now() < deadline, "they are not logged");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(lines[1]["count"], 2);
    assert_eq!(lines[1]["source"], "retell");
    assert_eq!(lines[1]["client"], "127.0.0.1");
}

#[test]
fn the_last_refusals_are_logged_before_the_process_ends() {
    let server = burst();
    server.terminate();
    assert_rest(&server, Instant::now() + PATIENCE);
}

#[test]
fn the_last_refusals_of_a_burst_are_logged_once_their_minute_is_over() {
    if std::env::var_os("RINGBACK_TEST_LONG").is_none() {
        // It takes a minute of the real clock.
        return;
    }
    let server = burst();
    assert_rest(&server, Instant::now() + Duration::from_mins(1) + PATIENCE);
}

#[test]
fn a_sender_that_speaks_tls_is_logged_as_such() {
    let server = limits("60s", "60s");
    // The beginning of a ClientHello.
    server.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
    let line = warning(&server, "head_malformed");
    assert_eq!(line["client"], "127.0.0.1");
    let hint = line["hint"].as_str().expect("a hint");
    assert!(hint.contains("terminate TLS"), "{line}");
}

/// Waits for this line of `/readyz?verbose`; gives the whole answer.
fn await_check(server: &Server, line: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let checks = server.admin("/readyz?verbose");
        if checks.lines().any(|found| found == line) {
            return checks;
        }
        assert!(Instant::now() < deadline, "no {line:?} in {checks}");
    }
}

#[test]
fn readyz_reports_how_many_of_each_source_were_refused_and_stays_ready() {
    let server = small_limits();
    let checks = server.admin("/readyz?verbose");
    for source in ["open", "retell", "(none)"] {
        let line = format!("[+]source {source}: nothing refused in the last 5 minutes");
        assert!(checks.contains(&line), "{checks}");
    }
    for _ in 0..7 {
        let wrong = signature("another key", now_ms(), EVENT);
        refuse(&server, "/webhook", &wrong, 401);
    }
    refuse(&server, "/webhok", "", 404);
    let refused = "signatures refused in the last 5 minutes: mismatch";
    await_check(&server, &format!("[!]source retell: 7 of 7 {refused}"));
    let right = signature(KEY, now_ms(), EVENT);
    let answer = server.exchange(&post("/webhook", &format!("{right}{CLOSE}"), EVENT));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let checks = await_check(&server, &format!("[!]source retell: 7 of 8 {refused}"));
    assert!(checks.starts_with("HTTP/1.1 200 "), "{checks}");
    let nothing = "[+]source open: nothing refused in the last 5 minutes";
    assert!(checks.contains(nothing), "{checks}");
    let unknown = "[!]source (none): 1 request refused in the last 5 minutes: unknown_path";
    assert!(checks.contains(unknown), "{checks}");
}
