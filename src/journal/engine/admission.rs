//! What ingest may know of the journal: is there room, and does it live?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use crate::journal::error::AppendError;

/// Acceptance comes back when usage has fallen by this part of the budget, so that it does not flicker at the mark.
const HYSTERESIS: u64 = 16;

/// Decides whether a record may come in; all in atomics, asked once an event under the queue's lock.
#[derive(Debug)]
pub struct Gate {
    budget: u64,
    /// Bytes that count against the budget, without those still queued.
    used: AtomicU64,
    /// Bytes for which the disk is sure to have room.
    room: AtomicU64,
    full: AtomicBool,
    poisoned: watch::Sender<Option<String>>,
    is_poisoned: AtomicBool,
}

impl Gate {
    /// An empty journal with this budget, in bytes.
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            used: AtomicU64::new(0),
            room: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
            poisoned: watch::Sender::new(None),
            is_poisoned: AtomicBool::new(false),
        }
    }

    /// The configured budget, in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// What is used and what room there is, after a change of either.
    pub fn set(&self, used: u64, room: u64) {
        self.used.store(used, Ordering::Relaxed);
        self.room.store(room, Ordering::Relaxed);
        if used <= self.low_mark() {
            self.full.store(false, Ordering::Relaxed);
        }
    }

    /// May a record of `size` bytes on disk come in behind `queued` bytes that are not written yet?
    pub fn admit(&self, queued: u64, size: u64) -> Result<(), AppendError> {
        if self.is_poisoned.load(Ordering::Acquire) {
            return Err(AppendError::Poisoned);
        }
        if queued.saturating_add(size) > self.room.load(Ordering::Relaxed) {
            return Err(AppendError::Full);
        }
        if self.is_full() {
            return Err(AppendError::Full);
        }
        let used = self.used.load(Ordering::Relaxed);
        if used.saturating_add(queued).saturating_add(size) > self.budget {
            // What is only queued may fill the journal for a moment; from the low mark down it opens again.
            self.full.store(used > self.low_mark(), Ordering::Relaxed);
            return Err(AppendError::Full);
        }
        Ok(())
    }

    /// True while appends are refused for the budget. Only above the low mark: an asker may have stored `full` from a
    /// figure that `set` had just replaced, and with an empty journal nothing would ever call `set` again.
    pub fn is_full(&self) -> bool {
        let above = self.used.load(Ordering::Relaxed) > self.low_mark();
        self.full.load(Ordering::Relaxed) && above
    }

    /// Nothing comes in any more; the first reason stays.
    pub fn poison(&self, reason: String) {
        self.is_poisoned.store(true, Ordering::Release);
        self.poisoned.send_if_modified(|poisoned| {
            let first = poisoned.is_none();
            if first {
                *poisoned = Some(reason);
            }
            first
        });
    }

    /// True from the first failed write or sync on.
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned.load(Ordering::Acquire)
    }

    /// The first reason, once the journal is poisoned.
    pub fn poison_reason(&self) -> Option<String> {
        self.poisoned.borrow().clone()
    }

    /// Resolves with the reason once the journal is poisoned.
    pub async fn poisoned(&self) -> String {
        let mut receiver = self.poisoned.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender is this gate, which outlives the wait.
            Err(_) => std::future::pending().await,
        }
    }

    fn low_mark(&self) -> u64 {
        self.budget - self.budget / HYSTERESIS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_journal_opens_again_only_at_the_low_mark() {
        let gate = Gate::new(1_600);
        gate.set(1_590, u64::MAX);
        assert_eq!(gate.admit(0, 10), Ok(()));
        assert_eq!(gate.admit(0, 11), Err(AppendError::Full));
        assert_eq!(gate.admit(0, 1), Err(AppendError::Full), "no flicker");
        gate.set(1_501, u64::MAX);
        assert_eq!(gate.admit(0, 1), Err(AppendError::Full));
        gate.set(1_500, u64::MAX);
        assert_eq!(gate.admit(0, 1), Ok(()));
    }

    #[test]
    fn what_is_queued_counts_and_does_not_shut_the_gate_for_good() {
        let gate = Gate::new(1_600);
        assert_eq!(gate.admit(1_600, 1), Err(AppendError::Full));
        assert_eq!(gate.admit(0, 1), Ok(()));
    }

    #[test]
    fn a_full_disk_refuses_what_has_no_room() {
        let gate = Gate::new(1_600);
        gate.set(0, 100);
        assert_eq!(gate.admit(50, 50), Ok(()));
        assert_eq!(gate.admit(50, 51), Err(AppendError::Full));
        gate.set(0, u64::MAX);
        assert_eq!(gate.admit(50, 51), Ok(()));
    }

    #[test]
    fn an_asker_that_races_with_the_last_truncation_cannot_shut_the_gate_for_good() {
        let gate = Gate::new(1_600);
        gate.set(1_590, u64::MAX);
        // The asker had loaded 1,590; the last truncation empties the journal; then the asker stores what it saw.
        gate.set(0, u64::MAX);
        gate.full.store(true, Ordering::Relaxed);
        assert_eq!(gate.admit(0, 1), Ok(()));
    }

    #[tokio::test]
    async fn poison_is_final_and_keeps_its_first_reason() {
        let gate = Gate::new(1_600);
        gate.poison(String::from("first"));
        gate.poison(String::from("second"));
        gate.set(0, u64::MAX);
        assert_eq!(gate.admit(0, 1), Err(AppendError::Poisoned));
        assert_eq!(gate.poisoned().await, "first");
    }
}
