//! An acknowledged event that damage on the disk has cost: every place where an operator looks says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::status_page;
use crate::support::dev::ringback;
use crate::support::mock_kafka::MockKafka;
use crate::support::server::{PATIENCE, Server};

/// What an event has that no other one has.
const LOST: &[u8] = b"\"call_id\":\"b\"";

/// Flips one bit of the event in whichever segment has it; gives the segment.
fn damage(journal: &Path) -> PathBuf {
    let files = fs::read_dir(journal).expect("a folder");
    let files = files.map(|file| file.expect("it can be listed").path());
    let segments = files.filter(|file| file.extension().is_some_and(|end| end == "segment"));
    for segment in segments {
        let mut bytes = fs::read(&segment).expect("it can be read");
        let found = bytes.windows(LOST.len()).position(|window| window == LOST);
        if let Some(at) = found {
            bytes[at] ^= 1;
            fs::write(&segment, bytes).expect("it can be written");
            return segment;
        }
    }
    panic!("no segment has the event");
}

/// Waits until `/readyz?verbose` has a line that begins so; gives the line.
fn await_check(server: &Server, begin: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let checks = server.admin("/readyz?verbose");
        if let Some(line) = checks.lines().find(|line| line.starts_with(begin)) {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "no {begin:?} in {checks}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The log's line with this message.
fn line(server: &Server, message: &str) -> Value {
    serde_json::from_str(&server.logged(message)).expect("JSON")
}

#[test]
fn an_event_lost_to_damage_is_on_both_pages_in_the_log_and_in_the_summary() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), "127.0.0.1:1", "", "");
    for call in ["a", "b", "c"] {
        let event = format!(r#"{{"event":"call_ended","call":{{"call_id":"{call}"}}}}"#);
        assert_eq!(server.post(event.as_bytes()), 204);
    }
    server.terminate();
    let summary = line(&server, "\"summary\"");
    assert_eq!(
        [&summary["accepted"], &summary["lost"], &summary["left"]],
        [3, 0, 3]
    );
    assert!(server.wait().success());

    let segment = damage(&folder.path().join("journal"));
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    kafka.read(2);
    let runbook = "RingbackEventsLostToDamage in docs/runbook.md";
    let check = await_check(&server, "[!]journal-read ");
    let expected = format!(
        "[!]journal-read 1 event lost to damage on disk since the start; what is left: quarantine-* in journal.path; what to do: {runbook}"
    );
    assert_eq!(check, expected);
    await_check(&server, "[+]journal-read ok");
    assert!(server.admin("/readyz").starts_with("HTTP/1.1 200 "));
    status_page::await_words(&server, "attention 1 event lost to damage on disk");

    let damaged = line(&server, "the journal is damaged at these bytes");
    let copy = PathBuf::from(damaged["file"].as_str().expect("the line names the copy"));
    let name = copy.file_name().and_then(|name| name.to_str());
    assert!(name.is_some_and(|name| name.starts_with("quarantine-")));
    let kept = fs::read(&copy).expect("it is there");
    assert!(kept.windows(10).any(|window| window == b"call_ended"));
    for line in [damaged, line(&server, "records lost to damage")] {
        let hint = line["hint"].as_str().expect("the line has a next step");
        assert!(hint.ends_with(runbook), "{hint}");
    }
    // All of it is published, so it is removed, and the damage with it.
    let deadline = Instant::now() + PATIENCE;
    while segment.exists() {
        assert!(Instant::now() < deadline, "the segment stays");
        std::thread::sleep(Duration::from_millis(20));
    }

    server.terminate();
    let summary = line(&server, "\"summary\"");
    let figures = [
        "recovered",
        "accepted",
        "delivered",
        "dead_letters",
        "lost",
        "unreadable",
        "left",
    ];
    let figures = figures.map(|name| summary[name].as_u64().expect(name));
    assert_eq!(figures, [3, 0, 2, 0, 1, 0, 0]);
    assert!(server.wait().success());

    let mut status = ringback();
    status.args(["journal", "status", "--path"]);
    let status = status.arg(folder.path().join("journal")).output();
    let status = status.expect("the binary runs").stdout;
    let status = String::from_utf8(status).expect("text");
    let damage = status.lines().find(|line| line.starts_with("Damage"));
    assert_eq!(
        damage,
        Some("Damage        none found now; what is in quarantine are copies of earlier damage")
    );
}
