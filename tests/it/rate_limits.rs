//! Sources and clients may be limited in how often they send: 429 says when to try again, and nobody else is affected.

use std::path::Path;
use std::time::Instant;

use crate::support::server::{KEY, PATIENCE, Server, now_ms, post, signature};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const LISTEN: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

/// A relay with one more source, at `/limited`, which verifies as Retell AI does and has these lines.
fn server(folder: &Path, lines: &str) -> Server {
    let source = format!(
        "[[source]]\nname = \"limited\"\npath = \"/limited\"\nverify = \"retell\"\nkeys = [{{ env = \"RETELL_API_KEY\" }}]\n{lines}\n"
    );
    std::fs::write(folder.join("more.toml"), source).expect("it can be written");
    Server::start_in(folder, "127.0.0.1:1", LISTEN, "")
}

/// The answer to an event from this client, signed with this key.
fn send(server: &Server, path: &str, client: &str, key: &str) -> String {
    let signed = signature(key, now_ms(), EVENT);
    let headers = format!("{signed}X-Forwarded-For: {client}\r\nConnection: close\r\n");
    server.exchange(&post(path, &headers, EVENT))
}

fn status(answer: &str) -> u16 {
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {answer:?}"))
}

/// Sends until the answer is not `accepted`; gives how many were, and that answer. A token a second may come back meanwhile.
fn exhaust(server: &Server, client: &str, key: &str, accepted: u16, burst: u64) -> String {
    let begun = Instant::now();
    for count in 0.. {
        let answer = send(server, "/limited", client, key);
        if status(&answer) != accepted {
            let most = burst + begun.elapsed().as_secs() + 1;
            assert!((burst..=most).contains(&count), "{count} passed: {answer}");
            return answer;
        }
    }
    unreachable!("a limit was reached, or a number overflowed")
}

fn assert_limited(answer: &str, detail: &str) {
    assert_eq!(status(answer), 429, "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(
        answer.contains("\"type\":\"urn:ringback:problem:rate_limited\""),
        "{answer}"
    );
    assert!(answer.contains(detail), "{answer}");
}

#[test]
fn a_source_takes_its_burst_of_events_and_then_its_rate_whatever_forgers_send() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = server(folder.path(), "rate_limit = { per_second = 1, burst = 5 }");
    for _ in 0..50 {
        assert_eq!(
            status(&send(&server, "/limited", "192.0.2.1", "forged")),
            401
        );
    }
    let answer = exhaust(&server, "192.0.2.1", KEY, 204, 5);
    assert_limited(&answer, "More events come to this path than it may take.");
    // Another source is not affected, and this one takes events again.
    assert_eq!(status(&send(&server, "/webhook", "192.0.2.1", KEY)), 204);
    let deadline = Instant::now() + PATIENCE;
    while status(&send(&server, "/limited", "192.0.2.1", KEY)) != 204 {
        assert!(Instant::now() < deadline, "no token ever comes back");
    }
    assert!(server.refused("limited", "rate_limited") >= 1.0);
    let requests = server.sample("ringback_http_requests_total{code=\"429\",source=\"limited\"}");
    assert_eq!(requests, server.refused("limited", "rate_limited"));
    server.logged("\"reason\":\"rate_limited\"");
}

#[test]
fn one_client_is_limited_whatever_it_sends_and_no_other_client_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = server(
        folder.path(),
        "client_rate_limit = { per_second = 1, burst = 5 }",
    );
    let answer = exhaust(&server, "2001:db8::1", "forged", 401, 5);
    assert_limited(&answer, "This address sends more requests than it may.");
    let neighbour = send(&server, "/limited", "2001:db8::ffff:2", KEY);
    assert!([204, 429].contains(&status(&neighbour)), "{neighbour}");
    for client in ["2001:db8:0:1::1", "192.0.2.1", "192.0.2.2"] {
        assert_eq!(
            status(&send(&server, "/limited", client, KEY)),
            204,
            "{client}"
        );
    }
    assert_eq!(status(&send(&server, "/webhook", "2001:db8::1", KEY)), 204);
}

#[test]
fn a_limit_that_cannot_be_meant_is_refused_with_its_key() {
    for (value, message) in [
        ("{ per_second = 0 }", "rate_limit.per_second"),
        (
            "{ per_second = 5, burst = 0 }",
            "0 is out of range; write a number from 1 to 1000000",
        ),
        ("{ burst = 5 }", "rate_limit.per_second"),
        (
            "\"500/s\"",
            "rate_limit = { per_second = 500, burst = 1000 }",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = crate::support::server::write_config(folder.path(), "127.0.0.1:1", "", "");
        let mut text = std::fs::read_to_string(&config).expect("it was written");
        text += &format!("rate_limit = {value}\n");
        std::fs::write(&config, text).expect("it can be written");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringback"))
            .args(["check", "--config"])
            .arg(&config)
            .env("RETELL_API_KEY", KEY)
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(78), "{value}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(message), "{value}: {errors}");
    }
}
