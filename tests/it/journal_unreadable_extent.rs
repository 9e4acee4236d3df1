//! The number of records in a place that could not be read: exact, as soon as anything on the disk shows it.

use crate::support::core::{BUDGET, Core, body, segments};
use crate::support::faulty_fs::{FaultyFs, Operation};
use crate::support::publisher::{PAGE, PATIENCE, Publisher, SEGMENT, STEP, forty, unread_names};

#[test]
fn a_spare_whose_first_page_cannot_be_read_hides_no_damage_before_it() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..15 {
        core.append(&[body(100)]).expect("it is appended");
    }
    core.upkeep.step();
    drop(core);
    let names = segments(&disk);
    disk.damage(&names[0], |bytes| {
        for record in [8, 9, 10, 14] {
            bytes[record * PAGE + 80..record * PAGE + 120].fill(0xa5);
        }
    });
    disk.wear_out(&names[1], 0..PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(!publisher.read_for(STEP * 3));
    assert_eq!(publisher.count("journal_corrupt_records_total"), 4);
    assert_eq!(publisher.read, [0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13]);
    // Once readable, the segment turns out to be empty: nothing is missing, and nothing is read twice.
    disk.wear_out(&names[1], 0..0);
    publisher.now += STEP;
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read.len(), 11);
    assert_eq!(publisher.core.unpublished(), 11);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
}

#[test]
fn the_records_in_the_first_page_of_an_open_s_first_segment_are_counted_exactly() {
    let disk = FaultyFs::with_page(PAGE as u64);
    drop(Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens"));
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("it opens again, a stride further on");
    core.append(&[body(40), body(40), body(40)])
        .expect("three in the header's page");
    core.append(&[body(40)]).expect("one behind it");
    core.upkeep.checkpoint().expect("it is written");
    drop(core);
    let name = segments(&disk)
        .into_iter()
        .find(|name| disk.bytes(name).first() == Some(&b'r'))
        .expect("one was written to");
    disk.wear_out(&name, 0..PAGE);
    // The newest checkpoint has the first position, and so has an older one from before the first record.
    for lost_slots in [0..0, 0..8192] {
        let disk = disk.crash(&mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1));
        disk.damage("checkpoint", |bytes| {
            // The second part of both slots.
            for slot in [0, 4096] {
                if !lost_slots.is_empty() {
                    bytes[slot + 60..slot + 100].fill(0);
                }
            }
        });
        let mut publisher = Publisher::new(&disk);
        assert!(publisher.read_for(PATIENCE * 3));
        assert_eq!(publisher.read.len(), 1);
        assert_eq!(publisher.count("journal_unreadable_records_total"), 3);
        assert_eq!(publisher.count("journal_recovered_events"), 4);
    }
}

#[test]
fn an_estimated_record_is_no_damage_once_its_place_can_be_read() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    core.append(&[body(40)]).expect("it is appended");
    core.append(&[body(40)]).expect("it is appended");
    core.upkeep.checkpoint().expect("it is written");
    drop(core);
    let name = segments(&disk).remove(0);
    // The page behind the last record, in which one more may have been.
    disk.wear_out(&name, 2 * PAGE..3 * PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(publisher.read_for(PATIENCE * 2));
    assert_eq!(publisher.count("journal_unreadable_records_total"), 1);
    publisher
        .core
        .append(&[body(40)])
        .expect("into a new segment");
    publisher.core.upkeep.step();
    drop(publisher);
    disk.wear_out(&name, 0..0);
    let mut publisher = Publisher::new(&disk);
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read.len(), 3);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    assert_eq!(publisher.count("journal_recovered_events"), 3);
}

#[test]
fn unreadable_neighbours_are_counted_exactly_once_the_next_header_is_known() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..80 {
        core.append(&[body(600), body(100)])
            .expect("it is appended");
    }
    core.upkeep.step();
    drop(core);
    let names = segments(&disk);
    assert!(names.len() >= 5, "{names:?}");
    let whole = usize::try_from(SEGMENT).expect("a small number");
    for (name, unreadable) in [(&names[0], whole), (&names[1], whole), (&names[2], PAGE)] {
        disk.wear_out(name, 0..unreadable);
    }
    let mut publisher = Publisher::new(&disk);
    disk.wear_out(&names[2], 0..0);
    assert!(publisher.read_for(PATIENCE * 8));
    let lost = publisher.count("journal_unreadable_records_total");
    assert!(lost > 40, "{lost}");
    assert_eq!(publisher.read.len() as u64 + lost, 160);
    assert_eq!(publisher.count("journal_recovered_events"), 160);
    assert_eq!(publisher.core.unpublished(), publisher.read.len() as u64);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    assert_eq!(unread_names(&disk).len(), 2);
}

#[test]
fn readable_reserved_space_does_not_prove_that_the_device_can_be_read() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..4 {
        core.append(&[body(100)]).expect("it is appended");
    }
    core.upkeep.step();
    drop(core);
    // Everything that was written is unreadable; the rest of the file and the spare can be read, as zeros.
    let name = segments(&disk).remove(0);
    disk.wear_out(&name, 0..4 * PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(!publisher.read_for(PATIENCE * 10));
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
    assert_eq!(unread_names(&disk), [] as [String; 0]);
    disk.wear_out(&name, 0..0);
    publisher.now += STEP;
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read, [0, 1, 2, 3]);
}

#[test]
fn intact_records_after_an_unreadable_page_are_delivered_though_the_next_header_is_damaged() {
    let disk = forty();
    let names = segments(&disk);
    disk.damage(&names[1], |bytes| bytes[17] ^= 1);
    disk.wear_out(&names[0], 4 * PAGE..5 * PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(publisher.read_for(PATIENCE * 4));
    let lost = publisher.count("journal_unreadable_records_total");
    assert_eq!(publisher.read.len() as u64 + lost, 80);
    assert!((1..=2).contains(&lost), "{lost}");
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
}

#[test]
fn the_last_write_is_written_again_though_the_spare_after_it_cannot_be_read_whole() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    core.append(&[body(100)]).expect("it is appended");
    core.upkeep.step();
    drop(core);
    let names = segments(&disk);
    // The page of the spare's header can be read, and holds none.
    disk.wear_out(&names[1], 2 * PAGE..3 * PAGE);
    disk.take_log();
    drop(Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens"));
    let sync = format!("sync {}", names[0]);
    let syncs = disk.take_log().into_iter().filter(|line| *line == sync);
    // Recovery syncs before it reads, and once more after writing the last batch again, because after a failed sync the first
    // one proves nothing.
    assert_eq!(syncs.count(), 2);
}

#[test]
fn an_unreadable_header_after_an_unreadable_tail_hides_no_record_once_both_can_be_read() {
    let disk = forty();
    let names = segments(&disk);
    // The second half may have had more records than the next segment holds.
    let half = usize::try_from(SEGMENT / 2).expect("a small number");
    disk.wear_out(&names[0], half..2 * half);
    disk.fail_next(Operation::ReadHeader);
    let mut publisher = Publisher::new(&disk);
    disk.wear_out(&names[0], 0..0);
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read, (0..80).collect::<Vec<_>>());
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
    assert_eq!(publisher.count("journal_recovered_events"), 80);
}

#[test]
fn a_damaged_header_after_an_unreadable_tail_costs_no_intact_record() {
    let disk = forty();
    let names = segments(&disk);
    let half = usize::try_from(SEGMENT / 2).expect("a small number");
    disk.wear_out(&names[0], half..2 * half);
    disk.damage(&names[1], |bytes| bytes[17] ^= 1);
    let mut publisher = Publisher::new(&disk);
    disk.wear_out(&names[0], 0..0);
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read, (0..80).collect::<Vec<_>>());
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
}

#[test]
fn a_segment_that_cannot_be_read_takes_no_position_from_the_next_one() {
    let disk = FaultyFs::with_page(PAGE as u64);
    drop(Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens"));
    let spare = segments(&disk).remove(0);
    disk.wear_out(&spare, 0..PAGE);
    let mut publisher = Publisher::new(&disk);
    let fresh = publisher.core.append(&[body(40)]);
    assert!(publisher.read_for(PATIENCE * 2));
    assert_eq!(Some(&publisher.read), fresh.as_ref());
    // The unreadable segment may have had a record, so it counts as one, and everything before the new record is done.
    assert_eq!(publisher.count("journal_unreadable_records_total"), 1);
    publisher.core.upkeep.checkpoint().expect("it is written");
    drop(publisher);
    let mut publisher = Publisher::new(&disk);
    publisher.read().expect("nothing is waited for");
    assert_eq!(Some(publisher.read), fresh);
    let registry = &publisher.core;
    assert_eq!(registry.metric("journal_unreadable_records_total"), 0);
    assert_eq!(registry.metric("journal_recovered_events"), 1);
}

#[test]
fn a_spare_that_fails_one_read_makes_no_loss_of_damage_in_the_space_before_it() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    core.append(&[body(40)]).expect("it is appended");
    core.upkeep.step();
    drop(core);
    let names = segments(&disk);
    disk.damage(&names[0], |bytes| bytes[4 * PAGE] = 1);
    disk.fail_next(Operation::ReadHeader);
    let mut publisher = Publisher::new(&disk);
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read, [0]);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    assert_eq!(publisher.count("journal_recovered_events"), 1);
}

#[test]
fn an_unreadable_spare_behind_a_closed_journal_is_no_record_and_is_not_waited_for() {
    for unreadable in [0..PAGE, PAGE..2 * PAGE, 0..usize::MAX] {
        let disk = FaultyFs::with_page(PAGE as u64);
        let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
        core.append(&[body(40)]).expect("it is appended");
        core.upkeep.step();
        core.upkeep.close().expect("it is closed");
        drop(core);
        let names = segments(&disk);
        assert_eq!(names.len(), 2, "a segment and a spare");
        disk.wear_out(&names[1], unreadable.clone());
        let mut publisher = Publisher::new(&disk);
        publisher.read().expect("nothing is waited for");
        assert_eq!(publisher.read, [0], "{unreadable:?}");
        assert_eq!(publisher.count("journal_recovered_events"), 1);
        assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
        // A record that this open writes is not hidden by what the close before it has said.
        let fresh = publisher.core.append(&[body(40)]).expect("it is appended");
        let newest = segments(&disk).pop().expect("there is one");
        drop(publisher);
        disk.wear_out(&newest, 0..PAGE);
        let mut publisher = Publisher::new(&disk);
        publisher.read().expect_err("it is waited for");
        disk.wear_out(&newest, 0..0);
        publisher.now += STEP;
        publisher.read().expect("all can be read");
        assert_eq!(publisher.read, [0, fresh[0]], "{unreadable:?}");
    }
}
