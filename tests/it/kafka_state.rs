//! What the relay says of Kafka: why it cannot be reached, that it is back, and what this build cannot do.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::dev::ringback;
use crate::support::mock_kafka::MockKafka;
use crate::support::server::{PATIENCE, Server, write_config};

const BODY: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;

/// Waits until the check `kafka` is this line; gives it.
fn await_check(server: &Server, is_wanted: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let checks = server.admin("/readyz?verbose");
        let line = checks.lines().find(|line| line.contains("]kafka "));
        let line = line.expect("there is one");
        if is_wanted(line) {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "{checks}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn readyz_and_the_log_name_the_reason_why_no_broker_is_connected_and_the_property_to_change() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let config = format!("{}\"\n\"security.protocol\" = \"SSL", kafka.bootstrap);
    let server = Server::start_in(folder.path(), &config, "", "");
    let cause = format!(
        "{} does not speak TLS: set \"security.protocol\" to \"PLAINTEXT\" (it is \"SSL\")",
        kafka.bootstrap
    );
    let line = await_check(&server, |line| line.contains(&cause));
    assert!(
        line.starts_with("[!]kafka no broker is connected: "),
        "{line}"
    );
    server.logged("does not speak TLS");
    // librdkafka's own count is of addresses and brokers together.
    assert!(
        server
            .log()
            .iter()
            .all(|line| !line.contains("brokers are down"))
    );
}

#[test]
fn a_different_fault_of_another_broker_is_logged_within_the_interval_of_the_first_one_s() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let brokers = "127.0.0.1:1,127.0.0.1:2,kafka.nowhere.invalid:9092";
    let server = Server::start_in(folder.path(), brokers, "", "");
    for broker in ["127.0.0.1:1", "127.0.0.1:2"] {
        server.logged(&format!("{broker}/bootstrap: Connect to"));
    }
    // Each fault once, however often librdkafka repeats it within the interval.
    let log = server.log().into_iter();
    let first: Vec<_> = log
        .filter(|line| line.contains("127.0.0.1:1/bootstrap: Connect"))
        .collect();
    assert_eq!(first.len(), 1, "{first:#?}");
    server.logged("Failed to resolve 'kafka.nowhere.invalid:9092'");
}

#[test]
fn kafka_s_return_is_logged_with_what_was_delivered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    assert_eq!(server.post(BODY), 204);
    kafka.read(1);
    await_check(&server, |line| line == "[+]kafka ok");
    kafka.down();
    await_check(&server, |line| {
        line.starts_with("[!]kafka no broker is connected: ")
    });
    for _ in 0..3 {
        assert_eq!(server.post(BODY), 204);
    }
    kafka.up();
    let line = server.logged("Kafka is back after ");
    assert!(line.contains(" s, 3 events delivered\""), "{line}");
    await_check(&server, |line| line == "[+]kafka ok");
}

#[test]
fn a_missing_topic_s_appearance_is_logged_though_no_event_waits_for_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    kafka.hide_topic();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    await_check(&server, |line| {
        line.starts_with("[!]kafka Kafka has no topic \"retell-events\"")
    });
    kafka.show_topic();
    let line = server.logged("Kafka has the topic now");
    assert!(line.contains("\"topic\":\"retell-events\""), "{line}");
    await_check(&server, |line| line == "[+]kafka ok");
}

#[test]
fn a_dead_letter_leaves_the_check_green_once_the_journal_is_empty() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    // Once in a batch, then three times alone.
    kafka.refuse(4);
    assert_eq!(server.post(BODY), 204);
    server.logged("was dead-lettered");
    await_check(&server, |line| line == "[+]kafka ok");
    assert_eq!(server.sample("ringback_publish_delivered_total"), 0.0);
    // One event's fault is no outage.
    assert!(
        server
            .log()
            .iter()
            .all(|line| !line.contains("Kafka is back"))
    );
}

#[test]
fn a_mechanism_that_cannot_be_used_so_is_a_configuration_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (mechanism, property, words) in [
        (
            "OAUTHBEARER",
            "sasl.oauthbearer.token.endpoint.url",
            "is missing: OAUTHBEARER needs it",
        ),
        (
            "GSSAPI",
            "sasl.mechanisms",
            "which this build does not have",
        ),
    ] {
        let client = format!(
            "localhost:9092\"\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanisms\" = \"{mechanism}"
        );
        let config = write_config(folder.path(), &client, "", "");
        let output = ringback()
            .args(["check", "--config"])
            .arg(&config)
            .env("RETELL_API_KEY", "a key")
            .output()
            .expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(
            stderr.contains(&format!("kafka.client.{property}")) && stderr.contains(words),
            "{stderr}"
        );
        fs::remove_file(config).expect("it was written");
    }
}
