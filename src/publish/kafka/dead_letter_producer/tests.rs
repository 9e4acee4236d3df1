//! The producer of dead letters, against librdkafka's own mock cluster.

use std::num::NonZeroI32;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::{Offset, TopicPartitionList};

use super::*;
use crate::log_throttle::LogThrottle;
use crate::publish::KafkaConfig;
use crate::publish::decide::partitioner::partition;

const PARTITIONS: i32 = 7;
const KEYS: usize = 30;

pub fn credentials(cluster: &MockCluster<'_, impl ClientContext>) -> Credentials {
    let throttle = LogThrottle::new(Duration::ZERO);
    Credentials::new(
        properties(cluster),
        BTreeMap::new(),
        None,
        Arc::new(throttle),
    )
}

pub fn properties(cluster: &MockCluster<'_, impl ClientContext>) -> BTreeMap<String, String> {
    let servers = cluster.bootstrap_servers();
    let client = [("bootstrap.servers", servers.as_str())];
    let config = crate::publish::Config {
        kafka: KafkaConfig {
            client: client.into_iter().collect(),
            ..KafkaConfig::default()
        },
        ..crate::publish::Config::default()
    };
    config.properties().unwrap()
}

#[test]
fn a_dead_letter_goes_to_the_partition_that_its_event_would_have_gone_to() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("dead-letters", PARTITIONS, 1).unwrap();
    let mut producer = DeadLetterProducer::new(&credentials(&cluster), "dead-letters");
    for number in 0..KEYS {
        let key = "k".repeat(number);
        let event = Event::sample(Some(&key));
        let provenance = Provenance {
            journal_id: "j",
            position: 0,
            header: REPLAYED,
        };
        producer
            .send(&event, &provenance, Duration::from_secs(30))
            .unwrap();
    }
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for number in 0..PARTITIONS {
        all.add_partition_offset("dead-letters", number, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&all).unwrap();
    for _ in 0..KEYS {
        let message = consumer.poll(Duration::from_secs(30)).unwrap().unwrap();
        let key = std::str::from_utf8(message.key().unwrap_or_default()).unwrap();
        let ours = partition(Some(key), 0, NonZeroI32::new(PARTITIONS).unwrap());
        assert_eq!(message.partition(), ours, "{key:?}");
    }
}
