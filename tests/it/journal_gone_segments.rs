//! Segments of which little or nothing is left: how many records they held is still known exactly, from their neighbours.

use std::ops::Range;

use ringback::journal::inspect::{Damage, Inspection, Item};

use crate::support::core::{BUDGET, Core, body, segments};
use crate::support::faulty_fs::FaultyFs;
use crate::support::publisher::{PAGE, PATIENCE, Publisher, SEGMENT, STEP, unread_names};

/// A disk on which each of three opens has written so many records, in one segment or more, and the segments' names. The last
/// one is not closed.
fn three_opens(counts: [usize; 3], size: usize) -> (FaultyFs, Vec<String>) {
    let disk = FaultyFs::with_page(PAGE as u64);
    for (open, count) in counts.into_iter().enumerate() {
        let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
        for _ in 0..count {
            core.append(&[body(size)]).expect("it is appended");
        }
        core.upkeep.step();
        if open < 2 {
            core.upkeep.close().expect("it is closed");
        } else {
            core.upkeep.checkpoint().expect("it is written");
        }
    }
    let mut names = segments(&disk);
    names.retain(|name| disk.bytes(name).first() == Some(&b'r'));
    (disk, names)
}

/// A change of a file's bytes.
type Change = fn(&mut Vec<u8>);

/// What `journal status` counts as lost.
fn lost_by_inspection(disk: &FaultyFs) -> u64 {
    let inspection = Inspection::open(disk.clone()).expect("it can be inspected");
    let lost = inspection
        .walk(0)
        .map(|item| match item.expect("readable") {
            Item::Damage(Damage { positions, .. }) | Item::Unreadable { positions, .. } => {
                positions.end - positions.start
            }
            Item::Record(_) | Item::Tail { .. } => 0,
        });
    lost.sum()
}

#[test]
fn a_short_segment_that_is_lost_whole_counts_its_own_records_and_no_stride() {
    for records in 1..=3 {
        let destroy: [(&str, Change); 4] = [
            ("garbage", |bytes| bytes.fill(0xa5)),
            ("cut to less than a header", |bytes| bytes.truncate(71)),
            ("cut to its header", |bytes| bytes.truncate(72)),
            ("no body", |bytes| bytes[72..].fill(0)),
        ];
        for (how, destroy) in destroy {
            let (disk, names) = three_opens([20, records, 10], 100);
            assert_eq!(names.len(), 3);
            disk.damage(&names[1], destroy);
            assert_eq!(lost_by_inspection(&disk), records as u64, "{how}");
            let mut publisher = Publisher::new(&disk);
            publisher.read().expect("all can be read");
            assert_eq!(publisher.read.len(), 30, "{how}");
            let lost = publisher.count("journal_corrupt_records_total");
            assert_eq!(lost, records as u64, "{how}");
            assert_eq!(publisher.core.unpublished(), 30, "{how}");
        }
    }
}

#[test]
fn a_short_segment_that_stays_unreadable_counts_its_own_records_and_no_stride() {
    for records in 1..=3 {
        let (disk, names) = three_opens([20, records, 10], 100);
        disk.wear_out(&names[1], 0..disk.bytes(&names[1]).len());
        let mut publisher = Publisher::new(&disk);
        assert!(publisher.read_for(PATIENCE * 3));
        assert_eq!(publisher.read.len(), 30);
        assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
        let lost = publisher.count("journal_unreadable_records_total");
        assert_eq!(lost, records as u64);
        assert_eq!(publisher.core.unpublished(), 30);
    }
}

#[test]
fn a_long_segment_cut_short_counts_all_its_records() {
    for left in [71, 72, 4 * PAGE] {
        let (disk, names) = three_opens([20, 50, 10], 16);
        assert!(names.len() > 3, "{names:?}");
        disk.damage(&names[1], |bytes| bytes.truncate(left));
        let mut publisher = Publisher::new(&disk);
        publisher.read().expect("all can be read");
        let lost = publisher.count("journal_corrupt_records_total");
        assert_eq!(publisher.read.len() as u64 + lost, 80, "{left}");
        assert_eq!(lost_by_inspection(&disk), lost, "{left}");
    }
}

#[test]
fn a_missing_segment_is_counted_though_a_read_beside_it_fails_at_the_start() {
    // The missing one, the one of which a read fails, and in which pages.
    let page = |number: usize| number * PAGE..(number + 1) * PAGE;
    let tail = 19;
    let spare = 3;
    let cases: [(usize, usize, Range<usize>); 7] = [
        (1, 0, page(tail)),
        (1, 0, page(0)),
        (1, 2, page(0)),
        (2, 1, page(tail)),
        (2, 1, page(0)),
        (2, spare, page(0)),
        (0, 1, page(0)),
    ];
    for (missing, beside, unreadable) in cases {
        let (disk, mut names) = three_opens([20, 20, 20], 100);
        assert_eq!(names.len(), 3);
        names.push(segments(&disk).pop().expect("there is a spare"));
        assert_ne!(names[2], names[spare]);
        disk.lose_file(&names[missing]);
        disk.wear_out(&names[beside], unreadable.clone());
        let mut publisher = Publisher::new(&disk);
        disk.wear_out(&names[beside], 0..0);
        publisher.now += STEP;
        publisher.read().expect("all can be read");
        let case = format!("{missing} is missing, {beside} fails at {unreadable:?}");
        assert_eq!(publisher.read.len(), 40, "{case}");
        assert_eq!(
            publisher.count("journal_corrupt_records_total"),
            20,
            "{case}"
        );
        assert_eq!(publisher.count("journal_recovered_events"), 60, "{case}");
        assert_eq!(publisher.core.unpublished(), 40, "{case}");
    }
}

#[test]
fn two_neighbours_that_stay_unreadable_count_all_their_records() {
    let (disk, names) = three_opens([30, 20, 10], 100);
    assert_eq!(names.len(), 3);
    for name in &names[..2] {
        disk.wear_out(name, 0..disk.bytes(name).len());
    }
    let mut publisher = Publisher::new(&disk);
    assert!(publisher.read_for(PATIENCE * 5));
    assert_eq!(publisher.read.len(), 10);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 50);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
}

#[test]
fn a_missing_segment_is_counted_though_the_header_before_it_stays_unreadable() {
    let (disk, names) = three_opens([30, 20, 10], 100);
    disk.lose_file(&names[1]);
    disk.wear_out(&names[0], 0..PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(publisher.read_for(PATIENCE * 3));
    assert_eq!(publisher.read.len(), 39);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 1);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 20);
}

#[test]
fn a_damaged_segment_is_not_set_aside_because_a_read_failed_once() {
    let (disk, names) = three_opens([3, 3, 3], 100);
    disk.damage(&names[0], |bytes| bytes.fill(0xa5));
    for name in &names[..2] {
        disk.wear_out(name, 0..PAGE);
    }
    let mut publisher = Publisher::new(&disk);
    for name in &names[..2] {
        disk.wear_out(name, 0..0);
    }
    publisher.now += STEP;
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read.len(), 6);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 3);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
    assert_eq!(unread_names(&disk), [] as [String; 0]);
}

#[test]
fn damage_behind_a_segment_that_could_not_be_read_at_the_start_counts_its_own_records_only() {
    let destroy: [(&str, Change, usize); 4] = [
        ("garbage", |bytes| bytes.fill(0xa5), 3),
        ("cut to its header", |bytes| bytes.truncate(72), 3),
        // Across an open's stride, bytes before the first intact record count as one.
        ("header and one record", |bytes| bytes[..80].fill(0xa5), 1),
        ("header", |bytes| bytes[0] ^= 1, 0),
    ];
    for (how, destroy, damaged) in destroy {
        for unreadable in [0..PAGE, 19 * PAGE..20 * PAGE, 0..20 * PAGE] {
            let (disk, names) = three_opens([20, 3, 10], 100);
            disk.damage(&names[1], destroy);
            disk.wear_out(&names[0], unreadable.clone());
            let mut publisher = Publisher::new(&disk);
            disk.wear_out(&names[0], 0..0);
            publisher.now += STEP;
            publisher.read().expect("all can be read");
            let case = format!("{how}, {unreadable:?}");
            assert_eq!(publisher.read.len(), 33 - damaged, "{case}");
            let lost = publisher.count("journal_corrupt_records_total");
            assert_eq!(lost, damaged as u64, "{case}");
            assert_eq!(publisher.count("journal_recovered_events"), 33, "{case}");
        }
    }
}
