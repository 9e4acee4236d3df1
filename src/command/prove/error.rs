//! Why a proof did not end with the promise kept.

use rdkafka::error::KafkaError;

use crate::command::webhook::CertificateError;
use crate::ingest::{SignError, Verify};
use crate::publish::TokenError;
use crate::secret::SecretError;

/// Why a proof did not end with the promise kept.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Exit 2: the variable that `--key-env` names is missing.
    #[error("--key-env: {0}")]
    NoKey(String),
    /// Exit 78: what the variable or file holds is no key.
    #[error("cannot sign: {0}")]
    Key(SecretError),
    /// Exit 2: the relay's configuration requires signatures, and there is no key to sign with.
    #[error(
        "source {source_name} verifies what is posted to {path}, and none of its keys can be read here: {reason}; run prove \
         where one can, or name a variable that holds one with --key-env"
    )]
    SourceKey {
        source_name: String,
        path: String,
        reason: String,
    },
    /// Exit 2: prove cannot sign as this source's sender does.
    #[error(
        "source {source_name} takes requests with verify = \"{verify}\", and prove signs only as Retell AI does; run it against a \
         source with verify = \"retell\" or \"none\" (--url); `ringback send` signs as other senders do"
    )]
    Scheme { source_name: String, verify: Verify },
    /// Exit 2.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Exit 78: the key is none of Retell's.
    #[error("the key {0}")]
    Sign(#[from] SignError),
    /// Exit 2: librdkafka does not know a property, or does not accept its value.
    #[error(
        "librdkafka refuses a property of the consumer (-X, or kafka.client in the configuration): {0}"
    )]
    Property(String),
    /// Exit 1: nothing was sent.
    #[error(transparent)]
    Token(#[from] TokenError),
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
    /// Without the value, which may be a secret.
    pub fn property(error: KafkaError) -> Self {
        Self::Property(match error {
            KafkaError::ClientConfig(_, text, ..) => text,
            other => other.to_string(),
        })
    }

    /// True if the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoKey(_)
                | Self::SourceKey { .. }
                | Self::Scheme { .. }
                | Self::Certificate(_)
                | Self::Property(_)
        )
    }
}
