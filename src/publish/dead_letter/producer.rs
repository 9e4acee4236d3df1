//! A producer for dead letters: one record at a time, each with its answer.
//!
//! librdkafka chooses the partition, by the rule of [`crate::publish::decide::partitioner`]: with one record on its way at a time a
//! topic that grows changes no order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header};
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use rdkafka::types::RDKafkaErrorCode;

use crate::event::Event;
use crate::publish::decide::timestamps::Timestamps;
use crate::publish::kafka::cloudevents;
use crate::publish::kafka::timeout::Aside;
use crate::publish::kafka::topic_config;
use crate::time::now_ms;

/// The header that tells a dead letter from a first delivery: the reason, or [`REPLAYED`].
const HEADER: &str = "ringback_dead_letter";
/// The header's value on a letter that was put through later, and so out of order.
pub(super) const REPLAYED: &str = "replayed";

/// Why a letter did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No producer can be made of the configured properties.
    #[error("cannot build a Kafka producer")]
    Build(#[from] KafkaError),
    /// Kafka, or the client before it, has refused the record.
    #[error("Kafka refuses it: {0}")]
    Refused(RDKafkaErrorCode),
    /// No answer in time, with the client's last words if it had any; the record may have arrived all the same.
    #[error("no acknowledgement within {}{}", humantime::format_duration(*patience), words.as_ref().map(|words| format!(" ({words})")).unwrap_or_default())]
    Unanswered {
        /// How long was waited.
        patience: Duration,
        /// librdkafka's last complaint.
        words: Option<String>,
    },
}

type Outcome = Result<(), RDKafkaErrorCode>;

struct Answer {
    outcome: mpsc::SyncSender<Outcome>,
    words: Arc<Mutex<Option<String>>>,
}

impl ClientContext for Answer {
    /// Errors come by [`ClientContext::error`]; the rest is of no interest for a single record.
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, _error: KafkaError, reason: &str) {
        *self.words.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

impl ProducerContext for Answer {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        // Nobody listens any more only where the time was up.
        let _ = self.outcome.try_send(outcome);
    }
}

struct Client {
    /// Always there; taken as this is dropped.
    producer: Option<ThreadedProducer<Answer>>,
    outcome: mpsc::Receiver<Outcome>,
    words: Arc<Mutex<Option<String>>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        // What has not arrived by now is not to arrive later, behind somebody's back.
        let purge = PurgeConfig::default().queue().inflight().non_blocking();
        let Some(producer) = self.producer.take() else {
            return;
        };
        producer.purge(purge);
        // It waits for its threads, and these may wait for a resolver that does not answer. Nobody depends on its end.
        drop(thread::Builder::new().spawn(move || drop(producer)));
    }
}

/// Carries letters to one topic.
pub(super) struct Courier {
    properties: BTreeMap<String, String>,
    topic: String,
    client: Option<Client>,
    timestamps: Timestamps,
    /// The topic's configuration was asked for.
    is_read: bool,
}

/// Whose letter, and what the header says of it.
pub(super) struct Label<'a> {
    pub(super) journal_id: &'a str,
    pub(super) position: u64,
    pub(super) says: &'a str,
}

impl Courier {
    /// Connects with the first letter.
    pub(super) fn new(properties: BTreeMap<String, String>, topic: &str) -> Self {
        Self {
            properties,
            topic: topic.to_owned(),
            client: None,
            timestamps: Timestamps::default(),
            is_read: false,
        }
    }

    /// Waits for Kafka's acknowledgement, for `patience` at most; true if the record got the present time because Kafka would
    /// refuse or delete it with its event's own.
    pub(super) fn send(
        &mut self,
        event: &Event<'_>,
        label: &Label<'_>,
        patience: Duration,
    ) -> Result<bool, SendError> {
        self.read_configuration();
        let stamp = self.timestamps.stamp(event.received_ms, now_ms());
        match self.send_stamped(event, label, patience, stamp.ms) {
            Err(SendError::Refused(RDKafkaErrorCode::InvalidTimestamp)) if !stamp.is_present => {
                self.send_stamped(event, label, patience, now_ms())?;
                Ok(true)
            }
            sent => sent.map(|()| stamp.is_present),
        }
    }

    /// Before the first letter: what the topic makes of timestamps. It may take some seconds, and a thread that hangs in it
    /// holds nobody up.
    fn read_configuration(&mut self) {
        if std::mem::replace(&mut self.is_read, true) {
            return;
        }
        let (properties, topic) = (self.properties.clone(), self.topic.clone());
        let read = move || topic_config::read(&properties, &topic);
        if let Some(Ok(bounds)) = Aside::default().run(topic_config::PATIENCE * 2, read) {
            self.timestamps.read(bounds);
        }
    }

    fn send_stamped(
        &mut self,
        event: &Event<'_>,
        label: &Label<'_>,
        patience: Duration,
        timestamp_ms: u64,
    ) -> Result<(), SendError> {
        // Taken, and kept only after a success: a failure is fatal to a producer that leaves no gaps.
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect()?,
        };
        let headers =
            cloudevents::headers(event, label.journal_id, label.position).insert(Header {
                key: HEADER,
                value: Some(label.says),
            });
        let record: BaseRecord<'_, str, [u8]> = BaseRecord::to(&self.topic)
            .payload(event.body)
            .timestamp(i64::try_from(timestamp_ms).unwrap_or(i64::MAX))
            .headers(headers);
        let record = match event.key {
            Some(key) => record.key(key),
            None => record,
        };
        if let Some(producer) = &client.producer
            && let Err((error, _)) = producer.send(record)
        {
            let code = error.rdkafka_error_code();
            return Err(SendError::Refused(
                code.unwrap_or(RDKafkaErrorCode::Unknown),
            ));
        }
        match client.outcome.recv_timeout(patience) {
            Ok(Ok(())) => {
                self.client = Some(client);
                Ok(())
            }
            Ok(Err(code)) => Err(SendError::Refused(code)),
            Err(_) => {
                let words = client.words.lock().unwrap_or_else(PoisonError::into_inner);
                Err(SendError::Unanswered {
                    patience,
                    words: words.clone(),
                })
            }
        }
    }

    fn connect(&self) -> Result<Client, KafkaError> {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set("linger.ms", "0");
        let (sender, outcome) = mpsc::sync_channel(1);
        let words = Arc::new(Mutex::new(None));
        let producer: ThreadedProducer<Answer> = config.create_with_context(Answer {
            outcome: sender,
            words: words.clone(),
        })?;
        Ok(Client {
            producer: Some(producer),
            outcome,
            words,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroI32;

    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::message::Message as _;
    use rdkafka::mocking::MockCluster;
    use rdkafka::{Offset, TopicPartitionList};

    use super::*;
    use crate::publish::decide::partitioner::partition;
    use crate::publish::{ClientProperties, KafkaConfig};

    const PARTITIONS: i32 = 7;
    const KEYS: usize = 30;

    fn properties(cluster: &MockCluster<'_, impl ClientContext>) -> BTreeMap<String, String> {
        let config = crate::publish::Config {
            kafka: KafkaConfig {
                client: ClientProperties::from_iter([(
                    "bootstrap.servers",
                    &*cluster.bootstrap_servers(),
                )]),
                ..KafkaConfig::default()
            },
            max_body: 1 << 20,
            dead_letter_path: "dead-letters".into(),
        };
        config.properties().unwrap()
    }

    #[test]
    fn a_dead_letter_goes_to_the_partition_that_its_event_would_have_gone_to() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("letters", PARTITIONS, 1).unwrap();
        let mut courier = Courier::new(properties(&cluster), "letters");
        for number in 0..KEYS {
            let key = "k".repeat(number);
            let event = Event {
                received_ms: 1_714_608_475_945,
                source: "retell",
                kind: "call_ended",
                key: Some(&key),
                id: "id",
                content_type: "application/json",
                traceparent: "",
                tracestate: "",
                body: b"{}",
            };
            let label = Label {
                journal_id: "j",
                position: 0,
                says: REPLAYED,
            };
            courier
                .send(&event, &label, Duration::from_secs(30))
                .unwrap();
        }
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("group.id", "test")
            .create()
            .unwrap();
        let mut all = TopicPartitionList::new();
        for number in 0..PARTITIONS {
            all.add_partition_offset("letters", number, Offset::Beginning)
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
}
