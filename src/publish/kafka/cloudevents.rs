//! From an event to a Kafka record (CloudEvents 1.0, Kafka binding, binary mode), and from librdkafka's error codes to
//! who is to blame.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::types::RDKafkaErrorCode;

use crate::event::Event;
use crate::time;

/// Whom a failed delivery speaks against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Blame {
    /// The record itself, as far as one can tell from a batch; the reason is a metric label.
    Record(&'static str),
    /// The topic, the cluster, the clock, the network: waiting or an operator mends it.
    Cluster,
    /// Nobody: it failed because something else had.
    Collateral,
}

/// Every label that [`Blame::label`] can give.
pub(crate) const KINDS: [&str; 4] = ["too_large", "invalid_record", "cluster", "collateral"];

impl Blame {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Record(reason) => reason,
            Self::Cluster => "cluster",
            Self::Collateral => "collateral",
        }
    }
}

/// Classifies a delivery's error. A compacted topic refuses every record without a key as invalid: that is the topic's
/// setting, not the record's fault.
pub(crate) fn blame(code: RDKafkaErrorCode, has_key: bool) -> Blame {
    match code {
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
            Blame::Record("too_large")
        }
        RDKafkaErrorCode::InvalidRecord if has_key => Blame::Record("invalid_record"),
        RDKafkaErrorCode::PurgeQueue
        | RDKafkaErrorCode::PurgeInflight
        | RDKafkaErrorCode::InvalidDifferentRecord
        | RDKafkaErrorCode::GaplessGuarantee
        | RDKafkaErrorCode::Fatal => Blame::Collateral,
        _ => Blame::Cluster,
    }
}

/// The record's headers.
pub(crate) fn headers(event: &Event<'_>, journal_id: &str, position: u64) -> OwnedHeaders {
    let source = format!("urn:ringback:{}", event.source);
    let kind = format!("{}.{}", event.source, event.kind);
    let time = time::rfc3339(event.received_ms);
    let position = position.to_string();
    let mut headers = OwnedHeaders::new_with_capacity(11);
    let all = [
        ("ce_specversion", Some("1.0")),
        ("ce_id", Some(event.id)),
        ("ce_source", Some(source.as_str())),
        ("ce_type", Some(kind.as_str())),
        ("ce_subject", event.key),
        ("ce_time", Some(time.as_str())),
        ("content-type", Some(event.content_type)),
        ("ringback_journal", Some(journal_id)),
        ("ringback_position", Some(position.as_str())),
        ("traceparent", present(event.traceparent)),
        ("tracestate", present(event.tracestate)),
    ];
    for (key, value) in all {
        if value.is_some() {
            headers = headers.insert(Header { key, value });
        }
    }
    headers
}

fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::message::Headers as _;

    #[test]
    fn provenance_is_told_in_cloudevents_headers() {
        let event = Event {
            received_ms: 1_714_608_475_945,
            source: "retell",
            kind: "call_ended",
            key: Some("abc"),
            id: "id",
            content_type: "application/json",
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            tracestate: "",
            body: b"{}",
        };
        let headers = headers(&event, "journal", 7);
        let text: Vec<_> = headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value.unwrap()).into_owned();
                format!("{}={value}", header.key)
            })
            .collect();
        assert_eq!(
            text,
            [
                "ce_specversion=1.0",
                "ce_id=id",
                "ce_source=urn:ringback:retell",
                "ce_type=retell.call_ended",
                "ce_subject=abc",
                "ce_time=2024-05-02T00:07:55.945Z",
                "content-type=application/json",
                "ringback_journal=journal",
                "ringback_position=7",
                "traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ]
        );
    }

    #[test]
    fn only_a_record_s_own_faults_are_blamed_on_it() {
        use RDKafkaErrorCode as Code;
        assert_eq!(
            blame(Code::MessageSizeTooLarge, true),
            Blame::Record("too_large")
        );
        assert_eq!(
            blame(Code::InvalidRecord, true),
            Blame::Record("invalid_record")
        );
        assert_eq!(blame(Code::InvalidRecord, false), Blame::Cluster);
        for code in [
            Code::UnknownTopicOrPartition,
            Code::TopicAuthorizationFailed,
            Code::InvalidTimestamp,
            // librdkafka's word for an answer that it cannot read: the records may well be stored.
            Code::BadMessage,
        ] {
            assert_eq!(blame(code, true), Blame::Cluster);
        }
        // Another record of the same batch was invalid.
        for code in [Code::PurgeQueue, Code::InvalidDifferentRecord] {
            assert_eq!(blame(code, true), Blame::Collateral);
        }
        let labels = [
            blame(Code::MessageSizeTooLarge, true),
            blame(Code::InvalidRecord, true),
            Blame::Cluster,
            Blame::Collateral,
        ];
        assert_eq!(labels.map(Blame::label), KINDS);
    }
}
