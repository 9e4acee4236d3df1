//! What can happen to a disk, and so to the process that uses it.

/// How a process crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The page cache stays.
    Kill,
    /// The page cache is lost.
    PowerCut,
}

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    Sync,
    Name,
}

/// An operation that is to fail with EIO.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    operation: Operation,
    /// How many matching operations from now the failure strikes.
    pub(super) left: u64,
    /// Counts operations on the checkpoint only.
    checkpoint: bool,
    /// All that follow fail too.
    pub(super) lasting: bool,
}

/// The process dies in the n-th operation from now that changes something.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    pub(super) crash: Crash,
    pub(super) left: u64,
    /// Counts operations on the checkpoint only.
    checkpoint: bool,
}

/// What goes wrong in a start.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    Death(Death),
    Failure(Failure),
}

impl Failure {
    /// The n-th from now fails.
    pub fn of(operation: Operation, nth: u64) -> Self {
        Self {
            operation,
            left: nth,
            checkpoint: false,
            lasting: false,
        }
    }

    /// The next checkpoint cannot be synced.
    pub fn of_checkpoint() -> Self {
        Self {
            checkpoint: true,
            ..Self::of(Operation::Sync, 1)
        }
    }

    /// No checkpoint can be written or synced from now on.
    pub fn of_checkpoints(operation: Operation) -> Self {
        Self {
            operation,
            lasting: true,
            ..Self::of_checkpoint()
        }
    }

    pub(super) fn is_of(&self, operation: Operation, checkpoint: bool) -> bool {
        self.operation == operation && (checkpoint || !self.checkpoint)
    }
}

impl Death {
    pub fn within(crash: Crash, nth: u64) -> Self {
        Self {
            crash,
            left: nth,
            checkpoint: false,
        }
    }

    /// In the n-th operation on the checkpoint.
    pub fn within_checkpoint(crash: Crash, nth: u64) -> Self {
        Self {
            checkpoint: true,
            ..Self::within(crash, nth)
        }
    }

    pub(super) fn is_of(&self, checkpoint: bool) -> bool {
        checkpoint || !self.checkpoint
    }
}
