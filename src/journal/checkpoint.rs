//! The checkpoint: up to where everything is in Kafka or durably set aside.
//!
//! One file with two slots, each in a page of its own, written in turn: a torn write spoils one, and the other still
//! tells. Losing both costs duplicates, never events.
//!
//! ```text
//! slot: magic "ringckpt" | version u32 | zeros u32 | journal id 16 | number u64 | watermark u64 | begun at u64 | CRC-32C u32
//! ```

use std::io;

use crc32c::crc32c;

use super::filesystem::{File, FileSystem};
use crate::fault::{self, Fault};

const NAME: &str = "checkpoint";
const MAGIC: &[u8; 8] = b"ringckpt";
const VERSION: u32 = 1;
const SLOT: usize = 60;
/// One slot a page, so that no single torn sector or page spoils both.
const STRIDE: u64 = 4096;

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The journal's id, made once.
    pub journal_id: [u8; 16],
    /// Which write this was; the larger of two slots counts.
    pub number: u64,
    /// The first position that is still to be published.
    pub watermark: u64,
    /// Where the positions of the latest start begin: known even where nothing is left of what was written from there.
    pub begun_at: u64,
}

/// The open file.
#[derive(Debug)]
pub struct CheckpointFile<F> {
    file: F,
    last: Checkpoint,
    /// A write or sync has failed: nothing is known of the slot any more, and a second sync would prove nothing.
    failed: bool,
}

impl<F: File> CheckpointFile<F> {
    /// Opens the file; `None` for the checkpoint where it is missing or neither slot is intact.
    pub fn read(fs: &impl FileSystem<File = F>) -> io::Result<Option<(F, Checkpoint)>> {
        let file = match fs.open(NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut newest: Option<Checkpoint> = None;
        for index in 0..2 {
            let mut bytes = [0; SLOT];
            let read = read_full(&file, &mut bytes, index * STRIDE)?;
            if let Some(found) = decode(&bytes[..read])
                && newest.is_none_or(|newest| {
                    (newest.number < found.number) != fault::is_on(Fault::OlderCheckpointSlot)
                })
            {
                newest = Some(found);
            }
        }
        Ok(newest.map(|newest| (file, newest)))
    }

    /// Goes on with a file that was read; writes and syncs where this start's positions begin.
    ///
    /// What was read is written anew first: it may be the remains of a sync that failed, in the page cache and never on
    /// the disk. Writing over the other slot, then the only durable one, would leave a power cut nothing to keep.
    pub fn resume(file: F, last: Checkpoint, begun_at: u64) -> io::Result<Self> {
        let mut checkpoint = Self {
            file,
            last,
            failed: false,
        };
        if !fault::is_on(Fault::CheckpointTrustedAsRead) {
            checkpoint.put(last)?;
        }
        checkpoint.last.begun_at = begun_at;
        checkpoint.write(last.watermark)?;
        Ok(checkpoint)
    }

    /// Makes the file anew with both slots reserved, synced, its name too.
    pub fn create(
        fs: &impl FileSystem<File = F>,
        journal_id: [u8; 16],
        watermark: u64,
        begun_at: u64,
    ) -> io::Result<Self> {
        match fs.remove(NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = fs.create(NAME)?;
        file.allocate(2 * STRIDE)?;
        let last = Checkpoint {
            journal_id,
            number: 0,
            watermark,
            begun_at,
        };
        let checkpoint = Self::resume(file, last, begun_at)?;
        fs.sync_directory()?;
        Ok(checkpoint)
    }

    /// What was last written and synced.
    pub fn last(&self) -> Checkpoint {
        self.last
    }

    /// Writes the slot that does not hold the newest checkpoint and syncs it. After an error it refuses for good.
    pub fn write(&mut self, watermark: u64) -> io::Result<()> {
        self.put(Checkpoint {
            number: self.last.number + 1,
            watermark,
            ..self.last
        })
    }

    fn put(&mut self, next: Checkpoint) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier checkpoint has failed"));
        }
        self.failed = true;
        let slot = if fault::is_on(Fault::OneCheckpointSlot) {
            0
        } else {
            next.number % 2
        };
        self.file.write_all_at(&encode(&next), slot * STRIDE)?;
        if !fault::is_on(Fault::CheckpointUnsynced) {
            self.file.sync()?;
        }
        self.failed = false;
        self.last = next;
        Ok(())
    }
}

/// The journal's id as each slot tells it, intact or not; for where [`CheckpointFile::read`] has found neither so.
pub fn damaged_ids(fs: &impl FileSystem) -> io::Result<Vec<[u8; 16]>> {
    let file = match fs.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut ids = Vec::with_capacity(2);
    for index in 0..2 {
        let mut id = [0; 16];
        if read_full(&file, &mut id, index * STRIDE + 16)? == id.len() {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Reads until the buffer is full or the file ends.
pub fn read_full(file: &impl File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

fn encode(checkpoint: &Checkpoint) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..32].copy_from_slice(&checkpoint.journal_id);
    bytes[32..40].copy_from_slice(&checkpoint.number.to_le_bytes());
    bytes[40..48].copy_from_slice(&checkpoint.watermark.to_le_bytes());
    bytes[48..56].copy_from_slice(&checkpoint.begun_at.to_le_bytes());
    let crc = crc32c(&bytes[..56]);
    bytes[56..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Checkpoint> {
    let bytes: &[u8; SLOT] = bytes.first_chunk()?;
    let mut crc = [0; 4];
    crc.copy_from_slice(&bytes[56..]);
    if &bytes[..8] != MAGIC
        || bytes[8..12] != VERSION.to_le_bytes()
        || crc32c(&bytes[..56]) != u32::from_le_bytes(crc)
    {
        return None;
    }
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(number)
    };
    let mut journal_id = [0; 16];
    journal_id.copy_from_slice(&bytes[16..32]);
    Some(Checkpoint {
        journal_id,
        number: number(32),
        watermark: number(40),
        begun_at: number(48),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_back_and_no_flipped_bit_does() {
        let checkpoint = Checkpoint {
            journal_id: *b"0123456789abcdef",
            number: 3,
            watermark: 77,
            begun_at: 1 << 20,
        };
        let bytes = encode(&checkpoint);
        assert_eq!(decode(&bytes), Some(checkpoint));
        for bit in 0..SLOT * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit}");
        }
    }
}
