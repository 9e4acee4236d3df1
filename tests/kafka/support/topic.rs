//! What a topic holds, and whether it is what was acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use ringback::command::prove::ledger::{Ledger, Reply, TopicRecord, Verdict};

use super::PATIENCE;

/// A record as it was read.
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset in the partition.
    pub offset: i64,
    /// Its time, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Its key, as text.
    pub key: Option<String>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
}

/// Reads until `enough`, or fails after a time; each partition's records in order.
pub fn read_until(bootstrap: &str, topic: &str, enough: impl Fn(&[Record]) -> bool) -> Vec<Record> {
    let records = read(bootstrap, topic, &enough);
    let count = records.len();
    assert!(
        enough(&records),
        "the topic never held enough: {count} records"
    );
    records
}

/// As [`read_until`], but returns what there is after a time.
fn read(bootstrap: &str, topic: &str, enough: impl Fn(&[Record]) -> bool) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .create()
        .expect("a consumer");
    let metadata = consumer
        .fetch_metadata(Some(topic), Duration::from_secs(30))
        .expect("the cluster answers");
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        assignment
            .add_partition_offset(topic, partition.id(), Offset::Beginning)
            .expect("a new partition");
    }
    consumer.assign(&assignment).expect("it can be assigned");
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    // To check `enough` after each record would take quadratic time.
    let mut quiet = false;
    while !(quiet && enough(&records)) && Instant::now() < deadline {
        quiet = true;
        if let Some(message) = consumer.poll(Duration::from_millis(300)) {
            quiet = false;
            // Errors end when the brokers are back; else the deadline ends the loop.
            let Ok(message) = message else { continue };
            let headers = message.headers().map_or_else(BTreeMap::new, |headers| {
                headers
                    .iter()
                    .map(|header| {
                        let value = header.value.unwrap_or_default();
                        (
                            header.key.to_owned(),
                            String::from_utf8_lossy(value).into_owned(),
                        )
                    })
                    .collect()
            });
            records.push(Record {
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp().to_millis().unwrap_or_default(),
                key: message
                    .key()
                    .map(|key| String::from_utf8_lossy(key).into_owned()),
                value: message.payload().unwrap_or_default().to_vec(),
                headers,
            });
        }
    }
    records
}

/// How many records each of the topic's partitions holds at present, by their offsets.
pub fn counts(bootstrap: &str, topic: &str) -> Vec<i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .expect("a consumer");
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .expect("the cluster answers");
    let partitions = metadata.topics()[0].partitions().iter();
    let counts = partitions.map(|partition| {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition.id(), PATIENCE)
            .expect("the leader answers");
        high - low
    });
    counts.collect()
}

/// Bodies that were answered 204, for each call in the order of their posts.
pub type Acknowledged = HashMap<String, Vec<Vec<u8>>>;

/// Waits until every acknowledged body is in the topic, then checks by `ringback prove`'s ledger that first deliveries are
/// in order for each call and that nothing was changed; returns how many records are repetitions of acknowledged events.
pub fn holds(bootstrap: &str, topic: &str, acknowledged: &Acknowledged) -> usize {
    let records = read(bootstrap, topic, |records| {
        ledger(acknowledged, records).outstanding() == 0
    });
    let figures = ledger(acknowledged, &records).figures();
    assert_eq!(figures.verdict(), Verdict::Kept, "{figures:#?}");
    usize::try_from(figures.duplicated).expect("a test's count")
}

/// As [`holds`], if an unreadable disk has made some events late: checks that each is there, and that nothing was changed.
pub fn holds_in_any_order(bootstrap: &str, topic: &str, acknowledged: &Acknowledged) -> usize {
    let records = read(bootstrap, topic, |records| {
        ledger(acknowledged, records).outstanding() == 0
    });
    let figures = ledger(acknowledged, &records).figures();
    assert_eq!((figures.lost, figures.changed), (0, 0), "{figures:#?}");
    usize::try_from(figures.duplicated).expect("a test's count")
}

/// The ledger of what was acknowledged and read, without times.
fn ledger(acknowledged: &Acknowledged, records: &[Record]) -> Ledger {
    let mut ledger = Ledger::new();
    for (call, bodies) in acknowledged {
        for body in bodies {
            let (_, number) = event_of(body);
            ledger.on_sent(call, number, body, Duration::ZERO);
            ledger.on_reply(call, number, Reply::Status(204), Duration::ZERO);
        }
    }
    for record in records {
        let (call, number) = event_of(&record.value);
        let record = TopicRecord {
            partition: record.partition,
            offset: record.offset,
            key: record.key.as_deref().map(str::as_bytes),
            value: &record.value,
            at: Duration::ZERO,
        };
        ledger.on_record(&call, number, &record);
    }
    ledger
}

/// The call and number that [`super::events::event`] has put into a body; numbers grow within a call.
fn event_of(body: &[u8]) -> (String, u64) {
    let event: serde_json::Value = serde_json::from_slice(body).expect("every test event is JSON");
    let call = event["call"]["call_id"].as_str().expect("it has a call");
    let number = event["call"]["n"].as_u64().expect("and a number");
    (call.to_owned(), number)
}
