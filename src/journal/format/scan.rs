//! Searches a file for intact records, window by window, so that memory is bounded whatever the segment's size.

use std::io;
use std::ops::Range;

use super::record::{Codec, Decoded, Frame, HEAD};
use crate::journal::disk::filesystem::{ReadAt, read_full};

/// Bytes searched at once.
const WINDOW: u64 = 1 << 20;
/// The smallest record, in bytes: it bounds how many positions a stretch of bytes can hold.
pub const SMALLEST: u64 = 24;

/// Where the intact records of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// One past the last intact record's position.
    pub end: u64,
    /// The offset at which that record ends.
    pub used: u64,
    /// The offset at which it begins; where the search began if there is none.
    pub last: u64,
}

/// The offset of the first intact record within `bytes` (whose start is a multiple of 8) with one of `positions`.
pub fn find(
    file: &impl ReadAt,
    codec: Codec,
    bytes: Range<u64>,
    positions: &Range<u64>,
) -> io::Result<Option<u64>> {
    let mut offset = bytes.start;
    let mut buffer = Vec::new();
    while offset + (HEAD as u64) <= bytes.end {
        let window = fill(file, &mut buffer, offset, WINDOW.min(bytes.end - offset))?;
        let mut at = 0;
        while at + HEAD <= window.len() {
            // Reserved space is zeros. Comparing eight bytes at once is fast enough for a whole segment.
            if window[at..at + 8] != [0; 8] {
                let here = offset + at as u64;
                let record = intact(file, codec, &window[at..], here, bytes.end)?;
                if record.is_some_and(|record| positions.contains(&record.position)) {
                    return Ok(Some(here));
                }
            }
            at += 8;
        }
        if at == 0 {
            break;
        }
        offset += at as u64;
    }
    Ok(None)
}

/// The position of the intact record at `offset`, if there is one.
pub fn at(file: &impl ReadAt, codec: Codec, offset: u64, length: u64) -> io::Result<Option<u64>> {
    Ok(intact(file, codec, &[], offset, length)?.map(|record| record.position))
}

/// Follows the records from `start` on, past damage as long as an intact record comes after it. A batch begins at a multiple of
/// `page`, so there may be padding before it.
pub fn end(
    file: &impl ReadAt,
    codec: Codec,
    page: u64,
    start: u64,
    length: u64,
    first: u64,
) -> io::Result<End> {
    let mut found = End {
        end: first,
        used: start,
        last: start,
    };
    let mut buffer = Vec::new();
    let mut offset = start;
    loop {
        let window = fill(
            file,
            &mut buffer,
            offset,
            WINDOW.min(length.saturating_sub(offset)),
        )?;
        let mut at = 0;
        let most = found.end + (length.saturating_sub(start)) / SMALLEST + 1;
        loop {
            let here = offset + at as u64;
            let record = if window.len() - at < HEAD {
                None
            } else {
                intact(file, codec, &window[at..], here, length)?
            };
            if let Some(record) =
                record.filter(|record| (found.end..most).contains(&record.position))
            {
                found = End {
                    end: record.position + 1,
                    used: here + record.size as u64,
                    last: here,
                };
                at += record.size;
                if at > window.len() {
                    break;
                }
                continue;
            }
            // Without this, each batch's padding would cost a search.
            let next = here.next_multiple_of(page);
            let ahead = usize::try_from(next - offset).unwrap_or(usize::MAX);
            let Some(rest) = window.get(ahead..).filter(|_| next > here) else {
                break;
            };
            let record = intact(file, codec, rest, next, length)?;
            if record.is_none_or(|record| record.position != found.end) {
                break;
            }
            at = ahead;
        }
        let next = found.used.max(offset);
        if next > offset {
            offset = next;
            continue;
        }
        match find(file, codec, offset..length, &(found.end..most))? {
            Some(next) if next > offset => offset = next,
            _ => return Ok(found),
        }
    }
}

/// The number of bytes from `from` up to the last byte that is not zero.
pub fn garbage(file: &impl ReadAt, from: u64, length: u64) -> io::Result<u64> {
    let mut buffer = Vec::new();
    let (mut offset, mut last) = (from, from);
    while offset < length {
        let window = fill(file, &mut buffer, offset, WINDOW.min(length - offset))?;
        if window.is_empty() {
            break;
        }
        if let Some(at) = window.iter().rposition(|byte| *byte != 0) {
            last = offset + at as u64 + 1;
        }
        offset += window.len() as u64;
    }
    Ok(last - from)
}

/// The record with which `window` begins; reads more of the file if the record reaches past the window.
fn intact(
    file: &impl ReadAt,
    codec: Codec,
    window: &[u8],
    offset: u64,
    length: u64,
) -> io::Result<Option<Frame>> {
    let mut found = codec.decode(window);
    let mut whole = Vec::new();
    // At most twice: first for the head, then for the record whose length the head has.
    while let Decoded::Partial(size) = found {
        if offset + size as u64 > length || whole.len() >= size {
            return Ok(None);
        }
        whole.resize(size, 0);
        let read = read_full(file, &mut whole, offset)?;
        found = codec.decode(&whole[..read]);
        if read < size {
            return Ok(None);
        }
    }
    match found {
        Decoded::Record(record) => Ok(Some(record)),
        _ => Ok(None),
    }
}

fn fill<'a>(
    file: &impl ReadAt,
    buffer: &'a mut Vec<u8>,
    offset: u64,
    length: u64,
) -> io::Result<&'a [u8]> {
    buffer.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
    let read = read_full(file, buffer, offset)?;
    Ok(&buffer[..read])
}
