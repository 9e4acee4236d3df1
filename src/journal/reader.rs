//! Publish's reading handle, over a disk or over memory.

use std::sync::Arc;
use std::time::Instant;

use super::disk::filesystem::FileSystem;
use super::disk::real::DiskFileSystem;
use super::engine::reader::{DiskReader, Record};
use super::engine::{Engine, Wake};
use super::error::ReadError;
use super::memory::MemoryReader;
use super::metrics::Losses;

/// Reads the journal; synchronous, for the publisher's thread.
pub enum Reader<FS: FileSystem = DiskFileSystem> {
    /// Of a journal on disk: what is synced.
    Disk(Box<DiskReader<FS>>),
    /// Of a journal in memory: what is not done.
    Memory(MemoryReader),
}

impl<FS: FileSystem> Reader<FS> {
    /// A reader at the watermark of a journal on disk.
    pub fn new(engine: Arc<Engine<FS>>) -> Self {
        Self::Disk(Box::new(DiskReader::new(engine)))
    }

    /// The next record; `None` at the tail. Errors come from a disk only, and [`ReadError::Unreadable`] says when to call
    /// again.
    pub fn next_record(&mut self, now: Instant) -> Result<Option<Record>, ReadError> {
        match self {
            Self::Disk(reader) => reader.next_record(now),
            Self::Memory(reader) => Ok(reader.next_record()),
        }
    }

    /// Goes to the first record at or after `position`, which must not have been truncated.
    pub fn seek(&mut self, position: u64) {
        match self {
            Self::Disk(reader) => reader.seek(position),
            Self::Memory(reader) => reader.seek(position),
        }
    }

    /// What it has passed over, and what recovery found to be gone. In memory nothing is lost.
    pub fn losses(&self) -> Losses {
        match self {
            Self::Disk(reader) => reader.losses(),
            Self::Memory(_) => Losses::default(),
        }
    }

    /// Sets what is called after each commit (from a disk's writer also when it ends), or in memory after an append for which the
    /// reader waits. It must not block.
    pub fn on_commit(&mut self, wake: Wake) {
        match self {
            Self::Disk(reader) => reader.on_commit(wake),
            Self::Memory(reader) => reader.on_append(wake),
        }
    }
}
