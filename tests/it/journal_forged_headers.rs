//! Headers with right checksums that contradict each other, as in a folder with files of two copies of one journal, or as
//! somebody writes them who may write there. The journal opens or refuses with words: it never panics, and never gives a
//! position twice.

use ringback::journal::OpenError;
use ringback::journal::disk::filesystem::{File as _, FileSystem as _};
use ringback::journal::engine::checkpoint::CheckpointFile;
use ringback::journal::format::record::Codec;
use ringback::journal::format::segment::{Header, name};

use crate::support::core::{BUDGET, Core, SEGMENT, body};
use crate::support::faulty_fs::FaultyFs;

const ID: [u8; 16] = *b"0123456789abcdef";
/// A header's claims: its first position, and the end of the segment before.
type Claims = (u64, u64);

/// Segments with these headers, each with `records` records from its first position on.
fn disk(headers: &[Claims], records: u64, watermark: Option<u64>) -> FaultyFs {
    let disk = FaultyFs::default();
    if let Some(watermark) = watermark {
        CheckpointFile::create(&disk, ID, watermark, 0).expect("a disk in memory");
    }
    for (sequence, (first, previous_end)) in (0..).zip(headers) {
        let header = Header {
            journal_id: ID,
            sequence,
            first: *first,
            previous_end: *previous_end,
            opened_ms: 1_000,
        };
        let mut bytes = header.encode().to_vec();
        for position in (0..records).map(|record| first.wrapping_add(record)) {
            Codec::new(&ID).encode(position, &[], &body(20).0, &mut bytes);
        }
        let file = disk.create(&name(sequence)).expect("a new name");
        file.write_all_at(&bytes, 0).expect("a disk in memory");
    }
    disk
}

fn is_contradiction(headers: &[Claims]) -> bool {
    let ends_late = headers.iter().any(|(first, end)| end > first);
    ends_late || headers.windows(2).any(|two| two[1].0 < two[0].0)
}

#[test]
fn headers_that_contradict_each_other_are_refused_and_all_others_open() {
    let (mut refused, mut opened) = (0, 0);
    let numbers = [0, 1, 2, 5, 9];
    let claims = || numbers.into_iter().flat_map(|a| numbers.map(|b| (a, b)));
    for (one, two) in claims().flat_map(|one| claims().map(move |two| (one, two))) {
        for (records, watermark) in [
            (0, None),
            (1, None),
            (2, Some(0)),
            (2, Some(2)),
            (3, Some(6)),
        ] {
            let headers = [one, two];
            let disk = disk(&headers, records, watermark);
            let case = format!("{headers:?}, {records} records, watermark {watermark:?}");
            let mut core = match Core::open(&disk, SEGMENT, BUDGET) {
                Ok(core) => core,
                Err(OpenError::Contradiction { .. } | OpenError::Impossible { .. }) => {
                    assert!(is_contradiction(&headers), "{case}");
                    refused += 1;
                    continue;
                }
                Err(error) => panic!("{case}: {error}"),
            };
            assert!(!is_contradiction(&headers), "{case}");
            opened += 1;
            let read = core.read_all();
            assert!(
                read.windows(2).all(|two| two[0].position < two[1].position),
                "{case}"
            );
            let appended = core.append(&[body(30)]).expect("room");
            let last = read.last().map(|record| record.position);
            assert!(last.is_none_or(|last| last < appended[0]), "{case}");
        }
    }
    assert!(refused > 500 && opened > 500, "{refused} and {opened}");
}

#[test]
fn a_position_that_no_journal_reaches_is_refused() {
    for (first, watermark) in [(u64::MAX, None), (u64::MAX - 1, None), (1 << 63, Some(0))] {
        let disk = disk(&[(0, 0), (first, 0)], 1, watermark);
        let error = Core::open(&disk, SEGMENT, BUDGET).err();
        let error = error.expect("it is refused").to_string();
        assert!(error.contains("00000001"), "{error}");
    }
}

#[test]
fn the_refusal_names_both_files_and_the_remedy() {
    let disk = disk(&[(7, 7), (3, 3)], 2, None);
    let error = Core::open(&disk, SEGMENT, BUDGET).err();
    let (before, after) = (disk.names(), error.expect("it is refused").to_string());
    for part in [&name(0), &name(1), "position 7", "position 3", "move"] {
        assert!(after.contains(part), "{after}");
    }
    assert_eq!(disk.names(), before, "an open that fails changes nothing");
}
