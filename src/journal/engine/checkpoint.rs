//! The checkpoint: up to where everything is in Kafka or durably set aside.
//!
//! One file with two slots, each in a page of its own, written in turn: a torn write spoils one, and the other still
//! tells. Losing both costs duplicates, never events. A slot that cannot be read is a lost slot.
//!
//! ```text
//! slot:   magic "ringckpt" | version u32 | zeros u32 | journal id 16 | number u64 | watermark u64 | begun at u64 | CRC-32C u32
//! synced: sequence u64 | first u64 | end u64 | used u64 | closed u32 | CRC-32C u32 over both parts without the first checksum
//! ```
//!
//! The second part came after the first release, which neither reads nor writes it: its checksum covers the first part, so
//! that what an older ringback leaves standing behind its own slot does not count.

use std::io;

use crc32c::{crc32c, crc32c_append};

use crate::journal::disk::filesystem::{File, FileSystem, read_full};

/// The file's name.
pub const NAME: &str = "checkpoint";
const MAGIC: &[u8; 8] = b"ringckpt";
const VERSION: u32 = 1;
const SLOT: usize = 60;
const SLOT_WITH_SYNCED: usize = SLOT + 40;
/// One slot a page, so that no single torn sector or page spoils both.
pub const STRIDE: u64 = 4096;

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
    /// The newest segment as it was synced; `None` if there was none, or an older ringback wrote the slot.
    pub synced: Option<Synced>,
}

/// How far the newest segment was synced: what is missing below that at a start is damage, not a torn write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synced {
    /// The segment's number.
    pub sequence: u64,
    /// The first record's position.
    pub first: u64,
    /// One past the last synced position.
    pub end: u64,
    /// The byte at which the last synced record ends.
    pub used: u64,
    /// Nothing was written after this: the journal was closed.
    pub closed: bool,
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
        let mut slots = Vec::with_capacity(2);
        for index in 0..2 {
            let mut bytes = [0; SLOT_WITH_SYNCED];
            // Should the other slot be unreadable too, the checkpoint is lost, which costs duplicates.
            let read = read_full(&file, &mut bytes, index * STRIDE).unwrap_or_else(|error| {
                tracing::error!(slot = index, %error, "a slot of the checkpoint cannot be read: the other one counts");
                0
            });
            slots.extend(decode(&bytes[..read]));
        }
        slots.sort_unstable_by_key(|slot| slot.number);
        // A torn write can leave the first part of the newest slot alone. What was synced before stays synced.
        let synced = slots.iter().rev().find_map(|slot| slot.synced);
        let newest = slots.pop().map(|newest| Checkpoint { synced, ..newest });
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
        checkpoint.put(last)?;
        checkpoint.last.begun_at = begun_at;
        checkpoint.write(last.watermark, last.synced)?;
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
            synced: None,
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
    pub fn write(&mut self, watermark: u64, synced: Option<Synced>) -> io::Result<()> {
        self.put(Checkpoint {
            number: self.last.number + 1,
            watermark,
            synced,
            ..self.last
        })
    }

    fn put(&mut self, next: Checkpoint) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier checkpoint has failed"));
        }
        self.failed = true;
        let slot = next.number % 2;
        self.file.write_all_at(&encode(&next), slot * STRIDE)?;
        self.file.sync()?;
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
        // One that cannot be read tells nothing.
        if read_full(&file, &mut id, index * STRIDE + 16).is_ok_and(|read| read == id.len()) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The first byte of each slot that cannot be read, with the reason; for who only looks.
pub fn unreadable_slots(fs: &impl FileSystem) -> io::Result<Vec<(u64, String)>> {
    let file = match fs.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let slots = (0..2).map(|index| index * STRIDE).filter_map(|start| {
        let read = read_full(&file, &mut [0; SLOT], start);
        read.err().map(|error| (start, error.to_string()))
    });
    Ok(slots.collect())
}

fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_WITH_SYNCED);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&checkpoint.journal_id);
    let Checkpoint {
        number,
        watermark,
        begun_at,
        ..
    } = checkpoint;
    for value in [number, watermark, begun_at] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
    let synced = checkpoint.synced.map_or([0; 36], |synced| {
        let mut part = [0; 36];
        let values = [synced.sequence, synced.first, synced.end, synced.used];
        for (into, value) in part.chunks_exact_mut(8).zip(values) {
            into.copy_from_slice(&value.to_le_bytes());
        }
        part[32] = u8::from(synced.closed);
        part
    });
    bytes.extend_from_slice(&synced);
    // Where nothing was synced, no checksum says that something was.
    let crc = checkpoint.synced.map_or(0, |_| crc_of_both(&bytes));
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Checkpoint> {
    let (slot, _) = bytes.split_first_chunk::<SLOT>()?;
    if &slot[..8] != MAGIC
        || slot[8..12] != VERSION.to_le_bytes()
        || crc32c(&slot[..56]) != u32_at(slot, 56)
    {
        return None;
    }
    let mut journal_id = [0; 16];
    journal_id.copy_from_slice(&slot[16..32]);
    let whole = bytes.first_chunk::<SLOT_WITH_SYNCED>();
    let synced = whole.filter(|bytes| crc_of_both(&bytes[..96]) == u32_at(*bytes, 96));
    Some(Checkpoint {
        journal_id,
        number: u64_at(slot, 32),
        watermark: u64_at(slot, 40),
        begun_at: u64_at(slot, 48),
        synced: synced.map(|bytes| Synced {
            sequence: u64_at(bytes, 60),
            first: u64_at(bytes, 68),
            end: u64_at(bytes, 76),
            used: u64_at(bytes, 84),
            closed: bytes[92] != 0,
        }),
    })
}

/// Without the first part's own checksum: with it, that part would leave the same remainder whatever it says.
fn crc_of_both(bytes: &[u8]) -> u32 {
    crc32c_append(crc32c(&bytes[..56]), &bytes[SLOT..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_back_and_no_flipped_bit_does() {
        let synced = Synced {
            sequence: 9,
            first: 70,
            end: 80,
            used: 4_711,
            closed: true,
        };
        for synced in [None, Some(synced)] {
            let checkpoint = Checkpoint {
                journal_id: *b"0123456789abcdef",
                number: 3,
                watermark: 77,
                begun_at: 1 << 20,
                synced,
            };
            let bytes = encode(&checkpoint);
            assert_eq!(bytes.len(), SLOT_WITH_SYNCED);
            assert_eq!(decode(&bytes), Some(checkpoint));
            let without = Checkpoint {
                synced: None,
                ..checkpoint
            };
            // As an older ringback reads it.
            assert_eq!(decode(&bytes[..SLOT]), Some(without));
            for bit in 0..SLOT_WITH_SYNCED * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let expected = (bit >= SLOT * 8).then_some(without);
                assert_eq!(decode(&damaged), expected, "bit {bit}");
            }
        }
    }

    #[test]
    fn what_an_older_ringback_leaves_behind_its_own_slot_does_not_count() {
        let checkpoint = |number, synced| Checkpoint {
            journal_id: *b"0123456789abcdef",
            number,
            watermark: 77,
            begun_at: 1 << 20,
            synced,
        };
        let synced = Synced {
            sequence: 9,
            first: 70,
            end: 80,
            used: 4_711,
            closed: false,
        };
        let mut bytes = encode(&checkpoint(3, Some(synced)));
        bytes[..SLOT].copy_from_slice(&encode(&checkpoint(5, None))[..SLOT]);
        assert_eq!(decode(&bytes), Some(checkpoint(5, None)));
    }
}
