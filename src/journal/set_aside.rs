//! Segments that were set aside because a place in them could not be read: publishing them once the disk is readable again.
//!
//! Such a segment is published as a journal of its own: a copy in a folder of its own, without a checkpoint, so that all its
//! records are published again under their old positions. Making the copy proves that every byte can be read. The segment
//! itself is removed only after that.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::disk::filesystem::read_full;
use super::disk::real::DiskFileSystem;
use super::engine::checkpoint::CheckpointFile;
use super::format::record::Codec;
use super::format::scan;
use super::format::segment::{HEADER, Header, name, set_aside_name, set_aside_sequence};

/// The prefix of the folder's name in which a copy is published.
const FOLDER: &str = "drain-";
/// Bytes copied at once.
const CHUNK: usize = 1 << 20;

/// A segment that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    journal: PathBuf,
    sequence: u64,
}

/// The segments that are set aside beside the journal in this folder, oldest first.
pub fn list(journal: &Path) -> io::Result<Vec<SetAside>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(journal)? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        found.extend(set_aside_sequence(&name).map(|sequence| SetAside {
            journal: journal.to_owned(),
            sequence,
        }));
    }
    found.sort_unstable_by_key(|found| found.sequence);
    Ok(found)
}

impl SetAside {
    /// The segment's path.
    pub fn path(&self) -> PathBuf {
        self.journal.join(set_aside_name(self.sequence))
    }

    /// The copy's folder.
    pub fn folder(&self) -> PathBuf {
        self.journal.join(format!("{FOLDER}{:016x}", self.sequence))
    }

    /// Copies the segment into the copy's folder. Fails if a part of the segment still cannot be read, or if there is no room.
    /// `journal_id` is the id of the segment's journal.
    pub fn copy(&self, journal_id: [u8; 16]) -> io::Result<()> {
        self.remove_copy()?;
        fs::create_dir(self.folder())?;
        let from = fs::File::open(self.path())?;
        let mut to = fs::File::create(self.folder().join(name(self.sequence)))?;
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
        self.identify(&from, offset, journal_id)
    }

    /// If the header is damaged, writes a checkpoint beside the copy: with the journal's id, and the first intact record as its
    /// watermark.
    fn identify(&self, file: &fs::File, length: u64, journal_id: [u8; 16]) -> io::Result<()> {
        if Header::read(file, self.sequence)?.is_ok() {
            return Ok(());
        }
        let codec = Codec::new(&journal_id);
        let Some(offset) = scan::find(file, codec, HEADER..length, &(0..u64::MAX))? else {
            return Ok(());
        };
        let first = scan::at(file, codec, offset, length)?.unwrap_or(0);
        let folder = DiskFileSystem::lock(&self.folder()).map_err(io::Error::other)?;
        CheckpointFile::create(&folder, journal_id, first, 0)?;
        Ok(())
    }

    /// Removes the copy's folder.
    pub fn remove_copy(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.folder()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the segment durably. Call it after all its records are published.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.path())?;
        fs::File::open(&self.journal)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_is_set_aside_is_found_copied_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        for sequence in [12, 3] {
            fs::write(folder.path().join(set_aside_name(sequence)), [7; 100]).unwrap();
        }
        fs::write(folder.path().join(name(3)), [8; 100]).unwrap();
        let found = list(folder.path()).unwrap();
        let sequences: Vec<_> = found.iter().map(|found| found.sequence).collect();
        assert_eq!(sequences, [3, 12]);
        for _ in 0..2 {
            found[0].copy([1; 16]).unwrap();
        }
        let copy = found[0].folder().join(name(3));
        assert_eq!(fs::read(copy).unwrap(), [7; 100]);
        found[0].remove().unwrap();
        found[0].remove_copy().unwrap();
        assert_eq!(list(folder.path()).unwrap(), found[1..]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
