//! The publisher (interface agreed on; the body is being built).
#![allow(missing_docs, clippy::pedantic, unused)]

use crate::{journal, readiness::Check};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// What `publish` needs; `config.rs` builds it from `[kafka]` and `[kafka.client]` (secrets already resolved there).
#[derive(Clone)]
pub struct Config {
    pub topic: String,
    pub dead_letter_topic: Option<String>,
    /// librdkafka's own properties as the user set them; defaults and refusals are applied by `properties()`.
    pub client: BTreeMap<String, String>,
    /// `listen.max_body`, bytes: decides `message.max.bytes`.
    pub max_body: u64,
    /// Where dead letters lie: `<journal.path>/dead-letters`.
    pub dead_letter_path: PathBuf,
}
impl Config {
    /// The full set of librdkafka properties, or the name of the one that would break an invariant.
    pub fn properties(&self) -> Result<BTreeMap<String, String>, PropertyError> {
        todo!()
    }
}
#[derive(Debug, thiserror::Error)]
#[error("{property} = {value:?} {reason}")]
pub struct PropertyError {
    pub property: String,
    pub value: String,
    pub reason: &'static str,
}
pub struct Metrics;
impl Metrics {
    pub fn register(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        todo!()
    }
}
/// The running publisher: one thread of its own and librdkafka's.
pub struct Publisher;
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("todo")]
    Todo,
}
/// Never waits for Kafka: an absent cluster is told by `check`, the metrics and the log.
pub fn start(
    config: Config,
    journal_id: String,
    reader: journal::Reader,
    truncator: journal::Truncator,
    metrics: Metrics,
    check: Check,
) -> Result<Publisher, StartError> {
    todo!()
}
impl Publisher {
    /// Publishes until the journal is empty or `deadline` has passed, then settles, writes the final checkpoint (closes
    /// the truncator) and ends. Returns how many records stay in the journal.
    pub async fn drain(self, deadline: Duration) -> u64 {
        todo!()
    }
}

impl Config {
    pub fn validate(&self) -> Result<(), PropertyError> {
        Ok(())
    }
}
