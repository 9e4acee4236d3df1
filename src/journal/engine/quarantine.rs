//! Copies of bytes that hold no record: the journal keeps them before it passes over or truncates the original.

use std::io;
use std::ops::Range;

use crate::journal::disk::filesystem::{File, FileSystem, ReadAt, read_full};

/// The prefix of the names of copies of damaged bytes.
pub const DAMAGE_PREFIX: &str = "quarantine-";
/// The prefix of the names of copies of torn writes: bytes that were never acknowledged, such as a kill leaves.
pub const TORN_PREFIX: &str = "torn-";
/// Where an operator finds what to do about damage.
pub const CORRUPT_RUNBOOK: &str = "RingbackEventsLostToDamage in docs/runbook.md";
/// Copies of torn writes that are kept: the newest.
const MAX_TORN: usize = 8;
/// Bytes copied at once.
const CHUNK: u64 = 256 << 10;

/// Copies damaged bytes of a segment to a synced file, in place of an earlier copy of them, and returns its name.
pub(in crate::journal) fn copy_damage<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    from: &impl ReadAt,
    bytes: Range<u64>,
) -> io::Result<String> {
    copy(fs, DAMAGE_PREFIX, sequence, from, bytes)
}

/// Copies bytes that are about to be truncated from a segment's tail to a synced file, and removes the oldest such copies.
pub(in crate::journal) fn copy_torn<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    from: &impl ReadAt,
    bytes: Range<u64>,
) -> io::Result<()> {
    let made = copy(fs, TORN_PREFIX, sequence, from, bytes)?;
    remove_torn_before(fs, &made)
}

/// As [`copy_torn`] for a whole file, without taking room: gives `file` a second name, and truncates it after `bytes`, where
/// only zeros follow. The caller removes the first name.
pub(in crate::journal) fn link_torn<FS: FileSystem>(
    fs: &FS,
    file: &str,
    sequence: u64,
    bytes: u64,
) -> io::Result<()> {
    for second in names(name(TORN_PREFIX, sequence, 0)) {
        match fs.link(file, &second) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // A killed process may have given it this name.
                if !fs.is_same(file, &second)? {
                    continue;
                }
            }
            linked => linked?,
        }
        fs.open(&second)?.truncate(bytes)?;
        fs.sync_directory()?;
        return remove_torn_before(fs, &second);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes all copies of torn writes; true if there were any.
pub(in crate::journal) fn remove_torn(fs: &impl FileSystem) -> io::Result<bool> {
    let torn = list_torn(fs)?;
    remove_all(fs, &torn)?;
    Ok(!torn.is_empty())
}

/// Removes the oldest copies of torn writes. The one that was just made is the newest, though an earlier journal's may have
/// higher numbers.
fn remove_torn_before(fs: &impl FileSystem, made: &str) -> io::Result<()> {
    let mut torn = list_torn(fs)?;
    torn.retain(|name| name != made);
    torn.truncate(torn.len().saturating_sub(MAX_TORN - 1));
    remove_all(fs, &torn)
}

/// The names of all copies of torn writes, sorted.
fn list_torn(fs: &impl FileSystem) -> io::Result<Vec<String>> {
    let mut names = fs.list()?;
    names.retain(|name| name.starts_with(TORN_PREFIX));
    names.sort_unstable();
    Ok(names)
}

fn remove_all(fs: &impl FileSystem, names: &[String]) -> io::Result<()> {
    for name in names {
        match fs.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn name(prefix: &str, sequence: u64, offset: u64) -> String {
    format!("{prefix}{sequence:016x}-{offset:08x}")
}

/// The names that a copy can have, without an end: the usual one, and others if foreign files have that.
pub(in crate::journal) fn names(usual: String) -> impl Iterator<Item = String> {
    (0_u64..).map(move |copy| match copy {
        0 => usual.clone(),
        _ => format!("{usual}-{copy}"),
    })
}

/// Copies the bytes to a synced file, and returns its name.
fn copy<FS: FileSystem>(
    fs: &FS,
    prefix: &str,
    sequence: u64,
    from: &impl ReadAt,
    bytes: Range<u64>,
) -> io::Result<String> {
    for name in names(name(prefix, sequence, bytes.start)) {
        let file = match fs.create(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = fs.open(&name)?;
                if is_foreign(&file, from, &bytes)? {
                    continue;
                }
                // Even if it is complete, it may never have been synced.
                file
            }
            created => created?,
        };
        for_each_chunk(from, &bytes, |chunk, at| file.write_all_at(chunk, at))?;
        file.sync()?;
        fs.sync_directory()?;
        return Ok(name);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// True if a file that has a copy's name holds other bytes, so that writing the copy to it would destroy them: an earlier journal in
/// the same folder had segments with the same numbers. The copy of a killed process has the same bytes, or zeros.
fn is_foreign(existing: &impl File, from: &impl ReadAt, bytes: &Range<u64>) -> io::Result<bool> {
    let mut is_foreign = false;
    for_each_chunk(from, bytes, |chunk, at| {
        let mut written = vec![0; chunk.len()];
        // If it cannot be read, nobody knows whose it is.
        let is_read = read_full(existing, &mut written, at).is_ok();
        let mut pairs = chunk.iter().zip(&written);
        is_foreign |= !is_read || !pairs.all(|(byte, written)| written == byte || *written == 0);
        Ok(())
    })?;
    Ok(is_foreign)
}

/// Reads the bytes in pieces, each with its offset from their start.
fn for_each_chunk(
    from: &impl ReadAt,
    bytes: &Range<u64>,
    mut take: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut offset = bytes.start;
    while offset < bytes.end {
        let length = (bytes.end - offset).min(CHUNK);
        let mut chunk = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        // What lies past the end of a file that has become shorter is copied as zeros.
        read_full(from, &mut chunk, offset)?;
        take(&chunk, offset - bytes.start)?;
        offset += length;
    }
    Ok(())
}
