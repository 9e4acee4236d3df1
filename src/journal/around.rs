//! Reading around what a disk no longer gives: an unreadable sector becomes zeros, which no record is made of.
//!
//! For use only after patience: zeros are damage, and what is damaged is passed over for good.

use std::io;
use std::sync::Arc;

use super::filesystem::File;

/// What one unreadable sector costs, in bytes: the page in which the kernel reads it.
const BLOCK: u64 = 4096;

/// A file whose unreadable blocks read as zeros.
pub struct Around<F>(pub Arc<F>);

impl<F: File> File for Around<F> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Ok(read) = self.0.read_at(bytes, offset) {
            return Ok(read);
        }
        let left = usize::try_from(BLOCK - offset % BLOCK).map_err(io::Error::other)?;
        let length = bytes.len().min(left);
        let block = &mut bytes[..length];
        Ok(self.0.read_at(block, offset).unwrap_or_else(|_| {
            block.fill(0);
            length
        }))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.0.allocate(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn is_removed(&self) -> io::Result<bool> {
        self.0.is_removed()
    }
}
