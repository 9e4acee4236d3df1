//! A source moves to another topic.

use std::fs;
use std::time::{Duration, Instant};

use super::IN_USE;
use super::relay::source;
use crate::support::mock_kafka::{MockKafka, OTHER_TOPIC, TOPIC};
use crate::support::server::{PATIENCE, Server, post, write_config};

#[test]
fn what_the_old_topic_has_not_taken_is_in_the_new_one_before_anything_newer() {
    let kafka = MockKafka::start_with(2);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let configure = |topic: &str| {
        // The publisher knows both topics from the beginning.
        let sources = [("moving", topic), ("other", OTHER_TOPIC)];
        let sources = sources.map(|(name, topic)| source(name, &format!("topic = \"{topic}\"")));
        fs::write(folder.path().join("more.toml"), sources.concat()).expect("it can be written");
        write_config(folder.path(), &kafka.bootstrap, "", "")
    };
    let server = Server::start_with(&configure(TOPIC));
    let body = |number: u32| format!("{{\"event\":\"e\",\"number\":{number}}}");
    let accept = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            let request = post("/moving", "Connection: close\r\n", body(number).as_bytes());
            assert!(server.exchange(&request).starts_with("HTTP/1.1 204 "));
        }
    };
    accept(0..3);
    kafka.read(3);
    kafka.down_for(TOPIC);
    accept(3..8);
    let deadline = Instant::now() + PATIENCE;
    while server.sample("ringback_publish_in_flight") < 5.0 {
        assert!(Instant::now() < deadline, "they are not sent");
        std::thread::sleep(Duration::from_millis(10));
    }
    configure(OTHER_TOPIC);
    server.logged(IN_USE);
    accept(8..13);
    let arrived = kafka.read_topic(OTHER_TOPIC, 10);
    let arrived = arrived.into_iter().map(|record| record.value);
    let expected = (3..13).map(|number| body(number).into_bytes());
    assert!(arrived.eq(expected));
}
