//! The calls that the journal makes of the disk in memory.

use std::io;

use ringback::journal::disk::filesystem::{File, FileSystem, Space};
use ringback::journal::format::segment::HEADER_BYTES;

use super::{FaultyFile, FaultyFs, Inode, Operation};

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

    fn is_same(&self, name: &str, second: &str) -> io::Result<bool> {
        let disk = self.lock();
        let inode = |name| disk.names.get(name).ok_or(io::ErrorKind::NotFound);
        Ok(inode(name)? == inode(second)?)
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

    fn space(&self) -> io::Result<Option<Space>> {
        let disk = self.lock();
        Ok(disk.capacity.map(|total| Space {
            free: total.saturating_sub(disk.reserved()),
            total,
        }))
    }

    fn page(&self) -> u64 {
        self.lock().page.unwrap_or(8)
    }
}

impl File for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let offset = usize::try_from(offset).expect("a test's offset");
        // Not logged: no test can know when the checkpoint is written.
        let is_segment = disk.name_of(self.inode).ends_with(".segment");
        let failed = if is_segment {
            disk.check(Operation::Write)
        } else {
            Ok(())
        };
        let inode = &mut disk.inodes[self.inode].now;
        // A failed write may have written any part of its bytes.
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
        let mut names = disk.names.iter();
        let oldest = names.find(|(name, _)| name.ends_with(".segment"));
        let is_newer = oldest.is_some_and(|(_, inode)| *inode < self.inode);
        if is_newer && (offset, bytes.len()) == (0, HEADER_BYTES) {
            disk.check(Operation::ReadHeader)?;
        }
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
        if disk
            .capacity
            .is_some_and(|capacity| disk.reserved() + length > capacity)
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
