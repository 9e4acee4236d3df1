//! The list of segments: what is added at one end, found out in between, and removed at the other end.

use std::ops::Range;

use super::{Head, State};
use crate::journal::format::segment::Segment;
use crate::journal::recovery::extent::Extent;

impl<F> State<F> {
    /// Adds a segment that takes records; the one before takes none any more.
    pub(in crate::journal::engine) fn push(&mut self, segment: Segment<F>) {
        self.seal();
        debug_assert!(
            self.tail() <= segment.first && segment.first < segment.end,
            "a segment is begun with a new record"
        );
        self.segments.push_back(segment);
        self.head = Head::Open;
    }

    /// The last segment takes no further records.
    pub(in crate::journal::engine) fn seal(&mut self) {
        self.head = Head::None;
        if let Some(sealed) = self.segments.back_mut() {
            sealed.file = None;
        }
    }

    /// The segment with this number.
    pub(in crate::journal::engine) fn segment(&self, sequence: u64) -> Option<&Segment<F>> {
        self.segments
            .iter()
            .find(|segment| segment.sequence == sequence)
    }

    /// The first segment that holds `position` or a later one.
    pub(in crate::journal::engine) fn segment_at(&self, position: u64) -> Option<&Segment<F>> {
        self.segments.iter().find(|segment| position < segment.end)
    }

    /// The segment before the one with this number.
    pub(in crate::journal::engine) fn before(&self, sequence: u64) -> Option<&Segment<F>> {
        let mut segments = self.segments.iter();
        segments.rfind(|segment| segment.sequence < sequence)
    }

    /// The segment after the one with this number.
    pub(in crate::journal::engine) fn after(&self, sequence: u64) -> Option<&Segment<F>> {
        let mut segments = self.segments.iter();
        segments.find(|segment| segment.sequence > sequence)
    }

    /// Replaces the bounds of an unresolved segment by what was read of it. Returns how many unpublished records more, or
    /// fewer, there are than was estimated.
    pub(in crate::journal::engine) fn resolve(&mut self, sequence: u64, extent: &Extent) -> i64 {
        let Some(index) = self
            .segments
            .iter()
            .position(|segment| segment.sequence == sequence)
        else {
            return 0;
        };
        let before = self.unpublished();
        let segment = &mut self.segments[index];
        segment.unresolved = None;
        segment.is_estimated = !extent.is_certain;
        segment.first = extent.first;
        segment.end = extent.end;
        segment.used = extent.used;
        segment.opened_ms = extent.opened_ms;
        for index in index + 1..self.segments.len() {
            let before = &self.segments[index - 1];
            self.segments[index].base = before.base + before.used;
        }
        self.settle();
        let after = self.unpublished();
        i64::try_from(after)
            .unwrap_or(i64::MAX)
            .saturating_sub_unsigned(before)
    }

    /// Moves a segment's end further on, to `end`. Returns the positions at or past the watermark that this adds.
    pub(in crate::journal::engine) fn extend(&mut self, sequence: u64, end: u64) -> Range<u64> {
        let mut segments = self.segments.iter_mut();
        let found = segments.find(|segment| segment.sequence == sequence);
        let Some(segment) = found.filter(|segment| segment.end < end) else {
            return end..end;
        };
        segment.is_estimated = false;
        let from = std::mem::replace(&mut segment.end, end);
        from.max(self.watermark).min(end)..end
    }

    /// True if the oldest segment can be removed.
    pub fn has_removable(&self) -> bool {
        self.is_removable(self.watermark)
    }

    /// True if the disk is full and removing the oldest segment would make room.
    pub(in crate::journal) fn lacks_removable_room(&self) -> bool {
        self.is_disk_full() && self.has_removable()
    }

    /// Takes out the segments that can be removed once a checkpoint at `checkpointed` is synced.
    pub(in crate::journal::engine) fn take_removable(
        &mut self,
        checkpointed: u64,
    ) -> Vec<Segment<F>> {
        debug_assert!(
            checkpointed <= self.watermark,
            "a checkpoint never runs ahead of the watermark"
        );
        let mut removable = Vec::new();
        while self.is_removable(checkpointed) {
            removable.extend(self.segments.pop_front());
        }
        removable
    }

    /// True if the oldest segment can be removed once everything before `published` is published.
    fn is_removable(&self, published: u64) -> bool {
        let Some(first) = self.segments.front() else {
            return false;
        };
        let is_head = self.head != Head::None && self.segments.len() == 1;
        // A segment that could not be read yet may show that this one held more records.
        let mut behind = self.segments.iter().skip(1);
        let is_closed = behind.next().is_none_or(|next| next.unresolved.is_none());
        !is_head && is_closed && first.end <= published
    }

    /// Checks what every method must keep.
    #[cfg(debug_assertions)]
    pub(super) fn assert_order(&self) {
        let sequences = self.segments.iter().map(|segment| segment.sequence);
        assert!(sequences.is_sorted(), "segments are in order");
        let mut segments = self.segments.iter();
        assert!(segments.all(|segment| segment.first <= segment.end));
        if self.segments.iter().all(Segment::is_certain) {
            assert!(self.tail() <= self.next, "every position was given out");
        }
    }
}
