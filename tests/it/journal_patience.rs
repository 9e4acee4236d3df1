//! An open waits for no device: it returns after a few failing reads, and the reader finds out later what they hide.

use crate::support::core::{Core, body, segments};
use crate::support::faulty_fs::FaultyFs;
use crate::support::publisher::{PAGE, PATIENCE, Publisher, STEP};

const SEGMENT: u64 = 64 << 10;
const BUDGET: u64 = 1 << 20;
/// The header, a read of many pages at once, two pages that fail, and the one that ends it.
const FEW: usize = 5;

/// A segment of `records` batches of one record, a page each. The checkpoint has the first `checkpointed` as synced.
fn journal(records: usize, checkpointed: usize) -> FaultyFs {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for record in 0..records {
        core.append(&[body(100)]).expect("it is appended");
        if record + 1 == checkpointed {
            core.upkeep.checkpoint().expect("it is written");
        }
    }
    disk
}

#[test]
fn an_open_waits_for_few_failing_reads_however_many_pages_are_bad() {
    for checkpointed in [100, 40, 5, 0] {
        let case = format!("{checkpointed} of 100 checkpointed");
        let disk = journal(100, checkpointed);
        let name = segments(&disk).remove(0);
        disk.wear_out(&name, 10 * PAGE..100 * PAGE);
        disk.take_failed_reads();
        let mut publisher = Publisher::new(&disk);
        let failed = disk.take_failed_reads();
        assert!(failed <= FEW, "{case}: {failed} reads failed");
        let fresh = publisher.core.append(&[body(100)]).expect("it accepts");
        assert!(publisher.read_for(PATIENCE * 4), "{case}");
        let expected: Vec<_> = (0..10).chain(fresh).collect();
        assert_eq!(publisher.read, expected, "{case}");
        // Records before the synced end are counted exactly, everything after it as one.
        let known = u64::try_from(checkpointed).expect("a small number");
        let counted = known.max(10) - 10 + u64::from(checkpointed < 100);
        let lost = publisher.count("journal_unreadable_records_total");
        assert_eq!(lost, counted, "{case}");
        assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    }
}

#[test]
fn records_that_an_open_did_not_wait_for_are_published_once_they_can_be_read() {
    for checkpointed in [0, 5, 40, 100] {
        let disk = journal(100, checkpointed);
        let name = segments(&disk).remove(0);
        for bad in [0..90, 10..100, 10..14] {
            let case = format!("{checkpointed} of 100 checkpointed, pages {bad:?} are bad");
            let disk = disk.crash(&mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1));
            disk.wear_out(&name, bad.start * PAGE..bad.end * PAGE);
            disk.take_failed_reads();
            let mut publisher = Publisher::new(&disk);
            let failed = disk.take_failed_reads();
            assert!(failed <= FEW, "{case}: {failed} reads failed");
            publisher.read().expect_err("it waits");
            disk.wear_out(&name, 0..0);
            publisher.now += STEP;
            publisher.read().expect("all can be read");
            assert_eq!(publisher.read, (0..100).collect::<Vec<_>>(), "{case}");
            for counter in ["corrupt", "unreadable"] {
                let counter = format!("journal_{counter}_records_total");
                assert_eq!(publisher.count(&counter), 0, "{case}: {counter}");
            }
            assert_eq!(publisher.count("journal_recovered_events"), 100, "{case}");
        }
    }
}

#[test]
fn bad_pages_before_the_synced_end_delay_no_record_before_them() {
    let disk = journal(100, 99);
    let name = segments(&disk).remove(0);
    disk.wear_out(&name, 50 * PAGE..60 * PAGE);
    disk.take_failed_reads();
    let mut publisher = Publisher::new(&disk);
    assert_eq!(disk.take_failed_reads(), 0, "the checkpoint knows better");
    publisher.read().expect_err("it waits");
    assert_eq!(publisher.read, (0..50).collect::<Vec<_>>());
    assert!(publisher.read_for(PATIENCE * 2));
    assert_eq!(publisher.read.len(), 90);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 10);
}

#[test]
fn an_unreadable_last_page_before_the_synced_end_is_counted_exactly_after_a_kill() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..10 {
        core.append(&[body(40), body(40)]).expect("it is appended");
    }
    core.upkeep.checkpoint().expect("it is written");
    drop(core);
    let name = segments(&disk).remove(0);
    disk.wear_out(&name, 9 * PAGE..10 * PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(publisher.read_for(PATIENCE * 2));
    assert_eq!(publisher.read.len(), 18);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 2);
    assert_eq!(publisher.count("journal_recovered_events"), 20);
}
