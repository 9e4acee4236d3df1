//! A window's files in the journal's folder, from which it is read after a restart.
//!
//! ```text
//! dedup-<source>-<generation, 16 digits>      entries of 24 bytes, oldest first, nothing else
//! entry: fingerprint, 16 bytes | second of the commit since the Unix epoch, u32 | CRC-32C of both, u32   (little-endian)
//! ```
//!
//! Nothing is synced: what the system has not written by a power cut is forgotten, and an event that is forgotten costs a second
//! record, never one. An entry that is torn or damaged is passed over for the same price.
//!
//! A generation ends when it has as many entries as the window, or began more than the window ago; then the one before it is
//! removed. So two files always hold the whole window.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::table::Mark;

const PREFIX: &str = "dedup-";
const GENERATION_DIGITS: usize = 16;
const ENTRY_BYTES: usize = 24;
/// Of an entry, before its checksum.
const CHECKED_BYTES: usize = ENTRY_BYTES - 4;
const MS_PER_SECOND: u64 = 1_000;

/// The files of one window, the newest of them open.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    source: String,
    newest: Option<Newest>,
    /// Generations that still count, and those that could not be removed.
    previous: Vec<u64>,
}

#[derive(Debug)]
struct Newest {
    file: File,
    generation: u64,
    entries: u64,
    /// Of its first entry; `None` if it has none, or a damaged one.
    began_ms: Option<u64>,
}

/// What [`Files::read`] has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) entries: u64,
    /// Whole entries whose checksum is wrong.
    pub(super) damaged: u64,
}

impl Files {
    /// The files of this source's window, of which none needs to exist yet.
    pub(super) fn open(folder: &Path, source: &str) -> io::Result<Self> {
        let names = names(folder)?;
        let files = names.iter().filter_map(|name| parse(name));
        let own = files.filter(|(of, _)| *of == source);
        let mut generations: Vec<_> = own.map(|(_, generation)| generation).collect();
        generations.sort_unstable();
        let mut files = Self {
            folder: folder.to_owned(),
            source: source.to_owned(),
            newest: None,
            previous: Vec::new(),
        };
        if let Some(generation) = generations.pop() {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(files.path(generation))?;
            let mut first = [0; ENTRY_BYTES];
            let began_ms = file.read_exact_at(&mut first, 0).ok();
            files.newest = Some(Newest {
                // What is torn at its end is written over.
                entries: file.metadata()?.len() / ENTRY_BYTES as u64,
                began_ms: began_ms.and_then(|()| decode(&first)).map(|mark| mark.ms),
                file,
                generation,
            });
        }
        files.previous = generations;
        Ok(files)
    }

    /// Gives all marks, oldest first.
    pub(super) fn read(&self, mut on_mark: impl FnMut(Mark)) -> io::Result<Found> {
        let mut found = Found::default();
        let newest = self.newest.as_ref().map(|newest| newest.generation);
        for generation in self.previous.iter().copied().chain(newest) {
            let mut file = io::BufReader::new(File::open(self.path(generation))?);
            let mut entry = [0; ENTRY_BYTES];
            loop {
                match file.read_exact(&mut entry) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                    Err(error) => return Err(error),
                }
                found.entries += 1;
                match decode(&entry) {
                    Some(mark) => on_mark(mark),
                    None => found.damaged += 1,
                }
            }
        }
        Ok(found)
    }

    /// Writes these marks behind all others, for a window of this length and capacity. After an error none of them counts as
    /// written, and the next ones take their place.
    pub(super) fn append(
        &mut self,
        marks: &[Mark],
        window: Duration,
        capacity: usize,
    ) -> io::Result<()> {
        let Some(now_ms) = marks.last().map(|mark| mark.ms) else {
            return Ok(());
        };
        let is_over = |newest: &Newest| {
            let age = now_ms.saturating_sub(newest.began_ms.unwrap_or(now_ms));
            newest.entries >= capacity as u64 || u128::from(age) > window.as_millis()
        };
        let newest = match self.newest.take_if(|newest| !is_over(newest)) {
            Some(newest) => self.newest.insert(newest),
            None => self.begin()?,
        };
        let bytes: Vec<u8> = marks.iter().flat_map(encode).collect();
        let offset = newest.entries * ENTRY_BYTES as u64;
        newest.file.write_all_at(&bytes, offset)?;
        newest.began_ms.get_or_insert(marks[0].ms);
        newest.entries += marks.len() as u64;
        Ok(())
    }

    /// Begins the next generation and removes those that it makes needless.
    fn begin(&mut self) -> io::Result<&mut Newest> {
        let before = self.newest.as_ref().map(|newest| newest.generation);
        let generation = before.map_or(0, |generation| generation + 1);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path(generation))?;
        let obsolete = std::mem::take(&mut self.previous);
        let is_left = |generation: &u64| fs::remove_file(self.path(*generation)).is_err();
        self.previous = obsolete.into_iter().filter(is_left).chain(before).collect();
        Ok(self.newest.insert(Newest {
            file,
            generation,
            entries: 0,
            began_ms: None,
        }))
    }

    fn path(&self, generation: u64) -> PathBuf {
        let name = format!("{PREFIX}{}-{generation:016}", self.source);
        self.folder.join(name)
    }
}

/// Removes the files of every source that has no window.
pub(super) fn remove_others(folder: &Path, has_window: impl Fn(&str) -> bool) -> io::Result<()> {
    for name in names(folder)? {
        if parse(&name).is_some_and(|(source, _)| !has_window(source)) {
            fs::remove_file(folder.join(&name))?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

/// The source and the generation of a file of this name.
fn parse(name: &str) -> Option<(&str, u64)> {
    let (source, generation) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
    let is_number = generation.len() == GENERATION_DIGITS
        && generation.bytes().all(|byte| byte.is_ascii_digit());
    let generation = generation.parse().ok().filter(|_| is_number)?;
    Some((source, generation))
}

fn encode(mark: &Mark) -> [u8; ENTRY_BYTES] {
    // Rounded down, so that a mark is forgotten too early rather than too late. The field lasts until 2106.
    let second = u32::try_from(mark.ms / MS_PER_SECOND).unwrap_or(u32::MAX);
    let mut entry = [0; ENTRY_BYTES];
    entry[..16].copy_from_slice(&mark.fingerprint);
    entry[16..CHECKED_BYTES].copy_from_slice(&second.to_le_bytes());
    let checksum = crc32c::crc32c(&entry[..CHECKED_BYTES]);
    entry[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
    entry
}

fn decode(entry: &[u8; ENTRY_BYTES]) -> Option<Mark> {
    let (checked, checksum) = entry.split_at(CHECKED_BYTES);
    if crc32c::crc32c(checked).to_le_bytes() != checksum {
        return None;
    }
    let (fingerprint, second) = checked.split_first_chunk()?;
    let second = u32::from_le_bytes(second.try_into().ok()?);
    Some(Mark {
        fingerprint: *fingerprint,
        ms: u64::from(second) * MS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests;
