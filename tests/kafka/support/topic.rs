//! What a topic holds, and whether it is what was acknowledged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::PATIENCE;

/// A record as it was read.
pub struct Record {
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

/// As [`read_until`], but what there is after a time.
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
    // Looking at all records after each would take quadratic time.
    let mut quiet = false;
    while !(quiet && enough(&records)) && Instant::now() < deadline {
        quiet = true;
        if let Some(message) = consumer.poll(Duration::from_millis(300)) {
            quiet = false;
            // An error passes with the brokers' return, or the deadline comes.
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

/// Bodies that were answered 204, for each call in the order of their posts.
pub type Acknowledged = HashMap<String, Vec<Vec<u8>>>;

/// Waits until every acknowledged body is in the topic, then checks that first deliveries are in order for each call;
/// returns how many records are repetitions.
pub fn holds(bootstrap: &str, topic: &str, acknowledged: &Acknowledged) -> usize {
    let expected: HashSet<&[u8]> = acknowledged.values().flatten().map(Vec::as_slice).collect();
    assert!(!expected.is_empty(), "nothing was acknowledged");
    let missing = |records: &[Record]| {
        let present: HashSet<&[u8]> = records.iter().map(|record| &record.value[..]).collect();
        let bodies = expected.iter().filter(|body| !present.contains(*body));
        bodies.count()
    };
    let records = read(bootstrap, topic, |records| missing(records) == 0);
    let lost = missing(&records);
    assert_eq!(lost, 0, "of {} acknowledged were lost", expected.len());
    let mut seen = HashSet::new();
    let mut first: HashMap<&str, Vec<&[u8]>> = HashMap::new();
    for record in &records {
        let key = record.key.as_deref().expect("every test event has a key");
        if seen.insert(&record.value[..]) && expected.contains(&record.value[..]) {
            first.entry(key).or_default().push(&record.value);
        }
    }
    for (call, bodies) in acknowledged {
        let bodies: Vec<_> = bodies.iter().map(Vec::as_slice).collect();
        assert!(
            first.get(call.as_str()) == Some(&bodies),
            "{call} is out of order or under another key"
        );
    }
    records.len() - seen.len()
}
