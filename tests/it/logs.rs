//! The relay's log: its level, and lines that an operator acts on.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::dev::ringback;
use crate::support::mock_kafka::MockKafka;
use crate::support::server::{PATIENCE, Server, now_ms, post, signature, write_config};

const NOWHERE: &str = "127.0.0.1:1";

#[test]
fn every_command_refuses_an_unknown_log_level_before_anything_else() {
    for command in [
        &["serve", "--config", "/nonexistent.toml"][..],
        &["check", "--config", "/nonexistent.toml"],
        &[
            "dev",
            "--port",
            "0",
            "--admin-port",
            "0",
            "--inspector-port",
            "0",
        ],
        &["journal", "status", "--path", "/nonexistent"],
        &["journal", "drain", "--config", "/nonexistent.toml"],
        &["dead-letter", "list", "--path", "/nonexistent"],
        &["prove", "--bootstrap", "127.0.0.1:1"],
    ] {
        let output = ringback()
            .args(command)
            .env("RINGBACK_LOG", "verbose")
            .output()
            .expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command:?}: {stderr}");
        assert_eq!(
            stderr.trim(),
            "error: environment RINGBACK_LOG: \"verbose\" is not a log level; use error, warn, info, debug or trace"
        );
    }
    let output = ringback()
        .args(["serve", "--config", "/nonexistent.toml"])
        .env("RINGBACK_LOG", "")
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("cannot read the configuration"), "{stderr}");
}

#[test]
fn a_failed_reload_of_the_keys_names_the_key_and_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("cur");
    fs::write(&key, "a key").expect("it can be written");
    let source = format!(
        "[[source]]\nname = \"filed\"\npath = \"/filed\"\nverify = \"retell\"\nkeys = [{{ file = {:?}, name = \"cur\" }}]\n",
        key.display().to_string()
    );
    fs::write(folder.path().join("more.toml"), source).expect("it can be written");
    let server = Server::start_in(folder.path(), NOWHERE, "", "");
    for (content, fault) in [
        ("", "is blank"),
        ("\"hunter2\"\n", "has quotes around it"),
        ("\u{feff}hunter2", "has a byte order mark"),
        ("hunter2\nhunter2", "has a line break inside"),
    ] {
        fs::write(&key, content).expect("it can be written");
        server.reload();
        let line = server.logged(&format!("cur {fault}"));
        assert!(
            line.contains("the changed configuration is refused; the present one goes on"),
            "{line}"
        );
        assert!(
            line.contains("its keys cannot be used: key cur: the file "),
            "{line}"
        );
        // The old key still signs.
        let body = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
        let headers = format!(
            "Connection: close\r\n{}",
            signature("a key", now_ms(), body)
        );
        let answer = server.exchange(&post("/filed", &headers, body));
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    }
    fs::remove_file(&key).expect("it can be removed");
    server.reload();
    let line = server.logged("cannot be read: No such file");
    assert!(line.contains("key cur: the file "), "{line}");
    assert!(!server.log().join("\n").contains("hunter2"), "{line}");
}

/// The log's warnings and errors, but for what it says of this machine's own temporary folder.
fn alarming(server: &Server) -> Vec<String> {
    let log = server.log().into_iter();
    log.filter(|line| line.contains("\"level\":\"ERROR\"") || line.contains("\"level\":\"WARN\""))
        .filter(|line| !line.contains("journal::disk::volume"))
        .collect()
}

#[test]
fn a_healthy_relay_logs_no_warning_and_a_dead_letter_is_logged_by_ringback_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    let body = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
    assert_eq!(server.post(body), 204);
    kafka.read(1);
    assert_eq!(alarming(&server), [""; 0]);
    // The event is refused once in a batch, then three times alone.
    kafka.refuse(4);
    assert_eq!(server.post(body), 204);
    server.logged("was dead-lettered");
    let log = alarming(&server);
    assert!(!log.is_empty());
    for line in log {
        let ours = line.contains("\"target\":\"ringback::");
        // librdkafka's own warning has the broker's reason.
        assert!(ours || line.contains("Message size too large"), "{line}");
        assert!(!line.contains("Fatal"), "{line}");
    }
}

#[test]
fn the_last_line_has_the_number_of_events_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), NOWHERE, "", "");
    for call in ["a", "b"] {
        let body = format!("{{\"event\":\"call_ended\",\"call\":{{\"call_id\":\"{call}\"}}}}");
        assert_eq!(server.post(body.as_bytes()), 204);
    }
    server.terminate();
    let line = server.logged("shut down; what is left");
    assert!(line.contains("\"left\":2"), "{line}");
}

#[test]
fn a_dead_letter_s_line_has_what_an_operator_needs_to_publish_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    let body = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
    kafka.refuse(4);
    assert_eq!(server.post(body), 204);
    let line = server.logged("an event was dead-lettered: Kafka refuses it for good");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON lines");
    let file = folder
        .path()
        .join("journal/dead-letters/00000000000000000000.event");
    assert!(file.exists());
    assert_eq!(line["file"].as_str(), file.to_str());
    assert_eq!(
        (&line["key"], &line["size"]),
        (&"a".into(), &body.len().into())
    );
    let hint = "after the cause is fixed: ringback dead-letter replay --config FILE --position 0";
    assert_eq!(line["hint"], hint);
    assert_eq!(line["topic"], serde_json::Value::Null);
}

#[test]
fn a_line_that_stands_for_no_other_does_not_count_suppressed_ones() {
    let server = Server::start("", "");
    let line = server.logged("no broker is connected");
    assert!(!line.contains("suppressed"), "{line}");
}

#[test]
fn a_shutdown_without_kafka_reports_what_it_waits_for_and_another_signal_ends_the_wait() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), NOWHERE, "", "");
    let patient = fs::read_to_string(&config).expect("it was written");
    let patient = patient.replace("drain_deadline = \"2s\"", "drain_deadline = \"1h\"");
    fs::write(&config, patient).expect("it can be written");
    let server = Server::start_with(&config);
    let deadline = Instant::now() + PATIENCE;
    while !server
        .admin("/readyz?verbose")
        .contains("no broker is connected")
    {
        assert!(
            Instant::now() < deadline,
            "{}",
            server.admin("/readyz?verbose")
        );
    }
    let body = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
    assert_eq!(server.post(body), 204);
    server.terminate();
    let line = server.logged("shutting down: publishing what is left in the journal");
    for part in [
        "\"left\":1",
        "\"kafka\":\"no broker is connected",
        "another Ctrl-C or SIGTERM ends the wait",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let fields: serde_json::Value = serde_json::from_str(&line).expect("JSON lines");
    let wait = fields["wait"].as_str().expect("a time");
    let wait = humantime::parse_duration(wait).expect("a time");
    // The hour, less what closing the port took.
    let hour = Duration::from_hours(1);
    assert!(wait <= hour && wait + PATIENCE > hour, "{line}");
    server.terminate();
    // The test ends only if the wait does.
    let line = server.logged("shut down; what is left stays in the journal");
    assert!(line.contains("\"left\":1"), "{line}");
    assert!(server.wait().success());
}

#[test]
fn an_empty_journal_s_last_line_speaks_of_nothing_that_is_left() {
    let server = Server::start("", "");
    server.terminate();
    let line = server.logged("shut down; ");
    assert!(
        line.contains("shut down; the journal is empty") && line.contains("\"left\":0"),
        "{line}"
    );
}
