//! What a body says decides where its event goes, but never whether a genuine sender is answered 204.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::mock_kafka::{Arrived, MockKafka, OTHER_TOPIC};
use crate::support::server::{KEY, PATIENCE, Server, now_ms, post, signature, small_limits};

/// Bodies that are not JSON, each with its fault.
const NOT_JSON: [(&[u8], &str); 6] = [
    (b"", "it is empty"),
    (
        b"{\"event\":\"call_ended\",\"call\":{\"agent_name\":\"Ren\xe9\"}}",
        "invalid UTF-8 at byte 47",
    ),
    (
        b"{\"event\":\"call_ended\",\n\"call\":{\"call_cost\":NaN}}",
        "unexpected character at line 2, column 21",
    ),
    (
        b"{\"event\":\"call_ended\",\"call\":{\"call_id\":\"a",
        "it ends too early, at line 1, column 42",
    ),
    (
        b"event=call_ended&call_id=a",
        "unexpected character at line 1, column 1",
    ),
    (
        b"{'event': 'call_ended'}",
        "unexpected character at line 1, column 2",
    ),
];
/// JSON with its `ce_type` and its key.
const JSON: [(&[u8], &str, Option<&str>); 7] = [
    (
        b"\xef\xbb\xbf{\"event\":\"call_ended\",\"call\":{\"call_id\":\"a\"}}",
        "retell.call_ended",
        Some("a"),
    ),
    (
        b"{\"event\":\"call_inbound\",\"call_inbound\":{\"call_id\":\"b\"}}",
        "retell.call_inbound",
        Some("b"),
    ),
    (
        b"{\"event\":\"chat_inbound\",\"chat_inbound\":{\"chat_id\":\"c\"}}",
        "retell.chat_inbound",
        Some("c"),
    ),
    // A custom function's call has no event name.
    (
        b"{\"name\":\"lookup\",\"args\":{},\"call\":{\"call_id\":\"d\"}}",
        "retell.none",
        Some("d"),
    ),
    (b"{\"event\":7}", "retell.none", None),
    (b"[]", "retell.none", None),
    (b"{\"event\":\"none\"}", "retell.none", None),
];
/// More in a row than records that Kafka refuses, which stop publishing.
const ROUNDS: usize = 2;

fn post_signed(server: &Server, body: &[u8]) -> String {
    let more = format!("{}Connection: close\r\n", signature(KEY, now_ms(), body));
    server.exchange(&post("/webhook", &more, body))
}

fn accept(server: &Server, body: &[u8]) {
    let answer = post_signed(server, body);
    assert!(
        answer.starts_with("HTTP/1.1 204 "),
        "{}: {answer}",
        body.escape_ascii()
    );
    let id = hex::encode(&blake3::hash(body).as_bytes()[..16]);
    assert!(
        answer.contains(&format!("ringback-id: {id}\r\n")),
        "{answer}"
    );
}

fn dead_letter(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringback"))
        .arg("dead-letter")
        .args(arguments)
        .arg("--config")
        .arg(folder.join("ringback.toml"))
        .env_remove("RINGBACK_LOG")
        .env_remove("RETELL_API_KEY")
        .output()
        .expect("the binary runs")
}

fn listed(folder: &Path) -> Vec<serde_json::Value> {
    let output = dead_letter(folder, &["list", "--json"]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn accepted(server: &Server, kind: &str) -> f64 {
    server.sample(&format!(
        "ringback_events_accepted_total{{kind=\"{kind}\",source=\"retell\"}}"
    ))
}

fn unparsed(server: &Server) -> f64 {
    server.sample("ringback_dead_letters_total{reason=\"unparsed\"}")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn values(arrived: &[Arrived]) -> Vec<String> {
    let values = arrived.iter().map(|record| &record.value);
    values
        .map(|value| value.escape_ascii().to_string())
        .collect()
}

fn escaped<'a>(bodies: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    bodies.map(|body| body.escape_ascii().to_string()).collect()
}

#[test]
fn no_signed_body_is_refused_for_what_it_says_and_what_is_not_json_becomes_a_dead_letter() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    for _ in 0..ROUNDS {
        for (body, _) in NOT_JSON {
            accept(&server, body);
        }
    }
    for (body, ..) in JSON {
        accept(&server, body);
    }
    let count = ROUNDS * NOT_JSON.len();
    let arrived = kafka.read(JSON.len());
    assert_eq!(
        values(&arrived),
        escaped(JSON.iter().map(|(body, ..)| *body))
    );
    for (record, (_, kind, key)) in arrived.iter().zip(JSON) {
        assert_eq!(record.header("ce_type"), Some(kind));
        assert_eq!(record.key.as_deref(), key, "{kind}");
        assert_eq!(record.header("ce_subject"), key, "{kind}");
    }

    // Each is counted once, and nothing is left: the counters' identity holds.
    let total = count as f64;
    assert_eq!(unparsed(&server), total);
    assert_eq!(accepted(&server, "unparsed"), total);
    assert_eq!(accepted(&server, "none"), 3.0);
    assert_eq!(accepted(&server, "call_inbound"), 1.0);
    assert_eq!(accepted(&server, "chat_inbound"), 1.0);
    assert_eq!(
        accepted(&server, "other"),
        1.0,
        "an event whose name is none"
    );
    until("everything is counted", || {
        server.sample("ringback_journal_unpublished_events") == 0.0
    });

    let letters = listed(folder.path());
    assert_eq!(letters.len(), count);
    for (letter, (body, _)) in letters.iter().zip(NOT_JSON.iter().cycle()) {
        assert_eq!(letter["reason"], "unparsed");
        assert_eq!(letter["kind"], "unparsed");
        assert_eq!(letter["key"], serde_json::Value::Null);
        let bytes = match &letter["body_hex"] {
            serde_json::Value::String(digits) => hex::decode(digits).expect("hex"),
            _ => letter["body"].as_str().expect("text").as_bytes().to_vec(),
        };
        assert_eq!(
            bytes.escape_ascii().to_string(),
            body.escape_ascii().to_string()
        );
    }

    let none = dead_letter(folder.path(), &["replay", "--reason", "too_large"]);
    let stdout = String::from_utf8_lossy(&none.stdout);
    assert!(
        stdout.contains("no dead letters with reason too_large"),
        "{stdout}"
    );
    let replay = ["replay", "--reason", "unparsed", "--topic", OTHER_TOPIC];
    let replay = dead_letter(folder.path(), &replay);
    let stdout = String::from_utf8_lossy(&replay.stdout);
    let stderr = String::from_utf8_lossy(&replay.stderr);
    assert_eq!(replay.status.code(), Some(0), "{stderr}");
    assert!(
        stdout.contains(&format!("{count} replayed, 0 not")),
        "{stdout}"
    );
    let replayed = kafka.read_topic(OTHER_TOPIC, count);
    let bodies = NOT_JSON.iter().map(|(body, _)| *body).cycle().take(count);
    assert_eq!(values(&replayed), escaped(bodies));
    for (record, letter) in replayed.iter().zip(&letters) {
        assert_eq!(record.header("ce_type"), Some("retell.unparsed"));
        assert_eq!(record.header("ringback_dead_letter"), Some("replayed"));
        assert_eq!(record.header("ce_id"), letter["id"].as_str());
        assert_eq!(record.key, None);
    }
    assert_eq!(listed(folder.path()).len(), 0);
}

#[test]
fn an_unparsed_event_survives_a_kill_in_an_outage_and_is_a_dead_letter_afterwards() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), "127.0.0.1:1", "", "");
    let (body, _) = NOT_JSON[1];
    accept(&server, body);
    server.kill();
    assert_eq!(listed(folder.path()).len(), 0);
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    until("the dead letter", || unparsed(&server) == 1.0);
    until("nothing is left", || {
        server.sample("ringback_journal_unpublished_events") == 0.0
    });
    let letters = listed(folder.path());
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["body_hex"], hex::encode(body));
    kafka.read(0);
}

#[test]
fn what_anybody_may_send_is_refused_with_its_fault_and_place() {
    let server = small_limits();
    let exchange = |body: &[u8]| server.exchange(&post("/open", "Connection: close\r\n", body));
    for (body, fault) in NOT_JSON {
        let answer = exchange(body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let detail = format!("\"detail\":\"The body is not one JSON document: {fault}.\"");
        assert!(answer.contains(&detail), "{answer}");
    }
    for body in [&b"{\"event\":7}"[..], b"[]", b"{\"name\":\"lookup\"}"] {
        let answer = exchange(body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("a string member \\\"event\\\""), "{answer}");
    }
    let marked = b"\xef\xbb\xbf{\"event\":\"call_ended\"}";
    assert!(exchange(marked).starts_with("HTTP/1.1 204 "));
    assert_eq!(server.refused("open", "not_json"), NOT_JSON.len() as f64);
    assert_eq!(server.refused("open", "no_event"), 3.0);
    assert_eq!(server.sample("ringback_journal_unpublished_events"), 1.0);
}

#[test]
fn a_warning_names_what_an_operator_has_to_change_and_is_not_repeated() {
    let server = small_limits();
    let unparsed = "a signed body is not one JSON document";
    let expects = "the sender may wait for an answer with content";
    for _ in 0..3 {
        accept(&server, b"{");
        accept(&server, JSON[1].0);
        accept(&server, JSON[3].0);
    }
    // An ordinary event is no reason for a line, and comes last.
    accept(&server, b"{\"event\":\"call_ended\"}");
    let line = server.logged(unparsed);
    let id = hex::encode(&blake3::hash(b"{").as_bytes()[..16]);
    for part in [
        "\"source\":\"retell\"",
        &id,
        "it ends too early, at line 1, column 1",
    ] {
        assert!(line.contains(part), "{line}");
    }
    let lines = |what: &str| {
        let log = server.log().into_iter();
        log.filter(|line| line.contains(what)).collect::<Vec<_>>()
    };
    for kind in ["call_inbound", "none"] {
        let field = format!("\"kind\":\"{kind}\"");
        until(kind, || lines(expects).concat().contains(&field));
    }
    // Three of each have come, within less than two of the intervals that lie between lines.
    let (unparsed, expects) = (lines(unparsed).len(), lines(expects).len());
    assert!(unparsed < 3 && expects < 6, "{:#?}", server.log());
}
