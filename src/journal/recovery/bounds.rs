//! Where a segment begins and ends whose own header, or the next one's, is damaged: from what its records say.

use std::io;

use super::LEAP;
use crate::fault::{self, Fault};
use crate::journal::filesystem::File;
use crate::journal::record::Codec;
use crate::journal::scan;
use crate::journal::segment::HEADER;

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

/// A segment behind which another one holds records was synced to its end. Where the next one's header is damaged and
/// does not tell where that was, bytes past the last intact record are at least one record that is lost: left to the
/// reader, which sets them aside and counts them.
pub fn sealed<F: File>(file: &F, end: scan::End, length: u64) -> io::Result<scan::End> {
    let believed = fault::is_on(Fault::SealedEndBelieved);
    let is_whole = believed || end.used >= length || scan::garbage(file, end.used, length)? == 0;
    let (end, used) = if is_whole {
        (end.end, end.used)
    } else {
        (end.end + 1, length)
    };
    Ok(scan::End {
        end,
        used,
        last: HEADER,
    })
}
