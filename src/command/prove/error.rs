//! Why a proof ended otherwise than with a promise kept.

use rdkafka::error::KafkaError;

/// Why a proof ended otherwise than with a promise kept.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Exit 2: the variable that `--key-env` names is not there.
    #[error("--key-env: the environment variable {0} is not set, or empty")]
    NoKey(String),
    /// Exit 2: the relay's configuration says that what is posted is verified, and there is nothing to sign with.
    #[error(
        "source {source_name} verifies what is posted to {path}; set {variable} to its key, or name another variable with --key-env"
    )]
    SourceKey {
        /// Its name.
        source_name: String,
        /// Its path.
        path: String,
        /// Where the key is looked for.
        variable: String,
    },
    /// Exit 2: librdkafka does not know a property, or not with this value.
    #[error("a property of the consumer (-X, or kafka.client in the configuration) will not do")]
    Property(#[source] KafkaError),
    /// Exit 1: the cluster does not say where the topic ends; nothing was sent.
    #[error("cannot read the topic {topic}; are the servers right, and up?")]
    Unreachable {
        /// Its name.
        topic: String,
        /// librdkafka's words.
        #[source]
        source: KafkaError,
    },
    /// Exit 1: nothing was sent.
    #[error("there is no topic {0}; create it, or name the relay's with --topic")]
    NoTopic(String),
    /// Exit 1: the ledger says how.
    #[error(
        "the promise was broken: {lost} lost, {out_of_order} out of order, {changed} changed, {wrong_key} under a wrong key"
    )]
    Broken {
        /// As [`super::ledger::Figures`] has it, and so the others.
        lost: u64,
        /// See there.
        out_of_order: u64,
        /// See there.
        changed: u64,
        /// See there.
        wrong_key: u64,
    },
    /// Exit 1: nothing is shown.
    #[error("nothing was acknowledged, so nothing was proved: {0}")]
    Untested(String),
}

impl ProveError {
    /// True where another command line is the remedy.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoKey(_) | Self::SourceKey { .. } | Self::Property(_)
        )
    }
}
