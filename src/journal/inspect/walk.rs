//! Walks through all segments, past damage, while a writer may be at work on the last one.

use std::ops::Range;

use bytes::Bytes;

use super::segment_walk::{SegmentWalk, failed};
use super::{Content, SegmentFile};
use crate::journal::disk::filesystem::File;
use crate::journal::engine::checkpoint::{Checkpoint, Synced};
use crate::journal::error::ReadError;
use crate::journal::format::record::Codec;
use crate::journal::format::segment::HEADER;
use crate::journal::recovery::POSITION_STRIDE;
use crate::journal::recovery::bounds;

/// An intact record and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Its position.
    pub position: u64,
    /// What was appended: head, then body.
    pub payload: Bytes,
    /// Its segment's number.
    pub sequence: u64,
    /// The bytes that it takes in the segment.
    pub bytes: Range<u64>,
}

/// Bytes that should be records and are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub sequence: u64,
    /// Where in the segment; empty if the records are gone without a trace.
    pub bytes: Range<u64>,
    /// The positions that are lost; none if only the header is damaged.
    pub positions: Range<u64>,
}

/// What the walk finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An intact record.
    Record(Located),
    /// Damage, which the walk passes over.
    Damage(Damage),
    /// Bytes that the disk cannot read, which the walk passes over. They need not be damaged.
    Unreadable {
        /// The segment's number.
        sequence: u64,
        /// From the previous intact record to the next one, or to the last unreadable byte.
        bytes: Range<u64>,
        /// The positions that lie there; none if nobody knows whether records do.
        positions: Range<u64>,
        /// The operating system's error.
        reason: String,
    },
    /// Bytes after the last record: a torn write, or one that is in progress.
    Tail {
        /// The segment's number.
        sequence: u64,
        /// Where in the segment.
        bytes: Range<u64>,
    },
}

/// An iterator over [`Item`]s. After an error it continues with the next segment.
#[derive(Debug)]
pub struct Walk<'a, F> {
    codec: Codec,
    segments: &'a [SegmentFile<F>],
    /// How far the newest segment was synced, from the checkpoint.
    synced: Option<Synced>,
    /// The first position of the latest open, from the checkpoint.
    open_start: u64,
    /// The next segment to enter.
    next: usize,
    from: u64,
    /// One past the last position so far.
    reached: u64,
    current: Option<SegmentWalk<'a, F>>,
}

impl<F: File> Iterator for Walk<'_, F> {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.current.is_none() {
                match self.enter()? {
                    Ok(None) => {}
                    Ok(Some(damage)) if self.is_removed(&damage) => {
                        self.current = None;
                        continue;
                    }
                    Ok(Some(damage)) => return Some(Ok(damage)),
                    Err(error) => return Some(Err(error)),
                }
            }
            match self.step() {
                Ok(Some(item)) if self.is_removed(&item) => self.current = None,
                Ok(Some(item)) => return Some(Ok(item)),
                Ok(None) => match self.gone_behind() {
                    Some(item) if !self.is_removed(&item) => {
                        self.current = None;
                        return Some(Ok(item));
                    }
                    _ => self.current = None,
                },
                Err(error) => {
                    self.current = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<'a, F: File> Walk<'a, F> {
    pub(super) fn new(
        codec: Codec,
        segments: &'a [SegmentFile<F>],
        checkpoint: Option<Checkpoint>,
        from: u64,
    ) -> Self {
        Self {
            codec,
            segments,
            synced: checkpoint.and_then(|checkpoint| checkpoint.synced),
            open_start: checkpoint.map_or(0, |checkpoint| checkpoint.open_start),
            next: 0,
            from,
            reached: 0,
            current: None,
        }
    }

    /// Moves to the next segment's first record; returns an item if its header is damaged, `None` after the last segment.
    fn enter(&mut self) -> Option<Result<Option<Item>, ReadError>> {
        loop {
            let segment = self.segments.get(self.next)?;
            self.next += 1;
            if !segment.holds_records() {
                continue;
            }
            let after = self.segments[self.next..]
                .iter()
                .find(|segment| segment.holds_records());
            let end = after.and_then(|after| match after.content {
                Content::Sound { previous_end, .. } => Some(previous_end),
                _ => None,
            });
            let synced = self
                .synced
                .filter(|synced| synced.sequence == segment.sequence);
            let first = match (segment.content, synced) {
                (Content::Sound { first, .. }, _) => first,
                (_, Some(synced)) => synced.first,
                _ => match bounds::first(
                    &segment.file,
                    self.codec,
                    segment.length,
                    self.reached,
                    self.reached,
                    self.open_start,
                ) {
                    Ok(first) => first.unwrap_or_else(|| bounds::first_of_none(self.reached, end)),
                    Err(source) => return Some(Err(failed(segment, HEADER, source))),
                },
            };
            let end = bounds::end_in_next_header(first, segment.length, end);
            if let Some(end) = end.filter(|end| *end <= self.from) {
                self.reached = end;
                continue;
            }
            // Without a header, the previous segment's end is unknown, unless an open's stride lies between.
            let is_next = self.reached > 0 && first.saturating_sub(self.reached) < POSITION_STRIDE;
            let unknown = if is_next {
                self.reached.min(first)
            } else {
                first
            };
            let header = Damage {
                sequence: segment.sequence,
                bytes: 0..HEADER,
                positions: unknown..first,
            };
            let is_headless = segment.content == Content::Headless;
            let is_unreadable = is_headless && !segment.header_was_read();
            self.reached = self.reached.max(first);
            self.current = Some(SegmentWalk {
                segment,
                // An unreadable header is one place with the records that share its page.
                offset: if is_unreadable { 0 } else { HEADER },
                expected: if is_unreadable { unknown } else { first },
                end,
                synced,
                is_last: after.is_none(),
                chunk: Bytes::new(),
            });
            let damage = (is_headless && !is_unreadable).then_some(Item::Damage(header));
            return Some(Ok(damage));
        }
    }

    /// Records that are gone without a trace after the current segment, according to the next segment's header.
    fn gone_behind(&self) -> Option<Item> {
        let SegmentFile { sequence, .. } = self.current.as_ref()?.segment;
        let mut behind = self.segments[self.next..].iter();
        let Content::Sound { previous_end, .. } =
            behind.find(|segment| segment.holds_records())?.content
        else {
            return None;
        };
        let lost = bounds::missing_between(self.reached, previous_end);
        let offset = self.current.as_ref()?.offset;
        (lost > 0).then(|| {
            Item::Damage(Damage {
                sequence: *sequence,
                bytes: offset..offset,
                positions: previous_end - lost..previous_end,
            })
        })
    }

    /// True if the missing records are in a file that the relay has removed, and so has published, and may have truncated.
    fn is_removed(&self, item: &Item) -> bool {
        let file = self.current.as_ref().map(|current| &current.segment.file);
        let is_missing = matches!(item, Item::Damage(_) | Item::Unreadable { .. });
        // Checked after the bytes were read: a file is truncated only after its name is gone.
        is_missing && file.is_some_and(|file| file.file().is_removed().unwrap_or(false))
    }

    /// The next item of the current segment; `None` at its end.
    fn step(&mut self) -> Result<Option<Item>, ReadError> {
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        let item = current.next(self.codec)?;
        self.reached = self.reached.max(current.expected);
        Ok(item)
    }
}
