//! From record to record over all segments, past damage, while a writer may be at work on the last one.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::{Content, SegmentFile};
use crate::journal::error::ReadError;
use crate::journal::filesystem::{File, read_full};
use crate::journal::record::{Codec, Found};
use crate::journal::recovery::{LEAP, bounds};
use crate::journal::scan::{self, SMALLEST};
use crate::journal::segment::{HEADER, name};

/// Bytes read at once; a larger record is read by itself.
const CHUNK: u64 = 256 << 10;

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
    /// The next segment to enter.
    next: usize,
    from: u64,
    /// One past the last position so far.
    reached: u64,
    place: Option<Place<'a, F>>,
}

#[derive(Debug)]
struct Place<'a, F> {
    segment: &'a SegmentFile<F>,
    /// Where the next record begins, and with it the chunk.
    offset: u64,
    expected: u64,
    /// One past the last position, where the next segment's header tells.
    end: Option<u64>,
    is_last: bool,
    chunk: Bytes,
}

impl<F: File> Iterator for Walk<'_, F> {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.place.is_none() {
                match self.enter()? {
                    Ok(None) => {}
                    Ok(Some(damage)) => return Some(Ok(damage)),
                    Err(error) => return Some(Err(error)),
                }
            }
            match self.step() {
                Ok(Some(item)) => return Some(Ok(item)),
                Ok(None) => self.place = None,
                Err(error) => {
                    self.place = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<'a, F: File> Walk<'a, F> {
    pub(super) fn new(codec: Codec, segments: &'a [SegmentFile<F>], from: u64) -> Self {
        Self {
            codec,
            segments,
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
            let first = match segment.content {
                Content::Sound { first, .. } => first,
                _ => match bounds::first(
                    &segment.file,
                    self.codec,
                    segment.length,
                    self.reached,
                    self.reached,
                ) {
                    Ok(first) => first.unwrap_or_else(|| {
                        bounds::first_of_none(segment.length, self.reached, end)
                    }),
                    Err(source) => return Some(Err(failed(segment, HEADER, source))),
                },
            };
            let end = end.filter(|end| *end >= first);
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
            self.reached = self.reached.max(first);
            self.place = Some(Place {
                segment,
                offset: HEADER,
                expected: first,
                end,
                is_last: after.is_none(),
                chunk: Bytes::new(),
            });
            let damage = (segment.content == Content::Headless).then(|| {
                Item::Damage(Damage {
                    sequence: segment.sequence,
                    bytes: 0..HEADER,
                    positions: unknown..first,
                })
            });
            return Some(Ok(damage));
        }
    }

    /// The next item of the present segment; `None` at its end.
    fn step(&mut self) -> Result<Option<Item>, ReadError> {
        let Some(place) = &mut self.place else {
            return Ok(None);
        };
        loop {
            if place.end.is_some_and(|end| place.expected >= end) {
                return Ok(None);
            }
            let positions = place.positions();
            match self.codec.decode(&place.chunk) {
                Found::Record(record) if record.position == place.expected => {
                    let payload = place.chunk.slice(record.payload);
                    place.chunk = place.chunk.slice(record.size..);
                    let start = place.offset;
                    place.offset += record.size as u64;
                    place.expected += 1;
                    self.reached = place.expected;
                    return Ok(Some(Item::Record(Located {
                        position: record.position,
                        payload,
                        sequence: place.segment.sequence,
                        bytes: start..place.offset,
                    })));
                }
                Found::Record(record) if positions.contains(&record.position) => {
                    let damage = place.pass(place.offset, record.position);
                    return Ok(Some(Item::Damage(damage)));
                }
                Found::Partial(size)
                    if place.offset + size as u64 <= place.segment.length
                        && place.chunk.len() < size =>
                {
                    place.fill(size as u64)?;
                }
                _ => match place.look_ahead(self.codec)? {
                    Ahead::Whole => {}
                    Ahead::Item(item) => {
                        self.reached = self.reached.max(place.expected);
                        return Ok(Some(item));
                    }
                    Ahead::End => return Ok(None),
                },
            }
        }
    }
}

enum Ahead {
    /// A record has become whole here since the chunk was read.
    Whole,
    Item(Item),
    End,
}

impl<F: File> Place<'_, F> {
    /// The positions that the rest of the segment can hold.
    fn positions(&self) -> Range<u64> {
        let most = self.expected.saturating_add(self.left() / SMALLEST + 1);
        self.expected..self.end.unwrap_or(most)
    }

    /// Bytes from here to the end of the file.
    fn left(&self) -> u64 {
        self.segment.length.saturating_sub(self.offset)
    }

    fn fill(&mut self, size: u64) -> Result<(), ReadError> {
        let length = size.max(CHUNK).min(self.left());
        let read = || {
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            // A file cut meanwhile reads as zeros: no record.
            read_full(&self.segment.file, &mut bytes, self.offset)?;
            io::Result::Ok(Bytes::from(bytes))
        };
        self.chunk = read().map_err(|source| failed(self.segment, self.offset, source))?;
        Ok(())
    }

    /// There is no record here: damage before the next intact one, or the end.
    fn look_ahead(&mut self, codec: Codec) -> Result<Ahead, ReadError> {
        let offset = self.offset;
        let (file, length) = (&self.segment.file, self.segment.length);
        let failed = |source| failed(self.segment, offset, source);
        let positions = self.positions();
        self.chunk = Bytes::new();
        let next = scan::find(file, codec, offset..length, &positions).map_err(failed)?;
        let Some(next) = next else {
            return self.end_of_records();
        };
        // A writer writes in order, so what lies before an intact record is whole by now unless it is damaged.
        let here = scan::at(file, codec, offset, length).map_err(failed)?;
        if next == offset || here.is_some_and(|here| positions.contains(&here)) {
            self.fill(CHUNK)?;
            return Ok(Ahead::Whole);
        }
        let found = scan::at(file, codec, next, length).map_err(failed)?;
        let damage = self.pass(next, found.unwrap_or(self.expected));
        Ok(Ahead::Item(Item::Damage(damage)))
    }

    fn end_of_records(&mut self) -> Result<Ahead, ReadError> {
        let offset = self.offset;
        let garbage = scan::garbage(&self.segment.file, offset, self.segment.length);
        let garbage = garbage.map_err(|source| failed(self.segment, offset, source))?;
        if let Some(end) = self.end {
            let damage = self.pass(offset + garbage, end);
            return Ok(Ahead::Item(Item::Damage(damage)));
        }
        if self.is_last && garbage > 0 {
            // Said once: nothing is expected any more.
            self.end = Some(self.expected);
            return Ok(Ahead::Item(Item::Tail {
                sequence: self.segment.sequence,
                bytes: offset..offset + garbage,
            }));
        }
        Ok(Ahead::End)
    }

    /// Goes on at `offset` with `position`; what lies between is damaged.
    fn pass(&mut self, offset: u64, position: u64) -> Damage {
        let damage = Damage {
            sequence: self.segment.sequence,
            bytes: self.offset..offset,
            positions: self.expected..position,
        };
        self.offset = offset;
        self.expected = position;
        damage
    }
}

fn failed<F>(segment: &SegmentFile<F>, offset: u64, source: io::Error) -> ReadError {
    ReadError::Io {
        file: name(segment.sequence),
        offset,
        source,
    }
}
