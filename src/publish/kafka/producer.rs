//! A thin shell around librdkafka's producer; its generation goes with every report.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;

use super::context::{Context, Shared};
use super::credentials::Credentials;
use super::properties::producer_properties;
use super::timeout::SideThread;
use super::topic_config::LastReadings;
use crate::publish::env::{BuildError, Client, Enqueue, Outgoing};
use crate::publish::error::DeliveryError;
use crate::publish::inbox::{Mailbox, TopicState};

/// How long a new producer may take for the first connection and the topic's metadata, so that the first event need not wait
/// for them.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// For the cluster's answer about one topic, connecting included.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// For building a producer: it connects to nothing, but it reads files and may resolve names.
const BUILD_TIMEOUT: Duration = Duration::from_secs(5);

/// For closing a producer, [`FLUSH_TIMEOUT`] included.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// For the reports of what is purged when a producer is closed.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The most events that one poll handles; each may hold the reports of a whole batch.
const MAX_EVENTS: usize = 1_000;

/// Builds producers, each with its generation.
pub(crate) struct ProducerFactory {
    /// By their indices.
    pub(crate) topics: Arc<[String]>,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) shared: Shared,
    pub(crate) build_thread: SideThread,
    pub(crate) last_readings: Arc<LastReadings>,
}

impl ProducerFactory {
    /// The producer has had up to [`WARM_UP_TIMEOUT`] to connect.
    pub(crate) fn build(
        &self,
        generation: u64,
        isolate: bool,
        batch_bytes: u32,
    ) -> Result<Producer, BuildError> {
        let tokens = self.credentials.tokens();
        if let Some(tokens) = &tokens {
            let prepared = tokens.prepare();
            prepared.map_err(|error| BuildError(error.to_string()))?;
        }
        let context = Context::new(generation, tokens, self.shared.clone());
        let (credentials, connection) = (self.credentials.clone(), self.shared.connection.clone());
        let built = self.build_thread.with_timeout(BUILD_TIMEOUT, move || {
            let properties = credentials.read();
            connection.set_trust(&properties);
            let mut config = ClientConfig::new();
            for (name, value) in producer_properties(&properties, isolate, batch_bytes) {
                config.set(name, value);
            }
            config.set_log_level(RDKafkaLogLevel::Info);
            let built: KafkaResult<BaseProducer<_>> = config.create_with_context(context);
            // librdkafka asks for a token at once, and connects when it has one.
            built.inspect(|client| client.poll(Duration::ZERO))
        });
        let Some(built) = built else {
            let message = "building it takes too long: a file of [kafka.client] or the resolver does not answer";
            return Err(BuildError(message.to_owned()));
        };
        let client = built.map_err(|error| BuildError(error.to_string()))?;
        let producer = Producer {
            client: Some(Arc::new(client)),
            topics: self.topics.clone(),
            mailbox: self.shared.mailbox.clone(),
            metadata_thread: SideThread::default(),
            credentials: self.credentials.clone(),
            last_readings: self.last_readings.clone(),
        };
        if let Some(request) = producer.metadata_request() {
            producer
                .metadata_thread
                .with_timeout(WARM_UP_TIMEOUT, request);
        }
        Ok(producer)
    }
}

/// One librdkafka producer. The publisher's own thread polls it, which saves a hand-over per event.
pub(crate) struct Producer {
    /// `Some` until the producer is dropped.
    client: Option<Arc<BaseProducer<Context>>>,
    topics: Arc<[String]>,
    mailbox: Arc<Mailbox>,
    metadata_thread: SideThread,
    credentials: Arc<Credentials>,
    last_readings: Arc<LastReadings>,
}

impl Producer {
    /// Asks the cluster about each topic and its partitions; nothing is sent to a topic before there is an answer.
    fn metadata_request(&self) -> Option<impl FnOnce() + Send + 'static> {
        let client = self.client.clone()?;
        let (topics, mailbox) = (self.topics.clone(), self.mailbox.clone());
        let (credentials, last_readings) = (self.credentials.clone(), self.last_readings.clone());
        Some(move || {
            for (index, topic) in topics.iter().enumerate() {
                let answer = client
                    .client()
                    .fetch_metadata(Some(topic), METADATA_TIMEOUT);
                // An error is a time-out, which the other topics would meet too, or is reported by a callback as well.
                let Ok(metadata) = answer else {
                    return;
                };
                let found = metadata.topics().first();
                let code = found.and_then(MetadataTopic::error);
                let partitions = found.map_or(0, |topic| topic.partitions().len());
                let partitions = i32::try_from(partitions).unwrap_or_default();
                let state = match check_topic(topic, code.map(RDKafkaErrorCode::from)) {
                    Ok(()) => Ok(TopicState {
                        partitions,
                        bounds: last_readings.read_if_due(index, &credentials, topic),
                    }),
                    Err(problem) => {
                        last_readings.forget(index);
                        Err(problem)
                    }
                };
                mailbox.put(|inbox| inbox.topics.push((index, state)));
            }
        })
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // What it holds is purged first: what is left of a producer that hangs is small, and its reports count for nothing.
        self.purge(true);
        let client = self.client.take();
        SideThread::default().with_timeout(CLOSE_TIMEOUT, move || {
            // A metadata request may keep it alive, and nobody polls it any more.
            if let Some(client) = &client {
                drop(client.flush(FLUSH_TIMEOUT));
            }
            drop(client);
        });
    }
}

impl Client for Producer {
    fn enqueue(&self, outgoing: Outgoing<'_>) -> Enqueue {
        let has_key = outgoing.key.is_some();
        let Some(client) = &self.client else {
            return Enqueue::Rejected(DeliveryError::new(RDKafkaErrorCode::Fatal, has_key));
        };
        #[allow(
            clippy::cast_possible_truncation,
            reason = "usize has 64 bits on every target"
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
        match client.send(record) {
            Ok(()) => Enqueue::Queued,
            Err((error, _)) => match DeliveryError::of(&error, has_key) {
                full if full.code() == RDKafkaErrorCode::QueueFull => Enqueue::QueueFull,
                error => Enqueue::Rejected(error),
            },
        }
    }

    fn purge(&self, in_flight: bool) {
        // A blocking purge waits for librdkafka's threads, and these may wait for the resolver. Records that they hold are reported
        // on later or never: the machine waits for them within bounds.
        let config = PurgeConfig::default().queue().non_blocking();
        if let Some(client) = &self.client {
            client.purge(if in_flight { config.inflight() } else { config });
        }
    }

    fn poll(&self) {
        let Some(client) = &self.client else {
            return;
        };
        for _ in 0..MAX_EVENTS {
            let before = client.context().calls();
            client.poll(Duration::ZERO);
            if client.context().calls() == before {
                return;
            }
        }
    }

    fn request_topic_states(&self) {
        if let Some(request) = self.metadata_request() {
            self.metadata_thread.spawn(request);
        }
    }
}

/// What the cluster's answer about the topic asks of an operator; `Ok` if nothing.
pub(super) fn check_topic(topic: &str, code: Option<RDKafkaErrorCode>) -> Result<(), String> {
    match code {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Err(format!(
                "Kafka has no topic {topic:?} (UnknownTopicOrPartition); correct the name, or create it"
            ))
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(format!(
            "Kafka does not let this client see topic {topic:?} (TopicAuthorizationFailed); grant it Write and Describe"
        )),
        // Other errors pass, as an election does, or show in the delivery reports if they stay.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_operator_must_fix_is_reported_of_the_topic() {
        for passing in [None, Some(RDKafkaErrorCode::LeaderNotAvailable)] {
            assert_eq!(check_topic("t", passing), Ok(()));
        }
        let missing = check_topic("t", Some(RDKafkaErrorCode::UnknownTopicOrPartition));
        let missing = missing.expect_err("it is missing");
        assert!(missing.contains("no topic \"t\"") && missing.contains("create it"));
        let hidden = check_topic("t", Some(RDKafkaErrorCode::TopicAuthorizationFailed));
        let hidden = hidden.expect_err("it is hidden");
        assert!(hidden.contains("TopicAuthorizationFailed"));
    }
}
