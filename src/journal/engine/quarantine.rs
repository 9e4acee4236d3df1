//! Copies of bytes that hold no record: the journal keeps them before it passes over or truncates the original.

use std::io;
use std::ops::Range;

use crate::journal::disk::filesystem::{File as _, FileSystem, ReadAt, read_full};

/// The prefix of the names of copies of damaged bytes.
pub const DAMAGE_PREFIX: &str = "quarantine-";
/// The prefix of the names of copies of torn writes: bytes that were never acknowledged, such as a kill leaves.
pub const TORN_PREFIX: &str = "torn-";
/// Copies of torn writes that are kept: the newest.
const MAX_TORN: usize = 8;
/// Bytes copied at once.
const CHUNK: u64 = 256 << 10;

/// Copies damaged bytes of a segment to a synced file. If there is a complete copy already, it stays.
pub(in crate::journal) fn copy_damage<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    from: &impl ReadAt,
    bytes: Range<u64>,
) -> io::Result<()> {
    copy(fs, &name(DAMAGE_PREFIX, sequence, &bytes), from, bytes)
}

/// Copies bytes that are about to be truncated from a segment's tail to a synced file, and removes the oldest such copies.
pub(in crate::journal) fn copy_torn<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    from: &impl ReadAt,
    bytes: Range<u64>,
) -> io::Result<()> {
    copy(fs, &name(TORN_PREFIX, sequence, &bytes), from, bytes)?;
    remove_torn(fs, MAX_TORN).map(|_| ())
}

/// As [`copy_torn`] for a whole file, without taking room: gives `file` a second name, and truncates it after `bytes`, where
/// only zeros follow. The caller removes the first name.
pub(in crate::journal) fn link_torn<FS: FileSystem>(
    fs: &FS,
    file: &str,
    sequence: u64,
    bytes: u64,
) -> io::Result<()> {
    let second = name(TORN_PREFIX, sequence, &(0..bytes));
    match fs.link(file, &second) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs.open(&second)?.truncate(bytes)?;
    fs.sync_directory()?;
    remove_torn(fs, MAX_TORN).map(|_| ())
}

/// Removes all copies of torn writes except the newest `kept`; true if any was removed.
pub(in crate::journal) fn remove_torn(fs: &impl FileSystem, kept: usize) -> io::Result<bool> {
    let mut names = fs.list()?;
    names.retain(|name| name.starts_with(TORN_PREFIX));
    names.sort_unstable();
    names.truncate(names.len().saturating_sub(kept));
    for name in &names {
        match fs.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(!names.is_empty())
}

fn name(prefix: &str, sequence: u64, bytes: &Range<u64>) -> String {
    format!("{prefix}{sequence:016x}-{:08x}", bytes.start)
}

/// Copies the bytes to a synced file. A shorter copy, which a killed process has left, is written again.
fn copy<FS: FileSystem>(
    fs: &FS,
    name: &str,
    from: &impl ReadAt,
    bytes: Range<u64>,
) -> io::Result<()> {
    let file = match fs.create(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = fs.open(name)?;
            if file.length()? >= bytes.end - bytes.start {
                return Ok(());
            }
            file
        }
        created => created?,
    };
    let mut offset = bytes.start;
    while offset < bytes.end {
        let length = (bytes.end - offset).min(CHUNK);
        let mut chunk = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        // What lies past the end of a file that has become shorter is copied as zeros.
        read_full(from, &mut chunk, offset)?;
        file.write_all_at(&chunk, offset - bytes.start)?;
        offset += length;
    }
    file.sync()?;
    fs.sync_directory()
}
