//! What a machine is made with, what it asks its shell to do, and its answers.

use std::num::NonZeroI32;
use std::time::Duration;

/// What a machine is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long what is in flight may take after a failure.
    pub(crate) settle: Duration,
    /// How long nothing may be heard of what is in flight: `kafka.stall_timeout`.
    pub(crate) stall: Duration,
    /// How many positions may lie above the watermark, [`MAX_AHEAD`](super::MAX_AHEAD) outside of tests.
    pub(crate) ahead: usize,
    /// The first producers' `batch.size`; halved where the cluster takes no such batches.
    pub(crate) batch_bytes: u32,
}

/// What the shell is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Say that nothing was heard for so long and that the producer is therefore replaced.
    Stalled(Duration),
    /// Drop what the producer has queued, and what is on its way to a broker too if said so.
    Purge { in_flight: bool },
    /// Build a producer; go back to `from`, the first position to be sent: the reader may have been elsewhere since.
    Rebuild {
        generation: u64,
        from: Option<u64>,
        /// Records will be sent one at a time.
        isolate: bool,
        batch_bytes: u32,
    },
    /// Set this record aside, durably, then say so by [`Machine::lettered`](super::Machine::lettered).
    DeadLetter { position: u64, reason: &'static str },
    /// Everything up to here may leave the journal.
    Truncate(u64),
}

/// What to do with a record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// To a partition of so many.
    Send(NonZeroI32),
    /// It was acknowledged before.
    Skip,
    /// Not before something else is done: it is to be offered again.
    Hold,
    /// Not with this producer: the next one is built at once, and reading goes back to this record for it.
    Later,
}
