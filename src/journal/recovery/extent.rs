//! Which positions and bytes of a segment hold records, where the file itself must tell: at a start, or as the reader comes
//! to a segment of which a part could not be read at the start.

use std::io;

use super::bounds;
use crate::journal::disk::filesystem::{ReadAt, read_full};
use crate::journal::disk::zero_fill::ZeroFilled;
use crate::journal::engine::checkpoint::Synced;
use crate::journal::format::record::Codec;
use crate::journal::format::scan::{self, End};
use crate::journal::format::segment::{HEADER, HEADER_BYTES, Header, Unresolved};

/// Where a segment's records lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first record's position.
    pub first: u64,
    /// One past the last position.
    pub end: u64,
    /// The byte at which the last record ends.
    pub used: u64,
    /// When it was begun, in milliseconds since the Unix epoch; 0 if its header does not tell.
    pub opened_ms: u64,
    /// No hole in the file can change any of this.
    pub is_certain: bool,
    /// One past the last position of the segment before, as the header tells it; `None` where that is damaged.
    pub previous_end: Option<u64>,
}

/// Reads the extent of the segment with the number `sequence`, whose records have positions from `least` on. What the holes
/// in `file` may have held counts as so many records as there must have been at least. Where the next segment's header is
/// damaged, `next` is where that one begins.
pub fn read<F: ReadAt>(
    file: &ZeroFilled<'_, F>,
    codec: Codec,
    page: u64,
    sequence: u64,
    (least, next): (u64, Option<u64>),
    known: &Unresolved,
) -> io::Result<Extent> {
    let mut bytes = [0; HEADER_BYTES];
    let read = read_full(file, &mut bytes, 0)?;
    let header = Header::decode(&bytes[..read])
        .ok()
        .filter(|header| header.sequence == sequence);
    let first = match (&header, known.synced) {
        (Some(header), _) => header.first,
        (None, Some(synced)) => synced.first,
        (None, None) => {
            let found = bounds::first(file, codec, known.length, least, least, known.begun_at)?;
            found.unwrap_or_else(|| bounds::first_of_none(known.length, least, known.next_says))
        }
    };
    // Where no position seems to be left, what lies before may have been taken to be longer than it was.
    let most = known.next_first.filter(|next| least < *next);
    let first = most.map_or(first, |most| first.min(most - 1));
    let tail = match bounds::told_end(first, known.length, known.next_says) {
        Some(end) => Tail::told(end, known.length),
        None => Tail::find(file, codec, page, first, known)?,
    };
    let found = (tail.end.end, tail.end.used);
    let end = match next {
        Some(_) => bounds::close(file, known.length, found, next, least)?,
        None => found.0,
    };
    Ok(Extent {
        first,
        end: most.map_or(end, |most| end.min(most)),
        used: if end > found.0 { known.length } else { found.1 },
        is_certain: !tail.is_open && (header.is_some() || file.holes().is_empty()),
        previous_end: header.as_ref().map(|header| header.previous_end),
        opened_ms: header.map_or(0, |header| header.opened_ms),
    })
}

/// Where a segment's records end.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    /// The last intact record and what is known to have been behind it.
    pub end: End,
    /// The byte up to which records were found intact.
    pub intact: u64,
    /// A hole may hide more records than the one for which it counts.
    pub is_open: bool,
}

impl Tail {
    /// Where the newest segment ended, if all that could not be read lies before that: for the next header, which must say so
    /// before the end rots.
    pub fn known(&self, is_newest: bool) -> Option<u64> {
        let is_known = is_newest && !self.is_open && self.intact > HEADER;
        is_known.then_some(self.end.end)
    }

    /// As the next segment's header tells it.
    pub fn told(end: u64, length: u64) -> Self {
        Self {
            end: End {
                end,
                used: length,
                last: HEADER,
            },
            intact: length,
            is_open: false,
        }
    }

    /// Looks for it. Up to where the checkpoint says that the segment was synced, what is no record is damage. A hole
    /// behind the last record, and with nothing but zeros in between, hides one at least unless the journal was closed there
    /// or a later segment begins with the next position. If the next header says that this end was not known, bytes behind the
    /// last record are at least one that is lost, as behind a damaged header.
    pub fn find<F: ReadAt>(
        file: &ZeroFilled<'_, F>,
        codec: Codec,
        page: u64,
        first: u64,
        known: &Unresolved,
    ) -> io::Result<Self> {
        // What is below the synced end is there, damaged, or cannot be read: its end is the same in each case.
        let synced = known.synced.filter(|synced| synced.first == first);
        let (start, from) = synced.map_or((HEADER, first), |synced| (synced.used, synced.end));
        let found = scan::end(file, codec, page, start, known.length, from)?;
        let intact = found.used;
        let mut end = found;
        if let Some(synced) = known.synced.filter(|synced| synced.end > found.end) {
            end.end = synced.end;
            end.used = synced.used.max(found.used);
        }
        let closed = |synced: Synced| synced.closed && synced.end == end.end;
        let is_full = known.next_first.is_some_and(|next| next <= end.end);
        if (is_full && intact > HEADER) || known.synced.is_some_and(closed) {
            return Ok(Self {
                end,
                intact,
                is_open: false,
            });
        }
        let garbage = scan::garbage(file, end.used, known.length)?;
        let next = (end.used + garbage).next_multiple_of(page);
        // The next batch would begin on a page of its own: the last record's page hides nothing more, but the header's may.
        let from = if end.used > HEADER {
            end.used.next_multiple_of(page)
        } else {
            end.used
        };
        let hole = file.holes().within(&(from..next + 1));
        if let Some(hole) = &hole {
            end.end += 1;
            end.used = (end.used + garbage).max(hole.end).min(known.length);
        } else if known.is_next_silent && known.synced.is_none() {
            let found = (end.end, end.used);
            end.end = bounds::close(file, known.length, found, known.next_first, known.published)?;
            end.used += garbage;
        }
        Ok(Self {
            end,
            intact,
            is_open: hole.is_some(),
        })
    }
}
