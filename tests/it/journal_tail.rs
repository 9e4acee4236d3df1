//! The end of the journal: synced bytes never count as a torn write, and truncated bytes are copied first.

use ringback::journal::disk::filesystem::{File as _, FileSystem as _};

use crate::support::core::{BUDGET, Core, body, segments};
use crate::support::faulty_fs::{FaultyFs, Operation};

const PAGE: usize = 512;
const SEGMENT: u64 = 16 << 10;

fn open(disk: &FaultyFs) -> Core {
    Core::open(disk, SEGMENT, BUDGET).expect("the journal opens")
}

/// Ten batches of two records, each batch in a page of its own, and the journal closed in order.
fn closed() -> FaultyFs {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = open(&disk);
    for _ in 0..10 {
        core.append(&[body(40), body(40)]).expect("they are taken");
    }
    core.upkeep.close().expect("it is closed");
    disk
}

fn copies(disk: &FaultyFs, kind: &str) -> Vec<String> {
    let names = disk.names().into_iter();
    names.filter(|name| name.starts_with(kind)).collect()
}

#[test]
fn a_batch_begins_on_a_page_of_its_own_and_no_synced_page_is_written_again() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = open(&disk);
    let name = segments(&disk).remove(0);
    core.append(&[body(40), body(700)]).expect("they are taken");
    let first = disk.bytes(&name);
    core.append(&[body(40)]).expect("it is taken");
    let second = disk.bytes(&name);
    assert_eq!(second[..2 * PAGE], first[..2 * PAGE]);
    assert_ne!(second[2 * PAGE], 0);
    // The device may do anything to the second batch's page.
    let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
    let disk = disk.crash(&mut random);
    disk.damage(&name, |bytes| bytes[2 * PAGE..3 * PAGE].fill(0xa5));
    let mut core = open(&disk);
    assert_eq!(core.read_all().len(), 2);
    assert_eq!(core.metric("journal_corrupt_records_total"), 0);
    assert_eq!(copies(&disk, "quarantine-"), [] as [String; 0]);
}

#[test]
fn damage_that_reaches_the_tail_is_counted_exactly_and_copied() {
    let name = segments(&closed()).remove(0);
    for (from, to, lost) in [
        // The last page with two records; the last three records; all but the first page's; all, with the header.
        (9 * PAGE, 10 * PAGE, 2),
        (8 * PAGE + 64, 10 * PAGE, 3),
        (PAGE, 16 * PAGE, 18),
        (0, 16 * PAGE, 20),
    ] {
        for filling in [0xa5, 0] {
            let disk = closed();
            let before = disk.bytes(&name);
            disk.damage(&name, |bytes| bytes[from..to].fill(filling));
            let damaged = disk.bytes(&name);
            let case = format!("{from} to {to} filled with {filling}");
            let mut core = open(&disk);
            assert_eq!(core.read_all().len() as u64, 20 - lost, "{case}");
            assert_eq!(core.metric("journal_corrupt_records_total"), lost, "{case}");
            assert_eq!(core.metric("journal_recovered_events"), 20, "{case}");
            assert_eq!(core.unpublished(), 20 - lost, "{case}");
            let copies = copies(&disk, "quarantine-");
            assert_eq!(copies.len(), 1, "{case}");
            let start = copies[0].rsplit('-').next().expect("an offset");
            let start = usize::from_str_radix(start, 16).expect("an offset");
            let copy = disk.bytes(&copies[0]);
            assert_eq!(copy, damaged[start..start + copy.len()], "{case}");
            let used = before.iter().rposition(|byte| *byte != 0).expect("records");
            assert!(start + copy.len() > used, "{case}: all that was synced");
        }
    }
}

#[test]
fn a_segment_that_was_synced_and_is_gone_is_counted() {
    let disk = closed();
    disk.lose_file(&segments(&disk)[0]);
    let mut core = open(&disk);
    assert_eq!(core.read_all().len(), 0);
    assert_eq!(core.metric("journal_corrupt_records_total"), 20);
    assert_eq!(core.metric("journal_recovered_events"), 20);
}

#[test]
fn bytes_truncated_after_the_synced_end_are_copied_and_not_counted_and_eight_copies_are_kept() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut made = Vec::new();
    for round in 0..12_u8 {
        let mut core = open(&disk);
        core.append(&[body(40)]).expect("it is taken");
        core.upkeep.checkpoint().expect("it is written");
        let name = segments(&disk)
            .into_iter()
            .rfind(|name| disk.bytes(name).first() == Some(&b'r'));
        let name = name.expect("one was written to");
        drop(core);
        let torn = vec![round + 1; 300];
        let file = disk.open(&name).expect("it is there");
        file.write_all_at(&torn, PAGE as u64)
            .expect("it is written");
        let mut core = open(&disk);
        assert_eq!(core.recovery.torn_bytes, (PAGE + 300 - 136) as u64);
        assert_eq!(core.metric("journal_corrupt_records_total"), 0);
        assert_eq!(core.read_all().len(), usize::from(round) + 1);
        let newest = copies(&disk, "torn-").pop().expect("a copy");
        assert!(disk.bytes(&newest).ends_with(&torn));
        made.push(newest);
        assert_eq!(copies(&disk, "torn-"), made[made.len().saturating_sub(8)..]);
    }
    assert_eq!(copies(&disk, "quarantine-"), [] as [String; 0]);
}

#[test]
fn a_torn_first_write_is_kept_under_another_name_if_there_is_no_room_for_a_copy() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = open(&disk);
    core.append(&[body(40)]).expect("it is taken");
    core.upkeep.step();
    let spare = segments(&disk).pop().expect("a spare");
    drop(core);
    disk.damage(&spare, |bytes| bytes[..700].fill(7));
    disk.take_log();
    let core = open(&disk);
    let linked = disk.take_log().iter().any(|line| line.starts_with("link "));
    assert!(linked, "a copy would need room");
    assert_eq!(core.unpublished(), 1);
    assert_eq!(core.metric("journal_corrupt_records_total"), 0);
    let copies = copies(&disk, "torn-");
    assert_eq!(copies.len(), 1);
    assert_eq!(disk.bytes(&copies[0]), vec![7; 700]);
}

#[test]
fn a_torn_first_write_that_cannot_be_copied_gives_its_room_to_new_events_on_a_full_disk() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = open(&disk);
    core.append(&[body(40)]).expect("it is taken");
    core.upkeep.step();
    let spare = segments(&disk).pop().expect("a spare");
    drop(core);
    disk.damage(&spare, |bytes| bytes[..700].fill(7));
    // Room for a second segment but not for a third.
    let used: usize = disk.names().iter().map(|name| disk.bytes(name).len()).sum();
    disk.set_capacity(Some(used as u64));
    disk.fail_next(Operation::Link);
    let mut core = open(&disk);
    assert_eq!(copies(&disk, "torn-"), [] as [String; 0]);
    core.append(&[body(3_000)]).expect("it has room");
    // The empty file keeps its number in use, and the next open removes it.
    assert_eq!(disk.bytes(&spare), [] as [u8; 0]);
    drop(core);
    let mut core = open(&disk);
    assert!(!segments(&disk).contains(&spare));
    assert_eq!(core.read_all().len(), 2);
    assert_eq!(core.metric("journal_corrupt_records_total"), 0);
}

#[test]
fn a_missing_segment_of_an_open_in_the_middle_is_counted_without_the_stride() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut middle = String::new();
    for round in 0..3 {
        let mut core = open(&disk);
        for _ in 0..5 {
            core.append(&[body(40), body(40)]).expect("they are taken");
        }
        core.upkeep.checkpoint().expect("it is written");
        if round == 1 {
            let written = segments(&disk).into_iter();
            let mut written = written.filter(|name| disk.bytes(name).first() == Some(&b'r'));
            middle = written.next_back().expect("one was written to");
        }
    }
    disk.lose_file(&middle);
    let mut core = open(&disk);
    assert_eq!(core.read_all().len(), 20);
    assert_eq!(core.metric("journal_corrupt_records_total"), 10);
    assert_eq!(core.metric("journal_recovered_events"), 30);
    assert_eq!(core.unpublished(), 20);
    assert_eq!(copies(&disk, "quarantine-"), [] as [String; 0]);
}
