//! `ack = "kafka"`: a 2xx comes after Kafka's acknowledgement, and nothing is on disk.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::mock_kafka::{MockKafka, OTHER_TOPIC};
use crate::support::server::{KEY, PATIENCE, Server, now_ms, post, signature};

pub const EVENT: &[u8] = b"{\"event\":\"call_ended\",\"call\":{\"call_id\":\"a\"}}";

/// Writes a configuration without a journal; `listen` and `kafka` have further lines of these sections.
pub fn write(folder: &Path, bootstrap: &str, listen: &str, kafka: &str) -> std::path::PathBuf {
    let config = folder.join("ringback.toml");
    let text = format!(
        r#"ack = "kafka"
[listen]
address = "127.0.0.1:0"
{listen}
[admin]
address = "127.0.0.1:0"
[kafka]
{kafka}
[kafka.client]
"bootstrap.servers" = "{bootstrap}"
[shutdown]
readiness_delay = "0s"
drain_deadline = "2s"
[[source]]
name = "retell"
path = "/webhook"
verify = "retell"
keys = [{{ env = "RETELL_API_KEY" }}]
"#
    );
    fs::write(&config, text).expect("it can be written");
    config
}

/// The whole answer to a signed body.
pub fn answer(server: &Server, body: &[u8]) -> String {
    let headers = format!("{}Connection: close\r\n", signature(KEY, now_ms(), body));
    server.exchange(&post("/webhook", &headers, body))
}

pub fn assert_refused(answer: &str, reason: &str) {
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.to_lowercase().contains("\r\nretry-after: "),
        "{answer}"
    );
    let kind = format!("urn:ringback:problem:{reason}");
    assert!(answer.contains(&kind), "{answer}");
}

/// Waits until this is so.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What was accepted is exactly what Kafka or the topic of dead letters has.
pub fn assert_identity(server: &Server) {
    let samples = |name: &str| {
        let page = server.admin("/metrics");
        let lines = page.lines().filter(|line| line.starts_with(name));
        let values = lines.map(|line| line.rsplit(' ').next().expect("a sample has a value"));
        let values: Vec<f64> = values
            .map(|value| value.parse().expect("a number"))
            .collect();
        assert!(!values.is_empty(), "no sample of {name}");
        values.iter().sum::<f64>()
    };
    let accepted = || samples("ringback_events_accepted_total{");
    let kept =
        || samples("ringback_publish_delivered_total ") + samples("ringback_dead_letters_total{");
    eventually("accepted - delivered - dead letters = 0", || {
        accepted() == kept()
    });
    // A moment later than it is counted as delivered.
    eventually("nothing is left", || {
        server.sample("ringback_journal_unpublished_events") == 0.0
    });
    assert_eq!(server.sample("ringback_journal_recovered_events"), 0.0);
}

#[test]
fn an_event_is_in_the_topic_when_it_is_answered_and_nothing_is_written_to_any_disk() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_with(&write(folder.path(), &kafka.bootstrap, "", ""));
    let mut bodies = Vec::new();
    for number in 0..3 {
        let body =
            format!("{{\"event\":\"call_ended\",\"call\":{{\"call_id\":\"a\"}},\"n\":{number}}}");
        let answer = answer(&server, body.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        bodies.push(body.into_bytes());
        // Not one more, and not one less.
        let arrived = kafka.read(bodies.len());
        let values: Vec<_> = arrived.iter().map(|record| record.value.clone()).collect();
        assert_eq!(values, bodies);
    }
    let arrived = kafka.read(3);
    let positions: Vec<_> = arrived
        .iter()
        .map(|record| record.header("ringback_position"))
        .collect();
    assert_eq!(positions, [Some("0"), Some("1"), Some("2")]);
    let journals: Vec<_> = arrived
        .iter()
        .map(|record| record.header("ringback_journal"))
        .collect();
    assert!(
        journals[0].is_some_and(|id| id.len() == 32)
            && journals.iter().all(|id| *id == journals[0])
    );
    assert_identity(&server);
    // No file is open but those that it was started with, and none was made.
    let open = fs::read_dir(format!("/proc/{}/fd", server.id())).expect("Linux lists them");
    let open = open.filter_map(Result::ok);
    let own =
        open.filter(|entry| !["0", "1", "2"].contains(&&*entry.file_name().to_string_lossy()));
    let open = own.filter_map(|entry| fs::read_link(entry.path()).ok());
    let open: Vec<_> = open.filter(|target| target.is_file()).collect();
    assert!(open.is_empty(), "{open:?}");
    let files: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    assert_eq!(files.len(), 1, "{files:?}");

    // Another process is another journal, whose positions begin again.
    server.terminate();
    assert!(server.wait().success());
    let server = Server::start_with(&folder.path().join("ringback.toml"));
    assert!(answer(&server, EVENT).starts_with("HTTP/1.1 204 "));
    let last = kafka.read(4).pop().expect("there are four");
    assert_eq!(last.header("ringback_position"), Some("0"));
    assert_ne!(last.header("ringback_journal"), journals[0]);
}

#[test]
fn without_kafka_an_event_is_answered_503_within_commit_timeout_and_lands_once_kafka_is_back() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write(
        folder.path(),
        &kafka.bootstrap,
        "commit_timeout = \"1s\"",
        "",
    );
    let server = Server::start_with(&config);
    // The first may have to wait for longer, while the producer connects.
    eventually("events are answered 204", || {
        answer(&server, EVENT).starts_with("HTTP/1.1 204 ")
    });
    eventually("nothing is left", || {
        server.sample("ringback_journal_unpublished_events") == 0.0
    });
    kafka.down();
    let begun = Instant::now();
    assert_refused(
        &answer(&server, b"{\"event\":\"second\"}"),
        "commit_timeout",
    );
    let waited = begun.elapsed();
    assert!(
        waited >= Duration::from_secs(1),
        "answered after {waited:?}"
    );
    // Kafka's state is no matter of readiness: another replica would refuse the same.
    assert!(server.admin("/readyz").starts_with("HTTP/1.1 200 "));
    eventually("the check reports it", || {
        let checks = server.admin("/readyz?verbose");
        checks.contains("[!]kafka")
            && checks.contains("events are answered 503 after listen.commit_timeout")
    });
    assert_eq!(server.sample("ringback_journal_unpublished_events"), 1.0);
    assert!(server.sample("ringback_journal_oldest_unpublished_age_seconds") >= 1.0);
    kafka.up();
    // Nobody intervenes: the event that was refused lands, before whatever comes after it.
    let third = b"{\"event\":\"third\"}";
    eventually("events are answered 204 again", || {
        answer(&server, third).starts_with("HTTP/1.1 204 ")
    });
    eventually("nothing is left", || {
        server.sample("ringback_journal_unpublished_events") == 0.0
    });
    assert_identity(&server);
    let delivered = server.sample("ringback_publish_delivered_total");
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a test's count"
    )]
    let arrived = kafka.read(delivered as usize);
    let before = arrived.iter().take_while(|record| record.value == EVENT);
    let second = before.count();
    assert!(second > 0);
    assert_eq!(arrived[second].value, b"{\"event\":\"second\"}");
    assert_eq!(arrived[second + 1].value, third);
}

#[test]
fn what_nobody_has_acknowledged_is_bounded_by_max_in_flight_and_room_comes_back_with_kafka() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listen = "commit_timeout = \"100ms\"\nmax_body = \"32KiB\"\nmax_in_flight = \"64KiB\"";
    let server = Server::start_with(&write(folder.path(), &kafka.bootstrap, listen, ""));
    kafka.down();
    let body = format!("{{\"event\":\"e\",\"padding\":\"{}\"}}", "x".repeat(8_000));
    let mut timed_out = 0;
    while server.refused("retell", "journal_full") == 0.0 {
        let answer = answer(&server, body.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        timed_out += 1;
        assert!(timed_out < 100, "memory never filled");
    }
    // 9 KiB each, with their own KiB.
    assert!((5..=9).contains(&timed_out), "{timed_out}");
    let held = server.sample("ringback_journal_bytes");
    assert_eq!(server.sample("ringback_journal_budget_bytes"), 57_344.0);
    assert!(held > 40_000.0 && held <= 57_344.0, "{held}");
    assert_eq!(server.sample("ringback_journal_exhaustion_seconds"), 0.0);
    let checks = server.admin("/readyz?verbose");
    assert!(
        checks.contains("[!]journal-room listen.max_in_flight is used up"),
        "{checks}"
    );
    assert!(server.admin("/readyz").starts_with("HTTP/1.1 200 "));
    kafka.up();
    eventually("events are answered 204 again", || {
        answer(&server, EVENT).starts_with("HTTP/1.1 204 ")
    });
    eventually("the room is reported", || {
        server
            .admin("/readyz?verbose")
            .contains("[+]journal-room ok")
    });
}

#[test]
fn an_event_that_nothing_takes_is_answered_503_and_counted_and_others_are_not_held_up() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_with(&write(
        folder.path(),
        &kafka.bootstrap,
        "commit_timeout = \"1m\"",
        "",
    ));
    server.logged("kafka.dead_letter_topic is not set");
    assert_refused(&answer(&server, b"not JSON"), "unpublishable");
    assert_eq!(
        server.sample("ringback_publish_refused_total{reason=\"unparsed\"}"),
        1.0
    );
    server.logged("not one JSON document; if it is accepted, it is a dead letter");
    // Alone in its batch, and then alone three times.
    kafka.refuse(4);
    assert_refused(&answer(&server, EVENT), "unpublishable");
    assert_eq!(
        server.sample("ringback_publish_refused_total{reason=\"too_large\"}"),
        1.0
    );
    assert_eq!(server.refused("retell", "unpublishable"), 2.0);
    server.logged("an event was answered 503, because kafka.dead_letter_topic is not set");
    assert!(answer(&server, EVENT).starts_with("HTTP/1.1 204 "));
    kafka.read(1);
    assert_identity(&server);
}

#[test]
fn with_a_topic_of_dead_letters_no_event_is_refused_for_what_it_says() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let topic = format!("dead_letter_topic = \"{OTHER_TOPIC}\"");
    let server = Server::start_with(&write(folder.path(), &kafka.bootstrap, "", &topic));
    for body in [&b"not JSON"[..], b"\xff"] {
        let answer = answer(&server, body);
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    }
    let letters = kafka.read_topic(OTHER_TOPIC, 2);
    assert_eq!(
        (&letters[0].value[..], &letters[1].value[..]),
        (&b"not JSON"[..], &b"\xff"[..])
    );
    assert_eq!(
        server.sample("ringback_dead_letters_total{reason=\"unparsed\"}"),
        2.0
    );
    assert_identity(&server);
}

fn ringback(words: &[&str], config: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringback"));
    command.args(words).arg("--config").arg(config);
    command
        .env("RETELL_API_KEY", KEY)
        .output()
        .expect("it runs")
}

#[test]
fn a_journal_beside_it_is_refused_by_key_and_line_or_variable_and_commands_on_a_journal_say_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write(folder.path(), "127.0.0.1:1", "", "");
    let checked = ringback(&["check"], &config);
    let printed = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{checked:?}");
    assert!(printed.starts_with("ack = \"kafka\"\n"), "{printed}");
    assert!(!printed.contains("[journal]"), "{printed}");
    for words in [
        "nothing is kept on disk",
        "kafka.dead_letter_topic is not set",
        "Warning: listen.commit_timeout (8s) is longer than shutdown.drain_deadline (2s)",
    ] {
        assert!(printed.contains(words), "{printed}");
    }
    // What is printed is a configuration with the same meaning.
    let again = folder.path().join("again.toml");
    fs::write(&again, &printed).expect("it can be written");
    assert_eq!(ringback(&["check"], &again).stdout, checked.stdout);

    for words in [
        &["journal", "status"][..],
        &["journal", "drain"],
        &["dead-letter", "list"],
        &["dead-letter", "replay", "--all"],
    ] {
        let output = ringback(words, &config);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{words:?}: {error}");
        assert!(
            error.contains("there is no journal") && error.contains("--path"),
            "{error}"
        );
    }

    let mut text = fs::read_to_string(&config).expect("it is there");
    let _ = writeln!(text, "[journal]\nbudget = \"1GiB\"");
    fs::write(&config, &text).expect("it can be written");
    let refused = ringback(&["serve"], &config);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{error}");
    let line = text.lines().count();
    assert!(
        error.contains(&format!(
            "ringback.toml:{line}: journal.budget: with ack = \"kafka\""
        )),
        "{error}"
    );
}

#[test]
fn a_journal_that_was_left_when_the_disk_went_is_drained_by_its_path() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), "127.0.0.1:1", "", "");
    assert_eq!(server.post(EVENT), 204);
    server.terminate();
    assert!(server.wait().success());
    let config = write(folder.path(), &kafka.bootstrap, "", "");
    let journal = folder.path().join("journal");
    let journal = journal.to_str().expect("a path of this test");
    let drained = ringback(&["journal", "drain", "--path", journal], &config);
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(kafka.read(1)[0].value, EVENT);
}
