//! Commits batches: one buffer, one write, one sync. Synchronous, without a thread or a clock of its own.

use std::sync::Arc;

use super::Engine;
use super::state::{Head, Spare};
use crate::journal::disk::filesystem::{File as _, FileSystem};
use crate::journal::format::record::{ALIGNMENT, size_on_disk};
use crate::journal::format::segment::{HEADER, Header, Segment, capacity_for};

/// The most that one commit writes, in bytes, so that a long queue is answered in several batches. A larger record is a
/// batch of its own.
pub const BATCH_BYTES: u64 = 8 << 20;

/// A record's payload, in two parts.
pub trait Payload {
    /// The two parts in the order in which they are written.
    fn parts(&self) -> (&[u8], &[u8]);

    /// Bytes that the record takes on disk.
    fn size(&self) -> u64 {
        let (head, body) = self.parts();
        size_on_disk(head.len() + body.len())
    }
}

/// The result of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitResult {
    /// The first `count` records are synced, at position `first` and following. The rest is still to be committed.
    Committed {
        /// The first record's position.
        first: u64,
        /// At least one.
        count: usize,
    },
    /// Nothing was written: the first record needs a segment, for which the writer has asked the upkeep.
    NeedsSegment,
    /// A write or sync failed, now or earlier: none of these records is or ever will be acknowledged.
    Poisoned,
}

/// Writes batches. A journal has one.
pub struct Writer<FS: FileSystem> {
    engine: Arc<Engine<FS>>,
    buffer: Vec<u8>,
}

/// A batch that is written and not yet synced.
pub struct Unsynced<F> {
    target: Target<F>,
    used: u64,
    count: usize,
    now_ms: u64,
}

/// Where a batch goes.
struct Target<F> {
    file: Arc<F>,
    offset: u64,
    capacity: u64,
    first: u64,
    /// Set if the batch begins a segment.
    header: Option<Header>,
}

impl<FS: FileSystem> Writer<FS> {
    /// The writer of this journal.
    pub fn new(engine: Arc<Engine<FS>>) -> Self {
        Self {
            engine,
            buffer: Vec::new(),
        }
    }

    /// Writes and syncs as many records of `batch`, which is not empty, as fit into one segment.
    pub fn commit<P: Payload>(&mut self, batch: &[P], now_ms: u64) -> CommitResult {
        match self.write(batch, now_ms) {
            Ok(unsynced) => self.sync(unsynced),
            Err(result) => result,
        }
    }

    /// Writes a batch. Nothing of it may be acknowledged before [`Writer::sync`].
    pub fn write<P: Payload>(
        &mut self,
        batch: &[P],
        now_ms: u64,
    ) -> Result<Unsynced<FS::File>, CommitResult> {
        let Some(size) = batch.first().map(Payload::size) else {
            return Err(CommitResult::NeedsSegment);
        };
        if self.engine.admission.is_poisoned() {
            return Err(CommitResult::Poisoned);
        }
        let Some(target) = self.target(size, now_ms) else {
            return Err(CommitResult::NeedsSegment);
        };
        let count = self.encode(batch, &target);
        let used = target.offset + self.buffer.len() as u64;
        debug_assert!(count > 0, "an empty batch is no commit");
        debug_assert!(
            used <= target.capacity,
            "the batch is larger than its segment"
        );
        debug_assert!(
            target.offset.is_multiple_of(self.engine.page),
            "a torn write could spoil records that were synced before"
        );
        let written = target.file.write_all_at(&self.buffer, target.offset);
        self.buffer.clear();
        // A buffer that one giant record has grown is freed. A full batch's is kept: allocating it again for each batch
        // costs as much as copying into it.
        if self.buffer.capacity() as u64 > BATCH_BYTES {
            self.buffer = Vec::new();
        }
        match written {
            Ok(()) => Ok(Unsynced {
                target,
                used,
                count,
                now_ms,
            }),
            Err(error) => Err(self.failed("write a segment", &error)),
        }
    }

    /// Syncs what [`Writer::write`] has written, and makes it visible to the reader.
    pub fn sync(&mut self, unsynced: Unsynced<FS::File>) -> CommitResult {
        let timer = self.engine.metrics.sync_timer();
        let synced = unsynced.target.file.sync();
        timer.observe_duration();
        if let Err(error) = synced {
            return self.failed("sync a segment", &error);
        }
        let (first, count) = (unsynced.target.first, unsynced.count);
        self.committed(unsynced);
        self.engine.wake_reader();
        self.engine.metrics.batch_events(count);
        if self.engine.admission.is_poisoned() {
            // The upkeep has poisoned the journal meanwhile. The batch is on disk and will be published, but a poisoned
            // journal acknowledges nothing.
            return CommitResult::Poisoned;
        }
        CommitResult::Committed { first, count }
    }

    fn failed(&self, operation: &str, error: &std::io::Error) -> CommitResult {
        // The head stays as it is: the upkeep must not remove a segment of which nobody knows what it holds.
        self.engine.poison(operation, error);
        CommitResult::Poisoned
    }

    /// Where a batch goes whose first record takes `size` bytes; `None` if it needs a segment that is not there yet.
    fn target(&self, size: u64, now_ms: u64) -> Option<Target<FS::File>> {
        let mut state = self.engine.lock();
        debug_assert!(!state.head.is_committing(), "a journal has one writer");
        let next = state.next;
        // 0 means unknown: it lies before the first position of every segment except the very first.
        let last = state.segments.back();
        let previous_end = last.and_then(Segment::known_end).unwrap_or(0);
        let page = self.engine.page;
        if let Some(open) = state.open_segment().filter(|open| open.fits(page, size))
            && let Some(file) = open.file.clone()
        {
            let target = Target {
                file,
                offset: open.next_offset(page),
                capacity: open.capacity,
                first: next,
                header: None,
            };
            state.head = Head::Appending;
            return Some(target);
        }
        let spare = match &state.spare {
            Spare::Ready(spare) if spare.capacity >= HEADER + size => spare,
            _ => {
                state.wanted = Some(capacity_for(size, self.engine.segment_size));
                self.engine.work.notify_all();
                return None;
            }
        };
        let target = Target {
            file: spare.file.clone(),
            offset: 0,
            capacity: spare.capacity,
            first: next,
            header: Some(Header {
                journal_id: self.engine.journal_id,
                sequence: spare.sequence,
                first: next,
                previous_end,
                opened_ms: now_ms,
            }),
        };
        state.head = Head::Beginning;
        Some(target)
    }

    /// Fills the buffer; returns how many records went in.
    fn encode<P: Payload>(&mut self, batch: &[P], target: &Target<FS::File>) -> usize {
        let wanted = HEADER + batch.iter().map(Payload::size).sum::<u64>();
        let wanted = wanted.min(BATCH_BYTES).min(target.capacity - target.offset);
        // Reserved once and exactly: a buffer that grows by doubling would end larger than what is kept.
        self.buffer
            .reserve_exact(usize::try_from(wanted).unwrap_or_default());
        if let Some(header) = &target.header {
            self.buffer.extend_from_slice(&header.encode());
        }
        for ((count, record), position) in batch.iter().enumerate().zip(target.first..) {
            let after = self.buffer.len() as u64 + record.size();
            let fits = target.offset + after <= target.capacity && after <= BATCH_BYTES;
            if count > 0 && !fits {
                return count;
            }
            let (head, body) = record.parts();
            self.engine
                .codec
                .encode(position, head, body, &mut self.buffer);
            debug_assert_eq!(self.buffer.len() as u64, after, "a record's size is wrong");
            debug_assert!(after.is_multiple_of(ALIGNMENT));
        }
        batch.len()
    }

    fn committed(&self, unsynced: Unsynced<FS::File>) {
        let Unsynced {
            target,
            used,
            count,
            now_ms,
        } = unsynced;
        let mut state = self.engine.lock();
        debug_assert_eq!(
            state.next, target.first,
            "another writer gave out positions"
        );
        let end = target.first + count as u64;
        if let Some(header) = target.header {
            debug_assert_eq!(state.head, Head::Beginning);
            let base = state.bytes_written();
            state.push(Segment {
                sequence: header.sequence,
                first: header.first,
                end,
                used,
                capacity: target.capacity,
                base,
                opened_ms: header.opened_ms,
                file: Some(target.file),
                unresolved: None,
                is_estimated: false,
            });
            state.spare = Spare::Missing;
            state.wanted = None;
            self.engine.work.notify_all();
        } else {
            debug_assert_eq!(state.head, Head::Appending);
            state.head = Head::Open;
            if let Some(open) = state.open_segment() {
                debug_assert!(open.used < used && open.end < end, "a commit adds records");
                open.end = end;
                open.used = used;
            }
        }
        state.next = end;
        state.note(target.first, now_ms);
        // If the journal was empty, the watermark stands before a gap and moves up to the new segment.
        state.settle();
        self.engine.publish_room(&state);
    }
}
