//! `ack = "kafka"` with a topic of dead letters, which is the only place that they have.

use std::thread;
use std::time::{Duration, Instant};

use crate::ack_kafka::{EVENT, answer, assert_identity, assert_refused, eventually, write};
use crate::support::mock_kafka::{MockKafka, OTHER_TOPIC};
use crate::support::server::Server;

const NOT_JSON: &[u8] = b"not JSON";

fn start(folder: &tempfile::TempDir, kafka: &MockKafka, listen: &str, topic: &str) -> Server {
    let topic = format!("dead_letter_topic = \"{topic}\"");
    Server::start_with(&write(folder.path(), &kafka.bootstrap, listen, &topic))
}

fn is_accepted(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 204 ")
}

#[test]
fn a_dead_letter_has_as_much_time_as_its_sender_and_a_short_outage_refuses_none() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(&folder, &kafka, "commit_timeout = \"20s\"", OTHER_TOPIC);
    assert!(is_accepted(&answer(&server, NOT_JSON)));
    kafka.down();
    thread::scope(|scope| {
        let waiting = [NOT_JSON, EVENT].map(|body| scope.spawn(|| answer(&server, body)));
        eventually("both are held", || {
            server.sample("ringback_journal_unpublished_events") == 2.0
        });
        // The outage itself: longer than a quarter of the time, and than the interval of librdkafka's statistics.
        thread::sleep(Duration::from_secs(6));
        kafka.up();
        for waiting in waiting {
            let answer = waiting.join().expect("an answer comes");
            assert!(is_accepted(&answer), "{answer}");
        }
    });
    // Nothing is left alone for a while.
    assert!(is_accepted(&answer(&server, NOT_JSON)));
    kafka.read_topic(OTHER_TOPIC, 3);
    kafka.read(1);
    assert_identity(&server);
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("Client stats")));
}

#[test]
fn a_topic_that_does_not_exist_is_named_and_no_other_event_waits_for_it() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(&folder, &kafka, "commit_timeout = \"10s\"", "missing");
    let missing = "Kafka has no topic \\\"missing\\\"";
    server.logged(missing);
    let begun = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| answer(&server, NOT_JSON));
        eventually("it is held", || {
            server.sample("ringback_journal_unpublished_events") >= 1.0
        });
        for _ in 0..20 {
            assert!(is_accepted(&answer(&server, EVENT)));
        }
        assert!(!waiting.is_finished(), "it waits for its own time");
        let answer = waiting.join().expect("an answer comes");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    });
    assert!(begun.elapsed() >= Duration::from_secs(10));
    let line = server.logged("because its dead-letter topic did not take it");
    assert!(line.contains(missing), "{line}");
    kafka.create("missing");
    eventually("the topic is found", || {
        is_accepted(&answer(&server, NOT_JSON))
    });
    assert_identity(&server);
}

#[test]
fn a_dead_letter_that_its_topic_refuses_is_answered_at_once_and_the_next_one_is_not_asked_to_wait()
{
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(&folder, &kafka, "commit_timeout = \"1m\"", OTHER_TOPIC);
    kafka.refuse(1);
    assert_refused(&answer(&server, NOT_JSON), "unpublishable");
    let refused = "ringback_publish_refused_total{reason=\"unparsed\"}";
    assert_eq!(server.sample(refused), 1.0);
    let line = server.logged("because its dead-letter topic did not take it");
    assert!(line.contains("Kafka refuses it: "), "{line}");
    assert!(is_accepted(&answer(&server, NOT_JSON)));
    assert_identity(&server);
}
