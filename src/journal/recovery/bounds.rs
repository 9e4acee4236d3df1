//! Finds where a segment begins and ends if its own header, or the next one's, is damaged: from its records.

use std::io;
use std::ops::Range;

use super::POSITION_STRIDE;
use crate::journal::disk::filesystem::ReadAt;
use crate::journal::engine::checkpoint::{Checkpoint, Synced};
use crate::journal::format::record::Codec;
use crate::journal::format::scan;
use crate::journal::format::segment::{Evidence, HEADER};

/// The first position, at or past `from`, of a segment without a header; `None` if no record is left.
///
/// The segment continues from `least`, the end of the previous segment or of what is published, unless an open's stride lies
/// between. In that case it begins at `open_start`, the latest open's first position, if that is possible; otherwise the bytes
/// before its first intact record count as one record. Those bytes bound how many records there can have been.
pub fn first(
    file: &impl ReadAt,
    codec: Codec,
    length: u64,
    from: u64,
    least: u64,
    open_start: u64,
) -> io::Result<Option<u64>> {
    let Some(offset) = scan::find(file, codec, HEADER..length, &(from..u64::MAX))? else {
        return Ok(None);
    };
    let position = scan::at(file, codec, offset, length)?;
    let before = (offset - HEADER) / scan::SMALLEST;
    Ok(position.map(|position| {
        if position < least {
            position.saturating_sub(before)
        } else if position - least < POSITION_STRIDE {
            least.max(position.saturating_sub(before))
        } else if position >= open_start && position - open_start <= before {
            open_start
        } else {
            position - before.min(1)
        }
    }))
}

/// The end of a segment of `length` bytes that begins at `first`, from the next segment's header; `None` if that end
/// cannot be this segment's. The end must leave this segment a record, because the journal begins no segment after one
/// without a record. It must not leave more records than fit: those were in another segment, which is gone.
pub fn end_in_next_header(first: u64, length: u64, next_header_end: Option<u64>) -> Option<u64> {
    next_header_end.filter(|end| *end > first && *end - first <= length / scan::SMALLEST)
}

/// The first position of a segment without a header and without an intact record, if the previous segment ends at `least` and
/// the next header has `end` for this one. It continues from `least`, unless an open's stride lies between: each open begins
/// a number of strides past an end. Intact records are better evidence, because that header may be about a segment that is gone.
pub fn first_of_none(least: u64, end: Option<u64>) -> u64 {
    let Some(end) = end.filter(|end| end.saturating_sub(least) >= POSITION_STRIDE) else {
        return least;
    };
    end - ((end - least) % POSITION_STRIDE).max(1)
}

/// The end of a segment whose last intact record ends at position `end` and byte `used`, if the next segment has no header and
/// begins at `first`. Both hold records, so this one was synced to its end.
///
/// If an open's stride lies between the two, bytes after the last intact record count as one lost record. Without a stride they
/// may be damaged reserved space, and no position may be taken from the next segment. If `published` lies among the positions
/// that these bytes can have held, the lost record counts as the first unpublished one, so that no loss is hidden.
pub fn close(
    file: &impl ReadAt,
    length: u64,
    (end, used): (u64, u64),
    first: Option<u64>,
    published: u64,
) -> io::Result<u64> {
    let next = first.filter(|first| first.saturating_sub(end) < POSITION_STRIDE);
    Ok(if let Some(first) = next {
        first.max(end)
    } else if scan::garbage(file, used, length)? > 0 {
        let most = length.saturating_sub(used) / scan::SMALLEST;
        let among = (end..end + most).contains(&published);
        1 + if among { published } else { end }
    } else {
        end
    })
}

/// How many unpublished records are gone behind a segment that ends at `end`, by this evidence. Before `published`, everything is
/// published.
pub fn gone(evidence: &Evidence, end: u64, published: u64) -> u64 {
    match evidence {
        Evidence::None => 0,
        Evidence::Header(previous_end) => missing_between(end.max(published), *previous_end),
        Evidence::Checkpoint(checkpoint, synced) => {
            let gone = missing_newest(checkpoint, synced, Some(end));
            gone.end - gone.start
        }
    }
}

/// Records between the watermark and the end of the segment before the oldest one.
pub fn missing_between(watermark: u64, previous_end: u64) -> u64 {
    // An open in between may have skipped positions, which hold nothing.
    let lost = previous_end.saturating_sub(watermark);
    if lost > POSITION_STRIDE {
        lost % POSITION_STRIDE
    } else {
        lost
    }
}

/// The records that are gone with the newest segment, which the checkpoint has as `synced`, if the last remaining segment ends at
/// `end` (`None`: none remains). The positions of one open have no gaps, so the checkpoint's `open_start` also counts the
/// segments before the newest that are gone with it.
pub fn missing_newest(checkpoint: &Checkpoint, synced: &Synced, end: Option<u64>) -> Range<u64> {
    // If nothing was written since the latest open, the newest segment is an earlier open's.
    let first = Some(checkpoint.open_start).filter(|open_start| *open_start <= synced.first);
    let first = first.unwrap_or(synced.first);
    let first = first.max(end.unwrap_or(0)).max(checkpoint.watermark);
    first.min(synced.end)..synced.end
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    /// A segment without a header whose first record, at `position`, lies behind `damaged` bytes.
    fn headless(damaged: usize, position: u64) -> (fs::File, u64) {
        let header = usize::try_from(HEADER).unwrap();
        let mut bytes = vec![0; header];
        bytes.resize(header + damaged, 0xaa);
        codec().encode(position, b"head", b"body", &mut bytes);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes.len() as u64)
    }

    fn codec() -> Codec {
        Codec::new(b"0123456789abcdef")
    }

    #[test]
    fn a_headless_segment_begins_where_its_records_and_its_neighbours_allow() {
        for (damaged, position, least, expected) in [
            (0, 7, 7, 7),
            // 80 bytes hold three of the smallest records at most.
            (80, 7, 7, 7),
            (80, 7, 6, 6),
            (80, 7, 4, 4),
            (80, 7, 2, 4),
            (80, 7, 8, 4),
            (80, 2, 8, 0),
            // An open's stride lies between: one record at least, and none if nothing is damaged.
            (0, POSITION_STRIDE + 7, 7, POSITION_STRIDE + 7),
            (80, POSITION_STRIDE + 7, 7, POSITION_STRIDE + 6),
            (80, POSITION_STRIDE + 6, 7, POSITION_STRIDE + 3),
            (80, 2 * POSITION_STRIDE, 7, 2 * POSITION_STRIDE - 1),
        ] {
            let (file, length) = headless(damaged, position);
            let found = first(&file, codec(), length, 0, least, 0).unwrap();
            assert_eq!(found, Some(expected), "{damaged} {position} {least}");
        }
        let (file, length) = headless(0, 7);
        assert_eq!(first(&file, codec(), length, 8, 8, 0).unwrap(), None);
    }

    #[test]
    fn a_segment_without_records_lies_before_the_end_in_the_next_header() {
        assert_eq!(first_of_none(3, None), 3);
        assert_eq!(first_of_none(3, Some(2)), 3);
        assert_eq!(first_of_none(3, Some(20)), 3);
        for strides in [POSITION_STRIDE, 2 * POSITION_STRIDE] {
            assert_eq!(first_of_none(3, Some(3 + strides + 2)), 3 + strides);
            assert_eq!(first_of_none(3, Some(3 + strides)), 3 + strides - 1);
        }
    }

    #[test]
    fn a_header_is_about_the_segment_before_it_only_if_that_one_can_hold_so_much() {
        let length = 10 * scan::SMALLEST + 1;
        for (next_header_end, end) in [
            (None, None),
            (Some(3), None),
            (Some(4), Some(4)),
            (Some(13), Some(13)),
            (Some(14), None),
            (Some(POSITION_STRIDE + 4), None),
        ] {
            assert_eq!(
                end_in_next_header(3, length, next_header_end),
                end,
                "{next_header_end:?}"
            );
        }
    }

    #[test]
    fn the_newest_segment_is_counted_from_its_open_s_start() {
        for (open_start, watermark, end, first) in [
            (10, 0, None, 10),
            (10, 15, None, 15),
            (10, 0, Some(5), 10),
            (10, 0, Some(18), 18),
            (10, 15, Some(13), 15),
            // Nothing was written since the last open.
            (40, 0, None, 20),
            (40, 25, None, 25),
            // All of it is published, or there after all.
            (10, 30, None, 30),
            (10, 0, Some(35), 30),
        ] {
            let synced = Synced {
                sequence: 2,
                first: 20,
                end: 30,
                used: 4_711,
                closed: false,
            };
            let checkpoint = Checkpoint {
                journal_id: [0; 16],
                number: 1,
                watermark,
                open_start,
                synced: Some(synced),
            };
            let gone = missing_newest(&checkpoint, &synced, end);
            assert_eq!(gone, first..30, "{open_start} {watermark} {end:?}");
        }
    }

    #[test]
    fn bytes_after_the_last_intact_record_may_be_lost_records() {
        // 64 bytes behind the last intact record hold two of the smallest.
        for (garbage, next, published, end) in [
            (0, None, 5, 5),
            (8, None, 5, 6),
            (0, Some(9), 5, 9),
            (8, Some(9), 5, 9),
            (0, Some(5 + POSITION_STRIDE), 5, 5),
            (8, Some(5 + POSITION_STRIDE), 5, 6),
            (8, Some(5 + POSITION_STRIDE), 2, 6),
            (8, Some(5 + POSITION_STRIDE), 6, 7),
            (0, Some(5 + POSITION_STRIDE), 6, 5),
            (8, Some(5 + POSITION_STRIDE), 7, 6),
            (8, Some(9), 6, 9),
            (8, Some(3), 5, 5),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            let used = usize::try_from(HEADER).unwrap();
            let mut bytes = vec![0; used];
            bytes.resize(used + garbage, 0xaa);
            bytes.resize(used + 64, 0);
            file.write_all(&bytes).unwrap();
            let length = bytes.len() as u64;
            assert_eq!(
                close(&file, length, (5, HEADER), next, published).unwrap(),
                end,
                "{garbage} {next:?} {published}"
            );
        }
    }

    #[test]
    fn an_open_s_stride_is_no_loss() {
        for (watermark, previous_end, lost) in [
            (5, 5, 0),
            (9, 5, 0),
            (5, 8, 3),
            (5, 5 + POSITION_STRIDE - 1, POSITION_STRIDE - 1),
            // More records than a stride must have been written.
            (5, 5 + POSITION_STRIDE, POSITION_STRIDE),
            (5, 5 + POSITION_STRIDE + 3, 3),
            (5, 5 + 2 * POSITION_STRIDE + 3, 3),
        ] {
            assert_eq!(missing_between(watermark, previous_end), lost);
        }
    }
}
