//! A disk in memory that can fail, fill up, and lose at a crash whatever was not synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt as _;
use ringback::journal::filesystem::{File, FileSystem};

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

/// Which operation is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Of a segment.
    Write,
    Sync,
    /// Fails for want of descriptors, as a file that cannot even be made does.
    Create,
    /// A file cannot get a second name.
    Link,
}

#[derive(Default)]
struct Disk {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    inodes: Vec<Inode>,
    /// Bytes that all files may reserve together.
    capacity: Option<u64>,
    /// The next such operation fails, with EIO where nothing else is said.
    fail: Option<Operation>,
    /// The file of which a sync fails, after so many that do not.
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
    /// Syncs, renames of truth: what happened in which order, for tests of order.
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

    /// The next operation of this kind fails.
    pub fn fail_next(&self, operation: Operation) {
        self.lock().fail = Some(operation);
    }

    /// After so many that do not, a sync of this file fails; of other files none does.
    pub fn fail_sync_of(&self, name: &str, after: usize) {
        self.lock().fail_sync_of = Some((name.to_owned(), after));
    }

    /// The file of this name cannot be removed, `None` for that all can.
    pub fn stick(&self, name: Option<&str>) {
        self.lock().stuck = name.map(str::to_owned);
    }

    /// Somebody begins to look into the folder, or has ended.
    pub fn look_into(&self, looks: bool) {
        self.lock().looked_into = looks;
    }

    /// Whatever was to fail no longer does.
    pub fn mend(&self) {
        self.lock().fail = None;
    }

    /// All files together may hold this many bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// What happened, as `sync NAME`, `unlink NAME`, in order; forgets it.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().log)
    }

    /// How many reads have failed; forgets it.
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

    /// From now on these bytes of a file cannot be read, nor anything together with them; an empty range heals it.
    pub fn wear_out(&self, name: &str, bytes: std::ops::Range<usize>) {
        let mut disk = self.lock();
        let inode = disk.names[name];
        disk.inodes[inode].unreadable = bytes;
    }

    /// Nothing can be read from any file, or everything again.
    pub fn unplug(&self, unplugged: bool) {
        self.lock().unplugged = unplugged;
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let disk = self.lock();
        disk.inodes[disk.names[name]].now.clone()
    }

    /// Takes a file away, as an operator's mistake would.
    pub fn lose_file(&self, name: &str) {
        let mut disk = self.lock();
        disk.names.remove(name);
        disk.durable_names.remove(name);
    }

    /// Power is gone: of what was not synced, an arbitrary part is kept, in pages, the last one torn at any byte.
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
    // A file's length is metadata that any journalling file system may have kept or not.
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

    fn name_of(&self, inode: usize) -> String {
        let found = self.names.iter().find(|(_, number)| **number == inode);
        found.map_or_else(|| String::from("(unlinked)"), |(name, _)| name.clone())
    }
}

impl FileSystem for FaultyFs {
    type File = FaultyFile;

    fn create(&self, name: &str) -> io::Result<FaultyFile> {
        let mut disk = self.lock();
        disk.check(Operation::Create)?;
        if disk.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.inodes.push(Inode::default());
        let inode = disk.inodes.len() - 1;
        disk.names.insert(name.to_owned(), inode);
        Ok(FaultyFile {
            disk: self.clone(),
            inode,
            _open: disk.inodes[inode].open.clone(),
        })
    }

    fn open(&self, name: &str) -> io::Result<FaultyFile> {
        let disk = self.lock();
        let inode = *disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(FaultyFile {
            disk: self.clone(),
            inode,
            _open: disk.inodes[inode].open.clone(),
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.lock();
        if disk.stuck.as_deref() == Some(name) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        disk.log.push(format!("unlink {name}"));
        Ok(())
    }

    fn link(&self, name: &str, second: &str) -> io::Result<()> {
        let mut disk = self.lock();
        disk.check(Operation::Link)?;
        let inode = *disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        if disk.names.contains_key(second) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.names.insert(second.to_owned(), inode);
        disk.log.push(format!("link {name} {second}"));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut disk = self.lock();
        disk.check(Operation::Sync)?;
        disk.durable_names = disk.names.clone();
        disk.log.push(String::from("sync ."));
        Ok(())
    }

    fn is_looked_into(&self) -> io::Result<bool> {
        Ok(self.lock().looked_into)
    }

    fn page(&self) -> u64 {
        self.lock().page.unwrap_or(8)
    }
}

impl File for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let offset = usize::try_from(offset).expect("a test's offset");
        // The checkpoint is written at times that no test can know.
        let is_segment = disk.name_of(self.inode).ends_with(".segment");
        let failed = if is_segment {
            disk.check(Operation::Write)
        } else {
            Ok(())
        };
        let inode = &mut disk.inodes[self.inode].now;
        // A failed write may have written anything of it.
        let bytes = if failed.is_err() {
            &bytes[..bytes.len() / 2]
        } else {
            bytes
        };
        let end = offset + bytes.len();
        if inode.len() < end {
            inode.resize(end, 0);
        }
        inode[offset..end].copy_from_slice(bytes);
        failed
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk.lock();
        let offset = usize::try_from(offset).expect("a test's offset");
        let worn = &disk.inodes[self.inode].unreadable;
        let is_worn = worn.start < offset + bytes.len() && offset < worn.end && !worn.is_empty();
        if disk.unplugged || is_worn {
            disk.failed_reads += 1;
            return Err(io::Error::from_raw_os_error(5));
        }
        let rest = disk.inodes[self.inode]
            .now
            .get(offset..)
            .unwrap_or_default();
        let length = rest.len().min(bytes.len());
        bytes[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let name = disk.name_of(self.inode);
        disk.log.push(format!("sync {name}"));
        if let Some((_, after)) = disk.fail_sync_of.as_mut().filter(|(of, _)| *of == name) {
            if *after == 0 {
                disk.fail_sync_of = None;
                return Err(io::Error::from_raw_os_error(5));
            }
            *after -= 1;
        }
        disk.check(Operation::Sync)?;
        let inode = &mut disk.inodes[self.inode];
        inode.durable.clone_from(&inode.now);
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let held = disk.inodes.iter().enumerate().filter(|(number, inode)| {
            Arc::strong_count(&inode.open) > 1 || disk.names.values().any(|named| named == number)
        });
        let used: usize = held.map(|(_, inode)| inode.now.len()).sum();
        if disk
            .capacity
            .is_some_and(|capacity| used as u64 + length > capacity)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let length = usize::try_from(length).expect("a test's length");
        disk.inodes[self.inode].now.resize(length, 0);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).expect("a test's length");
        self.disk.lock().inodes[self.inode].now.truncate(length);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inodes[self.inode].now.len() as u64)
    }

    fn is_removed(&self) -> io::Result<bool> {
        let disk = self.disk.lock();
        Ok(!disk.names.values().any(|named| *named == self.inode))
    }
}
