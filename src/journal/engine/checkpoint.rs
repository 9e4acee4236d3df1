//! The checkpoint: the position up to which everything is published or durably dead-lettered.
//!
//! One file with two slots, each in a page of its own, written in turn: a torn write spoils one, and the other remains. Losing
//! both costs duplicates, never events. A slot that cannot be read counts as lost.
//!
//! ```text
//! slot:   magic "ringckpt" | version u32 | zeros u32 | journal id 16 | number u64 | watermark u64 | open start u64 | CRC-32C u32
//! synced: sequence u64 | first u64 | end u64 | used u64 | closed u32 | CRC-32C u32 over both parts without the first checksum
//! ```
//!
//! The first release neither reads nor writes the second part. That part's checksum covers the first part too, so it no
//! longer matches once an older ringback has written the first part alone.

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

/// One slot's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The journal's id, made once.
    pub journal_id: [u8; 16],
    /// Counts the writes; the slot with the larger number is valid.
    pub number: u64,
    /// The first position that is still to be published.
    pub watermark: u64,
    /// The first position of the latest open, known even if nothing that it wrote is left.
    pub open_start: u64,
    /// The newest segment as it was synced; `None` if there was none, or an older ringback wrote the slot.
    pub synced: Option<Synced>,
}

impl Checkpoint {
    /// True if nothing was ever written to the segment with this number: the journal was closed before it was begun, and not
    /// opened since.
    pub fn is_unused(&self, sequence: u64) -> bool {
        let closed = self
            .synced
            .filter(|synced| synced.closed && synced.first >= self.open_start);
        closed.is_some_and(|newest| newest.sequence < sequence)
    }
}

/// How far the newest segment was synced. If recovery finds less, the rest is damaged, not torn.
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
    /// The journal was closed: nothing was written after this.
    pub closed: bool,
}

/// The open checkpoint file.
#[derive(Debug)]
pub struct CheckpointFile<F> {
    file: F,
    last: Checkpoint,
    /// A write or sync has failed. Nobody knows what the slot holds, and a second sync would prove nothing.
    failed: bool,
}

impl<F: File> CheckpointFile<F> {
    /// Opens and reads the file; `None` if it is missing or neither slot is intact.
    pub fn read(fs: &impl FileSystem<File = F>) -> io::Result<Option<(F, Checkpoint)>> {
        let Some((file, slots)) = read_slots(fs)? else {
            return Ok(None);
        };
        let mut intact = Vec::with_capacity(2);
        for (slot, bytes) in slots.iter().enumerate() {
            match bytes {
                Ok(bytes) => intact.extend(decode(bytes)),
                Err(error) => {
                    tracing::error!(slot, %error, "a slot of the checkpoint cannot be read; using the other one");
                }
            }
        }
        intact.sort_unstable_by_key(|slot| slot.number);
        // A torn write can leave only the first part of the newest slot. What the other slot says was synced still is.
        let mut synced = intact.iter().rev().find_map(|slot| slot.synced);
        if let (Some(synced), [_]) = (&mut synced, &intact[..]) {
            // The lost slot may be a later open's.
            synced.closed = false;
        }
        let newest = intact.pop().map(|newest| Checkpoint { synced, ..newest });
        Ok(newest.map(|newest| (file, newest)))
    }

    /// Continues with a file that was read: writes and syncs this open's first position.
    ///
    /// First it writes the slot again that was read: after a failed sync that slot may be in the page cache only. Overwriting
    /// the other slot, then the only durable one, would let a power cut destroy both.
    pub fn resume(file: F, last: Checkpoint, open_start: u64) -> io::Result<Self> {
        let mut checkpoint = Self {
            file,
            last,
            failed: false,
        };
        checkpoint.put(last)?;
        checkpoint.last.open_start = open_start;
        checkpoint.write(last.watermark, last.synced)?;
        Ok(checkpoint)
    }

    /// Creates the file, in place of an old one, with both slots reserved. Syncs it and its name.
    pub fn create(
        fs: &impl FileSystem<File = F>,
        journal_id: [u8; 16],
        watermark: u64,
        open_start: u64,
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
            open_start,
            synced: None,
        };
        let checkpoint = Self::resume(file, last, open_start)?;
        fs.sync_directory()?;
        Ok(checkpoint)
    }

    /// The last checkpoint that was written and synced.
    pub fn last(&self) -> Checkpoint {
        self.last
    }

    /// Writes and syncs a checkpoint, in the slot that does not hold the newest one. After an error every call fails.
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

/// The open file and the bytes of its two slots; `None` if it is missing.
type Slots<F> = Option<(F, [io::Result<Vec<u8>>; 2])>;

fn read_slots<FS: FileSystem>(fs: &FS) -> io::Result<Slots<FS::File>> {
    let file = match fs.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let slots = [0, STRIDE].map(|start| {
        let mut bytes = vec![0; SLOT_WITH_SYNCED];
        let read = read_full(&file, &mut bytes, start)?;
        bytes.truncate(read);
        Ok(bytes)
    });
    Ok(Some((file, slots)))
}

/// The journal's id as each readable slot has it, intact or not, for a caller for which [`CheckpointFile::read`] found neither
/// intact.
pub fn damaged_ids(fs: &impl FileSystem) -> io::Result<Vec<[u8; 16]>> {
    let slots = read_slots(fs)?.map(|(_, slots)| slots);
    let bytes = slots.into_iter().flatten().flatten();
    let ids = bytes.filter_map(|bytes| bytes.get(16..)?.first_chunk().copied());
    Ok(ids.collect())
}

/// The first byte of each slot that cannot be read, with the reason.
pub fn unreadable_slots(fs: &impl FileSystem) -> io::Result<Vec<(u64, String)>> {
    let slots = read_slots(fs)?.map(|(_, slots)| slots);
    let slots = [0, STRIDE].into_iter().zip(slots.into_iter().flatten());
    let errors = slots.filter_map(|(start, bytes)| Some((start, bytes.err()?.to_string())));
    Ok(errors.collect())
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
        open_start,
        ..
    } = checkpoint;
    for value in [number, watermark, open_start] {
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
    // Without a synced segment, the checksum must not match.
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
        open_start: u64_at(slot, 48),
        synced: synced.map(|bytes| Synced {
            sequence: u64_at(bytes, 60),
            first: u64_at(bytes, 68),
            end: u64_at(bytes, 76),
            used: u64_at(bytes, 84),
            closed: bytes[92] != 0,
        }),
    })
}

/// The checksum of both parts without the first part's own checksum: a CRC over data and its CRC is constant.
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
                open_start: 1 << 20,
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
    fn a_second_part_does_not_count_once_an_older_ringback_has_written_the_first() {
        let checkpoint = |number, synced| Checkpoint {
            journal_id: *b"0123456789abcdef",
            number,
            watermark: 77,
            open_start: 1 << 20,
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
