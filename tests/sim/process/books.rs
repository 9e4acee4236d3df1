//! What a process reports to the ledger: its losses, and how far its checkpoint lags.

use ringback::journal::format::segment::{Header, name};
use ringback::journal::recovery::POSITION_STRIDE;

use super::{PACE, Process};
use crate::ledger::{Ledger, LossReport, Seam};
use crate::lies::{self, Lie};
use crate::losses;
use crate::world::Surroundings;

impl Surroundings {
    /// A checkpoint records that everything before this was synced.
    pub fn note_synced(&mut self, upto: (usize, u64)) {
        self.synced = std::mem::replace(&mut self.synced_next, upto);
    }

    /// The process knows that a checkpoint is synced. It may have removed what that one covers, even if it dies before the
    /// end of its step.
    pub fn note_checkpointed(&mut self, upto: (usize, u64)) {
        self.furthest = self.furthest.max(upto);
        if self.disk.lock().dead.is_none() {
            self.checkpointed = upto;
        }
    }
}

impl Process {
    pub fn checkpointed(&self) -> u64 {
        self.upkeep.checkpointed()
    }

    pub fn journal(&self) -> usize {
        self.journal
    }

    /// Passes the losses that the journal has logged since the last call to the ledger.
    pub(super) fn note_losses(&mut self, around: &Surroundings) {
        for loss in losses::take() {
            around.ledger.borrow_mut().lost(self.journal, loss);
            self.losses.push(loss);
        }
        // A segment beside the gap could not be read at the start.
        let missing = losses::take_missing();
        if missing > 0 {
            self.missing += missing;
            let now = (self.journal, self.engine.lock().watermark);
            around
                .ledger
                .borrow_mut()
                .missing(missing, now, around.checkpointed);
        }
    }

    /// Lets the ledger compare the losses that the journal has counted with those that it has logged.
    pub fn report_losses(&self, around: &Surroundings) {
        let report = LossReport {
            counted: self.counted(),
            missing: self.recovery.missing_events + self.missing,
            losses: self.losses.clone(),
        };
        around.ledger.borrow_mut().check_losses(&report);
    }

    /// Records that its metrics count: damaged, and passed over because they could not be read.
    fn counted(&self) -> [u64; 2] {
        let families = self.registry.gather();
        let counter = |name: &str| {
            let family = families.iter().find(|family| family.name() == name);
            family.map_or(0, |family| {
                family.get_metric()[0].get_counter().get_value() as u64
            })
        };
        let [corrupt, unreadable] = [
            "journal_corrupt_records_total",
            "journal_unreadable_records_total",
        ]
        .map(counter);
        let damaged = || self.losses.iter().filter(|loss| !loss.unread);
        let counts = || damaged().map(|loss| loss.count);
        let hidden: u64 = if lies::is_on(Lie::OneOfManyCounted) {
            counts().map(|count| count - 1).sum()
        } else if lies::is_on(Lie::FirstDamageCounted) {
            counts().skip(1).sum()
        } else {
            0
        };
        [corrupt - hidden, unreadable]
    }

    /// True if a power cut has lost the header of a first write and left one of its records. If that record rots as well,
    /// only the file's length shows how many records there were.
    pub fn has_headless_segment(&self) -> bool {
        let state = self.engine.lock();
        let disk = self.engine.fs.lock();
        let mut names = state.segments.iter().map(|segment| name(segment.sequence));
        names.any(|name| Header::decode(disk.bytes(&name)).is_err())
    }

    /// Each segment that begins an open's stride behind the one before and whose header is damaged, or was written while it
    /// was unknown where the one before had ended.
    pub fn seams(&self, ledger: &Ledger) -> Vec<Seam> {
        let state = self.engine.lock();
        let disk = self.engine.fs.lock();
        let names = state.segments.iter().map(|segment| name(segment.sequence));
        let names: Vec<_> = names.collect();
        let written = |at: usize| disk.header_written(names.get(at)?);
        let seam = |at: usize| {
            let (before, header) = (written(at - 1)?, written(at)?);
            let is_damaged = Header::decode(disk.bytes(&names[at])).is_err();
            let known = Some(header.previous_end).filter(|end| *end > 0);
            let last = || ledger.last_before((self.journal, header.first));
            let before_end = known.or_else(|| Some(last()? + 1))?;
            let next = written(at + 1).map(|next| next.previous_end);
            let end = next.filter(|end| *end > 0).unwrap_or(u64::MAX);
            let is_seam =
                header.first >= before_end + POSITION_STRIDE && (is_damaged || known.is_none());
            is_seam.then_some(Seam {
                before: before.first..before_end,
                behind: header.first..if is_damaged { end } else { header.first },
            })
        };
        (1..names.len()).filter_map(seam).collect()
    }

    /// A commit must wake the publisher at once: otherwise its records wait until something else wakes it.
    pub(super) fn check_wake(&mut self, around: &Surroundings, rung: bool) {
        let next = self.engine.lock().next;
        if next > self.seen_next && !rung {
            let words = format!("{next} was committed and the publisher was not woken");
            around.ledger.borrow_mut().violate(words);
        }
        self.seen_next = next;
    }

    /// Senders are promised no more room than the disk has, without the three segments that the journal needs beside.
    pub(super) fn check_budget(&self, around: &Surroundings) {
        let disk = around.disk.lock();
        let Some(capacity) = disk.capacity.filter(|_| disk.dead.is_none()) else {
            return;
        };
        let segment = around.setup.journal.segment_size.as_u64();
        // Dead letters are not on the simulated disk. The journal goes by those that it has counted.
        let holds = capacity.max(disk.used()) + self.engine.lock().dead_letter_bytes;
        let overhead = if holds < 7 * segment { 0 } else { 3 * segment };
        let budget = self.engine.admission.budget();
        if budget > holds - overhead && !self.engine.admission.is_poisoned() {
            let words = format!("the budget is {budget}, and the disk holds {holds}");
            around.ledger.borrow_mut().violate(words);
        }
    }

    /// A checkpoint must soon cover what has been published: until then, a crash duplicates it.
    pub(super) fn check_age(&mut self, around: &Surroundings) {
        let now = around.clock.now();
        let watermark = self.engine.lock().watermark;
        let checkpointed = self.upkeep.checkpointed();
        if self.was_poisoned() || watermark == checkpointed {
            self.unsaved = None;
            return;
        }
        // What the publisher adds while a checkpoint is being written is for the next one.
        self.unsaved = self.unsaved.filter(|(upto, _)| *upto > checkpointed);
        let (_, since) = *self.unsaved.get_or_insert((watermark, now));
        let age = now - since;
        if age > 2 * PACE + around.slow_sync {
            let words = format!("{watermark} has not been in a checkpoint for {age} µs");
            around.ledger.borrow_mut().violate(words);
        }
    }
}
