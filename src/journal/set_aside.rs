//! Segments that were set aside because a place in them could not be read: publishing them once the disk is readable again.
//!
//! Such a segment is published as a journal of its own: a copy in a folder of its own, of which all records are published again
//! under their old positions. Making the copy proves that every byte can be read, but not that every byte is right: a rescue tool
//! writes zeros in place of what it cannot read. So a checkpoint beside the copy says which positions the segment held, and
//! recovery counts what is missing. The segment itself is removed only after all of it was published.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::disk::filesystem::{PAGE, read_full};
use super::disk::real::DiskFileSystem;
use super::engine::checkpoint::{CheckpointFile, Synced};
use super::engine::quarantine::{self, DAMAGE_PREFIX, TORN_PREFIX};
use super::format::record::Codec;
use super::format::scan;
use super::format::segment::{HEADER, Header, name};
use super::format::set_aside::{KnownExtent, SetAsideName, is_meant};
use super::recovery::bounds;

/// The prefix of the folder's name in which a copy is published.
const FOLDER: &str = "drain-";
/// Bytes copied at once.
const CHUNK: usize = 1 << 20;

/// A segment that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    journal: PathBuf,
    name: SetAsideName,
}

/// What is set aside beside a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The segments, oldest first.
    pub segments: Vec<SetAside>,
    /// Files whose names are nearly a segment's: someone renamed a segment, and its name no longer says what it held.
    pub misnamed: Vec<PathBuf>,
}

/// What is set aside beside the journal in this folder.
pub fn list(journal: &Path) -> io::Result<Listing> {
    let mut found = Listing::default();
    for entry in fs::read_dir(journal)? {
        let file = entry?.file_name().into_string().unwrap_or_default();
        match SetAsideName::parse(&file) {
            Some(name) => found.segments.push(SetAside {
                journal: journal.to_owned(),
                name,
            }),
            None if is_meant(&file) => found.misnamed.push(journal.join(file)),
            None => {}
        }
    }
    let key = |found: &SetAside| (found.name.sequence, found.path());
    found.segments.sort_unstable_by_key(key);
    Ok(found)
}

impl SetAside {
    /// The segment's path.
    pub fn path(&self) -> PathBuf {
        self.journal.join(self.name.to_string())
    }

    /// The copy's folder.
    pub fn folder(&self) -> PathBuf {
        self.journal
            .join(format!("{FOLDER}{:016x}", self.name.sequence))
    }

    /// Copies the segment into the copy's folder. Fails if a part of the segment still cannot be read, or if there is no room.
    /// `journal_id` is the id of the journal in the folder. Returns whether it is known where the segment's records ended.
    pub fn copy(&self, journal_id: [u8; 16]) -> io::Result<bool> {
        self.remove_copy()?;
        fs::create_dir(self.folder())?;
        let from = fs::File::open(self.path())?;
        let copy = self.folder().join(name(self.name.sequence));
        let mut to = fs::File::create(&copy)?;
        let mut chunk = vec![0; CHUNK];
        let mut offset = 0;
        loop {
            let read = read_full(&from, &mut chunk, offset)?;
            if read == 0 {
                break;
            }
            to.write_all(&chunk[..read])?;
            offset += read as u64;
        }
        // What a shorter file lacks is as good as zeros.
        let length = self.name.known.map_or(0, |known| known.used).max(offset);
        to.set_len(length)?;
        self.identify(&fs::File::open(copy)?, length, journal_id)
    }

    /// Writes a checkpoint beside the copy: with the journal's id, the first position as its watermark, and the end that the
    /// segment's name says. An intact header knows better than the name where the segment begins.
    fn identify(&self, file: &fs::File, length: u64, journal_id: [u8; 16]) -> io::Result<bool> {
        let sequence = self.name.sequence;
        let header = Header::read(file, sequence)?.ok();
        let known_id = self.name.known.map_or(journal_id, |known| known.journal_id);
        let journal_id = header.as_ref().map_or(known_id, |header| header.journal_id);
        // A name that was given by hand may be another journal's.
        let known = self
            .name
            .known
            .filter(|known| known.journal_id == journal_id);
        let first = if let Some(header) = &header {
            Some(header.first)
        } else {
            let first = known.map(|known| known.first);
            first_position(file, Codec::new(&journal_id), length, first)?
        };
        // If nothing is known of it, recovery sets its bytes aside as unidentified.
        let Some(first) = first else {
            return Ok(false);
        };
        // A name that says more than the file can hold is about another segment too, which is gone.
        let fits = |known: &KnownExtent| {
            bounds::end_in_next_header(first, length, Some(known.end)).is_some()
        };
        let synced = match known.filter(fits) {
            Some(known) => {
                let codec = Codec::new(&journal_id);
                let found = scan::end(file, codec, PAGE, HEADER, length, first)?;
                // Records that were appended later, or could only be estimated.
                let is_found = found.end >= known.end;
                Some(Synced {
                    sequence,
                    first,
                    end: found.end.max(known.end),
                    used: found.used.max(if is_found { HEADER } else { known.used }),
                    closed: false,
                })
            }
            None => None,
        };
        if header.is_none() || synced.is_some() {
            let folder = DiskFileSystem::lock(&self.folder()).map_err(io::Error::other)?;
            let mut checkpoint = CheckpointFile::create(&folder, journal_id, first, 0)?;
            checkpoint.write(first, synced)?;
        }
        Ok(synced.is_some())
    }

    /// Removes the copy's folder.
    pub fn remove_copy(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.folder()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves copies of torn writes and of damage to the journal's own, if the journal does not have them yet.
    pub fn keep_copies(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            if ![DAMAGE_PREFIX, TORN_PREFIX]
                .iter()
                .any(|prefix| name.starts_with(prefix))
            {
                continue;
            }
            for name in quarantine::names(name) {
                let to = self.journal.join(name);
                match fs::hard_link(entry.path(), &to) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        if fs::read(&to)? != fs::read(entry.path())? {
                            continue;
                        }
                    }
                    linked => linked?,
                }
                break;
            }
        }
        fs::File::open(&self.journal)?.sync_all()
    }

    /// Removes the segment durably. Call it after all its records are published.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.path())?;
        fs::File::open(&self.journal)?.sync_all()
    }
}

/// The first position of a segment without a header, which was known to be `known`, if that agrees with the first intact record:
/// the bytes before that bound how many records there can have been. If it does not agree, they count as one.
fn first_position(
    file: &fs::File,
    codec: Codec,
    length: u64,
    known: Option<u64>,
) -> io::Result<Option<u64>> {
    let Some(offset) = scan::find(file, codec, HEADER..length, &(0..u64::MAX))? else {
        return Ok(known);
    };
    let before = (offset - HEADER) / scan::SMALLEST;
    let position = scan::at(file, codec, offset, length)?;
    Ok(position.map(|position| {
        let possible = position.saturating_sub(before)..=position;
        known
            .filter(|known| possible.contains(known))
            .unwrap_or(position.saturating_sub(before.min(1)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_is_set_aside_is_found_copied_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: u64| folder.path().join(format!("unreadable-{}", name(number)));
        for number in [12, 3] {
            fs::write(path(number), [7; 100]).unwrap();
        }
        fs::write(folder.path().join(name(3)), [8; 100]).unwrap();
        let misnamed = folder.path().join("unreadable-3-old.segment");
        fs::write(&misnamed, [9; 100]).unwrap();
        let listing = list(folder.path()).unwrap();
        assert_eq!(listing.misnamed, [misnamed]);
        let found = listing.segments;
        let paths: Vec<_> = found.iter().map(SetAside::path).collect();
        assert_eq!(paths, [path(3), path(12)]);
        for _ in 0..2 {
            assert!(!found[0].copy([1; 16]).unwrap());
        }
        let copy = found[0].folder().join(name(3));
        assert_eq!(fs::read(copy).unwrap(), [7; 100]);
        found[0].remove().unwrap();
        found[0].remove_copy().unwrap();
        assert_eq!(list(folder.path()).unwrap().segments, found[1..]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
