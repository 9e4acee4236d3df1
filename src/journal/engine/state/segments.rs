//! The segments' own extents: what the reader finds out of those that the start could not read, and which are done with.

use std::ops::Range;

use super::State;
use crate::journal::format::segment::Segment;
use crate::journal::recovery::extent::Extent;

impl<F> State<F> {
    /// What an unresolved segment holds is known now; by how much that is more, or less, than was estimated.
    pub fn resolve(&mut self, sequence: u64, extent: &Extent) -> i64 {
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

    /// The segment with this number ended further on than was known; the positions at or past the watermark that were not known
    /// of.
    pub fn extend(&mut self, sequence: u64, end: u64) -> Range<u64> {
        let mut segments = self.segments.iter_mut();
        let found = segments.find(|segment| segment.sequence == sequence);
        let Some(segment) = found.filter(|segment| segment.end < end) else {
            return end..end;
        };
        segment.is_estimated = false;
        let from = std::mem::replace(&mut segment.end, end);
        from.max(self.watermark).min(end)..end
    }

    /// The segment before the one with this number.
    pub fn before(&self, sequence: u64) -> Option<&Segment<F>> {
        let mut segments = self.segments.iter();
        segments.rfind(|segment| segment.sequence < sequence)
    }

    /// The segment behind the one with this number.
    pub fn after(&self, sequence: u64) -> Option<&Segment<F>> {
        let mut segments = self.segments.iter();
        segments.find(|segment| segment.sequence > sequence)
    }

    /// True if the oldest segment can be removed.
    pub fn has_removable(&self) -> bool {
        self.is_removable(self.watermark)
    }

    /// True if the disk is full and removing the oldest segment would make room.
    pub fn lacks_removable_room(&self) -> bool {
        self.disk_full && self.has_removable()
    }

    /// Takes out the segments that can be removed once a checkpoint at `checkpointed` is synced.
    pub fn removable(&mut self, checkpointed: u64) -> Vec<Segment<F>> {
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
        let is_active = self.active && self.segments.len() == 1;
        // One that could not be read yet may tell that there was more in this one.
        let mut behind = self.segments.iter().skip(1);
        let is_closed = behind.next().is_none_or(|next| next.unresolved.is_none());
        !is_active && is_closed && first.end <= published
    }
}
