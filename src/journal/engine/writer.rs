//! The writer's core: one buffer, one write, one sync a batch; synchronous, without a thread or a clock of its own.

use std::sync::Arc;

use super::Shared;
use crate::journal::disk::filesystem::{File as _, FileSystem};
use crate::journal::format::record::size_on_disk;
use crate::journal::format::segment::{HEADER, Header, Segment, capacity_for};

/// What one commit may hold at most, so that a long queue is answered in pieces rather than at its end.
pub const BATCH_BYTES: u64 = 8 << 20;

/// A record's two parts, in the order in which they are written.
pub trait Payload {
    /// The parts.
    fn parts(&self) -> (&[u8], &[u8]);

    /// Bytes that the record takes on disk.
    fn size(&self) -> u64 {
        let (head, body) = self.parts();
        size_on_disk(head.len() + body.len())
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The first `count` records are synced, at `first` and following; the rest is to be given again.
    Committed {
        /// The first record's position.
        first: u64,
        /// How many; at least one.
        count: usize,
    },
    /// Nothing was written: the first record needs a segment, which maintenance has been asked for.
    NeedsSegment,
    /// A write or the sync failed, now or before: none of this is or ever will be acknowledged.
    Poisoned,
}

/// Writes batches.
pub struct Writer<FS: FileSystem> {
    shared: Arc<Shared<FS>>,
    buffer: Vec<u8>,
}

/// A batch that is written and not yet synced.
pub struct Begun<F> {
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
    /// Set where the batch begins a segment.
    header: Option<Header>,
}

impl<FS: FileSystem> Writer<FS> {
    /// The only writer of this journal.
    pub fn new(shared: Arc<Shared<FS>>) -> Self {
        Self {
            shared,
            buffer: Vec::new(),
        }
    }

    /// Writes and syncs as many of `batch` (not empty) as go into one segment.
    pub fn commit<P: Payload>(&mut self, batch: &[P], now_ms: u64) -> Outcome {
        match self.begin(batch, now_ms) {
            Ok(begun) => self.finish(begun),
            Err(outcome) => outcome,
        }
    }

    /// The first half of [`Writer::commit`]: writes; nothing may be acknowledged yet.
    pub fn begin<P: Payload>(
        &mut self,
        batch: &[P],
        now_ms: u64,
    ) -> Result<Begun<FS::File>, Outcome> {
        let Some(size) = batch.first().map(Payload::size) else {
            return Err(Outcome::NeedsSegment);
        };
        if self.shared.gate.is_poisoned() {
            return Err(Outcome::Poisoned);
        }
        let Some(target) = self.target(size, now_ms) else {
            return Err(Outcome::NeedsSegment);
        };
        let count = self.encode(batch, &target);
        let used = target.offset + self.buffer.len() as u64;
        let written = target.file.write_all_at(&self.buffer, target.offset);
        self.buffer.clear();
        // What one giant record took is given back; what a full commit fills is kept, because growing it anew each time
        // costs as much as copying into it.
        if self.buffer.capacity() as u64 > BATCH_BYTES {
            self.buffer = Vec::new();
        }
        match written {
            Ok(()) => Ok(Begun {
                target,
                used,
                count,
                now_ms,
            }),
            Err(error) => Err(self.failed("write a segment", &error)),
        }
    }

    /// The second half: syncs what [`Writer::begin`] wrote, and makes it visible.
    pub fn finish(&mut self, begun: Begun<FS::File>) -> Outcome {
        let timer = self.shared.metrics.sync_timer();
        let synced = begun.target.file.sync();
        timer.observe_duration();
        if let Err(error) = synced {
            return self.failed("sync a segment", &error);
        }
        let (first, count) = (begun.target.first, begun.count);
        self.committed(begun);
        self.shared.wake_reader();
        self.shared.metrics.batch_events(count);
        if self.shared.gate.is_poisoned() {
            // By its checkpoint or its spare, meanwhile: this is on disk and will be published, but nothing is
            // acknowledged after a poison.
            return Outcome::Poisoned;
        }
        Outcome::Committed { first, count }
    }

    fn failed(&self, operation: &str, error: &std::io::Error) -> Outcome {
        self.shared.poison(operation, error);
        self.shared.lock().writing = false;
        Outcome::Poisoned
    }

    fn target(&self, size: u64, now_ms: u64) -> Option<Target<FS::File>> {
        let mut state = self.shared.lock();
        let next = state.next;
        // 0 says nothing: it lies before the first position of every segment but the very first.
        let sealed = state.segments.back();
        let previous_end = sealed.and_then(Segment::known_end).unwrap_or(0);
        let page = self.shared.page;
        if let Some(active) = state.active().filter(|active| active.fits(page, size))
            && let Some(file) = active.file.clone()
        {
            let target = Target {
                file,
                offset: active.next_offset(page),
                capacity: active.capacity,
                first: next,
                header: None,
            };
            state.writing = true;
            return Some(target);
        }
        let capacity = capacity_for(size, self.shared.segment_size);
        let Some(spare) = state
            .spare
            .as_ref()
            .filter(|spare| spare.capacity >= HEADER + size)
        else {
            state.wanted = Some(capacity);
            self.shared.work.notify_all();
            return None;
        };
        let target = Target {
            file: spare.file.clone(),
            offset: 0,
            capacity: spare.capacity,
            first: next,
            header: Some(Header {
                journal_id: self.shared.journal_id,
                sequence: spare.sequence,
                first: next,
                previous_end,
                opened_ms: now_ms,
            }),
        };
        state.writing = true;
        Some(target)
    }

    /// Fills the buffer; returns how many records went in.
    fn encode<P: Payload>(&mut self, batch: &[P], target: &Target<FS::File>) -> usize {
        let wanted = HEADER + batch.iter().map(Payload::size).sum::<u64>();
        let wanted = wanted.min(BATCH_BYTES).min(target.capacity - target.offset);
        // Once and exactly: grown by doubling, it would end above what is kept.
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
            self.shared
                .codec
                .encode(position, head, body, &mut self.buffer);
        }
        batch.len()
    }

    fn committed(&self, begun: Begun<FS::File>) {
        let Begun {
            target,
            used,
            count,
            now_ms,
        } = begun;
        let mut state = self.shared.lock();
        let end = target.first + count as u64;
        if let Some(header) = target.header {
            let base = state
                .segments
                .back()
                .map_or(0, |last| last.base + last.used);
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
            state.spare = None;
            state.wanted = None;
            self.shared.work.notify_all();
        } else if let Some(active) = state.active() {
            active.end = end;
            active.used = used;
        }
        state.next = end;
        state.writing = false;
        state.note(target.first, now_ms);
        // With nothing else held, a watermark short of a gap moves up to the new segment.
        state.settle();
        self.shared.publish_room(&state);
    }
}
