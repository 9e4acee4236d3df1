//! `journal drain`, through the real binary, to an in-process Kafka.

mod set_aside;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::dev::text;
use crate::support::mock_kafka::MockKafka;
use crate::support::server::{Server, write_config};

const SMALL: &str = "segment_size = \"1MiB\"\nbudget = \"16MiB\"";
const NOWHERE: &str = "127.0.0.1:1";
/// Bounds every wait.
const PATIENCE: Duration = Duration::from_secs(60);

fn drain(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringback"));
    command
        .args(["journal", "drain", "--config"])
        .arg(folder.join("ringback.toml"))
        .args(more)
        .env_remove("RINGBACK_LOG")
        // This machine has none of the keys that sign webhooks.
        .env_remove("RETELL_API_KEY");
    command
}

fn run(folder: &Path, more: &[&str]) -> Output {
    drain(folder, more).output().expect("the binary runs")
}

fn body(number: usize) -> String {
    let call = number % 3;
    format!("{{\"event\":\"call_ended\",\"call\":{{\"call_id\":\"call-{call}\"}},\"n\":{number}}}")
}

/// Makes a journal as a relay without a Kafka leaves it when it is killed.
fn leave(folder: &Path, events: usize) {
    let server = Server::start_in(folder, NOWHERE, "", SMALL);
    for number in 0..events {
        assert_eq!(server.post(body(number).as_bytes()), 204);
    }
    server.kill();
}

fn status(path: &Path) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_ringback"))
        .args(["journal", "status", "--json", "--path"])
        .arg(path)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn a_journal_left_by_kill_9_is_drained_once_in_order_and_a_second_drain_finds_it_empty() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    leave(folder.path(), 30);
    // Moved to another machine, whose own configuration names another folder.
    let moved = folder.path().join("replica-2");
    fs::rename(folder.path().join("journal"), &moved).expect("it can be moved");
    let kafka = MockKafka::start();
    write_config(folder.path(), &kafka.bootstrap, "", SMALL);
    let path = moved.to_str().expect("a path in UTF-8");

    let output = run(folder.path(), &["--path", path]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        stdout.contains("30 events to publish to retell-events"),
        "{stdout}"
    );
    assert!(
        stdout.contains("30 published, 0 dead letters set aside, 0 lost to damage, 0 left"),
        "{stdout}"
    );
    let id = status(&moved)["journal_id"].as_str().map(str::to_owned);
    for (number, record) in kafka.read(30).iter().enumerate() {
        assert_eq!(text(&record.value), body(number));
        assert_eq!(record.key, Some(format!("call-{}", number % 3)));
        assert_eq!(
            record.header("ringback_position"),
            Some(number.to_string().as_str())
        );
        assert_eq!(record.header("ringback_journal"), id.as_deref());
        assert_eq!(record.header("ringback_dead_letter"), None);
    }
    assert_eq!(status(&moved)["unpublished"]["events"], 0);

    let again = run(folder.path(), &["--path", path]);
    assert_eq!(again.status.code(), Some(0));
    assert!(
        text(&again.stdout).contains("The journal is empty"),
        "{}",
        text(&again.stdout)
    );
    kafka.read(30);
    assert!(
        !folder.path().join("journal").exists(),
        "another journal was made"
    );
}

#[test]
fn a_drain_refuses_a_journal_that_a_relay_holds_and_a_folder_without_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), NOWHERE, "", SMALL);
    assert_eq!(server.post(body(0).as_bytes()), 204);
    let output = run(folder.path(), &[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("a running ringback holds the journal"),
        "{stderr}"
    );
    assert_eq!(server.post(body(1).as_bytes()), 204);

    let missing = folder.path().join("missing");
    let output = run(folder.path(), &["--path", missing.to_str().expect("UTF-8")]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no such folder"), "{stderr}");
    assert!(!missing.exists(), "a mistyped path has become a journal");
}

#[test]
fn without_a_kafka_a_drain_gives_up_after_the_timeout_and_reports_what_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    leave(folder.path(), 3);
    let output = run(folder.path(), &["--timeout", "1s"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("events left in the journal: 3; Kafka: ")
            && stderr.ends_with("; run the drain again to publish them\n")
            && !stderr.contains("events stay"),
        "{stderr}"
    );
    let path = folder.path().join("journal");
    assert_eq!(status(&path)["unpublished"]["events"], 3);
}

#[test]
fn ctrl_c_ends_a_drain_safely_and_the_next_one_sends_the_rest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    leave(folder.path(), 5);
    let path = folder.path().join("journal");
    let mut child = drain(folder.path(), &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    until(|| status(&path)["locked"] == true, &mut child);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it still runs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("5 left"),
        "{}",
        text(&output.stdout)
    );

    let kafka = MockKafka::start();
    write_config(folder.path(), &kafka.bootstrap, "", SMALL);
    assert_eq!(run(folder.path(), &[]).status.code(), Some(0));
    let values: Vec<_> = kafka.read(5).iter().map(|it| text(&it.value)).collect();
    assert_eq!(values, (0..5).map(body).collect::<Vec<_>>());
}

fn until(mut holds: impl FnMut() -> bool, child: &mut Child) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it did not happen in time");
        assert_eq!(
            child.try_wait().expect("it can be asked"),
            None,
            "it has ended"
        );
    }
}
