//! A thin shell around librdkafka's producer: its callbacks become mail, its generation goes with every report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;

use super::credentials::Credentials;
use super::log::{Cause, is_by_design, is_gapless};
use super::properties::of_producer;
use super::timeout::Aside;
use super::topic_config::{self, LastReading};
use crate::log_throttle::LogThrottle;
use crate::publish::env::{Client, Handed, Outgoing};
use crate::publish::inbox::{Mailbox, Report, Seen};
use crate::publish::metrics::Metrics;

/// For the first connection and the topic's metadata, so that the first event does not wait for them.
const WARM_UP: Duration = Duration::from_secs(2);

/// For the cluster's answer about the topic, connecting included.
const LOOK: Duration = Duration::from_secs(10);

/// For a producer's end: its last reports are waited for half a second at most.
const END: Duration = Duration::from_secs(2);

/// For the making of a producer, which connects to nothing but reads files, and may look names up.
const MAKING: Duration = Duration::from_secs(5);

/// For the reports of what is purged at a producer's end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Events handled in one poll at most; each may hold the reports of a whole batch.
const EVENTS: usize = 1_000;

/// What a producer's callbacks need.
struct Context {
    /// Callbacks so far: polling does not tell whether there was anything.
    calls: AtomicU64,
    generation: u64,
    mailbox: Arc<Mailbox>,
    metrics: Metrics,
    throttle: Arc<LogThrottle>,
    cause: Arc<Cause>,
    given: Arc<BTreeMap<String, String>>,
}

impl Context {
    fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.called();
        if is_by_design(facility, message, &self.given) {
            tracing::debug!(target: "librdkafka", facility, "{message}");
            return;
        }
        let Some(suppressed) = self.throttle.permit(facility) else {
            return;
        };
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", facility, suppressed, "{message}");
            }
            RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", facility, suppressed, "{message}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, suppressed, "{message}");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.called();
        if is_gapless(reason) {
            // The failed report that comes with it says what is wrong.
            tracing::debug!(target: "librdkafka", %error, "{reason}");
            return;
        }
        let known = error.rdkafka_error_code();
        let code = known.map_or_else(|| error.to_string(), |code| code.to_string());
        if let Some(suppressed) = self.throttle.permit(&code) {
            tracing::warn!(target: "librdkafka", %error, suppressed, "{reason}");
        }
        if known == Some(RDKafkaErrorCode::GaplessGuarantee) {
            // Of a record, and its failed report comes too; it stands in no connection's way.
            return;
        }
        let trouble = self.cause.told(known, &code, reason);
        self.mailbox.put(|inbox| inbox.trouble = Some(trouble));
    }

    fn stats(&self, statistics: rdkafka::Statistics) {
        self.called();
        self.metrics.statistics(&statistics);
        let mut brokers = statistics.brokers.values();
        if brokers.any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.cause.forget();
            self.mailbox.put(|inbox| inbox.connected = true);
        }
    }
}

impl ProducerContext for Context {
    /// The position: librdkafka carries the integer itself, nothing is allocated for it.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, position: usize) {
        self.called();
        let (outcome, has_key) = match result {
            Ok(_) => (Ok(()), true),
            Err((error, message)) => {
                let code = error.rdkafka_error_code();
                (
                    Err(code.unwrap_or(RDKafkaErrorCode::Unknown)),
                    message.key().is_some(),
                )
            }
        };
        let report = Report {
            generation: self.generation,
            position: position as u64,
            has_key,
            outcome,
        };
        self.mailbox.put(|inbox| inbox.reports.push(report));
    }
}

/// Makes producers, each of a generation.
pub(crate) struct Factory {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) building: Aside,
    pub(crate) topic: String,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) metrics: Metrics,
    pub(crate) throttle: Arc<LogThrottle>,
    /// Outlives the producers, as the cause does.
    pub(crate) cause: Arc<Cause>,
    /// The properties that the user has set.
    pub(crate) given: Arc<BTreeMap<String, String>>,
    /// When the topic's configuration was last read.
    pub(crate) reading: Arc<Mutex<LastReading>>,
}

impl Factory {
    /// A producer that has had two seconds to meet the cluster.
    pub(crate) fn build(
        &self,
        generation: u64,
        isolate: bool,
        batch_bytes: u32,
    ) -> KafkaResult<Producer> {
        let context = Context {
            calls: AtomicU64::new(0),
            generation,
            mailbox: self.mailbox.clone(),
            metrics: self.metrics.clone(),
            throttle: self.throttle.clone(),
            cause: self.cause.clone(),
            given: self.given.clone(),
        };
        let credentials = self.credentials.clone();
        let made = self.building.run(MAKING, move || {
            let mut config = ClientConfig::new();
            for (name, value) in of_producer(&credentials.read_anew(), isolate, batch_bytes) {
                config.set(name, value);
            }
            config.set_log_level(RDKafkaLogLevel::Info);
            let made: KafkaResult<BaseProducer<Context>> = config.create_with_context(context);
            made
        });
        let Some(made) = made else {
            let words = "making one takes too long: a file of [kafka.client], or the resolver, does not answer";
            return Err(KafkaError::ClientCreation(words.to_owned()));
        };
        let producer = Producer {
            client: Some(Arc::new(made?)),
            topic: self.topic.clone(),
            mailbox: self.mailbox.clone(),
            looks: Aside::default(),
            credentials: self.credentials.clone(),
            reading: self.reading.clone(),
        };
        if let Some(look) = producer.look() {
            producer.looks.run(WARM_UP, look);
        }
        Ok(producer)
    }
}

/// One librdkafka producer. It has no polling thread: the publisher's own polls it, which saves a hand-over an event.
pub(crate) struct Producer {
    /// Always there; taken as this is dropped.
    client: Option<Arc<BaseProducer<Context>>>,
    topic: String,
    mailbox: Arc<Mailbox>,
    looks: Aside,
    credentials: Arc<Credentials>,
    reading: Arc<Mutex<LastReading>>,
}

impl Producer {
    /// Meets the cluster and asks about the topic and its partitions; without an answer nothing is sent.
    fn look(&self) -> Option<impl FnOnce() + Send + 'static> {
        let producer = self.client.clone()?;
        let (topic, mailbox) = (self.topic.clone(), self.mailbox.clone());
        let (credentials, reading) = (self.credentials.clone(), self.reading.clone());
        Some(move || {
            let answer = producer.client().fetch_metadata(Some(&topic), LOOK);
            // An error is a time-out, or one that the callbacks tell as well.
            let Ok(metadata) = answer else {
                return;
            };
            let found = metadata.topics().first();
            let code = found.and_then(MetadataTopic::error);
            let partitions = found.map_or(0, |topic| topic.partitions().len());
            let partitions = i32::try_from(partitions).unwrap_or_default();
            let seen = match state_of(&topic, code.map(RDKafkaErrorCode::from)) {
                Ok(()) => Ok(Seen {
                    partitions,
                    bounds: topic_config::renew(&reading, &credentials, &topic),
                }),
                Err(words) => {
                    let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
                    reading.forget();
                    Err(words)
                }
            };
            mailbox.put(|inbox| inbox.topic = Some(seen));
        })
    }
}

/// What the cluster's answer about the topic means for publishing.
fn state_of(topic: &str, code: Option<RDKafkaErrorCode>) -> Result<(), String> {
    match code {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Err(
            format!("Kafka has no topic {topic:?} (UnknownTopicOrPartition); create it"),
        ),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(format!(
            "Kafka does not let this client see topic {topic:?} (TopicAuthorizationFailed); grant it Write and Describe"
        )),
        // Others are of the moment, as an election is, and show in the reports if they stay.
        _ => Ok(()),
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // What it holds is purged first; what is left of a stuck one is small, and its reports count for nothing.
        self.purge(true);
        let producer = self.client.take();
        Aside::default().run(END, move || {
            // A look at the topic may keep it alive, and nobody polls it any more.
            if let Some(producer) = &producer {
                drop(producer.flush(LAST_WORDS));
            }
            drop(producer);
        });
    }
}

impl Client for Producer {
    fn send(&self, outgoing: Outgoing<'_>) -> Handed {
        let Some(producer) = &self.client else {
            return Handed::Refused(RDKafkaErrorCode::Fatal);
        };
        // 64-bit machines only differ from this in nothing: a position is far below 2^63.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "usize has 64 bits wherever this runs"
        )]
        let position = outgoing.position as usize;
        let record: BaseRecord<'_, str, [u8], usize> =
            BaseRecord::with_opaque_to(outgoing.topic, position)
                .partition(outgoing.partition)
                .payload(outgoing.value)
                .timestamp(i64::try_from(outgoing.timestamp_ms).unwrap_or(i64::MAX))
                .headers(outgoing.headers);
        let record = match outgoing.key {
            Some(key) => record.key(key),
            None => record,
        };
        match producer.send(record) {
            Ok(()) => Handed::Taken,
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Handed::QueueFull,
                Some(code) => Handed::Refused(code),
                None => Handed::Refused(RDKafkaErrorCode::Unknown),
            },
        }
    }

    fn purge(&self, in_flight: bool) {
        // Otherwise it waits for librdkafka's threads, and these may wait for the resolver. What they hold is reported on
        // once they have seen to it, or not at all: the machine waits for neither without end.
        let what = PurgeConfig::default().queue().non_blocking();
        if let Some(producer) = &self.client {
            producer.purge(if in_flight { what.inflight() } else { what });
        }
    }

    fn poll(&self) {
        let Some(producer) = &self.client else {
            return;
        };
        let calls = || producer.context().calls.load(Ordering::Relaxed);
        for _ in 0..EVENTS {
            let before = calls();
            producer.poll(Duration::ZERO);
            if calls() == before {
                return;
            }
        }
    }

    fn look_at_topic(&self) {
        if let Some(look) = self.look() {
            self.looks.begin(look);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_operator_must_mend_is_said_of_the_topic() {
        use RDKafkaErrorCode::{
            LeaderNotAvailable, TopicAuthorizationFailed, UnknownTopicOrPartition,
        };
        for passing in [None, Some(LeaderNotAvailable)] {
            assert_eq!(state_of("t", passing), Ok(()));
        }
        let missing = state_of("t", Some(UnknownTopicOrPartition)).expect_err("it is missing");
        assert!(missing.contains("no topic \"t\"") && missing.contains("create it"));
        let hidden = state_of("t", Some(TopicAuthorizationFailed)).expect_err("it is hidden");
        assert!(hidden.contains("TopicAuthorizationFailed"));
    }
}
