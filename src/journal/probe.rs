//! Measures the disk on which a journal is, or would be, without opening it: another process may hold it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

use super::Config;
use super::disk::filesystem::Space;
use super::disk::volume::{Risk, risk};
use super::engine::capacity::effective_budget;

/// Each sync covers as many bytes as an event of 7 KB takes when it is synced alone.
const WRITE_BYTES: usize = 8192;
/// The most syncs that are measured.
const SYNCS: usize = 64;
/// No sync begins after this time.
const ENOUGH: Duration = Duration::from_secs(3);

/// The disk below a journal.
#[derive(Debug)]
pub struct Probe {
    /// The folder that was measured: the journal's, or the nearest one above it that exists.
    pub folder: PathBuf,
    /// False if the journal's folder is to be created.
    pub exists: bool,
    /// Why its file system may lose what was synced.
    pub risk: Option<Risk>,
    /// The room of the file system.
    pub space: Space,
    /// What the journal's files occupy, in bytes.
    pub own: u64,
    /// How long each sync took, in ascending order; at least one.
    pub syncs: Vec<Duration>,
}

/// Why a journal cannot be kept there.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct ProbeError {
    /// What failed.
    pub operation: &'static str,
    /// Where.
    pub path: PathBuf,
    /// The operating system's reason.
    #[source]
    pub source: io::Error,
}

impl Probe {
    /// Blocks for some seconds, or as long as the disk does. Writes to a file without a name, which is gone afterwards, and creates
    /// no folder.
    ///
    /// # Errors
    ///
    /// The folder is none, or this user may not write there, or the disk fails or is full.
    pub fn of(config: &Config) -> Result<Self, ProbeError> {
        let path = std::path::absolute(&config.path).unwrap_or_else(|_| config.path.clone());
        let existing = path.ancestors().find(|folder| folder.exists());
        let folder = existing.unwrap_or_else(|| Path::new("/")).to_owned();
        let failed = |operation| {
            let path = folder.clone();
            move |source| ProbeError {
                operation,
                path,
                source,
            }
        };
        let directory = fs::File::open(&folder).map_err(failed("open"))?;
        let volume = fstatvfs(&directory).map_err(io::Error::from);
        let volume = volume.map_err(failed("measure the room of"))?;
        let syncs = measure(&folder).map_err(failed("write and sync a file in"))?;
        let exists = folder == path;
        Ok(Self {
            exists,
            risk: risk(&directory),
            space: Space {
                free: volume.f_bavail.saturating_mul(volume.f_frsize),
                total: volume.f_blocks.saturating_mul(volume.f_frsize),
            },
            own: if exists { occupied(&folder) } else { 0 },
            syncs,
            folder,
        })
    }

    /// What the journal can hold there, in bytes: the budget, or less if the file system is smaller.
    pub fn budget(&self, config: &Config) -> u64 {
        effective_budget(
            config.budget.as_u64(),
            config.segment_size.as_u64(),
            self.space.free.saturating_add(self.own),
        )
    }

    /// The middle of the measured times.
    pub fn median_sync(&self) -> Duration {
        self.syncs[self.syncs.len() / 2]
    }

    /// The longest of them.
    pub fn longest_sync(&self) -> Duration {
        self.syncs.last().copied().unwrap_or_default()
    }
}

/// As the journal writes: into reserved room, on pages of their own, with one `fdatasync` each.
fn measure(folder: &Path) -> io::Result<Vec<Duration>> {
    let file = tempfile::tempfile_in(folder)?;
    let bytes = vec![0x5a; WRITE_BYTES];
    // Some file systems cannot reserve; the syncs are then slower, as the journal's would be.
    let length = (WRITE_BYTES * SYNCS) as u64;
    let _ = fallocate(&file, FallocateFlags::empty(), 0, length);
    file.sync_all()?;
    let start = Instant::now();
    let mut syncs = Vec::with_capacity(SYNCS);
    while syncs.is_empty() || (syncs.len() < SYNCS && start.elapsed() < ENOUGH) {
        let offset = (syncs.len() * WRITE_BYTES) as u64;
        let before = Instant::now();
        file.write_all_at(&bytes, offset)?;
        file.sync_data()?;
        syncs.push(before.elapsed());
    }
    syncs.sort_unstable();
    Ok(syncs)
}

/// The bytes that the folder's files occupy; what cannot be looked at counts as none.
fn occupied(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok());
    files.map(|file| file.blocks().saturating_mul(512)).sum()
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;

    use super::*;

    fn config(path: PathBuf) -> Config {
        Config {
            path,
            ..Config::default()
        }
    }

    #[test]
    fn a_folder_that_is_to_be_created_is_measured_above_it_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = config(folder.path().join("a/b"));
        let probe = Probe::of(&config).expect("it can be written");
        assert!(!probe.exists);
        assert_eq!(probe.folder, folder.path());
        assert!(!probe.syncs.is_empty() && probe.syncs.is_sorted());
        assert!(probe.longest_sync() >= probe.median_sync());
        assert!(probe.space.free <= probe.space.total && probe.space.total > 0);
        let left = fs::read_dir(folder.path()).expect("it is there").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn the_journal_s_own_files_count_as_room() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("0.segment"), [1; 8192]).expect("it is written");
        let mut config = config(folder.path().to_owned());
        let probe = Probe::of(&config).expect("it can be written");
        assert!(probe.exists && probe.own >= 8192);
        config.budget = ByteSize::b(u64::MAX);
        let held = probe.budget(&config);
        assert!(held <= probe.space.free + probe.own, "{held}");
        config.budget = ByteSize::mib(1);
        assert!(probe.budget(&config) <= 1 << 20);
    }

    #[test]
    fn what_is_no_folder_is_an_error_that_names_it() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let error = Probe::of(&config(file.path().to_owned())).expect_err("it is a file");
        assert_eq!(error.path, file.path());
        assert_eq!(error.operation, "write and sync a file in");
    }
}
