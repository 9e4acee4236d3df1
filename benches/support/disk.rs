//! The disk's own speed: a raw loop of `pwrite` + `fdatasync` into reserved files.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};

/// Bytes of one reserved file, as of the journal's segments.
pub const SEGMENT: u64 = 64 << 20;

/// Reserved files, one after the other.
pub struct Raw {
    folder: PathBuf,
    file: File,
    number: u32,
    offset: u64,
}

impl Raw {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            file: reserved(&folder.join("0.raw")),
            number: 0,
            offset: 0,
        }
    }

    /// Makes room for `bytes`. The journal reserves space in the background, so callers must not count this time either.
    pub fn make_room(&mut self, bytes: usize) {
        if self.offset + bytes as u64 <= SEGMENT {
            return;
        }
        // Full files are removed, so that a long run does not fill the disk.
        let _ = std::fs::remove_file(self.folder.join(format!("{}.raw", self.number)));
        self.number += 1;
        self.file = reserved(&self.folder.join(format!("{}.raw", self.number)));
        self.offset = 0;
    }

    /// Writes and syncs; returns how long both took.
    pub fn append(&mut self, bytes: &[u8]) -> Duration {
        let begun = Instant::now();
        self.file
            .write_all_at(bytes, self.offset)
            .expect("there is room");
        self.file.sync_data().expect("the disk is sound");
        self.offset += bytes.len() as u64;
        begun.elapsed()
    }
}

/// Writes and syncs `bytes` at a time, `rate` times per second. Returns the sorted times of the calls, and the CPU of one
/// in µs.
pub fn paced(folder: &Path, bytes: usize, rate: u32, time: Duration) -> (Vec<Duration>, f64) {
    let folder = tempfile::tempdir_in(folder).expect("the folder can be written");
    let (mut raw, bytes) = (Raw::new(folder.path()), noise(bytes));
    let interval = Duration::from_secs(1) / rate;
    let (begun, mut due, mut times) = (Instant::now(), Instant::now(), Vec::new());
    let mut cpu = Duration::ZERO;
    while begun.elapsed() < time {
        raw.make_room(bytes.len());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let used = own_cpu();
        times.push(raw.append(&bytes));
        cpu += own_cpu() - used;
        due += interval;
    }
    times.sort_unstable();
    let each = cpu.as_secs_f64() * 1e6 / times.len() as f64;
    (times, each)
}

/// User and system time of this thread.
fn own_cpu() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).expect("CPU time is positive")
}

/// Bytes that no file system or disk can compress.
pub fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut bytes);
    bytes
}

fn reserved(path: &Path) -> File {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let file = file.expect("a new file can be made");
    fallocate(&file, FallocateFlags::empty(), 0, SEGMENT).expect("there is room for it");
    file.sync_all().expect("the disk is sound");
    file
}
