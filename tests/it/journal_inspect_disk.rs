//! An inspection's report on bytes between records: padding is not reported, and unreadable bytes are not damaged.

use std::ops::Range;

use ringback::journal::OpenError;
use ringback::journal::format::record::size_on_disk;
use ringback::journal::inspect::{InspectError, Inspection, Item};

use crate::support::core::{Core, body, segments};
use crate::support::faulty_fs::FaultyFs;

const PAGE: usize = 4096;
const SEGMENT: u64 = 16 * PAGE as u64;
const BUDGET: u64 = 1 << 20;
/// Bytes of a record's payload; fifteen records make four pages.
const BODY: usize = 1000;
const HEADER: usize = 72;

#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    records: Vec<u64>,
    /// Bytes and positions.
    damage: Vec<(Range<u64>, Range<u64>)>,
    unreadable: Vec<(Range<u64>, Range<u64>)>,
}

fn look(disk: &FaultyFs) -> Found {
    let inspection = Inspection::open(disk.clone()).expect("there is a journal");
    assert_eq!(inspection.missing(), 0);
    let mut found = Found::default();
    for item in inspection.walk(0) {
        match item.expect("what cannot be read is an item") {
            Item::Record(record) => found.records.push(record.position),
            Item::Damage(it) => found.damage.push((it.bytes, it.positions)),
            Item::Unreadable {
                bytes,
                positions,
                reason,
                ..
            } => {
                assert!(reason.contains("os error 5"), "{reason}");
                found.unreadable.push((bytes, positions));
            }
            Item::Tail { bytes, .. } => panic!("nothing is torn: {bytes:?}"),
        }
    }
    found
}

/// A journal of so many records, each a batch.
fn journal(records: usize) -> FaultyFs {
    let disk = FaultyFs::default();
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..records {
        core.append(&[body(BODY)]).expect("it is appended");
    }
    disk
}

/// Moves the records of the only segment so that each of `at` begins a page.
fn pad(disk: &FaultyFs, records: usize, at: &[usize]) {
    let size = usize::try_from(size_on_disk(BODY)).expect("a test's size");
    disk.damage(&segments(disk)[0], |bytes| {
        let old = bytes.clone();
        bytes[HEADER..].fill(0);
        let mut offset = HEADER;
        for record in 0..records {
            let from = HEADER + record * size;
            if at.contains(&record) {
                offset = offset.next_multiple_of(PAGE);
            }
            bytes[offset..offset + size].copy_from_slice(&old[from..from + size]);
            offset += size;
        }
    });
}

fn all(records: u64) -> Vec<u64> {
    (0..records).collect()
}

#[test]
fn zeros_up_to_the_page_on_which_a_batch_begins_are_no_damage() {
    for at in [&[3][..], &[1, 2, 3], &[1, 4, 9], &[5, 6]] {
        let disk = journal(10);
        pad(&disk, 10, at);
        let intact = Found {
            records: all(10),
            ..Found::default()
        };
        assert_eq!(look(&disk), intact, "{at:?}");
    }
}

#[test]
fn damage_behind_padding_begins_with_the_page_and_padding_that_is_not_zero_is_damage_of_no_record()
{
    let disk = journal(4);
    pad(&disk, 4, &[1, 2]);
    let name = &segments(&disk)[0];
    disk.damage(name, |bytes| bytes[PAGE + 100] ^= 1);
    let found = look(&disk);
    assert_eq!(found.records, [0, 2, 3]);
    let page = PAGE as u64;
    assert_eq!(found.damage, [(page..2 * page, 1..2)]);

    let disk = journal(4);
    pad(&disk, 4, &[1, 2]);
    disk.damage(name, |bytes| bytes[PAGE - 100] ^= 1);
    let found = look(&disk);
    assert_eq!(found.records, all(4));
    let begins = HEADER as u64 + size_on_disk(BODY);
    assert_eq!(found.damage, [(begins..page, 1..1)]);
}

#[test]
fn records_around_an_unreadable_block_are_found_and_none_is_reported_as_damaged() {
    let records = 120;
    for which in 0..2 {
        for page in 1..14 {
            let disk = journal(records);
            let name = &segments(&disk)[which];
            disk.wear_out(name, page * PAGE + 10..page * PAGE + 20);
            let found = look(&disk);
            assert_eq!(found.damage, [], "{name} page {page}");
            let [(bytes, positions)] = &found.unreadable[..] else {
                panic!("{name} page {page}: {found:?}");
            };
            let block = (page * PAGE) as u64..((page + 1) * PAGE) as u64;
            assert!(bytes.start <= block.start && block.end <= bytes.end);
            let hidden = positions.end - positions.start;
            assert!((4..=6).contains(&hidden), "{name} page {page}: {hidden}");
            let mut expected = all(records as u64);
            expected.retain(|position| !positions.contains(position));
            assert_eq!(found.records, expected, "{name} page {page}");
        }
    }
}

#[test]
fn an_unreadable_header_hides_only_the_records_of_its_block() {
    for which in 0..2 {
        let disk = journal(100);
        let name = &segments(&disk)[which];
        let first = look(&disk).records[0] + 63 * which as u64;
        disk.wear_out(name, 10..20);
        let found = look(&disk);
        assert_eq!(found.damage, [], "{name}");
        let [(bytes, positions)] = &found.unreadable[..] else {
            panic!("{name}: {found:?}");
        };
        assert!(bytes.start == 0 && bytes.end >= PAGE as u64, "{bytes:?}");
        assert_eq!(positions.start, first, "{name}");
        assert_eq!(
            found.records.len() as u64,
            100 - (positions.end - positions.start)
        );
    }
}

#[test]
fn an_unreadable_block_behind_the_last_record_is_reported_without_a_position() {
    let disk = journal(3);
    disk.wear_out(&segments(&disk)[0], 9 * PAGE..9 * PAGE + 1);
    let found = look(&disk);
    assert_eq!((found.records, found.damage), (all(3), Vec::new()));
    let [(bytes, positions)] = &found.unreadable[..] else {
        panic!("{:?}", found.unreadable);
    };
    assert_eq!((bytes.end, positions), (10 * PAGE as u64, &(3..3)));
}

#[test]
fn an_unreadable_slot_counts_as_lost_and_no_record_as_missing() {
    for slot in 0..2 {
        let disk = FaultyFs::default();
        let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
        for record in 0..200 {
            core.append(&[body(BODY)]).expect("it is appended");
            core.truncate(record);
            core.upkeep.step();
        }
        disk.wear_out("checkpoint", slot * PAGE..slot * PAGE + 10);
        let inspection = Inspection::open(disk.clone()).expect("the other slot has the id");
        assert!(inspection.checkpoint.is_some());
        let slots: Vec<_> = inspection.unreadable_slots.iter().map(|it| it.0).collect();
        assert_eq!(slots, [(slot * PAGE) as u64]);
        assert_eq!(look(&disk).damage, []);
    }
}

#[test]
fn if_nothing_has_the_journal_s_id_the_disk_s_reason_is_reported() {
    let disk = journal(3);
    disk.wear_out("checkpoint", 0..2 * PAGE);
    for name in segments(&disk) {
        disk.wear_out(&name, 0..PAGE);
    }
    match Inspection::open(disk) {
        Err(InspectError::Open(OpenError::Io { source, .. })) => {
            assert!(source.to_string().contains("os error 5"), "{source}");
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("opened though nothing shows which journal it is"),
    }
}
