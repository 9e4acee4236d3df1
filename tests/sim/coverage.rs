//! Branches that histories must reach: a fault that is never met is not tested, however many seeds are run.
//!
//! They are seen from outside: in what ringback logs, and in what the simulator itself does to it or hears of it.

use std::cell::Cell;

/// From so many histories on, a branch that none of them has reached is a failure.
pub const ENOUGH: u64 = 20_000;

/// What is counted, with how the log line begins that tells of it.
const LOGGED: [(&str, &str); 18] = [
    ("a failed read is tried again", "cannot read the journal"),
    (
        "reading goes on where it could not",
        "the journal can be read again",
    ),
    (
        "an unreadable place is passed over",
        "these bytes cannot be read: passing over them",
    ),
    (
        "a torn write is copied",
        "the last write before this start was torn",
    ),
    ("damage is found", "the journal is damaged at these bytes"),
    (
        "a damaged stretch cannot be copied",
        "cannot copy a damaged stretch",
    ),
    ("records are lost to damage", "records lost to damage"),
    (
        "a segment's header is damaged",
        "the segment's header is damaged",
    ),
    ("the journal is poisoned", "the journal is poisoned"),
    (
        "a published segment cannot be removed",
        "cannot remove a published segment",
    ),
    (
        "an unused segment cannot be removed",
        "cannot remove an unused segment",
    ),
    (
        "the disk is full",
        "no room for the journal's next segment:",
    ),
    (
        "the disk has room again",
        "there is room for the journal's next segment again",
    ),
    (
        "a dead letter is written",
        "an event was set aside as a dead letter",
    ),
    (
        "a dead letter cannot be written",
        "cannot set an event aside",
    ),
    (
        "a record is no event",
        "a record of the journal is no event",
    ),
    (
        "a silent producer is replaced",
        "Kafka has acknowledged nothing of what is in flight",
    ),
    (
        "a producer cannot be built",
        "cannot build a Kafka producer",
    ),
];

/// What the simulator sees itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    TenLettersInRow,
}

const SEEN: [(Seen, &str); 1] = [(Seen::TenLettersInRow, "ten dead letters in a row")];

/// All branches, in the order of [`Reached`]'s bits.
const COUNT: usize = LOGGED.len() + SEEN.len();

/// A bit for each branch.
pub type Reached = u64;

thread_local! {
    static REACHED: Cell<Reached> = const { Cell::new(0) };
}

/// A log line of ringback's.
pub fn logged(message: &str) {
    for (bit, (_, begin)) in LOGGED.iter().enumerate() {
        if message.starts_with(begin) {
            REACHED.set(REACHED.get() | 1 << bit);
        }
    }
}

/// The simulator has seen this happen.
pub fn seen(what: Seen) {
    if let Some(at) = SEEN.iter().position(|(seen, _)| *seen == what) {
        REACHED.set(REACHED.get() | 1 << (LOGGED.len() + at));
    }
}

/// What has been reached on this thread since the last call.
pub fn take() -> Reached {
    REACHED.replace(0)
}

/// How many histories have reached each branch.
#[derive(Debug, Clone)]
pub struct Counters([u64; COUNT]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; COUNT])
    }
}

impl Counters {
    pub fn add(&mut self, reached: Reached) {
        for (bit, counter) in self.0.iter_mut().enumerate() {
            *counter += reached >> bit & 1;
        }
    }

    /// A line each.
    pub fn lines(&self) -> String {
        let lines = names().zip(self.0);
        lines
            .map(|(name, count)| format!("{count:>9} {name}\n"))
            .collect()
    }

    pub fn missed(&self) -> Vec<&'static str> {
        let all = names().zip(self.0);
        all.filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
            .collect()
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    let logged = LOGGED.iter().map(|(name, _)| *name);
    logged.chain(SEEN.iter().map(|(_, name)| *name))
}
