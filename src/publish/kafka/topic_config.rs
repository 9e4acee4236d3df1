//! Reads what a topic's configuration demands of timestamps, by a client of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::metadata::{MetadataBroker, MetadataPartition, MetadataTopic};

use super::credentials::Credentials;
use super::oauth::settings::needs_token;
use crate::publish::decide::timestamps::TimeBounds;

/// For both answers together, connecting included.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two readings.
pub(crate) const INTERVAL: Duration = Duration::from_mins(1);

/// Properties that this client has no use for and that cost something: a producer id, statistics.
const PRODUCER_ONLY: [&str; 3] = [
    "enable.idempotence",
    "enable.gapless.guarantee",
    "statistics.interval.ms",
];

/// Logs nothing: what keeps this client from connecting also keeps the producer from it, and the producer logs it.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

/// Why a topic's configuration is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DescribeError {
    /// The cluster refuses to tell it, or has no such topic. rdkafka drops the code of it: then there are no properties.
    #[error("the cluster does not tell it; grant DescribeConfigs on the topic")]
    Refused,
    /// There is no answer, or none that can be used.
    #[error("{0}")]
    Unanswered(String),
}

impl DescribeError {
    fn unanswered(error: &dyn std::error::Error) -> Self {
        Self::Unanswered(error.to_string())
    }
}

/// Asks the cluster; blocks for [`TIMEOUT`] and, if the client hangs, for longer. The error says why there is no answer.
pub(crate) fn read(
    properties: &BTreeMap<String, String>,
    topic: &str,
) -> Result<TimeBounds, DescribeError> {
    let entries = describe(properties, topic)?;
    Ok(TimeBounds::from_properties(|name| {
        entries.get(name).map(String::as_str)
    }))
}

/// As [`read`], all properties of the topic that have a value.
pub(crate) fn describe(
    properties: &BTreeMap<String, String>,
    topic: &str,
) -> Result<BTreeMap<String, String>, DescribeError> {
    if needs_token(properties) {
        // rdkafka's client for it does not ask for a token.
        let words = "with OAUTHBEARER no client can ask for it";
        return Err(DescribeError::Unanswered(String::from(words)));
    }
    let mut config = ClientConfig::new();
    for (name, value) in properties {
        if !PRODUCER_ONLY.contains(&name.as_str()) {
            config.set(name, value);
        }
    }
    let failed = |error: KafkaError| DescribeError::unanswered(&error);
    let client: AdminClient<Silent> = config.create_with_context(Silent).map_err(failed)?;
    let until = Instant::now() + TIMEOUT;
    let broker = any_broker(&client, topic).map_err(failed)?;
    let options = AdminOptions::new()
        .request_timeout(Some(until.saturating_duration_since(Instant::now())))
        .broker_id(broker);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| DescribeError::unanswered(&error))?;
    let resources = [ResourceSpecifier::Topic(topic)];
    let answer = runtime
        .block_on(client.describe_configs(&resources, &options))
        .map_err(failed)?;
    let empty = || DescribeError::Unanswered(String::from("an empty answer"));
    let topic = answer.into_iter().next().ok_or_else(empty)?;
    let topic = topic.map_err(|_| DescribeError::Refused)?;
    if topic.entries.is_empty() {
        return Err(DescribeError::Refused);
    }
    let entries = topic.entries.into_iter();
    Ok(entries
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect())
}

/// A broker to ask. Every broker knows each topic's configuration. librdkafka would ask the controller, which need not be
/// reachable from here, and waits for a second before it connects to it. Events must reach the topic's leaders in any case.
fn any_broker(client: &AdminClient<Silent>, topic: &str) -> Result<Option<i32>, KafkaError> {
    let metadata = client.inner().fetch_metadata(Some(topic), TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    let mut leaders = partitions.map(MetadataPartition::leader);
    let leader = leaders.find(|id| *id >= 0);
    Ok(leader.or_else(|| metadata.brokers().first().map(MetadataBroker::id)))
}

/// When each topic's configuration was last read, by the topic's index.
///
/// The lock is not held during a reading: if the wall clock is set back, one may hang for as long, and the next producer's must not
/// wait for it.
#[derive(Debug)]
pub(crate) struct LastReadings(Mutex<Vec<LastReading>>);

#[derive(Debug, Default, Clone)]
struct LastReading {
    at: Option<Instant>,
    /// The log has reported that the configuration cannot be read.
    is_logged: bool,
}

impl LastReadings {
    /// For so many topics.
    pub(crate) fn of(topics: usize) -> Self {
        Self(Mutex::new(vec![LastReading::default(); topics]))
    }

    /// For so many topics, at least as many as before.
    pub(super) fn extend_to(&self, topics: usize) {
        self.lock().resize(topics, LastReading::default());
    }

    /// The topic does not exist: the next one of its name may have another configuration.
    pub(super) fn forget(&self, topic: usize) {
        self.lock()[topic].at = None;
    }

    /// Reads the configuration of the topic at `index` once a minute; `None` if it is not due, the cluster does not answer or this
    /// client may not ask.
    pub(super) fn read_if_due(
        &self,
        index: usize,
        credentials: &Credentials,
        topic: &str,
    ) -> Option<TimeBounds> {
        if !self.start_if_due(index) {
            return None;
        }
        let bounds = read(&credentials.read(), topic);
        if let Err(reason) = &bounds
            && !std::mem::replace(&mut self.lock()[index].is_logged, true)
        {
            tracing::info!(
                topic,
                %reason,
                "cannot read the topic's configuration (DescribeConfigs): events older than its retention.ms keep their time"
            );
        }
        bounds.ok()
    }

    /// True if it is time to read again; the reading counts as started.
    fn start_if_due(&self, topic: usize) -> bool {
        let at = &mut self.lock()[topic].at;
        let is_due = at.is_none_or(|at| at.elapsed() >= INTERVAL);
        if is_due {
            *at = Some(Instant::now());
        }
        is_due
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LastReading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::publish::kafka::dead_letter_producer::tests::properties;

    #[test]
    fn a_cluster_without_topic_configurations_answers_so_although_its_controller_cannot_be_reached()
    {
        // The mock's controller is no broker of its cluster.
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("events", 3, 1).unwrap();
        let answer = read(&properties(&cluster), "events");
        let reason = answer.expect_err("the mock knows no DescribeConfigs");
        let reason = reason.to_string();
        assert!(reason.contains("not supported"), "{reason}");
    }
}
