//! librdkafka's in-process Kafka, in a process of its own: a broker that goes down closes its port and binds it again, and ends
//! the process if it cannot, as while a child that another test is just starting still has a copy of the port.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

/// The topic of events.
pub const TOPIC: &str = "retell-events";
/// Another one, for what is replayed elsewhere.
pub const OTHER_TOPIC: &str = "another-topic";
/// Bounds every wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// Has the number of brokers.
const BROKERS: &str = "MOCK_KAFKA_BROKERS";
/// Begins what the process says; the rest of its output is libtest's.
const SAYS: &str = "MockKafka: ";

/// The running cluster; dropping it ends it.
pub struct MockKafka {
    pub bootstrap: String,
    process: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// What the process is to do, one a line as JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Refuse the next so many produce requests as too large.
    Refuse(usize),
    Create(String),
    /// The topic is led by this broker.
    Lead(String, i32),
    Down(i32),
    Up(i32),
    /// [`TOPIC`] is not there.
    Hide,
    Show,
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
        let own = std::env::current_exe().expect("Linux knows it");
        let mut process = Command::new(own)
            .args(["--exact", "support::mock_kafka::serve", "--ignored"])
            .arg("--nocapture")
            .env(BROKERS, brokers.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary runs");
        let orders = process.stdin.take().expect("it is a pipe");
        let mut answers = BufReader::new(process.stdout.take().expect("it is a pipe"));
        Self {
            bootstrap: said(&mut answers),
            process,
            talk: Mutex::new((orders, answers)),
        }
    }

    /// Makes the mock refuse the next so many produce requests as too large.
    pub fn refuse(&self, requests: usize) {
        self.order(&Order::Refuse(requests));
    }

    /// Makes a topic of one partition.
    pub fn create(&self, topic: &str) {
        self.order(&Order::Create(topic.to_owned()));
    }

    /// Moves a topic to a second broker, and takes that away.
    pub fn down_for(&self, topic: &str) {
        self.order(&Order::Lead(topic.to_owned(), 2));
        self.order(&Order::Down(2));
    }

    /// Takes the broker away.
    pub fn down(&self) {
        self.order(&Order::Down(1));
    }

    /// Brings it back.
    pub fn up(&self) {
        self.order(&Order::Up(1));
    }

    /// Answers that there is no such topic.
    pub fn hide_topic(&self) {
        self.order(&Order::Hide);
    }

    /// Has the topic again.
    pub fn show_topic(&self) {
        self.order(&Order::Show);
    }

    fn order(&self, order: &Order) {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let (orders, answers) = &mut *talk;
        let line = serde_json::to_string(order).expect("it is JSON");
        writeln!(orders, "{line}").expect("it runs");
        assert_eq!(said(answers), line);
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
        // It has ended already if one of its own orders failed, and with it the test.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The next thing that the process says.
fn said(answers: &mut BufReader<ChildStdout>) -> String {
    loop {
        let mut line = String::new();
        let read = answers.read_line(&mut line).expect("it is text");
        assert!(read > 0, "the mock has ended");
        if let Some((_, words)) = line.split_once(SAYS) {
            return words.trim_end().to_owned();
        }
    }
}

/// Ends with the process that has started it.
#[test]
#[ignore = "runs in the process of MockKafka"]
fn serve() {
    let brokers = std::env::var(BROKERS).expect("MockKafka sets it");
    let cluster = MockCluster::new(brokers.parse().expect("a number")).expect("a mock cluster");
    let create = |topic: &str| cluster.create_topic(topic, 1, 1);
    for topic in [TOPIC, OTHER_TOPIC] {
        create(topic).expect("a topic can be made");
        let led = cluster.partition_leader(topic, 0, Some(1));
        led.expect("there is a broker");
    }
    println!("{SAYS}{}", cluster.bootstrap_servers());
    for line in std::io::stdin().lines() {
        let line = line.expect("it is text");
        let order = serde_json::from_str(&line).expect("it is an order");
        let done = match &order {
            Order::Refuse(requests) => {
                cluster.clear_request_errors(RDKafkaApiKey::Produce);
                let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
                cluster.request_errors(RDKafkaApiKey::Produce, &vec![error; *requests]);
                Ok(())
            }
            Order::Create(topic) => create(topic),
            Order::Lead(topic, broker) => cluster.partition_leader(topic, 0, Some(*broker)),
            Order::Down(broker) => cluster.broker_down(*broker),
            Order::Up(broker) => cluster.broker_up(*broker),
            Order::Hide => cluster.topic_error(
                TOPIC,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
            ),
            Order::Show => cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR),
        };
        done.unwrap_or_else(|error| panic!("{order:?}: {error}"));
        println!("{SAYS}{line}");
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
