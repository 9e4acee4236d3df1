//! Walks through one segment: from record to record, past damage, while a writer may be at work behind it.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::SegmentFile;
use super::walk::{Damage, Item, Located};
use crate::journal::disk::filesystem::{File, PAGE, read_full};
use crate::journal::engine::checkpoint::Synced;
use crate::journal::error::ReadError;
use crate::journal::format::record::{Codec, Decoded};
use crate::journal::format::scan::{self, SMALLEST};
use crate::journal::format::segment::name;

/// Bytes read at once; a larger record is a chunk of its own.
const CHUNK: u64 = 256 << 10;

#[derive(Debug)]
pub(super) struct SegmentWalk<'a, F> {
    pub(super) segment: &'a SegmentFile<F>,
    /// Where the next record, and the chunk, begins.
    pub(super) offset: u64,
    /// The next record's position.
    pub(super) expected: u64,
    /// One past the last position, if the next segment's header has it.
    pub(super) end: Option<u64>,
    /// How far it was synced, from the checkpoint.
    pub(super) synced: Option<Synced>,
    pub(super) is_last: bool,
    pub(super) chunk: Bytes,
}

enum Ahead {
    /// The next record is here and whole: it was written after the chunk was read.
    Whole,
    Item(Item),
    End,
}

impl<F: File> SegmentWalk<'_, F> {
    /// The segment's next item; `None` at its end.
    pub(super) fn next(&mut self, codec: Codec) -> Result<Option<Item>, ReadError> {
        loop {
            if self.end.is_some_and(|end| self.expected >= end) {
                return Ok(None);
            }
            match codec.decode(&self.chunk) {
                Decoded::Record(record) if record.position == self.expected => {
                    let payload = self.chunk.slice(record.payload);
                    self.chunk = self.chunk.slice(record.size..);
                    let start = self.offset;
                    self.offset += record.size as u64;
                    self.expected += 1;
                    return Ok(Some(Item::Record(Located {
                        position: record.position,
                        payload,
                        sequence: self.segment.sequence,
                        bytes: start..self.offset,
                    })));
                }
                Decoded::Partial(size)
                    if self.offset + size as u64 <= self.segment.length
                        && self.chunk.len() < size =>
                {
                    self.fill(size as u64)?;
                }
                _ if self.skip_padding(codec)? => {}
                _ => match self.look_ahead(codec)? {
                    Ahead::Whole => {}
                    Ahead::Item(item) => return Ok(Some(item)),
                    Ahead::End => return Ok(None),
                },
            }
        }
    }

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
            // A file that was truncated meanwhile reads as zeros, which are no record.
            read_full(&self.segment.file, &mut bytes, self.offset)?;
            io::Result::Ok(Bytes::from(bytes))
        };
        self.chunk = read().map_err(|source| failed(self.segment, self.offset, source))?;
        Ok(())
    }

    /// Continues at the next page if only zeros lie before the expected record there. Without this, each batch's padding would
    /// cost a search.
    fn skip_padding(&mut self, codec: Codec) -> Result<bool, ReadError> {
        let padding = self.offset.next_multiple_of(PAGE) - self.offset;
        if padding == 0 || padding >= self.left() {
            return Ok(false);
        }
        let length = usize::try_from(padding).unwrap_or(usize::MAX);
        if self.chunk.len() < length {
            self.fill(padding)?;
        }
        if self.chunk[..length].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let after = self.chunk.slice(length..);
        let is_expected = match codec.decode(&after) {
            Decoded::Record(record) => record.position == self.expected,
            Decoded::Partial(_) => self.at(codec, self.offset + padding)? == Some(self.expected),
            Decoded::Nothing => false,
        };
        if is_expected {
            self.chunk = after;
            self.offset += padding;
        }
        Ok(is_expected)
    }

    /// No record begins here: finds padding, damage or an unreadable place before the next intact record, or the end.
    fn look_ahead(&mut self, codec: Codec) -> Result<Ahead, ReadError> {
        self.chunk = Bytes::new();
        let Some(mut next) = self.find(codec)? else {
            return self.end_of_records();
        };
        if next > self.offset {
            // A running writer may have written between the reads of one search. It writes in order, so everything before an
            // intact record is whole by now, unless it is damaged: a second search is right.
            next = self.find(codec)?.unwrap_or(next);
        }
        let position = self.at(codec, next)?.unwrap_or(self.expected);
        if position == self.expected && self.is_padding(next)? {
            self.offset = next;
            return Ok(Ahead::Whole);
        }
        let page = self.offset.next_multiple_of(PAGE);
        if page < next && self.is_padding(page)? {
            // The missing record began the page.
            self.offset = page;
        }
        Ok(Ahead::Item(self.pass(next, position)))
    }

    /// True if nothing, or only zeros up to a page, lies before `next`.
    fn is_padding(&self, next: u64) -> Result<bool, ReadError> {
        if next == self.offset {
            return Ok(true);
        }
        let bytes = self.offset..next;
        Ok(next.is_multiple_of(PAGE)
            && self.segment.file.unreadable_within(bytes).is_none()
            && self.garbage(next)? == 0)
    }

    /// The position of the record at `offset`, if there is one.
    fn at(&self, codec: Codec, offset: u64) -> Result<Option<u64>, ReadError> {
        scan::at(&self.segment.file, codec, offset, self.segment.length)
            .map_err(|source| failed(self.segment, offset, source))
    }

    /// Bytes from here up to the last one before `end` that is not zero.
    fn garbage(&self, end: u64) -> Result<u64, ReadError> {
        scan::garbage(&self.segment.file, self.offset, end)
            .map_err(|source| failed(self.segment, self.offset, source))
    }

    /// Where the next intact record begins.
    fn find(&self, codec: Codec) -> Result<Option<u64>, ReadError> {
        let bytes = self.offset..self.segment.length;
        scan::find(&self.segment.file, codec, bytes, &self.positions())
            .map_err(|source| failed(self.segment, self.offset, source))
    }

    fn end_of_records(&mut self) -> Result<Ahead, ReadError> {
        let (offset, length) = (self.offset, self.segment.length);
        let garbage = offset + self.garbage(length)?;
        let unreadable = self.segment.file.unreadable_within(offset..length);
        if let Some(end) = self.end {
            let last = unreadable.map_or(garbage, |bytes| bytes.end.max(garbage));
            return Ok(Ahead::Item(self.pass(last, end)));
        }
        // Everything up to there was synced, so it is damaged or cannot be read.
        if let Some(synced) = self.synced.filter(|synced| synced.end > self.expected) {
            let used = synced.used.clamp(offset, length.max(offset));
            return Ok(Ahead::Item(self.pass(used, synced.end)));
        }
        if let Some(bytes) = unreadable {
            // Nobody knows whether records lie there. This end makes it an item only once.
            self.end = Some(self.expected);
            return Ok(Ahead::Item(
                self.pass(bytes.end.max(garbage), self.expected),
            ));
        }
        if self.is_last && garbage > offset {
            self.end = Some(self.expected);
            return Ok(Ahead::Item(Item::Tail {
                sequence: self.segment.sequence,
                bytes: offset..garbage,
            }));
        }
        Ok(Ahead::End)
    }

    /// Continues at `offset` with `position`. The bytes in between are damaged, or could not even be read.
    fn pass(&mut self, offset: u64, position: u64) -> Item {
        let SegmentFile { sequence, file, .. } = self.segment;
        let (bytes, positions) = (self.offset..offset, self.expected..position);
        self.offset = offset;
        self.expected = position;
        if file.unreadable_within(bytes.clone()).is_some() {
            return Item::Unreadable {
                sequence: *sequence,
                bytes,
                positions,
                reason: file.reason(),
            };
        }
        Item::Damage(Damage {
            sequence: *sequence,
            bytes,
            positions,
        })
    }
}

pub(super) fn failed<F>(segment: &SegmentFile<F>, offset: u64, source: io::Error) -> ReadError {
    ReadError::Io {
        file: name(segment.sequence),
        offset,
        source,
    }
}
