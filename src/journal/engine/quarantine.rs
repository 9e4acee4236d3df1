//! Copies of bytes that are no records any more, or never were, made before they are passed over or cut.

use std::io;
use std::ops::Range;

use crate::journal::disk::filesystem::{File as _, FileSystem, ReadAt, read_full};

/// How the names of copies of damage begin.
pub const QUARANTINE: &str = "quarantine-";
/// How the names of copies of torn writes begin: bytes that were never acknowledged, as a kill leaves them.
pub const TORN: &str = "torn-";
/// So many copies of torn writes are kept, the newest.
const MAX_TORN: usize = 8;
/// Bytes copied at once.
const CHUNK: u64 = 256 << 10;

/// Copies damaged bytes of a segment to a file of their own, synced, once.
pub fn quarantine<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    from: &impl ReadAt,
    bytes: Range<u64>,
) -> io::Result<()> {
    copy(fs, &name(QUARANTINE, sequence, &bytes), from, bytes)
}

/// Copies bytes that are about to be cut from a segment's tail, synced, and removes the oldest of such copies.
pub fn torn<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    from: &impl ReadAt,
    bytes: Range<u64>,
) -> io::Result<()> {
    copy(fs, &name(TORN, sequence, &bytes), from, bytes)?;
    forget_oldest(fs)
}

/// As [`torn`] for a whole file, which needs no room for it: it gets a second name, and is cut behind its `bytes`, where
/// there are only zeros. Its first name is for the caller to remove.
pub fn torn_file<FS: FileSystem>(fs: &FS, file: &str, sequence: u64, bytes: u64) -> io::Result<()> {
    let second = name(TORN, sequence, &(0..bytes));
    match fs.link(file, &second) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs.open(&second)?.truncate(bytes)?;
    fs.sync_directory()?;
    forget_oldest(fs)
}

fn forget_oldest(fs: &impl FileSystem) -> io::Result<()> {
    forget_torn(fs, MAX_TORN).map(|_| ())
}

/// Removes all copies of torn writes but the newest `kept`; true if there was one to remove.
pub fn forget_torn(fs: &impl FileSystem, kept: usize) -> io::Result<bool> {
    let mut names = fs.list()?;
    names.retain(|name| name.starts_with(TORN));
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

fn name(kind: &str, sequence: u64, bytes: &Range<u64>) -> String {
    format!("{kind}{sequence:016x}-{:08x}", bytes.start)
}

/// A shorter copy, as a killed process leaves one, is made again.
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
        outcome => outcome?,
    };
    let mut offset = bytes.start;
    while offset < bytes.end {
        let length = (bytes.end - offset).min(CHUNK);
        let mut chunk = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        // A file that has become shorter than what was synced is copied as zeros.
        read_full(from, &mut chunk, offset)?;
        file.write_all_at(&chunk, offset - bytes.start)?;
        offset += length;
    }
    file.sync()?;
    fs.sync_directory()
}
