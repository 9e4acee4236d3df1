//! Decides whether an append is accepted: is there room, and is the journal sound?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use crate::journal::error::AppendError;

/// A full journal accepts again once usage has fallen by this fraction of the budget: one sixteenth. Without it, acceptance
/// would flicker at the limit.
const HYSTERESIS: u64 = 16;

/// Accepts or refuses appends. All state is atomic, because each append asks while it holds the queue's lock.
#[derive(Debug)]
pub struct Admission {
    /// In bytes.
    budget: u64,
    /// Bytes that count against the budget, without those still queued.
    used: AtomicU64,
    /// Bytes for which the disk surely has room.
    room: AtomicU64,
    full: AtomicBool,
    poison_reason: watch::Sender<Option<String>>,
    is_poisoned: AtomicBool,
}

impl Admission {
    /// Admission to an empty journal with this budget, in bytes.
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            used: AtomicU64::new(0),
            room: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
            poison_reason: watch::Sender::new(None),
            is_poisoned: AtomicBool::new(false),
        }
    }

    pub(in crate::journal) fn budget(&self) -> u64 {
        self.budget
    }

    /// Updates the bytes in use and the bytes of room on the disk.
    pub fn set(&self, used: u64, room: u64) {
        self.used.store(used, Ordering::Relaxed);
        self.room.store(room, Ordering::Relaxed);
        if used <= self.low_mark() {
            self.full.store(false, Ordering::Relaxed);
        }
    }

    /// Accepts or refuses a record that takes `size` bytes on disk, behind `queued` bytes that are not yet written.
    pub fn admit(&self, queued: u64, size: u64) -> Result<(), AppendError> {
        if self.is_poisoned() {
            return Err(AppendError::Poisoned);
        }
        let wanted = queued.saturating_add(size);
        if wanted > self.room.load(Ordering::Relaxed) || self.is_full() {
            return Err(AppendError::Full);
        }
        let used = self.used.load(Ordering::Relaxed);
        if used.saturating_add(wanted) > self.budget {
            // Below the low mark only queued bytes exceed the budget: they pass, so the journal does not count as full.
            self.full.store(used > self.low_mark(), Ordering::Relaxed);
            return Err(AppendError::Full);
        }
        Ok(())
    }

    /// True while appends are refused for the budget.
    ///
    /// The flag alone is not enough: `admit` may set it from a figure that `set` has just replaced, and on an empty journal
    /// nothing would ever call `set` again.
    pub(in crate::journal) fn is_full(&self) -> bool {
        let above = self.used.load(Ordering::Relaxed) > self.low_mark();
        self.full.load(Ordering::Relaxed) && above
    }

    /// Refuses everything from now on. Only the first reason is kept.
    pub(in crate::journal) fn poison(&self, reason: String) {
        self.is_poisoned.store(true, Ordering::Release);
        self.poison_reason.send_if_modified(|kept| {
            let first = kept.is_none();
            if first {
                *kept = Some(reason);
            }
            first
        });
    }

    /// True after the first failed write or sync.
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned.load(Ordering::Acquire)
    }

    /// The reason of the first failure, if the journal is poisoned.
    pub(in crate::journal) fn poison_reason(&self) -> Option<String> {
        self.poison_reason.borrow().clone()
    }

    /// Resolves with the reason when the journal is poisoned.
    pub(in crate::journal) async fn poisoned(&self) -> String {
        let mut receiver = self.poison_reason.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // Impossible: the sender is `self`, which outlives this wait.
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
        let admission = Admission::new(1_600);
        admission.set(1_590, u64::MAX);
        assert_eq!(admission.admit(0, 10), Ok(()));
        assert_eq!(admission.admit(0, 11), Err(AppendError::Full));
        assert_eq!(admission.admit(0, 1), Err(AppendError::Full), "no flicker");
        admission.set(1_501, u64::MAX);
        assert_eq!(admission.admit(0, 1), Err(AppendError::Full));
        admission.set(1_500, u64::MAX);
        assert_eq!(admission.admit(0, 1), Ok(()));
    }

    #[test]
    fn queued_bytes_count_but_never_shut_admission_for_good() {
        let admission = Admission::new(1_600);
        assert_eq!(admission.admit(1_600, 1), Err(AppendError::Full));
        assert_eq!(admission.admit(0, 1), Ok(()));
    }

    #[test]
    fn a_full_disk_refuses_what_has_no_room() {
        let admission = Admission::new(1_600);
        admission.set(0, 100);
        assert_eq!(admission.admit(50, 50), Ok(()));
        assert_eq!(admission.admit(50, 51), Err(AppendError::Full));
        admission.set(0, u64::MAX);
        assert_eq!(admission.admit(50, 51), Ok(()));
    }

    #[test]
    fn an_append_that_races_with_the_last_truncation_cannot_shut_admission_for_good() {
        let admission = Admission::new(1_600);
        admission.set(1_590, u64::MAX);
        // The append has loaded 1,590; the last truncation empties the journal; then the append stores what it saw.
        admission.set(0, u64::MAX);
        admission.full.store(true, Ordering::Relaxed);
        assert_eq!(admission.admit(0, 1), Ok(()));
    }

    #[tokio::test]
    async fn poison_is_final_and_keeps_its_first_reason() {
        let admission = Admission::new(1_600);
        admission.poison(String::from("first"));
        admission.poison(String::from("second"));
        admission.set(0, u64::MAX);
        assert_eq!(admission.admit(0, 1), Err(AppendError::Poisoned));
        assert_eq!(admission.poisoned().await, "first");
    }
}
