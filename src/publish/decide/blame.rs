//! Whose fault a failed delivery is, and why an event becomes a dead letter.

/// Why an event becomes a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Kafka refuses the record as larger than the topic or the cluster takes.
    TooLarge,
    /// Kafka refuses the record as invalid.
    InvalidRecord,
    /// The journal's record is no event that this version can decode.
    Undecodable,
    /// The body is not JSON although its source's bodies are; Kafka has nothing against it.
    Unparsed,
}

impl Reason {
    pub(crate) const ALL: [Self; 4] = [
        Self::TooLarge,
        Self::InvalidRecord,
        Self::Undecodable,
        Self::Unparsed,
    ];

    /// The label in the metrics, in the dead letter's file and in its header.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::InvalidRecord => "invalid_record",
            Self::Undecodable => "undecodable",
            Self::Unparsed => "unparsed",
        }
    }
}

/// Whose fault a failed delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The record's own, as far as the failure of a batch can show.
    Record(Reason),
    /// The topic's, the cluster's, the clock's or the network's: it passes, or an operator fixes it.
    Cluster,
    /// Nobody's: the delivery failed because another one had failed.
    Collateral,
}

impl Blame {
    /// Every blame that a delivery report can carry.
    pub(crate) const ALL: [Self; 4] = [
        Self::Record(Reason::TooLarge),
        Self::Record(Reason::InvalidRecord),
        Self::Cluster,
        Self::Collateral,
    ];

    /// The label in the metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Record(reason) => reason.label(),
            Self::Cluster => "cluster",
            Self::Collateral => "collateral",
        }
    }
}
