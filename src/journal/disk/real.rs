//! The real disk.

use std::fs::{self, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, fstatvfs};

use super::filesystem::{File, FileSystem, LOCK, Space};
use super::volume;

/// A command that only asks whether the journal is held takes the lock for an instant. An open must not fail because of it.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A folder on disk, held by an advisory lock while this value lives.
#[derive(Debug)]
pub struct DiskFileSystem {
    path: PathBuf,
    directory: fs::File,
    _lock: fs::File,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is no folder, this user may not write it, or the disk is gone.
    #[error("cannot use the folder; it must be a directory that this user may write")]
    Unusable(#[source] io::Error),
    /// Another process holds it. Stop that process, or use another folder.
    #[error("another process holds the journal; stop that process, or use another folder")]
    Locked,
}

impl DiskFileSystem {
    /// Creates the folder if it is missing (mode 0700, because bodies are private) and locks it.
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
        try_lock(&lock, || thread::sleep(LOCK_PAUSE))?;
        volume::warn_if_unsafe(&directory);
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

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn create(&self, name: &str) -> io::Result<fs::File> {
        Self::options().create_new(true).open(self.path.join(name))
    }

    fn open(&self, name: &str) -> io::Result<fs::File> {
        Self::options().open(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // The journal gives no file a name that is not UTF-8.
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

    fn is_same(&self, name: &str, second: &str) -> io::Result<bool> {
        let file = |name| fs::metadata(self.path.join(name));
        let (one, other) = (file(name)?, file(second)?);
        Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn is_looked_into(&self) -> io::Result<bool> {
        match self.directory.try_lock() {
            // An inspection that begins after this cannot open what has been removed.
            Ok(()) => self.directory.unlock().map(|()| false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn space(&self) -> io::Result<Option<Space>> {
        let volume = fstatvfs(&self.directory)?;
        // Blocks that are reserved for root are not counted: the journal must not live on them.
        Ok(Some(Space {
            free: volume.f_bavail.saturating_mul(volume.f_frsize),
            total: volume.f_blocks.saturating_mul(volume.f_frsize),
        }))
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
        // Only advice: a page that stays in the cache makes a probe less reliable, and does no other harm.
        let _ = fadvise(self, bytes.start, length, Advice::DontNeed);
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()?;
        // A file system that shuts down after a fault may let an fdatasync succeed whose log entries it has discarded: seen
        // with XFS and ext4. It marks itself as shut down before it discards them. From then on a read fails with EIO on
        // both; after an aborted log ext4 still reads, but refuses every write, even an empty one.
        rustix::io::pread(self, &mut [0_u8][..], 0)?;
        rustix::io::pwrite(self, &[], 0)?;
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        loop {
            match fallocate(self, FallocateFlags::empty(), 0, length) {
                Err(rustix::io::Errno::INTR) => {}
                // Without a way to reserve, writing zeros is slower and as safe.
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

/// Locks the file, calling `pause` between the tries.
fn try_lock(lock: &fs::File, mut pause: impl FnMut()) -> Result<(), FolderError> {
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

/// Creates the folder and its missing ancestors, and syncs all their names.
fn make_durably(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|folder| !folder.exists());
    let missing: Vec<_> = missing.collect();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    if missing.is_empty() {
        // An earlier process may have been killed before it synced the name. The parent may be unreadable to this user.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_waits_for_an_instant_s_holder_of_the_lock_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK);
        let mut asking = Some(fs::File::create(&path).unwrap());
        asking.as_ref().unwrap().lock_shared().unwrap();
        let mut pauses = 0;
        try_lock(&fs::File::open(&path).unwrap(), || {
            pauses += 1;
            // The lock is free before the last try, and no sooner.
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
