//! Finds out which record of a failed batch Kafka refuses, by sending them one at a time.

use crate::publish::decide::blame::{Blame, Reason};

/// A record that is sent alone and fails this many times in a row becomes a dead letter.
const MAX_ISOLATED_FAILURES: u32 = 3;
/// After this many dead letters in a row the records are not the cause.
const MAX_CONSECUTIVE_DEAD_LETTERS: u32 = 10;

#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) position: u64,
    pub(super) failures: u32,
    reason: Reason,
}

/// Which records are sent one at a time, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// The last record that is sent alone.
    until: Option<u64>,
    /// The last record that the present producer's failures blame.
    last_blamed: Option<u64>,
    /// A record has failed alone, so the batch's size was not the cause.
    failed_alone: bool,
    pub(super) suspect: Option<Suspect>,
    consecutive_dead_letters: u32,
}

impl Isolation {
    pub(super) fn is_active(&self) -> bool {
        self.until.is_some()
    }

    /// True if `position` lies behind the last record that is sent alone.
    pub(super) fn ends_before(&self, position: u64) -> bool {
        self.until.is_some_and(|last| position > last)
    }

    /// False after too many dead letters in a row: then the records are not the cause.
    pub(super) fn may_dead_letter(&self) -> bool {
        self.consecutive_dead_letters < MAX_CONSECUTIVE_DEAD_LETTERS
    }

    pub(super) fn on_delivered(&mut self, position: u64) {
        self.consecutive_dead_letters = 0;
        self.suspect.take_if(|suspect| suspect.position == position);
    }

    pub(super) fn on_dead_lettered(&mut self) {
        debug_assert!(self.may_dead_letter());
        self.consecutive_dead_letters += 1;
        self.suspect = None;
    }

    pub(super) fn on_failed(&mut self, position: u64, blame: Blame) {
        match blame {
            Blame::Record(reason) => {
                self.last_blamed = self.last_blamed.max(Some(position));
                if self.until.is_some_and(|last| position <= last) {
                    self.failed_alone = true;
                    let failures = match &self.suspect {
                        Some(suspect) if suspect.position == position => suspect.failures + 1,
                        _ => 1,
                    };
                    self.suspect = Some(Suspect {
                        position,
                        failures,
                        reason,
                    });
                }
            }
            // Another cause came in between: the failures are no longer in a row.
            Blame::Cluster => self.suspect = None,
            Blame::Collateral => {}
        }
    }

    /// Nothing is in flight any more: what was blamed is isolated from now on. Returns the dead letter that is due.
    pub(super) fn on_drained(&mut self) -> Option<(u64, Reason)> {
        self.until = self.until.max(self.last_blamed.take());
        let suspect = self.suspect.as_ref()?;
        let is_due = suspect.failures >= MAX_ISOLATED_FAILURES && self.may_dead_letter();
        is_due.then_some((suspect.position, suspect.reason))
    }

    /// Every record of the failed batch is dealt with. Returns true if none failed alone: then the batch was too large.
    pub(super) fn end(&mut self) -> bool {
        debug_assert!(self.is_active() && self.last_blamed.is_none());
        self.until = None;
        !std::mem::take(&mut self.failed_alone)
    }
}
