//! Why a proof did not end with the promise kept.

use rdkafka::error::KafkaError;

/// Why a proof did not end with the promise kept.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Exit 2: the variable that `--key-env` names is missing.
    #[error("--key-env: the environment variable {0} is not set, or empty")]
    NoKey(String),
    /// Exit 2: the relay's configuration requires signatures, and there is no key to sign with.
    #[error(
        "source {source_name} verifies what is posted to {path}; set {variable} to its key, or name another variable with --key-env"
    )]
    SourceKey {
        source_name: String,
        path: String,
        variable: String,
    },
    /// Exit 2: librdkafka does not know a property, or does not accept its value.
    #[error(
        "librdkafka refuses a property of the consumer (-X, or kafka.client in the configuration)"
    )]
    Property(#[source] KafkaError),
    /// Exit 1: no broker reports where the topic ends; nothing was sent.
    #[error("cannot read the topic {topic}; are the servers right, and up?")]
    Unreachable {
        topic: String,
        #[source]
        source: KafkaError,
    },
    /// Exit 1: nothing was sent.
    #[error("there is no topic {0}; create it, or name the relay's with --topic")]
    NoTopic(String),
    /// Exit 1, with the ledger's figures.
    #[error(
        "the promise was broken: {lost} lost, {out_of_order} out of order, {changed} changed, {wrong_key} under a wrong key"
    )]
    Broken {
        lost: u64,
        out_of_order: u64,
        changed: u64,
        wrong_key: u64,
    },
    /// Exit 1.
    #[error("nothing was acknowledged, so nothing was proved: {0}")]
    Untested(String),
}

impl ProveError {
    /// True if the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoKey(_) | Self::SourceKey { .. } | Self::Property(_)
        )
    }
}
