//! The real folder, for reading only: every change is refused before it reaches the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::InspectError;
use crate::journal::disk::filesystem::{FileSystem, LOCK};
use crate::journal::error::failed;

/// A folder that is never changed. Its files are opened for reading only, so that writing to them fails too.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Holds a shared lock while this value lives: the relay leaves removed files whole meanwhile.
    _look: Option<fs::File>,
}

impl Folder {
    /// The folder at `path`, which must exist.
    pub fn open(path: &Path) -> Result<Self, InspectError> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(Self {
                path: path.to_owned(),
                // If folders cannot be locked here, the relay does not truncate removed files either.
                _look: fs::File::open(path)
                    .ok()
                    .filter(|folder| folder.lock_shared().is_ok()),
            }),
            Ok(_) => Err(InspectError::Missing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(InspectError::Missing),
            Err(error) => Err(failed("look at the folder")(error).into()),
        }
    }

    /// True while a process holds the journal. Takes a shared lock for an instant; a relay that is just starting waits for
    /// that.
    pub fn is_locked(&self) -> Result<bool, InspectError> {
        let failed = failed("ask for the lock");
        let lock = match fs::File::open(self.path.join(LOCK)) {
            Ok(lock) => lock,
            // A copy without the file, or a folder that no relay has opened.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error).into()),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(failed(error).into()),
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
            // The journal gives no file a name that is not UTF-8.
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

    fn is_same(&self, _name: &str, _second: &str) -> io::Result<bool> {
        refused()
    }

    fn sync_directory(&self) -> io::Result<()> {
        refused()
    }

    fn is_looked_into(&self) -> io::Result<bool> {
        Ok(true)
    }
}
