//! Publish's reading handle: follows the synced tail, record by record, in position order.
//!
//! What cannot be read is not damaged. An error is reported and tried again, at growing intervals; only a place that stays
//! unreadable for the configured patience, while other places of the same file system can be read, is passed over, after
//! its segment was set aside whole (`unreadable`).

mod pass;
mod unreadable;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::state::Mark;
use super::{Shared, Wake};
use crate::journal::disk::filesystem::{DiskFileSystem, FileSystem, ReadAt, read_full};
use crate::journal::disk::zero_fill::Holes;
use crate::journal::error::ReadError;
use crate::journal::format::record::Found;
use crate::journal::format::segment::{HEADER, Unresolved, name};
use unreadable::Waiting;

/// Bytes read at once; a larger record is read by itself. Records share their chunk's memory.
const CHUNK: u64 = 256 << 10;

/// A synced record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its position.
    pub position: u64,
    /// What was appended: head, then body.
    pub payload: Bytes,
}

/// Reads; synchronous, for the publisher's own thread.
pub struct Reader<FS: FileSystem = DiskFileSystem> {
    shared: Arc<Shared<FS>>,
    place: Option<Place<FS::File>>,
    /// The next position to be returned: records before it are passed over.
    from: u64,
    chunk: Bytes,
    /// Set while reading waits for the disk.
    waiting: Option<Waiting>,
}

/// Where the reader stands in a segment.
struct Place<F> {
    sequence: u64,
    file: Arc<F>,
    /// Where the next record begins, and with it the chunk.
    offset: u64,
    /// The position that the next record should have.
    expected: u64,
    /// One past the last synced position, and where it ends: as of the last look.
    end: u64,
    used: u64,
    /// What lies before `offset` was passed over because it could not be read, not because it was damaged.
    passed_unread: bool,
    /// Pages of the segment that stayed unreadable for so long that they are passed over.
    given_up: Holes,
    /// The start could not tell what the segment holds, nor could anybody since.
    unresolved: Option<Unresolved>,
}

impl<FS: FileSystem> Reader<FS> {
    /// Starts at the watermark.
    pub fn new(shared: Arc<Shared<FS>>) -> Self {
        let from = shared.lock().watermark;
        Self {
            shared,
            place: None,
            from,
            chunk: Bytes::new(),
            waiting: None,
        }
    }

    /// The next synced record; `None` at the synced tail. `now` is the present time.
    ///
    /// A damaged stretch is copied to a quarantine file, counted and passed over. After an error the same place is tried
    /// again at [`ReadError::retry_at`], and earlier calls only repeat the error.
    pub fn next_record(&mut self, now: Instant) -> Result<Option<Record>, ReadError> {
        if let Some(waiting) = self
            .waiting
            .as_ref()
            .filter(|waiting| now < waiting.retry_at)
        {
            return Err(waiting.error());
        }
        loop {
            // Until then its bytes and positions are bounds, and what lies between them is neither lost nor damaged.
            if self.is_unresolved() {
                self.resolve(now)?;
            }
            if self.at_end() && !self.look(now)? {
                return Ok(None);
            }
            if self.is_unresolved() {
                continue;
            }
            let found = self.shared.codec.decode(&self.chunk);
            if !matches!(found, Found::Record(_)) && self.is_published() {
                self.place = None;
                continue;
            }
            let page = self.shared.page;
            let Some(place) = &mut self.place else {
                return Ok(None);
            };
            match found {
                Found::Record(record) if (place.expected..place.end).contains(&record.position) => {
                    let missing = place.expected..record.position;
                    let payload = self.chunk.slice(record.payload);
                    self.chunk = self.chunk.slice(record.size..);
                    place.offset += record.size as u64;
                    place.expected = record.position + 1;
                    let unread = std::mem::take(&mut place.passed_unread);
                    if !missing.is_empty() {
                        self.lose(missing, unread);
                    }
                    if record.position >= self.from {
                        self.from = record.position + 1;
                        return Ok(Some(Record {
                            position: record.position,
                            payload,
                        }));
                    }
                }
                Found::Partial(size)
                    if place.offset + size as u64 <= place.used && self.chunk.len() < size =>
                {
                    self.fill(size as u64, now)?;
                }
                _ => match padding(&self.chunk, place, page) {
                    Padding::Bytes(bytes) => {
                        self.chunk = self.chunk.slice(bytes..);
                        place.offset += bytes as u64;
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
        self.place = None;
        self.chunk = Bytes::new();
    }

    /// Called by the writer's thread after each commit, and when the writer ends; must be quick.
    pub fn on_commit(&mut self, wake: Wake) {
        self.shared.set_wake(wake);
    }

    /// True where nothing of the present segment is needed any more, as after going back to a record behind which others
    /// had arrived: it may be cut by now. Only this thread lets the watermark pass what it has not read.
    fn is_published(&self) -> bool {
        let watermark = self.shared.lock().watermark;
        self.place
            .as_ref()
            .is_some_and(|place| place.end <= watermark)
    }

    fn at_end(&self) -> bool {
        self.place
            .as_ref()
            .is_none_or(|place| place.expected >= place.end)
    }

    /// Learns of new records or the next segment; false at the synced tail.
    fn look(&mut self, now: Instant) -> Result<bool, ReadError> {
        let state = self.shared.lock();
        let next = self
            .place
            .as_ref()
            .map_or(self.from, |place| place.expected);
        let next = next.max(state.watermark);
        let mark = if self.place.is_none() {
            state.mark_before(next)
        } else {
            None
        };
        let Some(segment) = state.segment_at(next) else {
            return Ok(false);
        };
        let same = self
            .place
            .as_ref()
            .is_some_and(|place| place.sequence == segment.sequence);
        if let Some(place) = self.place.as_mut().filter(|_| same) {
            place.end = segment.end;
            place.used = segment.used;
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
        // The writer has the active segment open; any other is opened here, without the lock.
        let Some(file) = self.file(sequence, open, now)? else {
            return Ok(true);
        };
        let mut state = self.shared.lock();
        let Some(segment) = state.segment(sequence) else {
            return Ok(true);
        };
        self.place = Some(Place {
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

    /// Opens a segment; `None` if its file is gone, with whatever it held that is not published.
    fn file(
        &mut self,
        sequence: u64,
        open: Option<Arc<FS::File>>,
        now: Instant,
    ) -> Result<Option<Arc<FS::File>>, ReadError> {
        if let Some(file) = open {
            return Ok(Some(file));
        }
        match self.shared.fs.open(&name(sequence)) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let state = self.shared.lock();
                let gone = state.segment(sequence).map(|gone| gone.first..gone.end);
                drop(state);
                tracing::error!(
                    segment = name(sequence),
                    "a segment with unpublished records is missing"
                );
                if let Some(gone) = gone {
                    self.lose(gone, false);
                }
                self.place = None;
                Ok(None)
            }
            Err(error) => Err(self.cannot_open(sequence, &error, now)),
        }
    }

    fn is_unresolved(&self) -> bool {
        self.place
            .as_ref()
            .is_some_and(|place| place.unresolved.is_some())
    }

    /// Reads at least `size` bytes from the present record's start, or passes over them where they stay unreadable.
    fn fill(&mut self, size: u64, now: Instant) -> Result<(), ReadError> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        let length = size.max(CHUNK).min(place.used - place.offset);
        let page = self.shared.page;
        let chunk = match read(&*place.file, place.offset, length) {
            // Records before the page that cannot be read need not wait for it.
            Err(_) => read_up_to_hole(&*place.file, page, place.offset, length),
            outcome => outcome,
        };
        match chunk {
            Ok(chunk) if chunk.len() as u64 >= size => self.chunk = chunk,
            _ => return self.pass(now),
        }
        self.is_readable(now);
        let Some(place) = &self.place else {
            return Ok(());
        };
        let mark = Mark {
            position: place.expected,
            sequence: place.sequence,
            offset: place.offset,
        };
        self.shared.lock().mark(mark);
        Ok(())
    }
}

/// What stands where there is no record.
enum Padding {
    /// So many zeros up to the page on which the next batch begins.
    Bytes(usize),
    /// As far as it was read; so many bytes must be read to know.
    Unread(u64),
    None,
}

/// A batch begins on a page of its own, so that zeros up to the next page are no damage.
fn padding<F>(chunk: &[u8], place: &Place<F>, page: u64) -> Padding {
    let next = place.offset.next_multiple_of(page);
    let size = next - place.offset;
    let bytes = usize::try_from(size).unwrap_or(usize::MAX);
    let known = &chunk[..chunk.len().min(bytes)];
    if size == 0 || next >= place.used || known.iter().any(|byte| *byte != 0) {
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
    // A file that has become shorter than what was synced is damage, and is found as such: as zeros.
    bytes[read..].fill(0);
    Ok(bytes.into())
}

/// As many of the bytes as come before the first page that cannot be read.
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
