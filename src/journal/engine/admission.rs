//! Decides whether an append is accepted: is there room, and is the journal sound?

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use crate::journal::error::AppendError;

/// A full journal accepts again once usage has fallen by this fraction of the budget: one sixteenth. Without it, acceptance
/// would flicker at the limit.
const HYSTERESIS: u64 = 16;

/// Called in the upkeep with whether there is room, in words: `Ok` while appends are accepted.
pub type RoomReport = Box<dyn Fn(Result<&str, &str>) + Send + Sync>;

/// Why appends are refused although the journal is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// The budget is used up.
    Budget,
    /// The disk has no room for the next segment.
    Disk,
}

/// Accepts or refuses appends. All state is atomic, because each append asks while it holds the queue's lock.
pub struct Admission {
    /// In bytes: configured, or what the file system can hold if that is less.
    budget: AtomicU64,
    /// Bytes that count against the budget, without those still queued.
    used: AtomicU64,
    /// Bytes for which the disk surely has room.
    room: AtomicU64,
    full: AtomicBool,
    /// An append was refused because the disk had no room for it.
    no_room: AtomicBool,
    room_report: OnceLock<RoomReport>,
    poison_reason: watch::Sender<Option<String>>,
    is_poisoned: AtomicBool,
}

impl Admission {
    /// Admission to an empty journal with this budget, in bytes.
    pub fn new(budget: u64) -> Self {
        Self {
            budget: AtomicU64::new(budget),
            used: AtomicU64::new(0),
            room: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
            no_room: AtomicBool::new(false),
            room_report: OnceLock::new(),
            poison_reason: watch::Sender::new(None),
            is_poisoned: AtomicBool::new(false),
        }
    }

    /// The budget in force, in bytes.
    pub fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    pub(in crate::journal) fn set_budget(&self, budget: u64) {
        self.budget.store(budget, Ordering::Relaxed);
    }

    /// Sets where the upkeep reports whether there is room. Only the first call counts.
    pub fn set_room_report(&self, report: RoomReport) {
        let _ = self.room_report.set(report);
    }

    pub(in crate::journal) fn room_report(&self) -> Option<&RoomReport> {
        self.room_report.get()
    }

    /// Updates the bytes in use and the bytes of room on the disk.
    pub fn set(&self, used: u64, room: u64) {
        self.used.store(used, Ordering::Relaxed);
        self.room.store(room, Ordering::Relaxed);
        if room == u64::MAX {
            self.no_room.store(false, Ordering::Relaxed);
        }
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
        if wanted > self.room.load(Ordering::Relaxed) {
            self.no_room.store(true, Ordering::Relaxed);
            return Err(AppendError::Full);
        }
        if self.is_full() {
            return Err(AppendError::Full);
        }
        let used = self.used.load(Ordering::Relaxed);
        // On a volume smaller than the configuration allows for, one record may exceed the budget. An empty journal takes it if
        // the disk has room: otherwise nothing would ever make it acceptable.
        let is_first = used == 0 && queued == 0;
        if used.saturating_add(wanted) > self.budget() && !is_first {
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

    /// Why appends are refused at present, if they are.
    pub(in crate::journal) fn shortage(&self) -> Option<Shortage> {
        // As for `is_full`, the flag alone is not enough.
        let lacks_room =
            self.no_room.load(Ordering::Relaxed) && self.room.load(Ordering::Relaxed) != u64::MAX;
        if lacks_room {
            return Some(Shortage::Disk);
        }
        self.is_full().then_some(Shortage::Budget)
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
        let budget = self.budget();
        budget - budget / HYSTERESIS
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
        assert_eq!(admission.shortage(), Some(Shortage::Disk));
        admission.set(0, u64::MAX);
        assert_eq!(admission.shortage(), None);
        assert_eq!(admission.admit(50, 51), Ok(()));
    }

    #[test]
    fn a_budget_that_shrinks_below_what_is_used_refuses_until_it_fits_again() {
        let admission = Admission::new(1_600);
        admission.set(1_000, u64::MAX);
        assert_eq!(admission.admit(0, 1), Ok(()));
        admission.set_budget(800);
        assert_eq!(admission.admit(0, 1), Err(AppendError::Full));
        assert_eq!(admission.shortage(), Some(Shortage::Budget));
        admission.set(750, u64::MAX);
        assert_eq!(admission.shortage(), None);
        assert_eq!(admission.admit(0, 50), Ok(()));
        assert_eq!(admission.admit(0, 51), Err(AppendError::Full));
    }

    #[test]
    fn an_empty_journal_takes_one_record_that_is_larger_than_the_budget() {
        let admission = Admission::new(1_600);
        assert_eq!(admission.admit(0, 1_601), Ok(()));
        assert_eq!(admission.admit(1_601, 1), Err(AppendError::Full));
        admission.set(1_601, u64::MAX);
        assert_eq!(admission.admit(0, 1), Err(AppendError::Full));
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
