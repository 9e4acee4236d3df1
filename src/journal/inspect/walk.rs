//! From record to record over all segments, past damage, while a writer may be at work on the last one.

use std::ops::Range;

use bytes::Bytes;

use super::place::{Place, failed};
use super::{Content, SegmentFile};
use crate::journal::disk::filesystem::File;
use crate::journal::engine::checkpoint::{Checkpoint, Synced};
use crate::journal::error::ReadError;
use crate::journal::format::record::Codec;
use crate::journal::format::segment::HEADER;
use crate::journal::recovery::LEAP;
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
    /// The bytes that it takes there.
    pub bytes: Range<u64>,
}

/// Bytes that are no records though they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub sequence: u64,
    /// Where in it; empty where records are gone without a trace.
    pub bytes: Range<u64>,
    /// The positions that are lost by it; none where only the header is damaged.
    pub positions: Range<u64>,
}

/// What the walk comes upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An intact record.
    Record(Located),
    /// Damage, which the walk passes over.
    Damage(Damage),
    /// Bytes that the disk does not give, and the walk passes over. Nothing says that they are damaged.
    Unreadable {
        /// The segment's number.
        sequence: u64,
        /// From the last intact record before to the next one behind, or to the last unreadable byte.
        bytes: Range<u64>,
        /// The positions that lie there; none if nothing tells whether records do.
        positions: Range<u64>,
        /// The operating system's words.
        reason: String,
    },
    /// After the last record: what a write that never got whole has left, or one that is just being made.
    Tail {
        /// The segment's number.
        sequence: u64,
        /// Where in it.
        bytes: Range<u64>,
    },
}

/// An iterator over [`Item`]s. After an error it goes on with the next segment.
#[derive(Debug)]
pub struct Walk<'a, F> {
    codec: Codec,
    segments: &'a [SegmentFile<F>],
    /// How far the newest segment was synced, as the checkpoint tells.
    synced: Option<Synced>,
    /// Where the positions of the last open began, as the checkpoint tells it.
    begun_at: u64,
    /// The next segment to enter.
    next: usize,
    from: u64,
    /// One past the last position so far.
    reached: u64,
    place: Option<Place<'a, F>>,
}

impl<F: File> Iterator for Walk<'_, F> {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.place.is_none() {
                match self.enter()? {
                    Ok(None) => {}
                    Ok(Some(damage)) if self.is_cut(&damage) => {
                        self.place = None;
                        continue;
                    }
                    Ok(Some(damage)) => return Some(Ok(damage)),
                    Err(error) => return Some(Err(error)),
                }
            }
            match self.step() {
                Ok(Some(item)) if self.is_cut(&item) => self.place = None,
                Ok(Some(item)) => return Some(Ok(item)),
                Ok(None) => match self.gone_behind() {
                    Some(item) if !self.is_cut(&item) => {
                        self.place = None;
                        return Some(Ok(item));
                    }
                    _ => self.place = None,
                },
                Err(error) => {
                    self.place = None;
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
            begun_at: checkpoint.map_or(0, |checkpoint| checkpoint.begun_at),
            next: 0,
            from,
            reached: 0,
            place: None,
        }
    }

    /// Stands at the next segment's first record, saying so where its header is damaged; `None` past the last segment.
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
                    self.begun_at,
                ) {
                    Ok(first) => first.unwrap_or_else(|| {
                        bounds::first_of_none(segment.length, self.reached, end)
                    }),
                    Err(source) => return Some(Err(failed(segment, HEADER, source))),
                },
            };
            let end = bounds::told_end(first, segment.length, end);
            if let Some(end) = end.filter(|end| *end <= self.from) {
                self.reached = end;
                continue;
            }
            // The end of the segment before, of which no header tells, unless a start's leap lies between.
            let is_next = self.reached > 0 && first.saturating_sub(self.reached) < LEAP;
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
            self.place = Some(Place {
                segment,
                // An unreadable header is one place with the records that share its block.
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

    /// Records that are gone without a trace behind the current segment, of which the next one's header tells.
    fn gone_behind(&self) -> Option<Item> {
        let SegmentFile { sequence, .. } = self.place.as_ref()?.segment;
        let mut behind = self.segments[self.next..].iter();
        let Content::Sound { previous_end, .. } =
            behind.find(|segment| segment.holds_records())?.content
        else {
            return None;
        };
        let lost = bounds::missing_between(self.reached, previous_end);
        let offset = self.place.as_ref()?.offset;
        (lost > 0).then(|| {
            Item::Damage(Damage {
                sequence: *sequence,
                bytes: offset..offset,
                positions: previous_end - lost..previous_end,
            })
        })
    }

    /// True if what seems to be missing belongs to a file that has been removed, hence published, and may be cut.
    fn is_cut(&self, item: &Item) -> bool {
        let file = self.place.as_ref().map(|place| &place.segment.file);
        let is_missing = matches!(item, Item::Damage(_) | Item::Unreadable { .. });
        // Asked after the bytes were read: a file is cut only after its name is gone.
        is_missing && file.is_some_and(|it| it.is_removed().unwrap_or(false))
    }

    /// The next item of the current segment; `None` at its end.
    fn step(&mut self) -> Result<Option<Item>, ReadError> {
        let Some(place) = &mut self.place else {
            return Ok(None);
        };
        let item = place.next(self.codec)?;
        self.reached = self.reached.max(place.expected);
        Ok(item)
    }
}
