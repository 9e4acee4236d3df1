//! The journal's view of a disk: a flat folder of files, behind a trait so that tests can tear, fail and lose writes.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// The file that a process locks while it holds the journal.
pub const LOCK: &str = "lock";

/// The page in which Linux reads and writes files, in bytes; also the largest physical sector of today's disks.
pub const PAGE: u64 = 4096;

/// Bytes that can be read at explicit offsets.
pub trait ReadAt {
    /// Reads at most `bytes.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl<F: File> ReadAt for F {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        File::read_at(self, bytes, offset)
    }
}

/// Reads until the buffer is full or the file ends.
pub fn read_full(file: &impl ReadAt, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

/// The room of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still reserve.
    pub free: u64,
    /// The file system's size.
    pub total: u64,
}

/// A flat folder. Every method may block, so none may be called on an async runtime's threads.
///
/// Written bytes are durable only after [`File::sync`], a file's name only after [`FileSystem::sync_directory`].
pub trait FileSystem: Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// Where an operator finds a file.
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
    /// Creates an empty file, readable and writable; an error if the name exists.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// The names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Unlinks a file. An open file stays readable until it is truncated.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Gives a file a second name; an error if that name exists.
    fn link(&self, name: &str, second: &str) -> io::Result<()>;
    /// True if both names are of one file; an error if one of them does not exist.
    fn is_same(&self, name: &str, second: &str) -> io::Result<bool>;
    /// Makes all names created and removed so far durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// True while an inspection runs, which may have opened files that have been removed since.
    fn is_looked_into(&self) -> io::Result<bool>;
    /// The room of the file system; `None` if nothing bounds it.
    fn space(&self) -> io::Result<Option<Space>> {
        Ok(None)
    }
    /// The bytes that a device may spoil together if a write is cut short, and that fail to read together. A write that
    /// begins at a multiple of it cannot harm what was synced before.
    fn page(&self) -> u64 {
        PAGE
    }

    /// The wall clock, in milliseconds since the Unix epoch; here so that a simulated disk can bring its own time.
    fn now_ms(&self) -> u64 {
        crate::time::now_ms()
    }
}

/// An open file, used at explicit offsets (bytes) by several threads.
pub trait File: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads at most `bytes.len()` bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Drops these bytes from the page cache if possible, so that the next read asks the device.
    fn evict(&self, _bytes: Range<u64>) {}
    /// `fdatasync`. After an error nobody knows what is on disk, and another call proves nothing.
    fn sync(&self) -> io::Result<()>;
    /// Reserves `length` bytes, which read as zeros, so that a later write within them cannot run out of space.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Truncates the file to `length` bytes.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// True once the file has no name any more, not even a second one.
    fn is_removed(&self) -> io::Result<bool>;
}

/// True if creating a file failed for lack of space, descriptors or memory. That passes, and puts no written byte in doubt,
/// unlike any other error.
pub fn is_full(error: &io::Error) -> bool {
    let kind = matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::OutOfMemory
    );
    // The process's and the system's limits of descriptors, for which the standard library has no name.
    let descriptors = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    let raw = error.raw_os_error();
    kind || descriptors
        .iter()
        .any(|errno| raw == Some(errno.raw_os_error()))
}
