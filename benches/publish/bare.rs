//! The reference: rdkafka with ringback's properties and records from memory. It only counts delivery reports.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use ringback::publish::{BATCH_BYTES, ClientProperties, Config, KafkaConfig, producer_properties};

use super::support::bodies::{Body, bodies};
use super::{Task, time};

struct Count(Arc<AtomicU64>);

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, _: usize) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The role of the reference process.
pub fn run(task: &Task) -> io::Result<()> {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut config = ClientConfig::new();
    for (name, value) in producer_properties(&properties(task)?, false, BATCH_BYTES) {
        config.set(name, value);
    }
    let producer: ThreadedProducer<Count> = config
        .create_with_context(Count(acknowledged.clone()))
        .map_err(io::Error::other)?;
    let patience = Duration::from_secs(10);
    producer
        .client()
        .fetch_metadata(Some(&task.topic), patience)
        .map_err(io::Error::other)?;
    // The same events as in ringback's journal.
    let pool = bodies(task.size, 1_024, 2);
    let (sender, topic, headers, events) = (
        producer.clone(),
        task.topic.clone(),
        task.headers,
        task.events,
    );
    let sending = std::thread::spawn(move || {
        for (number, body) in (0..events).zip(pool.iter().cycle()) {
            send(&sender, &topic, number, body, headers);
        }
    });
    let outcome = time(task.events, || acknowledged.load(Ordering::Relaxed));
    sending
        .join()
        .map_err(|_| io::Error::other("the sending thread has panicked"))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// ringback's own properties for this cluster.
pub fn properties(task: &Task) -> io::Result<BTreeMap<String, String>> {
    config(task).properties().map_err(io::Error::other)
}

/// `[kafka]` as `serve` reads it.
pub fn config(task: &Task) -> Config {
    Config {
        kafka: KafkaConfig {
            topic: task.topic.clone(),
            client: ClientProperties::from_iter([("bootstrap.servers", task.bootstrap.as_str())]),
            ..KafkaConfig::default()
        },
        dead_letter_path: task.journal.join("dead-letters"),
        ..Config::default()
    }
}

fn send(producer: &ThreadedProducer<Count>, topic: &str, number: u64, body: &Body, headers: bool) {
    let mut record: BaseRecord<'_, str, [u8], usize> = BaseRecord::with_opaque_to(topic, 0)
        .key(body.call_id.as_str())
        .payload(body.bytes.as_slice())
        .timestamp(1_714_608_475_945);
    if headers {
        record = record.headers(headers_of(number, body));
    }
    while let Err((error, back)) = producer.send(record) {
        assert_eq!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::QueueFull),
            "{error}"
        );
        record = back;
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// ringback's headers without the work of making them: only position and key differ between records.
fn headers_of(number: u64, body: &Body) -> OwnedHeaders {
    let position = number.to_string();
    let pairs = [
        ("ce_specversion", "1.0"),
        ("ce_id", "0123456789abcdef0123456789abcdef"),
        ("ce_source", "urn:ringback:retell"),
        ("ce_type", "retell.call_ended"),
        ("ce_subject", body.call_id.as_str()),
        ("ce_time", "2024-05-02T00:07:55.945Z"),
        ("content-type", "application/json"),
        ("ringback_journal", "0123456789abcdef0123456789abcdef"),
        ("ringback_position", position.as_str()),
    ];
    let headers = OwnedHeaders::new_with_capacity(pairs.len());
    pairs.iter().fold(headers, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(*value),
        })
    })
}
