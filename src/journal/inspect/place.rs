//! A place in one segment: from record to record, past damage, while a writer may be at work behind it.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::SegmentFile;
use super::walk::{Damage, Item, Located};
use crate::journal::error::ReadError;
use crate::journal::filesystem::File;
use crate::journal::filesystem::read_full;
use crate::journal::record::{Codec, Found};
use crate::journal::scan::{self, SMALLEST};
use crate::journal::segment::name;

/// Bytes read at once; a larger record is read by itself.
const CHUNK: u64 = 256 << 10;

#[derive(Debug)]
pub(super) struct Place<'a, F> {
    pub(super) segment: &'a SegmentFile<F>,
    /// Where the next record begins, and with it the chunk.
    pub(super) offset: u64,
    pub(super) expected: u64,
    /// One past the last position, if the next segment's header tells.
    pub(super) end: Option<u64>,
    pub(super) is_last: bool,
    pub(super) chunk: Bytes,
}

enum Ahead {
    /// The next record is whole here: it was written since the chunk was read.
    Whole,
    Item(Item),
    End,
}

impl<F: File> Place<'_, F> {
    /// The segment's next item; `None` at its end.
    pub(super) fn next(&mut self, codec: Codec) -> Result<Option<Item>, ReadError> {
        loop {
            if self.end.is_some_and(|end| self.expected >= end) {
                return Ok(None);
            }
            match codec.decode(&self.chunk) {
                Found::Record(record) if record.position == self.expected => {
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
                Found::Partial(size)
                    if self.offset + size as u64 <= self.segment.length
                        && self.chunk.len() < size =>
                {
                    self.fill(size as u64)?;
                }
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
            // A file cut meanwhile reads as zeros: no record.
            read_full(&self.segment.file, &mut bytes, self.offset)?;
            io::Result::Ok(Bytes::from(bytes))
        };
        self.chunk = read().map_err(|source| failed(self.segment, self.offset, source))?;
        Ok(())
    }

    /// There is no record here: damage before the next intact one, or the end.
    fn look_ahead(&mut self, codec: Codec) -> Result<Ahead, ReadError> {
        self.chunk = Bytes::new();
        let Some(mut next) = self.find(codec)? else {
            return self.end_of_records();
        };
        if next > self.offset {
            // A running writer may have written on between the reads of one search. It writes in order, so that all
            // before an intact record is whole by now, unless it is damaged: a second search is right.
            next = self.find(codec)?.unwrap_or(next);
        }
        let position = scan::at(&self.segment.file, codec, next, self.segment.length)
            .map_err(|source| failed(self.segment, next, source))?
            .unwrap_or(self.expected);
        if next == self.offset && position == self.expected {
            return Ok(Ahead::Whole);
        }
        Ok(Ahead::Item(Item::Damage(self.pass(next, position))))
    }

    /// Where the next intact record begins.
    fn find(&self, codec: Codec) -> Result<Option<u64>, ReadError> {
        let bytes = self.offset..self.segment.length;
        scan::find(&self.segment.file, codec, bytes, &self.positions())
            .map_err(|source| failed(self.segment, self.offset, source))
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
            // Reported once: nothing is expected any more.
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

pub(super) fn failed<F>(segment: &SegmentFile<F>, offset: u64, source: io::Error) -> ReadError {
    ReadError::Io {
        file: name(segment.sequence),
        offset,
        source,
    }
}
