//! A publisher with a clock of its own, over the faulty disk, for tests of unreadable places.

use std::time::{Duration, Instant};

use ringback::journal::ReadError;

use super::core::{BUDGET, Core, body};
use super::faulty_fs::FaultyFs;

pub const PAGE: usize = 512;
pub const SEGMENT: u64 = 16 << 10;
/// Ringback's default.
pub const PATIENCE: Duration = Duration::from_mins(10);
/// More than any pause between two tries.
pub const STEP: Duration = Duration::from_secs(2);

/// Reads the journal by a clock of its own.
pub struct Publisher {
    pub core: Core,
    pub now: Instant,
    pub read: Vec<u64>,
}

impl Publisher {
    pub fn new(disk: &FaultyFs) -> Self {
        Self {
            core: Core::open(disk, SEGMENT, BUDGET).expect("the journal opens"),
            now: Instant::now(),
            read: Vec::new(),
        }
    }

    /// Reads to the tail; fails if it must wait for an unreadable place.
    pub fn read(&mut self) -> Result<(), ReadError> {
        while let Some(record) = self.core.reader.next_record(self.now)? {
            self.read.push(record.position);
        }
        Ok(())
    }

    /// Tries for so long; true once the tail is reached.
    pub fn read_for(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        while self.now < end {
            if self.read().is_ok() {
                return true;
            }
            self.now += STEP;
        }
        false
    }

    pub fn count(&self, name: &str) -> u64 {
        self.core.metric(name)
    }
}

/// A disk with 40 batches in three segments, each of a record of 600 bytes and one of 100, which take two pages.
pub fn forty() -> FaultyFs {
    batches(40)
}

/// A disk with so many of these batches.
pub fn batches(count: usize) -> FaultyFs {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..count {
        core.append(&[body(600), body(100)])
            .expect("it is appended");
    }
    core.upkeep.step();
    disk
}

pub fn unread_names(disk: &FaultyFs) -> Vec<String> {
    let names = disk.names().into_iter();
    names
        .filter(|name| name.starts_with("unreadable-"))
        .collect()
}
