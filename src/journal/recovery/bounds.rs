//! Where a segment begins and ends whose own header, or the next one's, is damaged: from what its records say.

use std::io;
use std::ops::Range;

use super::LEAP;
use crate::journal::disk::filesystem::ReadAt;
use crate::journal::engine::checkpoint::{Checkpoint, Synced};
use crate::journal::format::record::Codec;
use crate::journal::format::scan;
use crate::journal::format::segment::HEADER;

/// The first position of a segment without a header, which is at or past `from`; `None` where no record is left.
///
/// It goes on from `least`, the end of the segment before or of what is published, unless a start's leap lies between: then it
/// begins at `begun_at`, where the last start's positions began, if that is possible, and else what is damaged before its first
/// intact record counts as one record. The file's length bounds how many
/// there can have been: positions further on than that would be taken for no records of this segment.
pub fn first(
    file: &impl ReadAt,
    codec: Codec,
    length: u64,
    from: u64,
    least: u64,
    begun_at: u64,
) -> io::Result<Option<u64>> {
    let Some(offset) = scan::find(file, codec, HEADER..length, &(from..u64::MAX))? else {
        return Ok(None);
    };
    let position = scan::at(file, codec, offset, length)?;
    let before = (offset - HEADER) / scan::SMALLEST;
    Ok(position.map(|position| {
        if position < least {
            position.saturating_sub(before)
        } else if position - least < LEAP {
            least.max(position.saturating_sub(before))
        } else if position >= begun_at && position - begun_at <= before {
            begun_at
        } else {
            position - before.min(1)
        }
    }))
}

/// Where a segment of `length` bytes ends that begins at `first`, as the next segment's header tells it; `None` where that
/// header does not speak of this one. Nothing is begun behind a segment without a record, and more than it can hold were
/// in a segment that is gone.
pub fn told_end(first: u64, length: u64, next_says: Option<u64>) -> Option<u64> {
    next_says.filter(|end| *end > first && *end - first <= length / scan::SMALLEST)
}

/// The same where no record is left: the file's length bounds how many there can have been before `end`, which the next
/// header tells. Where records are left they know better, since that header may speak of a segment that is gone.
pub fn first_of_none(length: u64, least: u64, end: Option<u64>) -> u64 {
    let most = length / scan::SMALLEST;
    end.map_or(least, |end| least.max(end.saturating_sub(most)))
}

/// Where a segment ends whose last intact record ends at the position `end` and the byte `used`, and behind which one without
/// a header begins at `first`; both hold records, so it was synced to its end.
///
/// Where a start's leap lies between, bytes past the last intact record are at least one record that is lost. Without a
/// leap they need not be: reserved space rots as well, and no position may be taken from the segment behind. Where
/// `published` lies among them, the one that is lost may be the first that is not: too loud rather than silent.
pub fn close(
    file: &impl ReadAt,
    length: u64,
    (end, used): (u64, u64),
    first: Option<u64>,
    published: u64,
) -> io::Result<u64> {
    let next = first.filter(|first| first.saturating_sub(end) < LEAP);
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

/// Records between the watermark and where the segment before the oldest one ended.
pub fn missing_between(watermark: u64, previous_end: u64) -> u64 {
    // A start in between may have left out positions that held nothing.
    let lost = previous_end.saturating_sub(watermark);
    if lost > LEAP { lost % LEAP } else { lost }
}

/// The records that are gone with the newest segment, which the checkpoint knows to be `synced`, where the last one that is
/// left ends at `end` (`None`: none is left). The positions of one open have no gap between them, so that where this one
/// began, at `begun_at`, counts the segments before the newest that are gone with it.
pub fn missing_newest(checkpoint: &Checkpoint, synced: &Synced, end: Option<u64>) -> Range<u64> {
    // Where nothing was written since the last open began, the newest segment is of an earlier one.
    let first = Some(checkpoint.begun_at).filter(|begun_at| *begun_at <= synced.first);
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
            // A start's leap lies between: one record at least, and none where nothing is damaged.
            (0, LEAP + 7, 7, LEAP + 7),
            (80, LEAP + 7, 7, LEAP + 6),
            (80, LEAP + 6, 7, LEAP + 3),
            (80, 2 * LEAP, 7, 2 * LEAP - 1),
        ] {
            let (file, length) = headless(damaged, position);
            let found = first(&file, codec(), length, 0, least, 0).unwrap();
            assert_eq!(found, Some(expected), "{damaged} {position} {least}");
        }
        let (file, length) = headless(0, 7);
        assert_eq!(first(&file, codec(), length, 8, 8, 0).unwrap(), None);
    }

    #[test]
    fn one_without_records_lies_before_the_end_that_the_next_header_tells() {
        let length = 10 * scan::SMALLEST + 1;
        assert_eq!(first_of_none(length, 3, None), 3);
        assert_eq!(first_of_none(length, 3, Some(20)), 10);
        assert_eq!(first_of_none(length, 3, Some(12)), 3);
        assert_eq!(first_of_none(length, 3, Some(5)), 3);
    }

    #[test]
    fn a_header_speaks_of_the_segment_before_it_only_if_that_one_can_hold_so_much() {
        let length = 10 * scan::SMALLEST + 1;
        for (next_says, end) in [
            (None, None),
            (Some(3), None),
            (Some(4), Some(4)),
            (Some(13), Some(13)),
            (Some(14), None),
            (Some(LEAP + 4), None),
        ] {
            assert_eq!(told_end(3, length, next_says), end, "{next_says:?}");
        }
    }

    #[test]
    fn what_is_gone_with_the_newest_segment_is_of_one_open() {
        for (begun_at, watermark, end, first) in [
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
                begun_at,
                synced: Some(synced),
            };
            let gone = missing_newest(&checkpoint, &synced, end);
            assert_eq!(gone, first..30, "{begun_at} {watermark} {end:?}");
        }
    }

    #[test]
    fn what_follows_a_segment_s_last_intact_record_may_be_records_that_are_lost() {
        // 64 bytes behind the last intact record hold two of the smallest.
        for (garbage, next, published, end) in [
            (0, None, 5, 5),
            (8, None, 5, 6),
            (0, Some(9), 5, 9),
            (8, Some(9), 5, 9),
            (0, Some(5 + LEAP), 5, 5),
            (8, Some(5 + LEAP), 5, 6),
            (8, Some(5 + LEAP), 2, 6),
            (8, Some(5 + LEAP), 6, 7),
            (0, Some(5 + LEAP), 6, 5),
            (8, Some(5 + LEAP), 7, 6),
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
    fn a_start_s_leap_is_no_loss() {
        for (watermark, previous_end, lost) in [
            (5, 5, 0),
            (9, 5, 0),
            (5, 8, 3),
            (5, 5 + LEAP - 1, LEAP - 1),
            // A million that were written are more than can have been left out.
            (5, 5 + LEAP, LEAP),
            (5, 5 + LEAP + 3, 3),
            (5, 5 + 2 * LEAP + 3, 3),
        ] {
            assert_eq!(missing_between(watermark, previous_end), lost);
        }
    }
}
