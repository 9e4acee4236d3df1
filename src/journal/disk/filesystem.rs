//! The journal's view of a disk: one flat folder of files, behind a trait so that tests can tear, fail and lose writes.

use std::fs::{self, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};

/// The file that a process locks for as long as it holds the journal.
pub const LOCK: &str = "lock";
/// Whoever only asks whether the journal is held takes the lock for an instant; a start must not fail by that.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The page in which Linux reads and writes files, and the largest physical sector of today's disks.
pub const PAGE: u64 = 4096;

/// Bytes that can be read at explicit offsets.
pub trait ReadAt {
    /// Reads at most `bytes.len()`; 0 at the end.
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

/// A flat folder. Every method is synchronous and may block; none is called on an async runtime's threads.
///
/// What is written is durable only after [`File::sync`], a file's name only after [`FileSystem::sync_directory`].
pub trait FileSystem: Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// Makes a new, empty file, readable and writable; an error where the name is taken.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// The names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Unlinks a file; what is open stays readable until it is cut.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Gives a file a second name; an error where that name is taken.
    fn link(&self, name: &str, second: &str) -> io::Result<()>;
    /// Makes names made and removed so far durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// True while somebody looks into the folder, who may have opened what has been removed since.
    fn is_looked_into(&self) -> io::Result<bool>;
    /// What a device may spoil as one piece when a write to it is cut short, in bytes: a write that begins on a multiple
    /// of it cannot harm what was synced before. Also the piece in which reading fails.
    fn page(&self) -> u64 {
        PAGE
    }

    /// The wall clock in milliseconds since the Unix epoch. It is here so that a simulated disk brings its own time.
    fn now_ms(&self) -> u64 {
        crate::time::now_ms()
    }
}

/// An open file, used at explicit offsets (bytes) and from several threads.
pub trait File: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads at most `bytes.len()`; 0 at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Drops these bytes from the page cache where that is possible, so that the next read asks the device.
    fn evict(&self, _bytes: Range<u64>) {}
    /// `fdatasync`. After an error nothing may be assumed about what is on disk, and calling again proves nothing.
    fn sync(&self) -> io::Result<()>;
    /// Reserves `length` bytes, read as zeros, so that a later write within them cannot run out of space.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// True once the file has no name any more, not even a second one that somebody gave it.
    fn is_removed(&self) -> io::Result<bool>;
}

/// The real folder, held by an advisory lock for as long as this value lives.
#[derive(Debug)]
pub struct DiskFileSystem {
    path: PathBuf,
    directory: fs::File,
    _lock: fs::File,
}

/// Why a folder cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Not a folder, not ours, or the disk is away.
    #[error("cannot use the folder; it must be a directory that this user may write")]
    Unusable(#[source] io::Error),
    /// Another process holds it: end that one first, or give this one a folder of its own.
    #[error(
        "another process holds the journal; end it first, or give this one a folder of its own"
    )]
    Locked,
}

impl DiskFileSystem {
    /// Makes the folder if it is missing (mode 0700: bodies are nobody else's business) and locks it.
    pub fn lock(path: &Path) -> Result<Self, FolderError> {
        make_durably(path).map_err(FolderError::Unusable)?;
        let directory = fs::File::open(path).map_err(FolderError::Unusable)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(FolderError::Unusable)?;
        take(&lock, || thread::sleep(LOCK_PAUSE))?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            _lock: lock,
        })
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        options
    }
}

impl FileSystem for DiskFileSystem {
    type File = fs::File;

    fn create(&self, name: &str) -> io::Result<fs::File> {
        Self::options().create_new(true).open(self.path.join(name))
    }

    fn open(&self, name: &str) -> io::Result<fs::File> {
        Self::options().open(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn link(&self, name: &str, second: &str) -> io::Result<()> {
        fs::hard_link(self.path.join(name), self.path.join(second))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn is_looked_into(&self) -> io::Result<bool> {
        match self.directory.try_lock() {
            // What is removed by now, nobody can come to open any more.
            Ok(()) => self.directory.unlock().map(|()| false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl File for fs::File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match std::os::unix::fs::FileExt::read_at(self, bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    fn evict(&self, bytes: Range<u64>) {
        let length = NonZeroU64::new(bytes.end.saturating_sub(bytes.start));
        // Advice only: a page that stays in the cache makes the answer of a probe less certain, and nothing else.
        let _ = fadvise(self, bytes.start, length, Advice::DontNeed);
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()?;
        // While a file system gives up after a fault, an fdatasync whose log entries were thrown away may return success:
        // seen with XFS and ext4. It is marked as given up before they are. Then reading is EIO after a shutdown, with
        // both; after an aborted log ext4 still reads, but refuses a write, even one of nothing.
        rustix::io::pread(self, &mut [0_u8][..], 0)?;
        rustix::io::pwrite(self, &[], 0)?;
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        loop {
            match fallocate(self, FallocateFlags::empty(), 0, length) {
                Err(rustix::io::Errno::INTR) => {}
                // A file system that cannot reserve writes the zeros instead: slower, as safe.
                Err(rustix::io::Errno::OPNOTSUPP) => return fill_with_zeros(self, length),
                outcome => return Ok(outcome?),
            }
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn is_removed(&self) -> io::Result<bool> {
        Ok(self.metadata()?.nlink() == 0)
    }
}

/// Locks the file, with pauses between the tries.
fn take(lock: &fs::File, mut pause: impl FnMut()) -> Result<(), FolderError> {
    let mut tries = LOCK_TRIES;
    loop {
        tries -= 1;
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) if tries > 0 => pause(),
            Err(fs::TryLockError::WouldBlock) => return Err(FolderError::Locked),
            Err(fs::TryLockError::Error(error)) => return Err(FolderError::Unusable(error)),
        }
    }
}

/// Makes the folder and those above it that are missing; the names of all of them are synced.
fn make_durably(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|folder| !folder.exists());
    let missing: Vec<_> = missing.collect();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    if missing.is_empty() {
        // A process killed between the two has left a name that is not synced. It need not be ours, nor readable.
        let _ = sync_parent(path);
    }
    missing.into_iter().try_for_each(sync_parent)
}

fn sync_parent(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().unwrap_or(Path::new(""));
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    fs::File::open(parent)?.sync_all()
}

fn fill_with_zeros(file: &fs::File, length: u64) -> io::Result<()> {
    static CHUNK: [u8; 1 << 16] = [0; 1 << 16];
    let mut offset = 0;
    while offset < length {
        let chunk = CHUNK
            .len()
            .min(usize::try_from(length - offset).unwrap_or(CHUNK.len()));
        File::write_all_at(file, &CHUNK[..chunk], offset)?;
        offset += chunk as u64;
    }
    Ok(())
}

/// True where making a file failed for want of room, descriptors or memory: that passes, and nothing written is in doubt.
/// Anything else does not.
pub fn is_full(error: &io::Error) -> bool {
    let kind = matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::OutOfMemory
    );
    // The process's own limit of descriptors and the system's, which the standard library has no name for.
    let descriptors = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    let raw = error.raw_os_error();
    kind || descriptors
        .iter()
        .any(|errno| raw == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_out_who_only_asks_for_the_lock_and_no_other_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK);
        let mut asking = Some(fs::File::create(&path).unwrap());
        asking.as_ref().unwrap().lock_shared().unwrap();
        let mut pauses = 0;
        take(&fs::File::open(&path).unwrap(), || {
            pauses += 1;
            // Whoever asks is gone before the last try, and no sooner.
            if pauses + 1 == LOCK_TRIES {
                asking = None;
            }
        })
        .unwrap();
        assert_eq!(pauses + 1, LOCK_TRIES);
        let held = DiskFileSystem::lock(folder.path()).unwrap();
        assert!(matches!(
            DiskFileSystem::lock(folder.path()),
            Err(FolderError::Locked)
        ));
        drop(held);
    }
}
