//! A survey of librdkafka's mock, which answers only some questions, and of nobody.

use std::net::TcpListener;

use rdkafka::mocking::MockCluster;

use super::*;
use crate::publish::KafkaConfig;

fn config(bootstrap: &str) -> Config {
    let mut kafka = KafkaConfig {
        topic: String::from("events"),
        ..KafkaConfig::default()
    };
    let name = String::from("bootstrap.servers");
    kafka.client.values.insert(name, bootstrap.to_owned());
    Config {
        kafka,
        ..Config::default()
    }
}

#[test]
fn what_the_mock_tells_is_known_and_what_it_does_not_is_said_to_be_unknown() {
    let cluster = MockCluster::new(2).expect("a mock");
    cluster.create_topic("events", 3, 2).expect("a topic");
    let mut config = config(&cluster.bootstrap_servers());
    config.kafka.dead_letter_topic = Some(String::from("dead"));
    cluster.create_topic("dead", 1, 1).expect("a topic");
    let survey = survey(&config, true).expect("its properties are sound");
    assert_eq!(survey.brokers.len(), 2, "{survey:?}");
    assert!(survey.brokers.iter().all(|broker| broker.is_connected));
    assert!(survey.faults.is_empty(), "{survey:?}");
    let [events, dead] = survey.topics.as_slice() else {
        panic!("two topics: {survey:?}");
    };
    let partitions = events.partitions.as_ref().expect("it has some");
    assert_eq!((partitions.len(), partitions[0].replicas), (3, 2));
    assert_eq!(dead.partitions.as_ref().map(Vec::len), Ok(1));
    // It has no configuration of topics, and would write a record whatever its acks.
    assert!(
        matches!(&events.config, Err(Unknown::Other(reason)) if reason.contains("not supported"))
    );
    assert!(
        matches!(&events.write, Err(Unknown::Other(reason)) if reason.starts_with("not asked"))
    );
    assert!(matches!(survey.clock, Some(Err(Unknown::Other(_)))));
    let Some(Written::Acknowledged { offset, .. }) = survey.written else {
        panic!("it is acknowledged: {survey:?}");
    };
    assert_eq!(offset, 0, "nothing was written before it");
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it has one").to_string();
    drop(free);
    let survey = survey(&config(&address), true).expect("its properties are sound");
    assert!(survey.brokers.is_empty() && survey.topics.is_empty() && survey.written.is_none());
    let [fault] = survey.faults.as_slice() else {
        panic!("one fault: {survey:?}");
    };
    assert_eq!(fault.address, address);
    assert_eq!(fault.cause.kind, CauseKind::Unreachable);
}
