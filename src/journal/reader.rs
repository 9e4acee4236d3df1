//! Publish's reading handle: follows the synced tail, record by record, in position order.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::around::Around;
use super::checkpoint::read_full;
use super::error::ReadError;
use super::filesystem::{DiskFileSystem, File, FileSystem};
use super::record::Found;
use super::scan;
use super::segment::{HEADER, name};
use super::shared::{Shared, Wake};
use super::state::Mark;
use crate::fault::{self, Fault};

/// Bytes read at once; a larger record is read by itself. Records share their chunk's memory.
const CHUNK: u64 = 256 << 10;

/// How often an unreadable place is tried before it counts as damage. The publisher tries ten times a second: half a
/// minute, in which a cable is pushed back or a network volume returns.
const TRIES: u32 = 300;

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
    /// Records before this one are passed over.
    from: u64,
    chunk: Bytes,
    /// How often the present place could not be read, in a row.
    failures: u32,
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
            failures: 0,
        }
    }

    /// The next synced record; `None` at the synced tail.
    ///
    /// A damaged stretch is copied to a quarantine file, counted and passed over. After an error the same record is
    /// tried again; a place that stays unreadable for [`TRIES`] calls is damage as well.
    pub fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if self.at_end() && !self.look() {
                return Ok(None);
            }
            let found = self.shared.codec.decode(&self.chunk);
            if !matches!(found, Found::Record(_)) && self.is_published() {
                self.place = None;
                continue;
            }
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
                    if !missing.is_empty() {
                        self.lose(missing);
                    }
                    if record.position >= self.from {
                        return Ok(Some(Record {
                            position: record.position,
                            payload,
                        }));
                    }
                }
                Found::Partial(size)
                    if place.offset + size as u64 <= place.used && self.chunk.len() < size =>
                {
                    self.fill(size as u64)?;
                }
                _ => self.pass_damage()?,
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
    fn look(&mut self) -> bool {
        let mut state = self.shared.lock();
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
            return false;
        };
        let same = self
            .place
            .as_ref()
            .is_some_and(|place| place.sequence == segment.sequence);
        if let Some(place) = self.place.as_mut().filter(|_| same) {
            place.end = segment.end;
            place.used = segment.used;
            return true;
        }
        let mark = mark
            .filter(|mark| mark.sequence == segment.sequence)
            .unwrap_or(Mark {
                position: segment.first,
                sequence: segment.sequence,
                offset: HEADER,
            });
        self.place = Some(Place {
            sequence: segment.sequence,
            file: segment.file.clone(),
            offset: mark.offset,
            expected: mark.position,
            end: segment.end,
            used: segment.used,
        });
        self.chunk = Bytes::new();
        state.mark(mark);
        true
    }

    /// Reads at least `size` bytes from the present record's start.
    fn fill(&mut self, size: u64) -> Result<(), ReadError> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        let length = size.max(CHUNK).min(place.used - place.offset);
        let chunk = if self.failures < TRIES {
            read(&*place.file, place.offset, length)
        } else {
            // Until the damage in it is passed.
            read(&Around(place.file.clone()), place.offset, length)
        };
        self.chunk = match chunk {
            Ok(chunk) => chunk,
            Err(source) => {
                self.failures += 1;
                return Err(ReadError::Io {
                    file: name(place.sequence),
                    offset: place.offset,
                    source,
                });
            }
        };
        if self.failures < TRIES {
            self.failures = 0;
        }
        let mark = Mark {
            position: place.expected,
            sequence: place.sequence,
            offset: place.offset,
        };
        self.shared.lock().mark(mark);
        Ok(())
    }

    /// Finds the next intact record of the segment, sets aside what lies before it, and stands on it.
    fn pass_damage(&mut self) -> Result<(), ReadError> {
        let Some(place) = &mut self.place else {
            return Ok(());
        };
        let failed = |source| ReadError::Io {
            file: name(place.sequence),
            offset: place.offset,
            source,
        };
        let positions = place.expected..place.end;
        // What cannot be read is looked past, whether it has been tried for long or only turns up in the search.
        let file = Around(place.file.clone());
        let mut found = scan::find(
            &file,
            self.shared.codec,
            place.offset..place.used,
            &positions,
        )
        .map_err(failed)?;
        self.failures = 0;
        if fault::is_on(Fault::DamageEndsSegment) {
            found = None;
        }
        let (sequence, damaged) = (place.sequence, place.offset..found.unwrap_or(place.used));
        if place.end > self.from {
            // Twice the same copy says nothing new, and a disk without room for it must not stop what is intact.
            if let Err(error) = quarantine(&self.shared.fs, sequence, &file, damaged.clone()) {
                tracing::error!(segment = name(sequence), ?damaged, %error, "cannot copy a damaged stretch");
            }
            tracing::error!(
                segment = name(sequence),
                ?damaged,
                "the journal is damaged at these bytes"
            );
        }
        place.offset = damaged.end;
        self.chunk = Bytes::new();
        if found.is_none() {
            let lost = place.expected..place.end;
            place.expected = place.end;
            self.lose(lost);
        }
        Ok(())
    }

    fn lose(&mut self, positions: Range<u64>) {
        let mut state = self.shared.lock();
        let count = state.lose(positions.clone());
        if count > 0 {
            if !fault::is_on(Fault::DamageInSilence) {
                self.shared.metrics.corrupt_records(count);
            }
            tracing::error!(
                from = positions.start,
                to = positions.end - 1,
                count,
                "records lost to damage"
            );
            self.shared.publish_room(&state);
        }
    }
}

fn read(file: &impl File, offset: u64, length: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = read_full(file, &mut bytes, offset)?;
    // A file that has become shorter than what was synced is damage, and is found as such: as zeros.
    bytes[read..].fill(0);
    Ok(bytes.into())
}

/// Copies the damaged bytes to a file of their own, synced, once; a shorter copy, as a killed process leaves one, is made
/// anew.
pub(super) fn quarantine<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    from: &impl File,
    bytes: Range<u64>,
) -> io::Result<()> {
    let name = format!("quarantine-{sequence:016x}-{:08x}", bytes.start);
    let file = match fs.create(&name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = fs.open(&name)?;
            if file.length()? >= bytes.end - bytes.start {
                return Ok(());
            }
            file
        }
        outcome => outcome?,
    };
    let mut offset = bytes.start;
    while offset < bytes.end {
        let chunk = read(from, offset, (bytes.end - offset).min(CHUNK))?;
        file.write_all_at(&chunk, offset - bytes.start)?;
        offset += chunk.len() as u64;
    }
    file.sync()?;
    fs.sync_directory()
}
