//! What the writer, the upkeep, the reader and the truncator share: the segments, the tail, the watermark.
//!
//! Every count follows from positions and every size from offsets. No counter is kept beside them, so none can drift.

mod segments;
mod times;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::Synced;
use crate::journal::format::segment::{HEADER, Segment};

/// The state behind the journal's one lock. No method does I/O.
#[derive(Debug)]
pub struct State<F> {
    /// Oldest first.
    pub segments: VecDeque<Segment<F>>,
    pub(in crate::journal) head: Head,
    /// The file that becomes the next segment.
    pub spare: Spare<F>,
    /// The writer waits for a spare of at least this capacity, in bytes: there is none, or a smaller one, or no room.
    pub(in crate::journal) wanted: Option<u64>,
    /// The next position to be given out.
    pub next: u64,
    /// The first position that is neither published nor dead-lettered nor lost.
    pub watermark: u64,
    /// The next file's number.
    pub(super) sequence: u64,
    /// Bytes of dead letters beside the journal.
    pub dead_letter_bytes: u64,
    /// Bytes of segments that are set aside because a place in them cannot be read.
    pub set_aside_bytes: u64,
    /// Damaged ranges of positions at or past the watermark: ascending and apart.
    lost: VecDeque<Range<u64>>,
    /// Where the reader has been, at or past the watermark: ascending.
    marks: VecDeque<Mark>,
    /// (position, milliseconds since the Unix epoch): no position from here on was committed earlier.
    times: VecDeque<(u64, u64)>,
    /// (milliseconds since the Unix epoch, bytes unpublished), for the rate.
    usage: VecDeque<(u64, u64)>,
}

/// What the writer does with the last segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) enum Head {
    /// No segment takes records: the next batch begins one.
    None,
    /// The last segment takes records.
    Open,
    /// The writer is committing to the last segment, without holding the lock.
    Appending,
    /// The writer is committing the first batch of a new segment, in the spare, without holding the lock.
    Beginning,
}

/// The file that becomes the next segment.
#[derive(Debug)]
pub enum Spare<F> {
    /// To be made by the upkeep.
    Missing,
    /// Reserved and synced, its name too.
    Ready(SpareFile<F>),
    /// The disk has no room for one: appends are refused once the open segment is full.
    NoRoom,
}

/// A reserved file.
#[derive(Debug)]
pub struct SpareFile<F> {
    pub(super) sequence: u64,
    /// Bytes reserved.
    pub(super) capacity: u64,
    pub(super) file: Arc<F>,
}

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: u64,
    /// Its segment's number.
    pub(super) sequence: u64,
    /// Its offset in the segment, in bytes.
    pub(super) offset: u64,
}

impl Head {
    /// True while the writer is at work outside the lock.
    pub(super) fn is_committing(self) -> bool {
        matches!(self, Self::Appending | Self::Beginning)
    }
}

impl<F> State<F> {
    /// A recovered journal, of which the reader has read nothing yet.
    pub(in crate::journal) fn new(
        segments: VecDeque<Segment<F>>,
        next: u64,
        watermark: u64,
        sequence: u64,
    ) -> Self {
        let mut state = Self {
            times: segments
                .iter()
                .map(|segment| (segment.first, segment.opened_ms))
                .collect(),
            segments,
            head: Head::None,
            spare: Spare::Missing,
            wanted: None,
            next,
            watermark,
            sequence,
            dead_letter_bytes: 0,
            set_aside_bytes: 0,
            lost: VecDeque::new(),
            marks: VecDeque::new(),
            usage: VecDeque::new(),
        };
        state.settle();
        state
    }

    /// One past the last synced position; equals the watermark if everything is published.
    pub fn tail(&self) -> u64 {
        self.segments
            .back()
            .map_or(self.watermark, |segment| segment.end.max(self.watermark))
    }

    /// True if the disk has no room for the next segment.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.spare, Spare::NoRoom)
    }

    /// The segment that takes records, if there is one.
    pub(super) fn open_segment(&mut self) -> Option<&mut Segment<F>> {
        match self.head {
            Head::Open | Head::Appending => self.segments.back_mut(),
            Head::None | Head::Beginning => None,
        }
    }

    /// Records that are neither published nor dead-lettered nor known to be lost.
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
        debug_assert!(
            lost <= held || !self.segments.iter().all(Segment::is_certain),
            "{lost} of {held} records are lost"
        );
        held.saturating_sub(lost)
    }

    /// Bytes of all segments up to the last synced record, since the process started.
    pub(in crate::journal) fn bytes_written(&self) -> u64 {
        self.segments.back().map_or(0, |last| last.base + last.used)
    }

    /// Bytes on disk of unpublished records: exact at both ends, at most one of the reader's chunks too many in between.
    pub fn unpublished_bytes(&self) -> u64 {
        if self
            .segments
            .back()
            .is_none_or(|last| last.end <= self.watermark)
        {
            return 0;
        }
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
        // A segment that could not be read may turn out to end before a mark in it.
        self.bytes_written().saturating_sub(segment.base + from)
    }

    /// Bytes that count against the budget.
    pub fn budget_used(&self) -> u64 {
        self.unpublished_bytes() + self.dead_letter_bytes + self.set_aside_bytes
    }

    /// Bytes on disk that hold what counts against the budget, or can: dead letters and segments set aside included. What
    /// a sealed segment leaves unused, because the next record did not fit, never will.
    pub(super) fn reserved_bytes(&self) -> u64 {
        let open = self.segments.back();
        let unwritten = open.map_or(0, |open| open.capacity.saturating_sub(open.used));
        let segments = self.segments.iter().map(|segment| segment.used);
        let segments = segments.sum::<u64>() + unwritten;
        let spare = match &self.spare {
            Spare::Ready(spare) => spare.capacity,
            Spare::Missing | Spare::NoRoom => 0,
        };
        segments + spare + self.dead_letter_bytes + self.set_aside_bytes
    }

    /// Bytes that one batch can surely hold without another segment.
    pub(in crate::journal) fn room(&self, page: u64) -> u64 {
        let open = self.segments.back().filter(|_| self.head != Head::None);
        // The last record may end in the segment's last page: then there is no room for another.
        let left = open.map_or(0, |segment| {
            segment.capacity.saturating_sub(segment.next_offset(page))
        });
        let spare = match &self.spare {
            Spare::Ready(spare) => spare.capacity - HEADER,
            Spare::Missing | Spare::NoRoom => 0,
        };
        // The rest of the open segment may be too short for a record, so only the larger of the two is sure.
        left.max(spare)
    }

    /// Marks everything before `watermark` as done. A watermark never goes back.
    pub fn advance(&mut self, watermark: u64) {
        if watermark > self.watermark {
            // What is done was read, so it lies before the tail; a caller may still pass the largest position there is.
            self.watermark = watermark.min(self.tail());
            self.settle();
        }
    }

    /// Marks `positions` as lost to damage. Returns how many of them, at or past the watermark, are newly so.
    pub(super) fn lose(&mut self, positions: Range<u64>) -> u64 {
        let mut union = positions.start.max(self.watermark)..positions.end;
        if union.is_empty() {
            return 0;
        }
        // A damaged stretch that is read again may have grown. Its known part must not be counted twice.
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
        debug_assert!(
            apart
                .iter()
                .zip(apart.iter().skip(1))
                .all(|(range, next)| range.end < next.start),
            "lost ranges are ascending and apart"
        );
        self.lost = apart;
        self.settle();
        fresh
    }

    /// Remembers that a record begins here.
    pub(super) fn mark(&mut self, mark: Mark) {
        if self
            .marks
            .back()
            .is_none_or(|last| last.position < mark.position)
        {
            self.marks.push_back(mark);
        }
    }

    /// The last mark at or before `position` in the segment that holds it.
    pub(super) fn mark_before(&self, position: u64) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.position <= position);
        let mark = self.marks.get(after.checked_sub(1)?)?;
        let segment = self
            .segments
            .iter()
            .rfind(|segment| segment.first <= position)?;
        (segment.sequence == mark.sequence).then_some(*mark)
    }

    /// How far the newest segment is synced; `None` if there is none, or if nobody knows.
    pub(super) fn synced(&self) -> Option<Synced> {
        let last = self.segments.back()?;
        last.is_certain().then_some(Synced {
            sequence: last.sequence,
            first: last.first,
            end: last.end,
            used: last.used,
            closed: false,
        })
    }

    /// Moves the watermark past lost positions and gaps between segments, and forgets what lies before it.
    pub(super) fn settle(&mut self) {
        loop {
            let at = self.watermark;
            if let Some(range) = self.lost.front().filter(|range| range.start <= at) {
                self.watermark = at.max(range.end);
                self.lost.pop_front();
                continue;
            }
            // A gap between two segments holds no positions.
            match self.segment_at(at).map(|segment| segment.first) {
                Some(first) if first > at => self.watermark = first,
                _ => break,
            }
        }
        let at = self.watermark;
        // If everything is published, the next record begins at the tail. Without this mark, bytes would be counted from an
        // earlier one.
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
        #[cfg(debug_assertions)]
        self.assert_order();
    }
}
