//! A disk in memory with a page cache in front: a power cut may lose any part of what is not synced.

mod calls;
mod lying;
mod surface;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringback::journal::format::segment::Header;

use crate::beside::{EarlierFiles, is_beside};
use crate::coverage::{self, Seen};
use crate::random::{Clock, Random};
pub use trouble::{Crash, Death, Failure, Operation, Trouble};

/// What the disk keeps or loses as one piece.
pub const PAGE: usize = 512;

/// The folder; clones share it.
#[derive(Clone)]
pub struct SimDisk {
    disk: Arc<Mutex<Disk>>,
    /// Virtual time in microseconds.
    now: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// An open file.
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
}

/// The disk's state, which the simulator inspects and changes.
pub struct Disk {
    random: Random,
    pub earlier: EarlierFiles,
    pub names: BTreeMap<String, usize>,
    pub durable_names: BTreeMap<String, usize>,
    /// Names created (`Some`) and removed since the last sync of the folder, in order.
    pub pending: Vec<(String, Option<usize>)>,
    inodes: Vec<Inode>,
    /// Bytes that all files may hold together.
    pub capacity: Option<u64>,
    pub fail: Option<Failure>,
    /// The volume is unreachable for reads.
    pub reads_fail: bool,
    /// Pages that cannot be read: a file and a page of it.
    bad: BTreeSet<(usize, usize)>,
    /// Files that had a bad page, or that a start could not read in full. A start cannot write again what it could not
    /// read, so it may trust such bytes though their sync has failed.
    had_bad: BTreeSet<usize>,
    pub death: Option<Death>,
    /// Set once the process has died: whatever it still does has no effect.
    pub dead: Option<Crash>,
    /// Dead letters cannot be written.
    pub no_dead_letters: bool,
    /// A write or sync of the journal has failed in this process.
    pub failed: bool,
    /// A slot of the checkpoint could not be read: an older one may count.
    pub checkpoint_unread: bool,
    /// The publisher is inside a step: it may read only what is synced.
    pub publishing: bool,
    /// Recovery is running.
    pub opening: bool,
    /// The disk has had no room for this process at least once.
    was_full: bool,
    /// The violation, if the publisher has read what was not synced.
    pub unsynced_read: Option<String>,
}

#[derive(Default, Clone)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Pages whose cached bytes are not on the disk.
    dirty: BTreeSet<usize>,
    /// Pages that a failed sync has marked clean, as Linux does, though they never reached the disk.
    falsely_clean: BTreeSet<usize>,
    /// Start and end of the last write.
    last_write: (usize, usize),
    /// A segment's header as the journal wrote it, even if it is damaged now.
    header: Option<Header>,
}

impl SimDisk {
    pub fn new(random: Random, clock: &Clock, earlier: EarlierFiles) -> Self {
        let disk = Disk {
            random,
            earlier,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            inodes: Vec::new(),
            capacity: None,
            fail: None,
            reads_fail: false,
            bad: BTreeSet::new(),
            had_bad: BTreeSet::new(),
            death: None,
            dead: None,
            no_dead_letters: false,
            failed: false,
            checkpoint_unread: false,
            publishing: false,
            opening: false,
            was_full: false,
            unsynced_read: None,
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
            now: Arc::new(clock.everywhere()),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Disk {
    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        let lengths = self
            .names
            .values()
            .map(|inode| self.inodes[*inode].now.len());
        lengths.sum::<usize>() as u64
    }

    /// Each name with its length.
    pub fn files(&self) -> Vec<(String, usize)> {
        let length = |inode: &usize| self.inodes[*inode].now.len();
        let files = self.names.iter();
        files
            .map(|(name, inode)| (name.clone(), length(inode)))
            .collect()
    }

    /// Called before each operation; fails if the operation is to fail, or if the process is dead.
    pub fn before(&mut self, operation: Operation, inode: Option<usize>) -> io::Result<()> {
        if self.dead.is_some() {
            return Err(eio());
        }
        let checkpoint = self.is_checkpoint(inode);
        if let Some(fail) = &mut self.fail
            && fail.is_of(operation, checkpoint)
        {
            fail.left = fail.left.saturating_sub(1);
            if fail.left == 0 {
                if !fail.lasting {
                    self.fail = None;
                }
                // The publisher only writes copies of damage, whose failure does not poison the journal.
                self.failed |=
                    !self.publishing && matches!(operation, Operation::Write | Operation::Sync);
                self.checkpoint_unread |= checkpoint && operation == Operation::Read;
                return Err(eio());
            }
        }
        Ok(())
    }

    /// Counts the operation towards the armed death; true if the process dies in it.
    pub fn dies(&mut self, inode: Option<usize>) -> bool {
        let checkpoint = self.is_checkpoint(inode);
        let Some(death) = self.death.as_mut().filter(|death| death.is_of(checkpoint)) else {
            return false;
        };
        death.left = death.left.saturating_sub(1);
        if death.left > 0 {
            return false;
        }
        self.dead = Some(death.crash);
        self.death = None;
        true
    }

    /// True if the process dies in the next operation on this file.
    fn is_about_to_die(&self, inode: usize) -> bool {
        let checkpoint = self.is_checkpoint(Some(inode));
        let death = self.death.as_ref().filter(|death| death.is_of(checkpoint));
        death.is_some_and(|death| death.left <= 1)
    }

    fn is_checkpoint(&self, inode: Option<usize>) -> bool {
        inode.is_some() && inode == self.names.get("checkpoint").copied()
    }

    /// A hash of the disk's content. Not a CRC, which is constant over bytes that end in their own CRC.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for inode in &self.inodes {
            inode.now.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Names with this suffix, for damage; without those beside the journal.
    pub fn names_ending(&self, suffix: &str) -> Vec<String> {
        let names = self.names.keys();
        let names = names.filter(|name| name.ends_with(suffix) && !is_beside(name));
        names.cloned().collect()
    }

    /// Adds a file that was synced long ago; returns its inode.
    pub fn add_at_rest(&mut self, name: &str, content: &[u8]) -> usize {
        self.inodes.push(Inode {
            now: content.to_vec(),
            durable: content.to_vec(),
            ..Inode::default()
        });
        let inode = self.inodes.len() - 1;
        self.names.insert(name.to_owned(), inode);
        self.durable_names.insert(name.to_owned(), inode);
        inode
    }

    /// Removes a file for good.
    pub fn lose(&mut self, name: &str) {
        self.names.remove(name);
        self.durable_names.remove(name);
        self.pending.retain(|(pending, _)| pending != name);
    }

    /// A file's bytes as a process sees them.
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.names
            .get(name)
            .map_or(&[], |inode| &self.inodes[*inode].now)
    }

    /// A segment's header as the journal wrote it, even if it is damaged now.
    pub fn header_written(&self, name: &str) -> Option<&Header> {
        let inode = self.names.get(name)?;
        self.inodes[*inode].header.as_ref()
    }

    /// Flips one bit at rest; false if the page is not at rest.
    pub fn flip(&mut self, name: &str, byte: usize, bit: u8) -> bool {
        let Some(inode) = self.names.get(name) else {
            return false;
        };
        let inode = &mut self.inodes[*inode];
        if inode.dirty.contains(&(byte / PAGE)) || byte >= inode.durable.len() {
            return false;
        }
        inode.now[byte] ^= 1 << bit;
        inode.durable[byte] ^= 1 << bit;
        true
    }

    /// Prepares the disk for the next process; a power cut loses any part of what was not synced.
    pub fn reboot(&mut self, crash: Crash) {
        self.dead = None;
        self.death = None;
        self.publishing = false;
        self.opening = false;
        self.was_full = false;
        self.failed = false;
        if crash == Crash::Kill {
            return;
        }
        self.fail = None;
        let style = self.random.below(4);
        let kept = self.random.index(self.pending.len() + 1);
        for (at, (name, inode)) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let keep = match style {
                0 => false,
                1 => true,
                2 => at < kept,
                _ => self.random.percent(50),
            };
            match inode.filter(|_| keep) {
                Some(inode) => {
                    self.durable_names.insert(name, inode);
                }
                None if keep => {
                    self.durable_names.remove(&name);
                }
                None => {}
            }
        }
        self.names = self.durable_names.clone();
        let style = self.random.below(4);
        for inode in &mut self.inodes {
            inode.lose(style, &mut self.random);
        }
        let linked: BTreeSet<_> = self.names.values().copied().collect();
        for (number, inode) in self.inodes.iter_mut().enumerate() {
            if !linked.contains(&number) {
                *inode = Inode::default();
            }
        }
        self.forget_bad();
    }
}

impl Inode {
    fn lose(&mut self, style: u64, random: &mut Random) {
        let length = if style == 1 || (style > 1 && random.percent(50)) {
            self.now.len()
        } else {
            self.durable.len()
        };
        self.durable.resize(length, 0);
        let (start, end) = self.last_write;
        let torn_at = random.range(start as u64, end.max(start) as u64) as usize;
        let spoils = style == 3 && random.percent(50);
        for page in std::mem::take(&mut self.dirty) {
            let from = (page * PAGE).min(length);
            let to = (from + PAGE).min(length).min(self.now.len());
            let cut = match style {
                0 => from,
                1 => to,
                2 => [from, to][random.index(2)],
                // Pages reach the disk in order, and the last write is torn at any byte.
                _ => torn_at.clamp(from, to.max(from)),
            };
            let differs = from < to && self.durable[from..to] != self.now[from..to];
            if cut > from {
                self.durable[from..cut].copy_from_slice(&self.now[from..cut]);
            }
            // A device may leave garbage in a sector that it was overwriting with other bytes.
            if spoils && differs && from < torn_at && torn_at < to {
                coverage::seen(Seen::SectorSpoilt);
                self.durable[from..to].fill_with(|| random.next() as u8);
            }
        }
        self.falsely_clean.clear();
        self.now.clone_from(&self.durable);
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(bytes);
        self.last_write = (offset, end);
        for page in offset / PAGE..end.div_ceil(PAGE) {
            self.dirty.insert(page);
            self.falsely_clean.remove(&page);
        }
    }

    fn sync(&mut self) {
        self.durable.resize(self.now.len(), 0);
        for page in std::mem::take(&mut self.dirty) {
            let from = (page * PAGE).min(self.now.len());
            let to = (from + PAGE).min(self.now.len());
            self.durable[from..to].copy_from_slice(&self.now[from..to]);
        }
    }

    /// A sync that fails: some pages reach the disk, and all are marked clean.
    fn fail_sync(&mut self, random: &mut Random) {
        self.durable.resize(self.now.len(), 0);
        let style = random.below(3);
        for page in std::mem::take(&mut self.dirty) {
            let from = (page * PAGE).min(self.now.len());
            let to = (from + PAGE).min(self.now.len());
            if style == 1 || (style == 2 && random.percent(50)) {
                self.durable[from..to].copy_from_slice(&self.now[from..to]);
            } else {
                self.falsely_clean.insert(page);
            }
        }
    }
}
