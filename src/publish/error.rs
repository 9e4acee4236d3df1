//! Why a record was not delivered, and what librdkafka's error code says about whose fault it is.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::publish::decide::blame::{Blame, Reason};

/// Why a record was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{code}{}", self.remedy())]
pub struct DeliveryError {
    code: Code,
    has_key: bool,
}

impl DeliveryError {
    /// `has_key`: the record has a key.
    pub fn new(code: Code, has_key: bool) -> Self {
        Self { code, has_key }
    }

    pub(crate) fn of(error: &KafkaError, has_key: bool) -> Self {
        Self::new(error.rdkafka_error_code().unwrap_or(Code::Unknown), has_key)
    }

    /// librdkafka's error code.
    pub fn code(self) -> Code {
        self.code
    }

    pub(crate) fn blame(self) -> Blame {
        match self.code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
                Blame::Record(Reason::TooLarge)
            }
            // A compacted topic refuses every record without a key as invalid: that is the topic's setting, not the record's fault.
            Code::InvalidRecord if self.has_key => Blame::Record(Reason::InvalidRecord),
            Code::PurgeQueue
            | Code::PurgeInflight
            | Code::InvalidDifferentRecord
            | Code::GaplessGuarantee
            | Code::Fatal => Blame::Collateral,
            _ => Blame::Cluster,
        }
    }

    /// What Kafka's words leave out.
    fn remedy(self) -> &'static str {
        if self.code == Code::InvalidRecord && !self.has_key {
            return ": the event has no key, and a compacted topic takes none without; set the topic's cleanup.policy to \"delete\", \
                    or the source's key_pointers to where each event has a key";
        }
        ""
    }

    pub(crate) fn refuses_timestamp(self) -> bool {
        self.code == Code::InvalidTimestamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyless_event_on_a_compacted_topic_is_named_with_what_to_change() {
        let keyless = DeliveryError::new(Code::InvalidRecord, false).to_string();
        for words in ["InvalidRecord", "no key", "cleanup.policy", "key_pointers"] {
            assert!(keyless.contains(words), "{keyless}");
        }
        let other = DeliveryError::new(Code::InvalidRecord, true).to_string();
        assert_eq!(other, Code::InvalidRecord.to_string());
    }

    #[test]
    fn only_a_record_s_own_faults_are_blamed_on_it() {
        let blame = |code, has_key| DeliveryError::new(code, has_key).blame();
        assert_eq!(
            blame(Code::MessageSizeTooLarge, true),
            Blame::Record(Reason::TooLarge)
        );
        assert_eq!(
            blame(Code::InvalidRecord, true),
            Blame::Record(Reason::InvalidRecord)
        );
        assert_eq!(blame(Code::InvalidRecord, false), Blame::Cluster);
        for code in [
            Code::UnknownTopicOrPartition,
            Code::TopicAuthorizationFailed,
            Code::InvalidTimestamp,
            // librdkafka's code for an answer that it cannot read: the records may well be stored.
            Code::BadMessage,
        ] {
            assert_eq!(blame(code, true), Blame::Cluster);
        }
        // Another record of the same batch was invalid.
        for code in [Code::PurgeQueue, Code::InvalidDifferentRecord] {
            assert_eq!(blame(code, true), Blame::Collateral);
        }
    }
}
