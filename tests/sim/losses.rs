//! The losses that a journal logs: their ranges, and how many records it counts in each.

use std::cell::{Cell, RefCell};

/// Positions that the journal has given up, both ends included, and how many of them it had not given up before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    pub from: u64,
    pub to: u64,
    pub count: u64,
    /// Not damaged, but passed over because they could not be read.
    pub unread: bool,
}

/// How the log lines that report a loss begin.
const DAMAGED: &str = "records lost to damage";
const UNREAD: &str = "passed over records that cannot be read";

/// How the log line begins that counts the records of segments that are gone.
const MISSING: &str = "a segment with unpublished records is missing";

/// How the log line begins when ringback replaces a producer only because its records have become old.
const RENEWED: &str = "records have waited long in the Kafka producer";

thread_local! {
    static MISSING_LOGGED: Cell<u64> = const { Cell::new(0) };
    static RENEWAL_LOGGED: Cell<bool> = const { Cell::new(false) };
    static LOGGED: RefCell<Vec<Loss>> = const { RefCell::new(Vec::new()) };
}

/// Notes a log line of ringback, with its integer fields.
pub fn logged(message: &str, numbers: &[(&'static str, u64)]) {
    if message.starts_with(RENEWED) {
        RENEWAL_LOGGED.set(true);
    }
    let number = |name| {
        let found = numbers.iter().find(|(field, _)| *field == name);
        found.map_or(0, |(_, number)| *number)
    };
    if message.starts_with(MISSING) {
        MISSING_LOGGED.set(MISSING_LOGGED.get() + number("count"));
    }
    let unread = message.starts_with(UNREAD);
    if !unread && !message.starts_with(DAMAGED) {
        return;
    }
    let loss = Loss {
        from: number("from"),
        to: number("to"),
        count: number("count"),
        unread,
    };
    LOGGED.with_borrow_mut(|losses| losses.push(loss));
}

/// True if ringback has logged since the last call that a producer's records had waited too long.
pub fn take_renewal() -> bool {
    RENEWAL_LOGGED.take()
}

/// How many records of segments that are gone have been logged on this thread since the last call.
pub fn take_missing() -> u64 {
    MISSING_LOGGED.take()
}

/// What has been logged on this thread since the last call.
pub fn take() -> Vec<Loss> {
    LOGGED.take()
}
