//! librdkafka's in-process Kafka, on a thread of its own because it may not leave the one that made it.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};

/// The topic of events.
pub const TOPIC: &str = "retell-events";
/// Another one, for what is replayed elsewhere.
pub const OTHER_TOPIC: &str = "another-topic";
/// Bounds every wait.
const PATIENCE: Duration = Duration::from_secs(60);

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Order = Box<dyn FnOnce(&Cluster) + Send>;

/// The running cluster; dropping it ends it.
pub struct MockKafka {
    pub bootstrap: String,
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// A record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    pub key: Option<String>,
    pub value: Vec<u8>,
    pub timestamp_ms: Option<i64>,
    pub headers: Vec<(String, String)>,
}

impl Arrived {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name)?;
        Some(&found.1)
    }
}

impl MockKafka {
    /// One broker, its topics with one partition each, so that their order is the order of writing.
    pub fn start() -> Self {
        Self::start_with(1)
    }

    /// As [`MockKafka::start`], with so many brokers; the first has all partitions.
    pub fn start_with(brokers: i32) -> Self {
        let (orders, ordered) = mpsc::channel::<Order>();
        let (started, start) = mpsc::channel();
        let thread = thread::spawn(move || {
            let cluster = MockCluster::new(brokers).expect("a mock cluster can be had");
            for topic in [TOPIC, OTHER_TOPIC] {
                let made = cluster.create_topic(topic, 1, 1);
                made.expect("a topic can be made");
                let led = cluster.partition_leader(topic, 0, Some(1));
                led.expect("there is a broker");
            }
            started
                .send(cluster.bootstrap_servers())
                .expect("the test waits for it");
            for order in ordered {
                order(&cluster);
            }
        });
        Self {
            bootstrap: start.recv().expect("it starts"),
            orders: Some(orders),
            thread: Some(thread),
        }
    }

    /// Makes the mock refuse the next so many produce requests as too large.
    pub fn refuse(&self, requests: usize) {
        self.order(move |cluster| {
            cluster.clear_request_errors(RDKafkaApiKey::Produce);
            let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
            cluster.request_errors(RDKafkaApiKey::Produce, &vec![error; requests]);
        });
    }

    /// Makes a topic of one partition.
    pub fn create(&self, topic: &'static str) {
        self.order(move |cluster| {
            let made = cluster.create_topic(topic, 1, 1);
            made.expect("a topic can be made");
        });
    }

    /// Moves a topic to a second broker, and takes that away.
    pub fn down_for(&self, topic: &'static str) {
        self.order(move |cluster| {
            let moved = cluster.partition_leader(topic, 0, Some(2));
            moved.expect("there are two brokers");
            cluster.broker_down(2).expect("it is there");
        });
    }

    /// Takes the broker away.
    pub fn down(&self) {
        self.order(|cluster| cluster.broker_down(1).expect("it is there"));
    }

    /// Brings it back.
    pub fn up(&self) {
        self.order(|cluster| cluster.broker_up(1).expect("it can come back"));
    }

    /// Answers that there is no such topic.
    pub fn hide_topic(&self) {
        self.set_topic_error(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    }

    /// Has the topic again.
    pub fn show_topic(&self) {
        self.set_topic_error(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    }

    fn set_topic_error(&self, error: RDKafkaRespErr) {
        self.order(move |cluster| {
            let set = cluster.topic_error(TOPIC, error);
            set.expect("the topic exists");
        });
    }

    fn order(&self, order: impl FnOnce(&Cluster) + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        let order: Order = Box::new(move |cluster| {
            order(cluster);
            done.send(()).expect("the test waits for it");
        });
        let orders = self.orders.as_ref().expect("it runs");
        orders.send(order).expect("its thread runs");
        is_done.recv().expect("it is done");
    }

    /// The first `count` records of [`TOPIC`]; checks that there is no other.
    pub fn read(&self, count: usize) -> Vec<Arrived> {
        self.read_topic(TOPIC, count)
    }

    /// The topic's first `count` records; checks that there is no other.
    pub fn read_topic(&self, topic: &str, count: usize) -> Vec<Arrived> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "test")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer can be made");
        let mut partition = TopicPartitionList::new();
        partition
            .add_partition_offset(topic, 0, Offset::Beginning)
            .expect("an offset that there is");
        consumer.assign(&partition).expect("it can be assigned");
        let deadline = Instant::now() + PATIENCE;
        let mut arrived = Vec::new();
        while arrived.len() < count {
            assert!(Instant::now() < deadline, "only {} arrived", arrived.len());
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                // A broker is away; the consumer goes on with the others.
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::BrokerTransportFailure,
                ))) => {}
                Some(message) => arrived.push(record(&message.expect("it can be read"))),
            }
        }
        // Asked once: it waits behind the consumer's own long poll.
        let (_, end) = consumer
            .fetch_watermarks(topic, 0, PATIENCE)
            .expect("the topic's end is known");
        assert_eq!(usize::try_from(end).ok(), Some(count), "further records");
        arrived
    }
}

impl Drop for MockKafka {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, the test has failed already.
            let _ = thread.join();
        }
    }
}

fn record(message: &BorrowedMessage<'_>) -> Arrived {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message.headers().map(|headers| {
        let pairs = headers.iter().map(|header| {
            let value = header.value.map(text).unwrap_or_default();
            (header.key.to_owned(), value)
        });
        pairs.collect()
    });
    Arrived {
        key: message.key().map(text),
        // A body may be empty, but never null: that would delete a compacted topic's record.
        value: message.payload().expect("a value").to_vec(),
        timestamp_ms: message.timestamp().to_millis(),
        headers: headers.unwrap_or_default(),
    }
}
