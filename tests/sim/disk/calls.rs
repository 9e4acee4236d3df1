//! The journal's calls to the simulated disk. Each of them may fail, and the process may die in each.

use std::io;

use ringback::journal::disk::filesystem::{File, FileSystem, Space};
use ringback::journal::format::segment::Header;

use super::{Inode, Operation, PAGE, SimDisk, SimFile, eio};
use crate::interleave;
use crate::lies::{self, Lie};
use crate::random::MS;

impl FileSystem for SimDisk {
    type File = SimFile;

    fn create(&self, name: &str) -> io::Result<SimFile> {
        interleave::point();
        let mut disk = self.lock();
        disk.before(Operation::Name, None)?;
        disk.ask_name(name);
        if disk.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.inodes.push(Inode::default());
        let inode = disk.inodes.len() - 1;
        disk.names.insert(name.to_owned(), inode);
        disk.pending.push((name.to_owned(), Some(inode)));
        if disk.dies(None) {
            return Err(eio());
        }
        Ok(SimFile {
            disk: self.clone(),
            inode,
        })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        interleave::point();
        let mut disk = self.lock();
        disk.before(Operation::Read, None)?;
        disk.check_reachable()?;
        let inode = *disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile {
            disk: self.clone(),
            inode,
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        interleave::point();
        let mut disk = self.lock();
        disk.before(Operation::Read, None)?;
        disk.check_reachable()?;
        Ok(disk.names.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        interleave::point();
        let mut disk = self.lock();
        disk.before(Operation::Name, None)?;
        disk.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        disk.pending.push((name.to_owned(), None));
        if disk.dies(None) {
            return Err(eio());
        }
        Ok(())
    }

    fn link(&self, name: &str, second: &str) -> io::Result<()> {
        interleave::point();
        let mut disk = self.lock();
        disk.before(Operation::Name, None)?;
        let inode = *disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        disk.ask_name(second);
        if disk.names.contains_key(second) {
            return if lies::is_on(Lie::LinkImagined) {
                Ok(())
            } else {
                Err(io::ErrorKind::AlreadyExists.into())
            };
        }
        disk.names.insert(second.to_owned(), inode);
        disk.pending.push((second.to_owned(), Some(inode)));
        if disk.dies(None) {
            return Err(eio());
        }
        Ok(())
    }

    fn is_same(&self, name: &str, second: &str) -> io::Result<bool> {
        interleave::point();
        let mut disk = self.lock();
        disk.before(Operation::Read, None)?;
        disk.check_reachable()?;
        let inode = |name| disk.names.get(name).ok_or(io::ErrorKind::NotFound);
        Ok(inode(name)? == inode(second)?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        interleave::point();
        let mut disk = self.lock();
        disk.before(Operation::Sync, None)?;
        if disk.dies(None) {
            return Err(eio());
        }
        if lies::is_on(Lie::NoDirectorySync) && !disk.opening {
            return Ok(());
        }
        disk.durable_names = disk.names.clone();
        disk.pending.clear();
        Ok(())
    }

    fn is_looked_into(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn space(&self) -> io::Result<Option<Space>> {
        let disk = self.lock();
        let space = |total: u64| Space {
            free: total.saturating_sub(disk.used()),
            total,
        };
        if lies::is_on(Lie::RoomImagined) {
            return Ok(Some(space(u64::MAX)));
        }
        Ok(disk.capacity.map(space))
    }

    fn page(&self) -> u64 {
        PAGE as u64
    }

    fn now_ms(&self) -> u64 {
        (self.now)() / MS
    }
}

impl File for SimFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        interleave::point();
        let mut disk = self.disk.lock();
        let offset = offset as usize;
        let failed = disk.before(Operation::Write, Some(self.inode));
        if disk.dead.is_some() {
            return Err(eio());
        }
        let grown = (offset + bytes.len()).saturating_sub(disk.inodes[self.inode].now.len());
        if disk
            .capacity
            .is_some_and(|most| disk.used() + grown as u64 > most)
            && grown > 0
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let dies = disk.dies(Some(self.inode));
        let Some(offset) = disk.lie_about_write(self.inode, bytes, offset) else {
            return Ok(());
        };
        // A write that fails, or in which the process dies, may have written any part of its bytes.
        let written = if failed.is_err() || dies {
            disk.random.index(bytes.len() + 1)
        } else {
            bytes.len()
        };
        if let Some(header) = Header::decode(bytes).ok().filter(|_| offset == 0) {
            disk.inodes[self.inode].header = Some(header);
        }
        disk.inodes[self.inode].write(&bytes[..written], offset);
        for page in offset / PAGE..(offset + written).div_ceil(PAGE) {
            disk.heal((self.inode, page));
        }
        if dies { Err(eio()) } else { failed }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        interleave::point();
        let mut disk = self.disk.lock();
        let offset = offset as usize;
        let rest = disk.inodes[self.inode].now.len().saturating_sub(offset);
        let wanted = offset..offset + rest.min(bytes.len());
        let readable = disk
            .before(Operation::Read, Some(self.inode))
            .and_then(|()| disk.readable(self.inode, &wanted));
        let length = match readable {
            Err(_) if disk.publishing && lies::is_on(Lie::FailedReadIsDamage) => {
                bytes[..wanted.len()].fill(0);
                return Ok(wanted.len());
            }
            Err(error) => {
                if !disk.publishing {
                    disk.had_bad.insert(self.inode);
                }
                return Err(error);
            }
            Ok(readable) => readable,
        };
        let inode = &disk.inodes[self.inode];
        let rest = inode.now.get(offset..).unwrap_or_default();
        bytes[..length].copy_from_slice(&rest[..length]);
        let inode = &disk.inodes[self.inode];
        // Reads of single pages only probe what can be read, and copies are only compared.
        let is_probe =
            bytes.len() <= PAGE || disk.had_bad.contains(&self.inode) || disk.is_copy(self.inode);
        if disk.publishing && !is_probe && length > 0 && disk.unsynced_read.is_none() {
            let pages = offset / PAGE..(offset + length).div_ceil(PAGE);
            let mut unsynced = inode
                .dirty
                .range(pages.clone())
                .chain(inode.falsely_clean.range(pages));
            let differs = |page: &usize| {
                let from = (page * PAGE).max(offset);
                let to = ((page + 1) * PAGE).min(offset + length);
                inode.durable.get(from..to) != Some(&inode.now[from..to])
            };
            if let Some(page) = unsynced.find(|page| differs(page)) {
                let words = format!(
                    "page {page} of inode {} was read unsynced: {length} bytes from {offset}",
                    self.inode
                );
                disk.unsynced_read = Some(words);
            }
        }
        Ok(length)
    }

    fn sync(&self) -> io::Result<()> {
        interleave::point();
        let mut disk = self.disk.lock();
        let failed = disk.before(Operation::Sync, Some(self.inode));
        if disk.dead.is_some() {
            return Err(eio());
        }
        if failed.is_err() {
            let mut random = disk.random.clone();
            disk.random.next();
            disk.inodes[self.inode].fail_sync(&mut random);
            let is_retried = lies::is_on(Lie::RetriedSync) && !disk.is_checkpoint(Some(self.inode));
            return if is_retried { Ok(()) } else { failed };
        }
        // The process dies before the sync, or after it and before the call returns.
        if disk.is_about_to_die(self.inode) && disk.random.percent(50) {
            disk.dies(Some(self.inode));
            return Err(eio());
        }
        if !disk.lies_about_sync(self.inode) {
            disk.inodes[self.inode].sync();
        }
        if disk.dies(Some(self.inode)) {
            return Err(eio());
        }
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        interleave::point();
        let mut disk = self.disk.lock();
        disk.before(Operation::Write, Some(self.inode))?;
        let stays_full = disk.was_full && lies::is_on(Lie::DiskFullForEver);
        let most = disk.capacity.unwrap_or(u64::MAX);
        if disk.used() + length > most || stays_full {
            disk.was_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        if disk.dies(Some(self.inode)) {
            return Err(eio());
        }
        let inode = &mut disk.inodes[self.inode];
        let from = inode.now.len() / PAGE;
        inode.now.resize((length as usize).max(inode.now.len()), 0);
        let to = inode.now.len().div_ceil(PAGE);
        inode.dirty.extend(from..to);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        interleave::point();
        let mut disk = self.disk.lock();
        if !disk.names.values().any(|named| *named == self.inode) {
            // Freeing the space of a removed file affects no event, whether or not it succeeds.
            disk.inodes[self.inode].now.truncate(length as usize);
            // A power cut may restore the name, but not the bytes that were cut.
            if disk
                .durable_names
                .values()
                .any(|named| *named == self.inode)
            {
                disk.inodes[self.inode].durable.truncate(length as usize);
            }
            return Ok(());
        }
        disk.before(Operation::Write, Some(self.inode))?;
        let inode = &mut disk.inodes[self.inode];
        let pages = (length as usize).div_ceil(PAGE)..inode.now.len().div_ceil(PAGE);
        inode.dirty.extend(pages);
        inode.now.truncate(length as usize);
        if disk.dies(Some(self.inode)) {
            Err(eio())
        } else {
            Ok(())
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inodes[self.inode].now.len() as u64)
    }

    fn is_removed(&self) -> io::Result<bool> {
        let disk = self.disk.lock();
        Ok(!disk.names.values().any(|named| *named == self.inode))
    }
}
