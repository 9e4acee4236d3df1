//! A disk in memory that can fail, fill up, and lose at a crash whatever was not synced.

mod calls;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt as _;

/// What the disk keeps or loses as one piece.
const PAGE: usize = 512;

/// The folder; clones share it.
#[derive(Clone, Default)]
pub struct FaultyFs(Arc<Mutex<Disk>>);

/// An open file.
pub struct FaultyFile {
    disk: FaultyFs,
    inode: usize,
    _open: Arc<()>,
}

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A write to a segment.
    Write,
    Sync,
    /// Fails for want of descriptors, so that the file cannot even be created.
    Create,
    /// A second name for a file.
    Link,
    /// A read of a segment's header, except the oldest one's.
    ReadHeader,
}

#[derive(Default)]
struct Disk {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    inodes: Vec<Inode>,
    /// Bytes that all files may reserve together.
    capacity: Option<u64>,
    /// The kind of operation that fails next, with EIO unless its variant says otherwise.
    fail: Option<Operation>,
    /// A file, and how many of its syncs succeed before one fails.
    fail_sync_of: Option<(String, usize)>,
    /// The file that cannot be removed.
    stuck: Option<String>,
    looked_into: bool,
    /// Nothing can be read.
    unplugged: bool,
    /// Reads that have failed.
    failed_reads: usize,
    /// The file system's page. Without one records follow each other closely, which makes offsets plain.
    page: Option<u64>,
    /// Syncs and removals, in order.
    log: Vec<String>,
}

#[derive(Default, Clone)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Bytes that cannot be read.
    unreadable: std::ops::Range<usize>,
    /// Held by each open file: without a name, it takes space for as long as it is open.
    open: Arc<()>,
}

impl FaultyFs {
    /// A disk with pages of so many bytes.
    pub fn with_page(page: u64) -> Self {
        let disk = Self::default();
        disk.lock().page = Some(page);
        disk
    }

    /// Makes the next operation of this kind fail.
    pub fn fail_next(&self, operation: Operation) {
        self.lock().fail = Some(operation);
    }

    /// Makes a sync of this file fail, after this many that succeed.
    pub fn fail_sync_of(&self, name: &str, after: usize) {
        self.lock().fail_sync_of = Some((name.to_owned(), after));
    }

    /// Makes the file of this name impossible to remove; `None`: all files can be removed.
    pub fn stick(&self, name: Option<&str>) {
        self.lock().stuck = name.map(str::to_owned);
    }

    /// Begins or ends an inspection of the folder.
    pub fn look_into(&self, looks: bool) {
        self.lock().looked_into = looks;
    }

    /// Cancels [`FaultyFs::fail_next`].
    pub fn cancel_failure(&self) {
        self.lock().fail = None;
    }

    /// Limits the bytes of all files together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Takes the log so far: lines `sync NAME` and `unlink NAME`, in order.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().log)
    }

    /// How many reads have failed since the last call.
    pub fn take_failed_reads(&self) -> usize {
        std::mem::take(&mut self.lock().failed_reads)
    }

    /// Existing names.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    /// Changes a file's bytes at rest.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.lock();
        let inode = disk.names[name];
        change(&mut disk.inodes[inode].now);
        disk.inodes[inode].durable = disk.inodes[inode].now.clone();
    }

    /// Makes these bytes of a file unreadable, and every read that touches them fail; an empty range heals the file.
    pub fn wear_out(&self, name: &str, bytes: std::ops::Range<usize>) {
        let mut disk = self.lock();
        let inode = disk.names[name];
        disk.inodes[inode].unreadable = bytes;
    }

    /// Makes all reads of all files fail, or succeed again.
    pub fn unplug(&self, unplugged: bool) {
        self.lock().unplugged = unplugged;
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let disk = self.lock();
        disk.inodes[disk.names[name]].now.clone()
    }

    /// Removes a file, as an operator's mistake would.
    pub fn lose_file(&self, name: &str) {
        let mut disk = self.lock();
        disk.names.remove(name);
        disk.durable_names.remove(name);
    }

    /// The disk after a power cut: an arbitrary part of what was not synced is kept, in pages, some of them torn at any byte.
    pub fn crash(&self, random: &mut impl rand::Rng) -> Self {
        let disk = self.lock();
        let mut after = Disk {
            capacity: disk.capacity,
            page: disk.page,
            ..Disk::default()
        };
        let mut names = disk.durable_names.clone();
        for (name, inode) in &disk.names {
            if !names.contains_key(name) && random.random_bool(0.5) {
                names.insert(name.clone(), *inode);
            }
        }
        names.retain(|name, _| disk.names.contains_key(name) || random.random_bool(0.5));
        for inode in &disk.inodes {
            let kept = keep_some(inode, random);
            after.inodes.push(Inode {
                now: kept.clone(),
                durable: kept,
                unreadable: inode.unreadable.clone(),
                open: Arc::default(),
            });
        }
        after.names.clone_from(&names);
        after.durable_names = names;
        Self(Arc::new(Mutex::new(after)))
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep_some(inode: &Inode, random: &mut impl rand::Rng) -> Vec<u8> {
    // A file's length is metadata, which a journalling file system may or may not have kept.
    let length = if random.random_bool(0.5) {
        inode.now.len()
    } else {
        inode.durable.len()
    };
    let mut kept = inode.durable.clone();
    kept.resize(length, 0);
    let mut now = inode.now.clone();
    now.resize(length, 0);
    let style = random.random_range(0..3);
    for (kept, now) in kept.chunks_mut(PAGE).zip(now.chunks(PAGE)) {
        if kept == now {
            continue;
        }
        let cut = match style {
            0 => 0,
            1 => now.len(),
            _ => [0, now.len(), random.random_range(0..=now.len())][random.random_range(0..3)],
        };
        kept[..cut].copy_from_slice(&now[..cut]);
    }
    kept
}

impl Disk {
    fn check(&mut self, operation: Operation) -> io::Result<()> {
        if self.fail == Some(operation) {
            self.fail = None;
            let descriptors = operation == Operation::Create;
            return Err(io::Error::from_raw_os_error(if descriptors {
                24
            } else {
                5
            }));
        }
        Ok(())
    }

    /// Bytes of all files that have a name or are open.
    fn reserved(&self) -> u64 {
        let held = self.inodes.iter().enumerate().filter(|(number, inode)| {
            Arc::strong_count(&inode.open) > 1 || self.names.values().any(|named| named == number)
        });
        held.map(|(_, inode)| inode.now.len()).sum::<usize>() as u64
    }

    fn name_of(&self, inode: usize) -> String {
        let found = self.names.iter().find(|(_, number)| **number == inode);
        found.map_or_else(|| String::from("(unlinked)"), |(name, _)| name.clone())
    }
}
