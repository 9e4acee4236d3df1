//! Reads a journal on disk: returns the synced records in position order.
//!
//! A place that cannot be read is not damaged. The reader reports the error and tries again, at growing intervals. It passes
//! over a place only if that stays unreadable for the configured patience while other places of the same file system can be
//! read, and only after it has set the segment aside whole (`unreadable`).

mod pass;
mod unreadable;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::state::Mark;
use super::{Engine, Wake};
use crate::journal::disk::filesystem::{FileSystem, ReadAt, read_full};
use crate::journal::disk::real::DiskFileSystem;
use crate::journal::disk::zero_fill::Holes;
use crate::journal::error::ReadError;
use crate::journal::format::record::Decoded;
use crate::journal::format::segment::{HEADER, Unresolved, name};
use crate::journal::metrics::Losses;
use unreadable::BlockedRead;

/// Bytes read at once; a larger record is a chunk of its own. Records share their chunk's memory.
const CHUNK: u64 = 256 << 10;

/// A record: synced, or in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its position.
    pub position: u64,
    /// What was appended: head, then body; the head alone if the journal is in memory.
    pub payload: Bytes,
    /// The body if the journal is in memory, which does not copy it behind its head; else empty.
    pub body: Bytes,
}

impl Record {
    /// Head and body in one piece, which is a copy if they are apart.
    pub fn whole(&self) -> Bytes {
        if self.body.is_empty() {
            return self.payload.clone();
        }
        [&self.payload[..], &self.body[..]].concat().into()
    }
}

/// Reads the journal; synchronous, for the publisher's thread.
pub struct DiskReader<FS: FileSystem = DiskFileSystem> {
    engine: Arc<Engine<FS>>,
    cursor: Option<Cursor<FS::File>>,
    /// The next position to be returned. Records before it are skipped.
    from: u64,
    chunk: Bytes,
    /// Set while a place cannot be read.
    blocked: Option<BlockedRead>,
}

/// Where the reader stands in a segment.
struct Cursor<F> {
    sequence: u64,
    file: Arc<F>,
    /// Where the next record, and the chunk, begins.
    offset: u64,
    /// The position that the next record should have.
    expected: u64,
    /// One past the last synced position, and the byte where its record ends, as of the last `advance`.
    end: u64,
    used: u64,
    /// The bytes before `offset` were passed over because they were unreadable, not damaged.
    passed_unread: bool,
    /// Pages that stayed unreadable for the whole patience: they count as zeros from then on.
    given_up: Holes,
    /// Set while nobody knows what the segment holds, because recovery could not read it.
    unresolved: Option<Unresolved>,
}

impl<FS: FileSystem> DiskReader<FS> {
    /// A reader at the watermark.
    pub fn new(engine: Arc<Engine<FS>>) -> Self {
        let from = engine.lock().watermark;
        Self {
            engine,
            cursor: None,
            from,
            chunk: Bytes::new(),
            blocked: None,
        }
    }

    /// The next synced record; `None` at the synced tail.
    ///
    /// A damaged stretch is copied to a quarantine file, counted and passed over. After [`ReadError::Unreadable`] the next
    /// attempt is made at its `retry_at`; calls with an earlier `now` only repeat the error.
    pub fn next_record(&mut self, now: Instant) -> Result<Option<Record>, ReadError> {
        if let Some(blocked) = self
            .blocked
            .as_ref()
            .filter(|blocked| now < blocked.retry_at)
        {
            return Err(blocked.error());
        }
        loop {
            // Before that, the segment's extent is only a bound: nothing in it may be called lost or damaged.
            if self.is_unresolved() {
                self.resolve(now)?;
            }
            if self.is_at_end() && !self.advance(now)? {
                return Ok(None);
            }
            if self.is_unresolved() {
                continue;
            }
            let found = self.engine.codec.decode(&self.chunk);
            if !matches!(found, Decoded::Record(_)) && self.is_published() {
                self.cursor = None;
                continue;
            }
            let page = self.engine.page;
            let Some(cursor) = &mut self.cursor else {
                return Ok(None);
            };
            match found {
                Decoded::Record(record)
                    if (cursor.expected..cursor.end).contains(&record.position) =>
                {
                    let missing = cursor.expected..record.position;
                    let payload = self.chunk.slice(record.payload);
                    self.chunk = self.chunk.slice(record.size..);
                    cursor.offset += record.size as u64;
                    cursor.expected = record.position + 1;
                    debug_assert!(
                        cursor.offset <= cursor.used && cursor.expected <= cursor.end,
                        "nothing is read that is not synced"
                    );
                    let unread = std::mem::take(&mut cursor.passed_unread);
                    if !missing.is_empty() {
                        self.lose(missing, unread);
                    }
                    if record.position >= self.from {
                        self.from = record.position + 1;
                        return Ok(Some(Record {
                            position: record.position,
                            payload,
                            body: Bytes::new(),
                        }));
                    }
                }
                Decoded::Partial(size)
                    if cursor.offset + size as u64 <= cursor.used && self.chunk.len() < size =>
                {
                    self.fill(size as u64, now)?;
                }
                _ => match padding(&self.chunk, cursor, page) {
                    Padding::Bytes(bytes) => {
                        self.chunk = self.chunk.slice(bytes..);
                        cursor.offset += bytes as u64;
                    }
                    Padding::Unread(size) => self.fill(size, now)?,
                    Padding::None => self.pass(now)?,
                },
            }
        }
    }

    /// Goes to the first record at or after `position`, which must not have been truncated.
    pub fn seek(&mut self, position: u64) {
        self.from = position;
        self.cursor = None;
        self.chunk = Bytes::new();
    }

    /// What was passed over so far, and what recovery found to be gone.
    pub fn losses(&self) -> Losses {
        self.engine.metrics.losses()
    }

    /// Sets what the writer's thread calls after each commit and when it ends. It must not block.
    pub fn on_commit(&mut self, wake: Wake) {
        self.engine.set_wake(wake);
    }

    /// True if the current segment is fully published, which happens after a rewind past records acknowledged late. Its file
    /// may already be truncated. Only this thread lets the watermark pass records that it has not read.
    fn is_published(&self) -> bool {
        let watermark = self.engine.lock().watermark;
        self.cursor
            .as_ref()
            .is_some_and(|cursor| cursor.end <= watermark)
    }

    fn is_at_end(&self) -> bool {
        self.cursor
            .as_ref()
            .is_none_or(|cursor| cursor.expected >= cursor.end)
    }

    /// Takes up the segment's new records or moves to the next segment; false at the synced tail.
    fn advance(&mut self, now: Instant) -> Result<bool, ReadError> {
        let state = self.engine.lock();
        let next = self
            .cursor
            .as_ref()
            .map_or(self.from, |cursor| cursor.expected);
        let next = next.max(state.watermark);
        let mark = if self.cursor.is_none() {
            state.mark_before(next)
        } else {
            None
        };
        let Some(segment) = state.segment_at(next) else {
            return Ok(false);
        };
        let same = self
            .cursor
            .as_ref()
            .is_some_and(|cursor| cursor.sequence == segment.sequence);
        if let Some(cursor) = self.cursor.as_mut().filter(|_| same) {
            cursor.end = segment.end;
            cursor.used = segment.used;
            return Ok(true);
        }
        let mark = mark
            .filter(|mark| mark.sequence == segment.sequence && segment.unresolved.is_none())
            .unwrap_or(Mark {
                position: segment.first,
                sequence: segment.sequence,
                offset: HEADER,
            });
        let (sequence, open) = (segment.sequence, segment.file.clone());
        drop(state);
        // Only the writer's segment is open already. Any other is opened here, without the lock.
        let Some(file) = self.file(sequence, open, now)? else {
            return Ok(true);
        };
        let mut state = self.engine.lock();
        let Some(segment) = state.segment(sequence) else {
            return Ok(true);
        };
        self.cursor = Some(Cursor {
            sequence,
            file,
            offset: mark.offset,
            expected: mark.position,
            end: segment.end,
            used: segment.used,
            passed_unread: false,
            given_up: Holes::default(),
            unresolved: segment.unresolved.clone(),
        });
        self.chunk = Bytes::new();
        if !self.is_unresolved() {
            state.mark(mark);
        }
        Ok(true)
    }

    /// Opens a segment. If its file is gone, counts its unpublished records as lost and returns `None`.
    fn file(
        &mut self,
        sequence: u64,
        open: Option<Arc<FS::File>>,
        now: Instant,
    ) -> Result<Option<Arc<FS::File>>, ReadError> {
        if let Some(file) = open {
            return Ok(Some(file));
        }
        match self.engine.fs.open(&name(sequence)) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let state = self.engine.lock();
                let gone = state.segment(sequence).map(|gone| gone.first..gone.end);
                drop(state);
                tracing::error!(
                    segment = name(sequence),
                    "a segment with unpublished records is missing"
                );
                if let Some(gone) = gone {
                    self.lose(gone, false);
                }
                self.cursor = None;
                Ok(None)
            }
            Err(error) => Err(self.cannot_open(sequence, &error, now)),
        }
    }

    fn is_unresolved(&self) -> bool {
        self.cursor
            .as_ref()
            .is_some_and(|cursor| cursor.unresolved.is_some())
    }

    /// Reads at least `size` bytes from the next record's start; passes over them if they cannot be read.
    fn fill(&mut self, size: u64, now: Instant) -> Result<(), ReadError> {
        let Some(cursor) = &self.cursor else {
            return Ok(());
        };
        debug_assert!(
            cursor.offset <= cursor.used,
            "the reader is past the synced records"
        );
        let length = size.max(CHUNK).min(cursor.used - cursor.offset);
        let page = self.engine.page;
        let chunk = match read(&*cursor.file, cursor.offset, length) {
            // Records before the unreadable page need not wait for it.
            Err(_) => read_up_to_hole(&*cursor.file, page, cursor.offset, length),
            chunk => chunk,
        };
        match chunk {
            Ok(chunk) if chunk.len() as u64 >= size => self.chunk = chunk,
            _ => return self.pass(now),
        }
        self.read_succeeded(now);
        let Some(cursor) = &self.cursor else {
            return Ok(());
        };
        let mark = Mark {
            position: cursor.expected,
            sequence: cursor.sequence,
            offset: cursor.offset,
        };
        self.engine.lock().mark(mark);
        Ok(())
    }
}

/// What lies before the next record.
enum Padding {
    /// This many zeros, up to the page on which the next batch begins.
    Bytes(usize),
    /// Zeros as far as the chunk goes: this many bytes must be read to know.
    Unread(u64),
    /// No padding: a record should begin here.
    None,
}

/// A batch begins on a page of its own, so zeros up to the next page are padding, not damage.
fn padding<F>(chunk: &[u8], cursor: &Cursor<F>, page: u64) -> Padding {
    let next = cursor.offset.next_multiple_of(page);
    let size = next - cursor.offset;
    let bytes = usize::try_from(size).unwrap_or(usize::MAX);
    let known = &chunk[..chunk.len().min(bytes)];
    if size == 0 || next >= cursor.used || known.iter().any(|byte| *byte != 0) {
        Padding::None
    } else if known.len() < bytes {
        Padding::Unread(size)
    } else {
        Padding::Bytes(bytes)
    }
}

fn read(file: &impl ReadAt, offset: u64, length: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = read_full(file, &mut bytes, offset)?;
    // What lies past the end of a file that has become shorter reads as zeros, and so counts as damage.
    bytes[read..].fill(0);
    Ok(bytes.into())
}

/// The bytes before the first unreadable page.
fn read_up_to_hole(file: &impl ReadAt, page: u64, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let end = offset + length;
    let mut at = offset;
    while at < end {
        let next = ((at / page + 1) * page).min(end);
        match read(file, at, next - at) {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) if bytes.is_empty() => return Err(error),
            Err(_) => break,
        }
        at = next;
    }
    Ok(bytes.into())
}
