//! Reading past what a disk does not give: an unreadable block reads as zeros, which no record is made of, and is
//! remembered. Zeros say nothing about what was written there, so whoever calls anything damaged asks first whether it
//! was read at all.

use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::journal::disk::filesystem::File;

/// The page in which the kernel reads: what one unreadable sector costs.
const BLOCK: u64 = 4096;
/// Blocks of one file that may fail before the rest of it counts as unreadable: each can take as long as the device's
/// own time-out.
const MOST: usize = 4096;

/// A file whose unreadable blocks read as zeros. Each is asked for once: a look is of one moment.
#[derive(Debug)]
pub struct Readable<F> {
    file: F,
    unreadable: Mutex<Unreadable>,
}

#[derive(Debug, Default)]
struct Unreadable {
    /// Ascending and apart.
    ranges: Vec<Range<u64>>,
    blocks: usize,
    reason: Option<io::Error>,
}

impl<F> Readable<F> {
    pub(super) fn new(file: F) -> Self {
        Self {
            file,
            unreadable: Mutex::default(),
        }
    }

    /// From the first to the last byte within `bytes` that could not be read; `None` if all that was asked for was read.
    pub(super) fn unreadable_within(&self, bytes: Range<u64>) -> Option<Range<u64>> {
        let unreadable = self.lock();
        let mut within = unreadable
            .ranges
            .iter()
            .map(|range| range.start.max(bytes.start)..range.end.min(bytes.end))
            .filter(|range| !range.is_empty());
        let first = within.next()?;
        Some(first.start..within.next_back().map_or(first.end, |last| last.end))
    }

    /// The operating system's first reason.
    pub(super) fn reason(&self) -> String {
        let reason = &self.lock().reason;
        reason
            .as_ref()
            .map(io::Error::to_string)
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Unreadable> {
        self.unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unreadable {
    /// The range in which this byte lies, or else the next one behind it.
    fn at_or_after(&self, offset: u64) -> Option<&Range<u64>> {
        self.ranges.iter().find(|range| offset < range.end)
    }

    fn add(&mut self, block: Range<u64>, reason: io::Error) {
        self.blocks += 1;
        self.reason.get_or_insert(reason);
        let touches = |range: &Range<u64>| range.start <= block.end && block.start <= range.end;
        let joined = self
            .ranges
            .iter()
            .filter(|it| touches(it))
            .fold(block.clone(), |joined, range| {
                joined.start.min(range.start)..joined.end.max(range.end)
            });
        self.ranges.retain(|range| !touches(range));
        let at = self.ranges.partition_point(|it| it.start < joined.start);
        self.ranges.insert(at, joined);
    }
}

fn zeros(bytes: &mut [u8], length: u64) -> usize {
    let length = up_to(bytes.len(), length);
    bytes[..length].fill(0);
    length
}

fn up_to(length: usize, most: u64) -> usize {
    usize::try_from(most).map_or(length, |most| length.min(most))
}

impl<F: File> File for Readable<F> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut unreadable = self.lock();
        let known = unreadable.at_or_after(offset).cloned();
        let mut length = match known {
            Some(range) if range.start <= offset => return Ok(zeros(bytes, range.end - offset)),
            Some(range) => up_to(bytes.len(), range.start - offset),
            None => bytes.len(),
        };
        let left = BLOCK - offset % BLOCK;
        loop {
            let error = match self.file.read_at(&mut bytes[..length], offset) {
                Ok(read) => return Ok(read),
                Err(error) => error,
            };
            if length > up_to(length, left) {
                // Towards the one block that is to blame.
                length = (length / 2).max(up_to(length, left));
                continue;
            }
            let end = if unreadable.blocks < MOST {
                offset + left
            } else {
                self.file.length()?.max(offset + left)
            };
            unreadable.add(offset / BLOCK * BLOCK..end, error);
            return Ok(zeros(bytes, end - offset));
        }
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn is_removed(&self) -> io::Result<bool> {
        self.file.is_removed()
    }

    fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn truncate(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::filesystem::read_full;

    /// Bytes that are all 7, of which those in some blocks cannot be read.
    struct Worn {
        blocks: Vec<u64>,
        failures: Mutex<usize>,
    }

    const LENGTH: u64 = 64 * BLOCK + 100;

    impl File for Worn {
        fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
            let length = up_to(bytes.len(), LENGTH.saturating_sub(offset));
            let end = offset + length as u64;
            let is_worn = |block: &u64| block * BLOCK < end && offset < (block + 1) * BLOCK;
            if self.blocks.iter().any(is_worn) {
                *self.failures.lock().unwrap() += 1;
                return Err(io::Error::from_raw_os_error(5));
            }
            bytes[..length].fill(7);
            Ok(length)
        }

        fn length(&self) -> io::Result<u64> {
            Ok(LENGTH)
        }

        fn is_removed(&self) -> io::Result<bool> {
            Ok(false)
        }

        fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
            unreachable!("only read")
        }

        fn sync(&self) -> io::Result<()> {
            unreachable!("only read")
        }

        fn allocate(&self, _length: u64) -> io::Result<()> {
            unreachable!("only read")
        }

        fn truncate(&self, _length: u64) -> io::Result<()> {
            unreachable!("only read")
        }
    }

    fn worn(blocks: &[u64]) -> Readable<Worn> {
        Readable::new(Worn {
            blocks: blocks.to_vec(),
            failures: Mutex::default(),
        })
    }

    #[test]
    fn only_unreadable_blocks_are_zeros_and_each_is_asked_for_once() {
        let file = worn(&[3, 4, 40]);
        for _ in 0..2 {
            let mut bytes = vec![1; 66 * 4096];
            let read = read_full(&file, &mut bytes, 8).unwrap();
            assert_eq!(read as u64, LENGTH - 8);
            for (at, byte) in bytes[..read].iter().enumerate() {
                let is_worn = [3, 4, 40].contains(&((at as u64 + 8) / BLOCK));
                assert_eq!(*byte, if is_worn { 0 } else { 7 }, "byte {at}");
            }
        }
        let failures = *file.file.failures.lock().unwrap();
        assert!(failures < 60, "{failures} reads failed");
        assert_eq!(
            file.lock().ranges,
            [3 * BLOCK..5 * BLOCK, 40 * BLOCK..41 * BLOCK]
        );
        assert_eq!(file.unreadable_within(0..3 * BLOCK), None);
        assert_eq!(
            file.unreadable_within(4 * BLOCK..u64::MAX),
            Some(4 * BLOCK..41 * BLOCK)
        );
        assert!(file.reason().contains("os error 5"), "{}", file.reason());
    }

    #[test]
    fn after_too_many_failures_the_rest_is_unreadable() {
        let file = worn(&[0, 1]);
        file.lock().blocks = MOST;
        let mut bytes = vec![1; 10];
        assert_eq!(read_full(&file, &mut bytes, 64 * BLOCK).unwrap(), 10);
        assert_eq!(bytes, [7; 10]);
        assert_eq!(read_full(&file, &mut bytes, 0).unwrap(), 10);
        assert_eq!(file.unreadable_within(0..u64::MAX), Some(0..LENGTH));
    }
}
