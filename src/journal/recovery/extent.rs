//! Finds which positions and bytes of a segment hold records, by reading it: during recovery, or later, when the reader comes to
//! a segment that recovery could not read.

use std::io;

use super::{POSITION_STRIDE, bounds};
use crate::journal::disk::filesystem::ReadAt;
use crate::journal::disk::zero_fill::ZeroFilled;
use crate::journal::engine::checkpoint::Synced;
use crate::journal::format::record::Codec;
use crate::journal::format::scan::{self, End};
use crate::journal::format::segment::{Evidence, HEADER, Header, Unresolved};

/// Where a segment's records lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first record's position.
    pub first: u64,
    /// One past the last position.
    pub end: u64,
    /// The byte at which the last record ends.
    pub used: u64,
    /// When its first batch was written, in milliseconds since the Unix epoch; 0 if its header is damaged.
    pub opened_ms: u64,
    /// No unreadable part of the file can change any of this.
    pub is_certain: bool,
    /// One past the last position of the previous segment, from this header; `None` if that is damaged.
    pub previous_end: Option<u64>,
}

/// Reads the extent of the segment with the number `sequence`, whose positions are `least` or greater. Holes in `file` count as
/// the least number of records that they can have held. If the next
/// segment's header is damaged, `next` is where that segment begins.
pub fn read<F: ReadAt>(
    file: &ZeroFilled<&F>,
    codec: Codec,
    page: u64,
    sequence: u64,
    (least, next): (u64, Option<u64>),
    known: &Unresolved,
) -> io::Result<Extent> {
    let header = Header::read(file, sequence)?.ok();
    let next_header_end = match known.behind {
        Evidence::Header(end) => Some(end),
        Evidence::None | Evidence::Checkpoint(..) => known.next_header_end,
    };
    let found = match (&header, known.synced) {
        (Some(header), _) => Some(header.first),
        (None, Some(synced)) => Some(synced.first),
        (None, None) => bounds::first(file, codec, known.length, least, least, known.open_start)?,
    };
    let is_ended = next.is_some() || next_header_end.is_some() || !known.is_next_unknown;
    let is_hidden = found.is_none() && !is_ended && !file.holes().is_empty();
    if is_hidden {
        // The first unpublished position may be the next segment's. Its header will show where this one ended.
        return Ok(Extent {
            first: least,
            end: least,
            used: known.length,
            opened_ms: 0,
            is_certain: false,
            previous_end: None,
        });
    }
    let first = found.unwrap_or_else(|| {
        // What comes before the first unpublished position is published, here too.
        let first = bounds::first_of_none(least.max(known.published), next_header_end);
        // If it cannot hold so many, an open has taken a bound for the end before it. It held at least one.
        let is_stride = |end: &u64| end.saturating_sub(least) >= POSITION_STRIDE;
        match next_header_end.filter(is_stride) {
            Some(end) if end - first > known.length / scan::SMALLEST => end - 1,
            _ => first,
        }
    });
    // If no position seems to be left, the earlier segments were estimated too long.
    let most = known.next_first.filter(|next| least < *next);
    let first = most.map_or(first, |most| first.min(most - 1));
    let tail = match bounds::end_in_next_header(first, known.length, next_header_end) {
        Some(end) => Tail::from_next_header(end, known.length),
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
    /// The last intact record, and what is known to have followed it.
    pub end: End,
    /// The byte where the last intact record ends.
    pub intact: u64,
    /// An unreadable part may hide more records than the one that it counts as.
    pub is_open: bool,
}

impl Tail {
    /// The end of the newest segment, if everything unreadable lies before it. The next header must have it, in case the end is
    /// damaged later.
    pub fn known(&self, is_newest: bool) -> Option<u64> {
        let is_known = is_newest && !self.is_open && self.intact > HEADER;
        is_known.then_some(self.end.end)
    }

    /// The end from the next segment's header.
    pub fn from_next_header(end: u64, length: u64) -> Self {
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

    /// Searches the segment for its end.
    ///
    /// Everything before the synced end in the checkpoint was a record, so what is none is damaged. A hole after the last record
    /// with only zeros in between counts as one record, unless the journal was closed there or the next segment begins with the
    /// next position. If the next header has no end for this segment, bytes after the last record count as one lost record, as
    /// before a damaged header.
    pub fn find<F: ReadAt>(
        file: &ZeroFilled<&F>,
        codec: Codec,
        page: u64,
        first: u64,
        known: &Unresolved,
    ) -> io::Result<Self> {
        // Before the synced end, everything is intact, damaged or unreadable. The end is the same in each case.
        let synced = known.synced.filter(|synced| synced.first == first);
        // An open that found only the older slot may have cut the file shorter.
        let used = |synced: Synced| synced.used.min(known.length);
        let (start, from) = synced.map_or((HEADER, first), |synced| (used(synced), synced.end));
        let found = scan::end(file, codec, page, start, known.length, from)?;
        let intact = found.used;
        let mut end = found;
        if let Some(synced) = known.synced.filter(|synced| synced.end > found.end) {
            end.end = synced.end;
            end.used = used(synced).max(found.used);
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
        // The next batch would begin on a page of its own, so the last record's page hides nothing; the header's page may.
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
