//! Reads what a topic's configuration says of timestamps, by a client of its own for the one question.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use super::credentials::Credentials;
use crate::publish::decide::timestamps::TimeBounds;

/// For the answer, connecting included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two readings.
const AGAIN: Duration = Duration::from_mins(1);

/// Properties of a producer that only cost something here: an id of its own, statistics.
const OF_PRODUCERS: [&str; 3] = [
    "enable.idempotence",
    "enable.gapless.guarantee",
    "statistics.interval.ms",
];

/// What connects the producer, whose words are enough, connects this client too.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

/// Asks the cluster; blocks for some seconds at most. The error says in words why there is no answer.
pub(crate) fn read(
    properties: &BTreeMap<String, String>,
    topic: &str,
) -> Result<TimeBounds, String> {
    let mut config = ClientConfig::new();
    for (name, value) in properties {
        if !OF_PRODUCERS.contains(&name.as_str()) {
            config.set(name, value);
        }
    }
    let words = |error: &dyn std::error::Error| error.to_string();
    let client: AdminClient<Silent> = config
        .create_with_context(Silent)
        .map_err(|error| words(&error))?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| words(&error))?;
    let what = [ResourceSpecifier::Topic(topic)];
    let answer = runtime
        .block_on(client.describe_configs(&what, &options))
        .map_err(|error| words(&error))?;
    let topic = answer.into_iter().next().ok_or("an empty answer")?;
    let topic = topic.map_err(|code| code.to_string())?;
    let entries = topic.entry_map();
    Ok(TimeBounds::of(|name| entries.get(name)?.value.as_deref()))
}

/// What was last read, and when: each minute is often enough.
#[derive(Debug, Default)]
pub(crate) struct LastReading {
    at: Option<Instant>,
    /// It was said that the configuration cannot be read.
    said: bool,
}

impl LastReading {
    /// The topic is not there: the next one of its name may have another configuration.
    pub(crate) fn forget(&mut self) {
        self.at = None;
    }

    /// True if it is time to read again; the reading counts as begun.
    fn is_due(&mut self) -> bool {
        let is_due = self.at.is_none_or(|at| at.elapsed() >= AGAIN);
        if is_due {
            self.at = Some(Instant::now());
        }
        is_due
    }

    /// True the first time.
    fn may_say(&mut self) -> bool {
        !std::mem::replace(&mut self.said, true)
    }
}

/// Reads if it is time to; `None` also if the cluster does not answer or this client may not ask.
///
/// The lock is not held meanwhile: if the wall clock is set back, a reading that has begun may hang for as long, and the next
/// producer's must not wait for it.
pub(crate) fn renew(
    last: &Mutex<LastReading>,
    credentials: &Credentials,
    topic: &str,
) -> Option<TimeBounds> {
    let lock = || last.lock().unwrap_or_else(PoisonError::into_inner);
    if !lock().is_due() {
        return None;
    }
    let bounds = read(&credentials.read_anew(), topic);
    if let Err(reason) = &bounds
        && lock().may_say()
    {
        tracing::info!(
            topic,
            reason,
            "the topic's configuration cannot be read (DescribeConfigs): events older than its retention.ms keep their time"
        );
    }
    bounds.ok()
}
