//! What writer, maintenance, reader and truncator know in common: the segments, the tail, the watermark.
//!
//! Every count is derived from positions and every size from offsets; nothing is counted a second time beside them, so
//! nothing can drift apart.

mod segments;
mod times;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::Synced;
use crate::journal::format::segment::{HEADER, Segment};

/// The state behind the journal's one lock; no method does I/O.
#[derive(Debug)]
pub struct State<F> {
    /// Oldest first; the last may be the active one.
    pub segments: VecDeque<Segment<F>>,
    /// The last segment takes further records.
    pub active: bool,
    /// The writer is in the middle of a commit to the active segment, outside the lock.
    pub writing: bool,
    /// Reserved and synced, name and all, waiting to become active.
    pub spare: Option<Spare<F>>,
    /// A record waits for a segment of at least this capacity.
    pub wanted: Option<u64>,
    /// The next position to be given out.
    pub next: u64,
    /// The first position that is neither in Kafka nor set aside.
    pub watermark: u64,
    /// The next file's number.
    pub sequence: u64,
    /// No room for a spare: appends are refused once the active segment is full.
    pub disk_full: bool,
    /// Bytes of dead letters beside the journal.
    pub dead_letter_bytes: u64,
    /// Bytes of segments that are set aside because a place in them cannot be read.
    pub set_aside_bytes: u64,
    /// Damaged ranges of positions at or past the watermark, oldest first.
    lost: VecDeque<Range<u64>>,
    /// Where the reader has been, at or past the watermark, oldest first.
    marks: VecDeque<Mark>,
    /// (position, milliseconds): no position from here on was committed earlier.
    times: VecDeque<(u64, u64)>,
    /// (milliseconds, bytes unpublished), for the rate.
    usage: VecDeque<(u64, u64)>,
}

/// A prepared file.
#[derive(Debug)]
pub struct Spare<F> {
    /// The file's number.
    pub sequence: u64,
    /// Bytes reserved.
    pub capacity: u64,
    /// The open file.
    pub file: Arc<F>,
}

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The record's position.
    pub position: u64,
    /// Its segment's number.
    pub sequence: u64,
    /// Its offset in the segment, in bytes.
    pub offset: u64,
}

impl<F> State<F> {
    /// A journal in which nothing is yet known to be read.
    pub fn new(segments: VecDeque<Segment<F>>, next: u64, watermark: u64, sequence: u64) -> Self {
        let mut state = Self {
            times: segments
                .iter()
                .map(|segment| (segment.first, segment.opened_ms))
                .collect(),
            segments,
            active: false,
            writing: false,
            spare: None,
            wanted: None,
            next,
            watermark,
            sequence,
            disk_full: false,
            dead_letter_bytes: 0,
            set_aside_bytes: 0,
            lost: VecDeque::new(),
            marks: VecDeque::new(),
            usage: VecDeque::new(),
        };
        state.settle();
        state
    }

    /// One past the last synced position; equals the watermark when everything is published.
    pub fn tail(&self) -> u64 {
        self.segments
            .back()
            .map_or(self.watermark, |segment| segment.end.max(self.watermark))
    }

    /// The segment that takes records, if there is one.
    pub fn active(&mut self) -> Option<&mut Segment<F>> {
        if self.active {
            self.segments.back_mut()
        } else {
            None
        }
    }

    /// Records that are neither in Kafka, nor set aside, nor known to be damaged.
    pub fn unpublished(&self) -> u64 {
        let held: u64 = self
            .segments
            .iter()
            .map(|segment| segment.unpublished(self.watermark))
            .sum();
        let lost: u64 = self
            .lost
            .iter()
            .map(|range| range.end.saturating_sub(range.start.max(self.watermark)))
            .sum();
        held.saturating_sub(lost)
    }

    /// Bytes on disk of unpublished records: exact at both ends, up to one of the reader's chunks too many between.
    pub fn unpublished_bytes(&self) -> u64 {
        let Some(last) = self
            .segments
            .back()
            .filter(|last| self.watermark < last.end)
        else {
            return 0;
        };
        let tail = last.base + last.used;
        let before = self
            .segments
            .iter()
            .rfind(|segment| segment.first <= self.watermark);
        let Some(segment) = before.or(self.segments.front()) else {
            return 0;
        };
        let mark = self
            .marks
            .front()
            .filter(|mark| mark.position <= self.watermark && mark.sequence == segment.sequence);
        let from = if segment.end <= self.watermark {
            segment.used
        } else {
            mark.map_or(HEADER, |mark| mark.offset)
        };
        tail.saturating_sub(segment.base + from)
    }

    /// What counts against the budget, in bytes.
    pub fn budget_used(&self) -> u64 {
        self.unpublished_bytes() + self.dead_letter_bytes + self.set_aside_bytes
    }

    /// Bytes that could still be written in one batch without another segment's being made.
    pub fn room(&self, page: u64) -> u64 {
        let active = self.segments.back().filter(|_| self.active);
        let left = active.map_or(0, |segment| {
            segment.capacity.saturating_sub(segment.next_offset(page))
        });
        let spare = self
            .spare
            .as_ref()
            .map_or(0, |spare| spare.capacity - HEADER);
        // The end of a segment may be too short for a record, so only the larger of the two is sure.
        left.max(spare)
    }

    /// Everything before `watermark` is done; going back has no effect.
    pub fn advance(&mut self, watermark: u64) {
        if watermark > self.watermark {
            self.watermark = watermark.min(self.tail());
            self.settle();
        }
    }

    /// The reader found `positions` damaged; how many of them, at or past the watermark, were not known to be.
    pub fn lose(&mut self, positions: Range<u64>) -> u64 {
        let mut union = positions.start.max(self.watermark)..positions.end;
        if union.is_empty() {
            return 0;
        }
        // Read again, a damaged stretch may have grown: what was counted before is not counted twice.
        let mut known = 0;
        let mut apart = VecDeque::with_capacity(self.lost.len() + 1);
        for range in self.lost.drain(..) {
            if range.end < union.start || union.end < range.start {
                apart.push_back(range);
            } else {
                known += range.end - range.start.max(self.watermark).min(range.end);
                union = union.start.min(range.start)..union.end.max(range.end);
            }
        }
        let fresh = union.end - union.start.max(self.watermark) - known;
        let at = apart.partition_point(|range| range.start < union.start);
        apart.insert(at, union);
        self.lost = apart;
        self.settle();
        fresh
    }

    /// The reader is at the start of a record.
    pub fn mark(&mut self, mark: Mark) {
        if self
            .marks
            .back()
            .is_none_or(|last| last.position < mark.position)
        {
            self.marks.push_back(mark);
        }
    }

    /// The last known place at or before `position` in its own segment.
    pub fn mark_before(&self, position: u64) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.position <= position);
        let mark = self.marks.get(after.checked_sub(1)?)?;
        let segment = self
            .segments
            .iter()
            .rfind(|segment| segment.first <= position)?;
        (segment.sequence == mark.sequence).then_some(*mark)
    }

    /// The journal has a segment more, which takes records; the one before is done with.
    pub fn push(&mut self, segment: Segment<F>) {
        self.seal();
        self.segments.push_back(segment);
        self.active = true;
    }

    /// The last segment takes no further records.
    pub fn seal(&mut self) {
        self.active = false;
        if let Some(sealed) = self.segments.back_mut() {
            sealed.file = None;
        }
    }

    /// How far the newest segment is synced; `None` if there is none, or it is not known.
    pub fn synced(&self) -> Option<Synced> {
        let last = self.segments.back()?;
        last.is_certain().then_some(Synced {
            sequence: last.sequence,
            first: last.first,
            end: last.end,
            used: last.used,
            closed: false,
        })
    }

    /// The segment with this number.
    pub fn segment(&self, sequence: u64) -> Option<&Segment<F>> {
        self.segments
            .iter()
            .find(|segment| segment.sequence == sequence)
    }

    /// The first segment that holds `position` or something after it.
    pub fn segment_at(&self, position: u64) -> Option<&Segment<F>> {
        self.segments.iter().find(|segment| position < segment.end)
    }

    /// Moves the watermark over what needs no publishing, and forgets what lies behind it.
    pub(crate) fn settle(&mut self) {
        loop {
            let at = self.watermark;
            if let Some(range) = self.lost.front().filter(|range| range.start <= at) {
                self.watermark = at.max(range.end);
                self.lost.pop_front();
                continue;
            }
            // A gap between two segments holds no positions.
            let next = self
                .segments
                .iter()
                .find(|segment| at < segment.end)
                .map(|segment| segment.first);
            match next {
                Some(first) if first > at => self.watermark = first,
                _ => break,
            }
        }
        let at = self.watermark;
        // What comes next is all that counts: without this, what came before it in the reader's chunk would again.
        let last = self.segments.back().filter(|last| last.end == at);
        let tail = last.map(|last| Mark {
            position: at,
            sequence: last.sequence,
            offset: last.used,
        });
        if let Some(tail) = tail {
            self.mark(tail);
        }
        while self.marks.get(1).is_some_and(|mark| mark.position <= at) {
            self.marks.pop_front();
        }
        while self
            .times
            .get(1)
            .is_some_and(|(position, _)| *position <= at)
        {
            self.times.pop_front();
        }
    }
}
