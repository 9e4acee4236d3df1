//! Deliberate faults in what the simulator gives ringback to work with: a disk, a client, a scheduler or a ledger that
//! lies. ringback's own code stays right; the simulator must notice all the same.
//!
//! A new lie is a variant of [`Lie`], a line of [`LIES`], an `if lies::is_on(Lie::…)` at its seam in `tests/sim`, and a
//! row of the table in `README.md`.

use std::cell::Cell;

use rdkafka::types::RDKafkaErrorCode as Code;
use ringback::publish::DeliveryError;
use ringback::publish::inbox::Report;

/// A deliberate fault; [`LIES`] describes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    AnswerBeforeSync,
    NoDirectorySync,
    RetriedSync,
    OneCheckpointSlot,
    CheckpointTrustedAsRead,
    RecoveryWithoutSync,
    FailedSyncTrusted,
    DiskFullForEver,
    CheckpointUnsynced,
    BudgetIgnored,
    WindowWithoutBound,
    NoWake,
    OldProducerKept,
    OldFailureCounts,
    SeveralInFlight,
    Gaps,
    KeylessBlamed,
    TopicBlamed,
    LetterUnwritten,
    UnparsedLost,
    SentIsDone,
    FailureIsDone,
    RenewIgnored,
    KeyDropped,
    NothingArrives,
    SilenceForEver,
    NewestPartitions,
    OneTopic,
    TimestampZero,
    TimestampOfReceipt,
    SentTwice,
    LeaderAlone,
    OneOfManyCounted,
    FirstDamageCounted,
    CheckpointAtEnd,
    FailedReadIsDamage,
    RoomImagined,
    LinkImagined,
    DeadLetterImagined,
}

/// Each lie and what it breaks.
pub const LIES: [(Lie, &str); 38] = [
    (
        Lie::AnswerBeforeSync,
        "a batch is answered without its sync",
    ),
    (Lie::NoDirectorySync, "a new segment's name is not synced"),
    (
        Lie::RetriedSync,
        "a failed sync is tried again and believed",
    ),
    (
        Lie::OneCheckpointSlot,
        "both checkpoints go into one slot, over the newest",
    ),
    (
        Lie::CheckpointTrustedAsRead,
        "a start writes over the only durable checkpoint, trusting one that is in the cache alone",
    ),
    (
        Lie::RecoveryWithoutSync,
        "recovery publishes what it has not synced",
    ),
    (
        Lie::FailedSyncTrusted,
        "recovery believes the cache of a file whose sync had failed",
    ),
    (Lie::DiskFullForEver, "a full disk is not looked at again"),
    (
        Lie::CheckpointUnsynced,
        "a checkpoint is believed before it is synced",
    ),
    (Lie::BudgetIgnored, "the budget does not refuse"),
    (
        Lie::WindowWithoutBound,
        "any number of positions runs ahead of the watermark",
    ),
    (Lie::NoWake, "a commit does not wake the publisher"),
    (
        Lie::OldProducerKept,
        "the old producer lives on beside the new one",
    ),
    (
        Lie::OldFailureCounts,
        "an old producer's failure counts against the new one",
    ),
    (
        Lie::SeveralInFlight,
        "a fresh producer has several requests in flight",
    ),
    (Lie::Gaps, "the client goes on behind a failed batch"),
    (
        Lie::KeylessBlamed,
        "a compacted topic's refusal of what has no key is the record's fault",
    ),
    (
        Lie::TopicBlamed,
        "a missing permission is the record's fault",
    ),
    (
        Lie::LetterUnwritten,
        "a dead letter that could not be written counts as done",
    ),
    (
        Lie::UnparsedLost,
        "a body that is not JSON is lost between its acceptance and its dead letter",
    ),
    (Lie::SentIsDone, "what is sent counts as acknowledged"),
    (
        Lie::FailureIsDone,
        "a failed report counts as one of success",
    ),
    (
        Lie::RenewIgnored,
        "a producer that lives by a clock that was set back is kept",
    ),
    (Lie::KeyDropped, "a record is sent without its key"),
    (
        Lie::NothingArrives,
        "the canary: the client reports every record as written and writes none",
    ),
    (
        Lie::SilenceForEver,
        "a silent producer is replaced after a year, not after a minute",
    ),
    (
        Lie::NewestPartitions,
        "the client chooses the partition itself, by the newest number of partitions",
    ),
    (
        Lie::OneTopic,
        "the client sends the second topic's records to the first one",
    ),
    (
        Lie::TimestampZero,
        "the client sends every record with the timestamp 0",
    ),
    (
        Lie::TimestampOfReceipt,
        "the client sends every record with its event's own time, however old",
    ),
    (Lie::SentTwice, "every record is sent twice"),
    (
        Lie::LeaderAlone,
        "the client has acks=1: a leader answers before its followers have a record",
    ),
    (
        Lie::OneOfManyCounted,
        "of records that are lost together one is counted",
    ),
    (
        Lie::FirstDamageCounted,
        "only a process's first damage is counted",
    ),
    (
        Lie::CheckpointAtEnd,
        "the upkeep's thread sleeps unless a segment is wanted, so that a checkpoint comes with the next segment or at the end",
    ),
    (
        Lie::FailedReadIsDamage,
        "the publisher reads zeros where a read fails, as if the first failure were damage",
    ),
    (
        Lie::RoomImagined,
        "the disk reports far more room than it has",
    ),
    (
        Lie::LinkImagined,
        "a second name that another file has is reported as given",
    ),
];

/// What must be noticed with `ack = "kafka"` too. There a sender waits for Kafka, so that a false report is a false 2xx.
pub const MEMORY_LIES: [(Lie, &str); 8] = [
    (
        Lie::SentIsDone,
        "what is sent counts as acknowledged: its sender gets a 2xx that is not true yet",
    ),
    (
        Lie::LeaderAlone,
        "the client has acks=1: a 2xx comes before the followers have the record",
    ),
    (
        Lie::FailureIsDone,
        "a failed report counts as one of success, and as a 2xx",
    ),
    (Lie::Gaps, "the client goes on behind a failed batch"),
    (
        Lie::SeveralInFlight,
        "a fresh producer has several requests in flight",
    ),
    (
        Lie::SilenceForEver,
        "a silent producer is replaced after a year, not after a minute",
    ),
    (
        Lie::BudgetIgnored,
        "what Kafka has not acknowledged is held without a bound",
    ),
    (
        Lie::DeadLetterImagined,
        "a dead letter on its way counts as arrived at once",
    ),
];

/// The lie that no history survives.
pub const CANARY: Lie = Lie::NothingArrives;

thread_local! {
    static PRESENT: Cell<Option<Lie>> = const { Cell::new(None) };
}

/// Switches a lie on for this thread, or all off.
pub fn set(lie: Option<Lie>) {
    PRESENT.set(lie);
}

/// True if this thread's simulator is to lie in this way.
pub fn is_on(lie: Lie) -> bool {
    PRESENT.get() == Some(lie)
}

/// The delivery report that reaches the worker; the present lie may have changed it.
pub fn about_report(mut report: Report, present: u64) -> Report {
    let Err(error) = report.outcome else {
        return report;
    };
    if is_on(Lie::FailureIsDone) {
        report.outcome = Ok(());
    } else if is_on(Lie::OldFailureCounts) {
        report.generation = present;
    } else if error.code() == Code::InvalidRecord && is_on(Lie::KeylessBlamed) {
        report.outcome = Err(DeliveryError::new(Code::InvalidRecord, true));
    } else if error.code() == Code::TopicAuthorizationFailed && is_on(Lie::TopicBlamed) {
        report.outcome = Err(DeliveryError::new(Code::MessageSizeTooLarge, true));
    }
    report
}
