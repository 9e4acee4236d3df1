//! Deliberate faults in what the simulator gives ringback to work with: a disk, a client, a scheduler or a ledger that
//! lies. ringback's own code stays right; the simulator must notice all the same.
//!
//! A new lie is a variant of [`Lie`], a line of [`LIES`], an `if lies::is_on(Lie::…)` at its seam in `tests/sim`, and a
//! row of the table in `README.md`.

use std::cell::Cell;

/// One lie each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    NothingArrives,
    SilenceForEver,
    NewestPartitions,
    TimestampZero,
    TimestampOfReceipt,
    SentTwice,
    LeaderAlone,
    OneOfManyCounted,
    FirstDamageCounted,
    CheckpointAtEnd,
    FailedReadIsDamage,
}

/// Each lie and what it breaks.
pub const LIES: [(Lie, &str); 11] = [
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
