//! Damage at the end of a segment whose end was not known when the next one's header was written.

use crate::support::core::{BUDGET, Core, body, segments};
use crate::support::faulty_fs::{FaultyFs, Operation};
use crate::support::publisher::{PAGE, Publisher, SEGMENT};

/// Three records with a page each, the first of them published, then an open that cannot read whether a fourth follows, and a
/// record that it appends. The checkpoint has the end of the newest segment only.
fn unknown_end() -> (FaultyFs, String) {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..3 {
        core.append(&[body(100)]).expect("it is appended");
    }
    core.truncate(0);
    core.upkeep.checkpoint().expect("it is written");
    drop(core);
    let name = segments(&disk).remove(0);
    disk.wear_out(&name, 3 * PAGE..4 * PAGE);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("it opens again");
    core.append(&[body(100)]).expect("it is appended");
    core.upkeep.checkpoint().expect("it is written");
    disk.wear_out(&name, 0..0);
    (disk, name)
}

#[test]
fn damage_at_an_unknown_end_is_counted_as_one_unpublished_record() {
    for (damaged, delivered) in [(0..0, 3), (2..3, 2), (1..3, 1), (0..3, 1)] {
        let (disk, name) = unknown_end();
        disk.damage(&name, |bytes| {
            for record in damaged.clone() {
                bytes[record * PAGE + 80] ^= 1;
            }
        });
        let mut publisher = Publisher::new(&disk);
        publisher.core.upkeep.step();
        publisher.read().expect("all can be read");
        assert_eq!(publisher.read.len(), delivered, "{damaged:?}");
        let lost = publisher.count("journal_corrupt_records_total");
        assert_eq!(lost, u64::from(!damaged.is_empty()), "{damaged:?}");
        assert_eq!(publisher.core.unpublished(), delivered as u64);
    }
}

#[test]
fn a_torn_first_write_that_was_not_removed_is_no_record() {
    let disk = FaultyFs::with_page(PAGE as u64);
    drop(Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens"));
    let name = segments(&disk).remove(0);
    // Neither its header nor a record is complete.
    disk.damage(&name, |bytes| bytes[20..90].fill(7));
    disk.fail_next(Operation::Link);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("it opens again");
    core.append(&[body(100)]).expect("it is appended");
    drop(core);
    assert!(segments(&disk).contains(&name));
    let mut publisher = Publisher::new(&disk);
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read.len(), 1);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
}
