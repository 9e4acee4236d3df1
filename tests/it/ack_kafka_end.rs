//! `ack = "kafka"`: at the end whoever waits for Kafka is answered.

use std::fs;
use std::time::Instant;

use crate::ack_kafka::{EVENT, answer, assert_refused, eventually, write};
use crate::support::mock_kafka::MockKafka;
use crate::support::server::{PATIENCE, Server};

#[test]
fn at_the_end_whoever_still_waits_for_kafka_is_answered_503() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write(
        folder.path(),
        &kafka.bootstrap,
        "commit_timeout = \"1m\"",
        "",
    );
    let server = Server::start_with(&config);
    assert!(answer(&server, EVENT).starts_with("HTTP/1.1 204 "));
    kafka.down();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| answer(&server, EVENT));
        eventually("the event is held", || {
            server.sample("ringback_journal_unpublished_events") == 1.0
        });
        server.terminate();
        // Long before its own time is up: at `drain_deadline`.
        assert_refused(&waiting.join().expect("an answer comes"), "journal_closed");
    });
    assert!(server.wait().success(), "an end that was asked for");
}

#[test]
fn another_signal_ends_the_wait_for_kafka() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listen = "commit_timeout = \"1m\"";
    let config = write(folder.path(), &kafka.bootstrap, listen, "");
    let text = fs::read_to_string(&config).expect("it is there");
    let text = text.replace("drain_deadline = \"2s\"", "drain_deadline = \"10m\"");
    fs::write(&config, text).expect("it can be written");
    let server = Server::start_with(&config);
    assert!(answer(&server, EVENT).starts_with("HTTP/1.1 204 "));
    kafka.down();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| answer(&server, EVENT));
        eventually("the event is held", || {
            server.sample("ringback_journal_unpublished_events") == 1.0
        });
        server.terminate();
        server.logged("the listener closes after the delay");
        // The first skips what is left of the delay, which is nothing; then the listener is closed.
        eventually("the listener is closed", || {
            std::net::TcpStream::connect(server.address).is_err()
        });
        server.terminate();
        assert_refused(&waiting.join().expect("an answer comes"), "journal_closed");
    });
    let begun = Instant::now();
    assert!(server.wait().success(), "an end that was asked for");
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn a_dead_letter_that_is_on_its_way_is_waited_for_as_well() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let topic = "dead_letter_topic = \"missing\"";
    let listen = "commit_timeout = \"1m\"";
    let server = Server::start_with(&write(folder.path(), &kafka.bootstrap, listen, topic));
    server.logged("Kafka has no topic");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| answer(&server, b"not JSON"));
        eventually("it is held", || {
            server.sample("ringback_journal_unpublished_events") == 1.0
        });
        server.terminate();
        assert_refused(&waiting.join().expect("an answer comes"), "journal_closed");
    });
    assert!(server.wait().success(), "an end that was asked for");
}
