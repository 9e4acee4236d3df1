//! A segment's header shows where the segment before it ended. These tests make it unreadable when the journal opens.

use crate::support::core::{BUDGET, Core, body, segments};
use crate::support::faulty_fs::{FaultyFs, Operation};
use crate::support::publisher::{PAGE, Publisher, SEGMENT, STEP, forty};

/// One past the last byte that was written to a segment.
fn written(disk: &FaultyFs, name: &str) -> usize {
    let bytes = disk.bytes(name);
    let last = bytes.iter().rposition(|byte| *byte != 0);
    last.expect("it was written to") + 1
}

/// [`forty`] with damage to the last record of its first segment.
fn spoiled() -> FaultyFs {
    let disk = forty();
    let first = &segments(&disk)[0];
    let last = written(&disk, first) - 1;
    disk.damage(first, |bytes| bytes[last] ^= 1);
    disk
}

/// Publishes everything up to the place that cannot be read; returns the number of records.
fn publish_up_to_the_error(publisher: &mut Publisher) -> u64 {
    assert!(!publisher.read_for(STEP * 3));
    let count = publisher.read.len() as u64;
    publisher.core.truncate(count - 1);
    publisher.core.upkeep.step();
    count
}

/// Reads and publishes everything that is there.
fn read_on(publisher: &mut Publisher) {
    publisher.now += STEP;
    publisher.read().expect("all can be read");
}

#[test]
fn the_last_record_of_a_segment_is_counted_as_lost_once_the_next_header_can_be_read() {
    let disk = spoiled();
    let names = segments(&disk);
    disk.wear_out(&names[1], 0..PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(!publisher.read_for(STEP * 3));
    let before = publisher.read.len();
    disk.wear_out(&names[1], 0..0);
    read_on(&mut publisher);
    assert_eq!(publisher.read.len(), 79);
    assert!(!publisher.read.contains(&(before as u64)));
    assert_eq!(publisher.count("journal_corrupt_records_total"), 1);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
    assert_eq!(publisher.count("journal_recovered_events"), 80);
    let copies = disk.names().into_iter();
    let copies = copies.filter(|name| name.starts_with("quarantine-"));
    assert_eq!(copies.count(), 1);
}

#[test]
fn the_last_record_is_counted_though_everything_before_it_is_published_and_a_crash_comes_between() {
    let disk = spoiled();
    let names = segments(&disk);
    disk.wear_out(&names[1], 0..PAGE);
    let mut publisher = Publisher::new(&disk);
    let before = publish_up_to_the_error(&mut publisher);
    assert!(segments(&disk).contains(&names[0]));
    drop(publisher);
    disk.wear_out(&names[1], 0..0);
    let mut publisher = Publisher::new(&disk);
    read_on(&mut publisher);
    assert_eq!(publisher.read, (before + 1..80).collect::<Vec<_>>());
    assert_eq!(publisher.count("journal_corrupt_records_total"), 1);
}

#[test]
fn damaged_space_after_the_last_record_is_no_loss_while_the_next_header_cannot_be_read() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    let mut count = 0;
    // The second segment has one record, in its header's page.
    while segments(&disk).len() < 3 {
        core.append(&[body(100)]).expect("it is appended");
        core.upkeep.step();
        count += 1;
    }
    drop(core);
    // The next open begins a segment a stride further on.
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("it opens again");
    let last = core.append(&[body(100)]).expect("it is appended");
    core.upkeep.step();
    drop(core);
    let names = segments(&disk);
    let end = usize::try_from(SEGMENT).expect("a small number");
    assert!(written(&disk, &names[0]) < end);
    disk.damage(&names[0], |bytes| bytes[end - 1] = 1);
    disk.wear_out(&names[1], 0..PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(!publisher.read_for(STEP * 3));
    let read = std::mem::take(&mut publisher.read);
    publisher.core.truncate(read.len() as u64 - 1);
    // The reader passes over nothing, so no checkpoint covers what cannot be read yet.
    publisher.core.upkeep.step();
    drop(publisher);
    disk.wear_out(&names[1], 0..0);
    let mut publisher = Publisher::new(&disk);
    read_on(&mut publisher);
    let all = read.into_iter().chain(publisher.read.iter().copied());
    let expected = (0..count).chain(last);
    assert_eq!(all.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
}

#[test]
fn a_header_that_turns_out_damaged_leaves_the_loss_before_it_counted() {
    let disk = spoiled();
    let names = segments(&disk);
    disk.damage(&names[1], |bytes| bytes[17] ^= 1);
    disk.wear_out(&names[1], 0..PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(!publisher.read_for(STEP * 3));
    disk.wear_out(&names[1], 0..0);
    read_on(&mut publisher);
    assert_eq!(publisher.read.len(), 79);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 1);
}

#[test]
fn a_tail_that_can_be_read_again_is_compared_with_the_next_segment_whose_header_is_damaged() {
    let disk = spoiled();
    let names = segments(&disk);
    disk.damage(&names[1], |bytes| bytes[17] ^= 1);
    let end = usize::try_from(SEGMENT).expect("a small number");
    disk.wear_out(&names[0], end - PAGE..end);
    let mut publisher = Publisher::new(&disk);
    disk.wear_out(&names[0], 0..0);
    read_on(&mut publisher);
    assert_eq!(publisher.read.len(), 79);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 1);
    assert_eq!(publisher.count("journal_recovered_events"), 80);
}

#[test]
fn a_lost_record_is_counted_though_its_own_header_cannot_be_read_at_once_and_the_next_is_damaged() {
    let disk = forty();
    let names = segments(&disk);
    let last = written(&disk, &names[1]) - 1;
    disk.damage(&names[1], |bytes| bytes[last] ^= 1);
    disk.wear_out(&names[2], 0..PAGE);
    // Keep the oldest segment, because the failing read spares the oldest one's header.
    disk.stick(Some(&names[0]));
    let mut publisher = Publisher::new(&disk);
    let before = publish_up_to_the_error(&mut publisher);
    drop(publisher);
    disk.wear_out(&names[2], 0..0);
    disk.damage(&names[2], |bytes| bytes[17] ^= 1);
    disk.fail_next(Operation::ReadHeader);
    let mut publisher = Publisher::new(&disk);
    read_on(&mut publisher);
    assert_eq!(publisher.read, (before + 1..80).collect::<Vec<_>>());
    assert_eq!(publisher.count("journal_corrupt_records_total"), 1);
}

#[test]
fn damage_after_a_header_that_was_unreadable_when_the_next_segment_was_begun_is_counted() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..4 {
        core.append(&[body(600), body(100)])
            .expect("it is appended");
    }
    core.upkeep.step();
    drop(core);
    let oldest = segments(&disk)[0].clone();
    disk.wear_out(&oldest, 0..PAGE);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("it opens again");
    let later = core.append(&[body(100)]).expect("it is appended");
    // The checkpoint now has the end of the newer segment only.
    core.upkeep.step();
    drop(core);
    disk.wear_out(&oldest, 0..0);
    // Damage the last two records.
    let end = written(&disk, &oldest);
    disk.damage(&oldest, |bytes| bytes[end - 700..end].fill(0xaa));
    let mut publisher = Publisher::new(&disk);
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read, [0, 1, 2, 3, 4, 5, later[0]]);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 2);
}
