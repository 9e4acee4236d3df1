//! What a machine is configured with, the actions it asks for, and its answers.

use std::num::NonZeroI32;
use std::time::Duration;

use crate::publish::decide::blame::Reason;

/// The bounds a machine works within.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long records in flight may take to be reported on after a failure: two socket time-outs.
    pub drain_timeout: Duration,
    /// How long a producer may hold records without reporting on any: `kafka.stall_timeout`.
    pub stall_timeout: Duration,
    /// How many positions may lie above the watermark; [`MAX_AHEAD`](super::MAX_AHEAD) outside tests.
    pub max_ahead: usize,
    /// The first producer's `batch.size`; halved if the cluster refuses such batches as too large.
    pub batch_bytes: u32,
}

/// What the worker must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Report that the producer is replaced because it has not reported on anything for this long.
    ReportStall(Duration),
    /// Drop what the producer has queued and, if `in_flight`, what is on its way to a broker.
    Purge { in_flight: bool },
    /// Build a producer, and read from `from` on, the first position to be sent: the reader may have moved since.
    Rebuild {
        generation: u64,
        from: Option<u64>,
        /// Records are sent one at a time.
        isolate: bool,
        batch_bytes: u32,
    },
    /// Write this record as a dead letter, durably, then call [`Machine::dead_lettered`](super::Machine::dead_lettered).
    DeadLetter { position: u64, reason: Reason },
    /// Everything up to this position may leave the journal.
    Truncate(u64),
}

/// What to do with a record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Send it, to one of so many partitions.
    Send(NonZeroI32),
    /// It was acknowledged before.
    Skip,
    /// Keep it and offer it again: something else must happen first.
    Hold,
    /// It belongs to the next producer, which is built at once and for which reading goes back to this record.
    NextProducer,
}
