//! Where a segment begins and ends whose own header, or the next one's, is damaged: from what its records say.

use std::io;

use super::LEAP;
use crate::fault::{self, Fault};
use crate::journal::filesystem::File;
use crate::journal::record::Codec;
use crate::journal::scan;
use crate::journal::segment::{HEADER, Segment};

/// The first position of a segment without a header, which is at or past `from`; `least` where no record is left.
///
/// It goes on from `least`, the end of the segment before or of what is published, unless a start's leap lies between, in
/// which case what is damaged before its first intact record counts as one record. The file's length bounds how many
/// there can have been: positions further on than that would be taken for no records of this segment.
pub fn first(
    file: &impl File,
    codec: Codec,
    length: u64,
    from: u64,
    least: u64,
) -> io::Result<u64> {
    let Some(offset) = scan::find(file, codec, HEADER..length, &(from..u64::MAX))? else {
        return Ok(least);
    };
    let position = scan::at(file, codec, offset, length)?;
    let before = (offset - HEADER) / scan::SMALLEST;
    Ok(match position {
        Some(position) if position < least => position.saturating_sub(before),
        Some(position) if position - least < LEAP => least.max(position.saturating_sub(before)),
        Some(position) => position - before.min(1),
        None => least,
    })
}

/// Where a segment ends behind which one without a header begins at `first`; both hold records, so it was synced to its
/// end. What is missing up to there is left to the reader, which sets it aside and counts it.
///
/// Where a start's leap lies between, bytes past the last intact record are at least one record that is lost. Without a
/// leap they need not be: reserved space rots as well, and no position may be taken from the segment behind.
pub fn close<F: File>(segment: &mut Segment<F>, first: u64) -> io::Result<u64> {
    let length = segment.file.length()?;
    let end = if first - segment.end < LEAP {
        first
    } else if scan::garbage(&*segment.file, segment.used, length)? > 0
        && !fault::is_on(Fault::SealedEndBelieved)
    {
        segment.end + 1
    } else {
        segment.end
    };
    if end > segment.end {
        segment.end = end;
        segment.used = segment.used.max(length);
    }
    Ok(end)
}
