//! Every row of the HTTP contract, on raw sockets against the real binary.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::support::server::{
    KEY, PATIENCE, Server, limits, now_ms, post, signature, small_limits, until_closed,
};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const CLOSE: &str = "Connection: close\r\n";

/// Asserts that `answer` is a refusal: its status, and a problem document with the same status and every member.
fn assert_problem(answer: &str, status: u16) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with(&format!("http/1.1 {status} ")), "{answer}");
    assert!(
        head.contains("\r\ncontent-type: application/problem+json"),
        "{answer}"
    );
    let problem: serde_json::Value = serde_json::from_str(body).expect("the body is JSON");
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(
            problem[member]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{answer}"
        );
    }
    if status == 503 {
        let (_, rest) = head.split_once("\r\nretry-after: ").expect("Retry-After");
        let seconds = rest.lines().next().unwrap_or_default();
        assert!(
            seconds.parse::<u64>().is_ok_and(|seconds| seconds >= 1),
            "{answer}"
        );
    }
}

#[test]
fn an_event_is_answered_204_without_a_body_and_with_its_id() {
    let server = small_limits();
    let answer = server
        .exchange(&post("/open", CLOSE, EVENT))
        .to_ascii_lowercase();
    assert!(
        answer.starts_with("http/1.1 204 no content\r\n"),
        "{answer}"
    );
    let id = hex::encode(&blake3::hash(EVENT).as_bytes()[..16]);
    assert!(
        answer.contains(&format!("\r\nringback-id: {id}\r\n")),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(server.sample("ringback_journal_unpublished_events"), 1.0);
}

#[test]
fn each_bad_request_gets_its_own_refusal_and_leaves_nothing() {
    let server = small_limits();
    let get = format!("GET /open HTTP/1.1\r\nHost: t\r\n{CLOSE}\r\n");
    let answer = server.exchange(get.as_bytes());
    assert_problem(&answer, 405);
    assert!(
        answer.to_ascii_lowercase().contains("\r\nallow: post\r\n"),
        "{answer}"
    );
    let gzip = format!("Content-Encoding: gzip\r\n{CLOSE}");
    let transfer =
        "POST /open HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    let answer = server.exchange(transfer.as_bytes());
    assert_problem(&answer, 415);
    assert!(
        answer.contains("Transfer-Encoding") && !answer.contains("Content-Encoding"),
        "{answer}"
    );
    assert!(server.refused("open", "transfer_encoding") >= 1.0);
    for (path, more, body, status, source, reason) in [
        ("/nowhere", CLOSE, EVENT, 404, "", "unknown_path"),
        ("/open", &gzip, EVENT, 415, "open", "content_encoding"),
        ("/open", CLOSE, b"not json", 400, "open", "not_json"),
        ("/open", CLOSE, b"{\"event\":1}", 400, "open", "no_event"),
        ("/open", CLOSE, b"[]", 400, "open", "no_event"),
        ("/open", CLOSE, b"", 400, "open", "not_json"),
    ] {
        assert_problem(&server.exchange(&post(path, more, body)), status);
        assert!(server.refused(source, reason) >= 1.0, "{reason}");
    }
    assert_eq!(server.sample("ringback_journal_unpublished_events"), 0.0);
}

#[test]
fn a_signature_that_is_missing_malformed_stale_or_wrong_gets_401() {
    let server = small_limits();
    let now = now_ms();
    let cases = [
        (String::new(), "signature_missing"),
        (
            String::from("X-Retell-Signature: v=1\r\n"),
            "signature_malformed",
        ),
        (signature(KEY, now - 301_000, EVENT), "signature_stale"),
        (signature(KEY, now + 310_000, EVENT), "signature_stale"),
        (signature("another", now, EVENT), "signature_mismatch"),
        (signature(KEY, now, b"another"), "signature_mismatch"),
    ];
    for (header, reason) in cases {
        let before = server.refused("retell", reason);
        let answer = server.exchange(&post("/webhook", &format!("{header}{CLOSE}"), EVENT));
        assert_problem(&answer, 401);
        assert_eq!(server.refused("retell", reason), before + 1.0, "{reason}");
    }
    // Neither JSON nor signed: the signature is checked first.
    assert_problem(&server.exchange(&post("/webhook", CLOSE, b"not json")), 401);
    assert_eq!(server.sample("ringback_journal_unpublished_events"), 0.0);
    let good = format!("{}{CLOSE}", signature(KEY, now_ms(), EVENT));
    let answer = server.exchange(&post("/webhook", &good, EVENT));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
}

#[test]
fn a_body_over_the_limit_is_refused_as_soon_as_that_is_known() {
    let server = small_limits();
    let head = "POST /open HTTP/1.1\r\nHost: t\r\nContent-Length: 8589934592\r\n\r\n";
    assert_problem(&server.exchange(head.as_bytes()), 413);
    let mut chunked =
        b"POST /open HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..5 {
        chunked.extend_from_slice(b"4000\r\n");
        chunked.extend_from_slice(&[b' '; 0x4000]);
        chunked.extend_from_slice(b"\r\n");
    }
    assert_problem(&server.exchange(&chunked), 413);
    assert_eq!(server.refused("open", "body_too_large"), 2.0);
}

#[test]
fn a_body_that_stops_half_way_gets_408_and_the_connection_is_closed() {
    let server = limits("60s", "1s");
    let whole = post("/open", "", EVENT);
    let answer = server.exchange(&whole[..whole.len() - 10]);
    assert_problem(&answer, 408);
    assert_eq!(server.refused("open", "body_timeout"), 1.0);
}

#[test]
fn a_head_byte_by_byte_or_no_byte_at_all_is_closed_without_an_answer() {
    let server = limits("1s", "60s");
    let mut silent = server.connect();
    let mut slow = server.connect();
    let writer = slow.try_clone().map(|mut slow| {
        std::thread::spawn(move || {
            let endless = b"POST /open HTTP/1.1\r\nX: "
                .iter()
                .chain(std::iter::repeat(&b'x'));
            for byte in endless {
                // The relay has closed the connection, as it should: this head never ends.
                if slow.write_all(&[*byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        })
    });
    assert_eq!(until_closed(&mut slow), "");
    assert_eq!(until_closed(&mut silent), "");
    server.await_refused("", "header_timeout", 2.0);
    writer
        .expect("a second handle")
        .join()
        .expect("the writer ends");
}

#[test]
fn what_the_parser_refuses_gets_its_own_answer_and_is_closed() {
    let server = small_limits();
    let garbage: Vec<u8> = (0..1_000_000u32).map(|at| (at * 7 % 251) as u8).collect();
    let answer = server.exchange(&garbage);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
        "{answer}"
    );
    server.await_refused("", "head_malformed", 1.0);
    let mut large = b"POST /open HTTP/1.1\r\nHost: t\r\nX: ".to_vec();
    large.extend_from_slice(&[b'a'; 70_000]);
    large.extend_from_slice(b"\r\n\r\n");
    let answer = server.exchange(&large);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    server.await_refused("", "head_too_large", 1.0);
    let many = "X: y\r\n".repeat(257);
    let answer = server.exchange(&post("/open", &many, EVENT));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\n"),
        "the parser answers without a body: {answer}"
    );
    server.await_refused("", "head_too_large", 2.0);
    let answered = "ringback_http_requests_total{code=\"431\",source=\"\"}";
    assert_eq!(
        server.sample(answered),
        0.0,
        "the parser's answers are not counted as requests"
    );
}

#[test]
fn a_length_beside_a_transfer_encoding_is_read_as_chunked_and_then_closed() {
    let server = small_limits();
    let mut request = b"POST /open HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    request.extend_from_slice(format!("{:x}\r\n", EVENT.len()).as_bytes());
    request.extend_from_slice(EVENT);
    request.extend_from_slice(b"\r\n0\r\n\r\n");
    let answer = server.exchange(&request);
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[test]
fn the_memory_of_bodies_comes_back_when_their_clients_leave() {
    let server = small_limits();
    let large = post(
        "/open",
        CLOSE,
        &[&EVENT[..1], &[b' '; 50_000], &EVENT[1..]].concat(),
    );
    let half = |_| {
        let mut half = server.connect();
        half.write_all(&large[..45_000]).expect("the half is sent");
        half
    };
    let halves: Vec<_> = (0..2).map(half).collect();
    let deadline = Instant::now() + PATIENCE;
    while server.sample("ringback_http_body_bytes") < 85_000.0 {
        assert!(Instant::now() < deadline, "the halves never arrived");
    }
    drop(halves);
    while server.sample("ringback_http_body_bytes") > 0.0 {
        assert!(Instant::now() < deadline, "its memory never came back");
    }
    let answer = server.exchange(&large);
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
}

#[test]
fn a_slash_more_or_less_and_each_of_several_paths_lead_to_the_source() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source =
        "[[source]]\nname = \"many\"\npath = [\"/agents/1\", \"/agents/2/\"]\nverify = \"none\"";
    std::fs::write(folder.path().join("more.toml"), source).expect("it can be written");
    let server = Server::start_in(folder.path(), "127.0.0.1:1", "", "");
    for path in ["/open", "/agents/1", "/agents/2"] {
        for slash in ["", "/"] {
            let path = format!("{path}{slash}");
            let answer = server.exchange(&post(&path, CLOSE, EVENT));
            assert!(answer.starts_with("HTTP/1.1 204 "), "{path}: {answer}");
        }
        let answer = server.exchange(&post(&format!("{path}//"), CLOSE, EVENT));
        assert_problem(&answer, 404);
    }
}

#[test]
fn an_empty_content_encoding_is_none() {
    let server = small_limits();
    for coding in ["", " ", "identity", "Identity"] {
        let header = format!("Content-Encoding:{coding}\r\n{CLOSE}");
        let answer = server.exchange(&post("/open", &header, EVENT));
        assert!(answer.starts_with("HTTP/1.1 204 "), "{coding:?}: {answer}");
    }
}

#[test]
fn a_full_journal_gets_503() {
    let server = small_limits();
    let body = [&EVENT[..1], &[b' '; 60_000], &EVENT[1..]].concat();
    let request = post("/open", CLOSE, &body);
    let mut accepted = 0;
    let answer = loop {
        let answer = server.exchange(&request);
        if !answer.starts_with("HTTP/1.1 204 ") {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 200, "a budget of 4 MiB never filled");
    };
    assert_problem(&answer, 503);
    assert!(accepted > 50, "refused after {accepted} events");
    assert!(server.refused("open", "journal_full") >= 1.0);
    let line = server.logged("refusing events for a fault of this server");
    assert!(line.contains("\"reason\":\"journal_full\""), "{line}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = small_limits();
    let bodies: Vec<Vec<u8>> = (0..5)
        .map(|number| format!(r#"{{"event":"e","n":{number}}}"#).into_bytes())
        .collect();
    let ids = bodies.iter();
    let ids: Vec<_> = ids
        .map(|body| hex::encode(&blake3::hash(body).as_bytes()[..16]))
        .collect();
    let last = bodies.len() - 1;
    let requests: Vec<u8> = bodies
        .iter()
        .enumerate()
        .flat_map(|(at, body)| post("/open", if at == last { CLOSE } else { "" }, body))
        .collect();
    let answer = server.exchange(&requests);
    let answered: Vec<_> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("ringback-id: "))
        .collect();
    assert_eq!(answered, ids);
}
