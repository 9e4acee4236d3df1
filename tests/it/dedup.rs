//! `dedup`: an event that was committed within its source's window is answered 204 without a second record.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::ack_kafka::{answer, assert_identity, assert_refused, eventually, write};
use crate::support::mock_kafka::MockKafka;
use crate::support::server::{KEY, PATIENCE, Server, now_ms, post, signature, until_closed};

/// Concurrent copies of one event.
const COPIES: usize = 100;
const ROUNDS: usize = 10;
const JOURNAL: &str = "segment_size = \"1MiB\"\nbudget = \"16MiB\"";

/// Starts a relay without a Kafka, so that its journal keeps every record; `window` is that of `/a`.
fn start(folder: &Path, window: &str) -> Server {
    let more = format!(
        r#"
[[source]]
name = "a"
path = "/a"
verify = "none"
id_pointer = "/id"
{window}
dedup_capacity = 1000
[[source]]
name = "b"
path = "/b"
verify = "none"
id_pointer = "/id"
dedup = "1h"
[[source]]
name = "signed"
path = "/signed"
verify = "retell"
keys = [{{ env = "RETELL_API_KEY" }}]
dedup = "1h"
"#
    );
    std::fs::write(folder.join("more.toml"), more).expect("the folder is there");
    Server::start_in(folder, "127.0.0.1:1", "", JOURNAL)
}

/// An event with this id; `more` makes its body another one.
fn event(id: &str, more: &str) -> String {
    format!("{{\"event\":\"e\",\"id\":\"{id}\",\"more\":\"{more}\"}}")
}

/// Posts an event; gives the status of the answer, whose `ringback-id` must be the event's.
fn send(server: &Server, path: &str, id: &str, body: &str) -> u16 {
    let answer = server.exchange(&post(path, "Connection: close\r\n", body.as_bytes()));
    let status = answer.get(9..12).expect("a status line");
    let header = format!("ringback-id: {id}\r\n");
    assert!(status != "204" || answer.contains(&header), "{answer}");
    status.parse().expect("a status")
}

fn accepted(server: &Server, source: &str) -> f64 {
    server.sample(&format!(
        "ringback_events_accepted_total{{kind=\"other\",source=\"{source}\"}}"
    ))
}

fn duplicates(server: &Server, source: &str) -> f64 {
    server.sample(&format!(
        "ringback_events_duplicate_total{{source=\"{source}\"}}"
    ))
}

fn forgotten(server: &Server, reason: &str) -> f64 {
    server.sample(&format!(
        "ringback_dedup_forgotten_total{{reason=\"{reason}\",source=\"a\"}}"
    ))
}

/// How many records the journal has with this id.
fn records(folder: &Path, id: &str) -> usize {
    let dump = Command::new(env!("CARGO_BIN_EXE_ringback"))
        .args(["journal", "dump", "--json", "--path"])
        .arg(folder.join("journal"))
        .output()
        .expect("the binary runs");
    assert!(dump.status.success(), "{dump:?}");
    let dump = String::from_utf8(dump.stdout).expect("JSON is text");
    let records = dump.lines().map(serde_json::from_str::<serde_json::Value>);
    let records = records.map(|record| record.expect("JSON lines"));
    records.filter(|record| record["id"] == id).count()
}

fn file(folder: &Path, source: &str) -> PathBuf {
    let name = format!("dedup-{source}-0000000000000000");
    folder.join("journal").join(name)
}

/// Waits until the marks of so many events are in the source's file.
fn await_saved(folder: &Path, source: &str, events: u64) {
    let deadline = Instant::now() + PATIENCE;
    let length = || std::fs::metadata(file(folder, source)).map_or(0, |file| file.len());
    while length() < events * 24 {
        assert!(Instant::now() < deadline, "the marks are never written");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Posts all copies at once; gives how many were answered 204. If `kill`, the relay dies meanwhile, and a copy without an answer
/// is none.
fn flood(server: Server, id: &str, kill: bool) -> (usize, Option<Server>) {
    let body = event(id, "");
    let request = post("/a", "Connection: close\r\n", body.as_bytes());
    let barrier = Barrier::new(COPIES + 1);
    let (barrier, request) = (&barrier, &request);
    let (accepted, server) = std::thread::scope(|scope| {
        let copies: Vec<_> = (0..COPIES)
            .map(|_| {
                let mut stream = server.connect();
                scope.spawn(move || {
                    barrier.wait();
                    let is_sent = stream.write_all(request).is_ok();
                    let answer = if is_sent {
                        until_closed(&mut stream)
                    } else {
                        String::new()
                    };
                    let is_honest =
                        answer.is_empty() && kill || answer.starts_with("HTTP/1.1 204 ");
                    assert!(is_honest, "{answer}");
                    usize::from(!answer.is_empty())
                })
            })
            .collect();
        barrier.wait();
        let server = if kill {
            server.kill();
            None
        } else {
            Some(server)
        };
        let copies = copies
            .into_iter()
            .map(|copy| copy.join().expect("no copy panics"));
        (copies.sum(), server)
    });
    (accepted, server)
}

#[test]
fn a_hundred_concurrent_copies_are_one_record_and_after_a_kill_at_most_one_more() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = start(folder.path(), "dedup = \"1h\"");
    for round in 0..ROUNDS {
        let before = duplicates(&server, "a");
        let (quiet, killed) = (format!("quiet-{round}"), format!("killed-{round}"));
        let (answered, kept) = flood(server, &quiet, false);
        server = kept.expect("it was not killed");
        assert_eq!(answered, COPIES, "round {round}");
        assert_eq!(duplicates(&server, "a") - before, COPIES as f64 - 1.0);
        assert_eq!(records(folder.path(), &quiet), 1, "round {round}");

        let (answered, _) = flood(server, &killed, true);
        let before = records(folder.path(), &killed);
        assert!(before <= 1, "round {round}: {before} records");
        assert!(before == 1 || answered == 0, "round {round}: an untrue 204");
        server = start(folder.path(), "dedup = \"1h\"");
        let (answered, kept) = flood(server, &killed, false);
        server = kept.expect("it was not killed");
        assert_eq!(answered, COPIES, "round {round}");
        let more = accepted(&server, "a");
        assert!(more <= 1.0, "round {round}: {more} more");
        assert_eq!(
            COPIES as f64 - more,
            duplicates(&server, "a"),
            "each is counted"
        );
        assert_eq!(records(folder.path(), &killed) - before, more as usize);
    }
}

#[test]
fn an_id_is_what_makes_a_duplicate_else_the_body_and_never_another_source_s() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(folder.path(), "dedup = \"1h\"");
    for (path, more) in [("/a", "1"), ("/a", "2"), ("/b", "1")] {
        assert_eq!(send(&server, path, "x", &event("x", more)), 204);
    }
    assert_eq!(
        (accepted(&server, "a"), duplicates(&server, "a")),
        (1.0, 1.0)
    );
    assert_eq!(
        (accepted(&server, "b"), duplicates(&server, "b")),
        (1.0, 0.0)
    );
    let body = "{\"event\":\"e\"}";
    let id = hex::encode(&blake3::hash(body.as_bytes()).as_bytes()[..16]);
    for _ in 0..2 {
        assert_eq!(send(&server, "/a", &id, body), 204);
    }
    assert_eq!(
        (accepted(&server, "a"), duplicates(&server, "a")),
        (2.0, 2.0)
    );
    // Without `dedup` nothing is a duplicate.
    for _ in 0..2 {
        assert_eq!(server.post(body.as_bytes()), 204);
    }
    assert_eq!(
        (accepted(&server, "open"), duplicates(&server, "open")),
        (2.0, 0.0)
    );
}

#[test]
fn what_is_not_authenticated_neither_makes_a_duplicate_nor_is_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(folder.path(), "");
    let body = b"{\"event\":\"call_ended\"}";
    let status = |key: &str| {
        let signature = signature(key, now_ms(), body);
        let head = format!("{signature}Connection: close\r\n");
        let answer = server.exchange(&post("/signed", &head, body));
        answer.get(9..12).expect("a status line").to_owned()
    };
    let wanted = [
        ("wrong", "401"),
        (KEY, "204"),
        ("wrong", "401"),
        (KEY, "204"),
    ];
    for (key, wanted) in wanted {
        assert_eq!(status(key), wanted);
    }
    assert_eq!(duplicates(&server, "signed"), 1.0);
}

#[test]
fn after_the_window_the_same_id_is_a_new_event() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(folder.path(), "dedup = \"1s\"");
    let body = event("x", "");
    assert_eq!(send(&server, "/a", "x", &body), 204);
    let first = Instant::now();
    while accepted(&server, "a") < 2.0 {
        assert!(first.elapsed() < PATIENCE, "the window never ends");
        assert_eq!(send(&server, "/a", "x", &body), 204);
    }
    assert_eq!(records(folder.path(), "x"), 2);
    assert_eq!(send(&server, "/a", "x", &body), 204);
}

#[test]
fn a_restart_and_a_kill_keep_the_window_and_damage_costs_one_record_more() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = start(folder.path(), "dedup = \"1h\"");
    let ids = ["1", "2", "3"];
    let send_all = |server: &Server| {
        for id in ids {
            assert_eq!(send(server, "/a", id, &event(id, "")), 204);
        }
        (accepted(server, "a"), duplicates(server, "a"))
    };
    assert_eq!(send_all(&server), (3.0, 0.0));
    server.terminate();
    assert!(server.wait().success());
    server = start(folder.path(), "dedup = \"1h\"");
    assert_eq!(send_all(&server), (0.0, 3.0), "after a restart");
    await_saved(folder.path(), "a", 3);
    server.kill();

    let path = file(folder.path(), "a");
    let mut bytes = std::fs::read(&path).expect("it is there");
    bytes[24] ^= 1;
    bytes.extend_from_slice(b"torn");
    std::fs::write(&path, bytes).expect("it can be written");
    server = start(folder.path(), "dedup = \"1h\"");
    server.logged("entries in the files of duplicates are damaged");
    assert_eq!(
        send_all(&server),
        (1.0, 2.0),
        "after a kill, with one damaged"
    );
    await_saved(folder.path(), "a", 4);
    assert_eq!(records(folder.path(), "2"), 2);
    server.kill();

    // The file is no part of the journal, and goes with the key.
    server = start(folder.path(), "");
    assert!(!path.exists());
    assert_eq!(send_all(&server).1, 0.0);
}

#[test]
fn beyond_the_capacity_the_oldest_is_forgotten_and_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(folder.path(), "dedup = \"1h\"");
    let mut requests = Vec::new();
    for id in 0..=1_000 {
        let is_last = if id == 1_000 {
            "Connection: close\r\n"
        } else {
            ""
        };
        let body = event(&id.to_string(), "");
        requests.extend(post("/a", is_last, body.as_bytes()));
    }
    let answers = server.exchange(&requests);
    assert_eq!(answers.matches("HTTP/1.1 204 ").count(), 1_001);
    assert_eq!(forgotten(&server, "capacity"), 1.0);
    assert_eq!(send(&server, "/a", "1", &event("1", "")), 204);
    assert_eq!(duplicates(&server, "a"), 1.0);
    assert_eq!(send(&server, "/a", "0", &event("0", "")), 204);
    assert_eq!(duplicates(&server, "a"), 1.0, "it was forgotten");
    assert_eq!(forgotten(&server, "file"), 0.0);
}

/// With Kafka's acknowledgement a commit takes as long as the test wants.
#[test]
fn a_copy_waits_for_an_event_that_was_answered_503_and_is_its_duplicate_then() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write(
        folder.path(),
        &kafka.bootstrap,
        "commit_timeout = \"1s\"",
        "",
    );
    let mut text = std::fs::read_to_string(&config).expect("it is there");
    text.push_str("dedup = \"1h\"\n");
    std::fs::write(&config, text).expect("it can be written");
    let server = Server::start_with(&config);
    let (first, second) = (b"{\"event\":\"first\"}", b"{\"event\":\"second\"}");
    // The producer's first connection may take longer than the timeout.
    eventually("Kafka is reached", || {
        answer(&server, first).starts_with("HTTP/1.1 204 ")
    });
    let before = duplicates(&server, "retell");
    kafka.down();
    for _ in 0..2 {
        assert_refused(&answer(&server, second), "commit_timeout");
    }
    assert_eq!(server.sample("ringback_journal_unpublished_events"), 1.0);
    assert_eq!(duplicates(&server, "retell"), before);
    kafka.up();
    eventually("a copy is answered 204", || {
        answer(&server, second).starts_with("HTTP/1.1 204 ")
    });
    assert_eq!(duplicates(&server, "retell"), before + 1.0);
    assert!(answer(&server, first).starts_with("HTTP/1.1 204 "));
    assert_identity(&server);
    let values = kafka.read(2).into_iter().map(|record| record.value);
    assert_eq!(values.collect::<Vec<_>>(), [&first[..], &second[..]]);
}
