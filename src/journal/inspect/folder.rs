//! The real folder for reading only: whatever would change it is refused before it reaches the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::InspectError;
use crate::journal::disk::filesystem::{FileSystem, LOCK};

/// A folder of which nothing is changed. Its files are opened for reading, so that writing to them fails as well.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Locked, shared, for as long as this is: the relay leaves removed files whole meanwhile.
    _look: Option<fs::File>,
}

impl Folder {
    /// The folder at `path`, which must exist.
    pub fn open(path: &Path) -> Result<Self, InspectError> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(Self {
                path: path.to_owned(),
                // Where folders cannot be locked, the relay does not cut either.
                _look: fs::File::open(path)
                    .ok()
                    .filter(|folder| folder.lock_shared().is_ok()),
            }),
            Ok(_) => Err(InspectError::Missing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(InspectError::Missing),
            Err(source) => Err(InspectError::Io {
                operation: String::from("look at the folder"),
                source,
            }),
        }
    }

    /// True while a process holds the journal. Asking takes a shared lock for an instant, which a relay that is just
    /// starting waits out.
    pub fn is_locked(&self) -> Result<bool, InspectError> {
        let failed = |source| InspectError::Io {
            operation: String::from("ask for the lock"),
            source,
        };
        let lock = match fs::File::open(self.path.join(LOCK)) {
            Ok(lock) => lock,
            // A copy without it, or a folder that was never opened.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl FileSystem for Folder {
    type File = fs::File;

    fn create(&self, _name: &str) -> io::Result<fs::File> {
        refused()
    }

    fn open(&self, name: &str) -> io::Result<fs::File> {
        fs::File::open(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        refused()
    }

    fn link(&self, _name: &str, _second: &str) -> io::Result<()> {
        refused()
    }

    fn sync_directory(&self) -> io::Result<()> {
        refused()
    }

    fn is_looked_into(&self) -> io::Result<bool> {
        Ok(true)
    }
}
