//! Damage at the end of a segment whose end was not known when the next one's header was written.

use crate::support::core::{BUDGET, Core, body, segments};
use crate::support::faulty_fs::{FaultyFs, Operation};
use crate::support::publisher::{PAGE, Publisher, SEGMENT};

/// Three records with a page each, of which the first is published; a start that could not tell whether a fourth followed them;
/// and what it then appended. The checkpoint knows the end of the newest segment only.
fn untold() -> (FaultyFs, String) {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..3 {
        core.append(&[body(100)]).expect("it is appended");
    }
    core.truncate(0);
    core.maintenance.checkpoint().expect("it is written");
    drop(core);
    let name = segments(&disk).remove(0);
    disk.wear_out(&name, 3 * PAGE..4 * PAGE);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("it opens again");
    core.append(&[body(100)]).expect("it is appended");
    core.maintenance.checkpoint().expect("it is written");
    disk.wear_out(&name, 0..0);
    (disk, name)
}

#[test]
fn it_is_counted_as_one_record_that_is_not_published() {
    for (damaged, delivered) in [(0..0, 3), (2..3, 2), (1..3, 1), (0..3, 1)] {
        let (disk, name) = untold();
        disk.damage(&name, |bytes| {
            for record in damaged.clone() {
                bytes[record * PAGE + 80] ^= 1;
            }
        });
        let mut publisher = Publisher::new(&disk);
        publisher.core.maintenance.step();
        publisher.read().expect("all can be read");
        assert_eq!(publisher.read.len(), delivered, "{damaged:?}");
        let lost = publisher.count("journal_corrupt_records_total");
        assert_eq!(lost, u64::from(!damaged.is_empty()), "{damaged:?}");
        assert_eq!(publisher.core.unpublished(), delivered as u64);
    }
}

#[test]
fn a_torn_first_write_that_stayed_where_it_was_is_no_record() {
    let disk = FaultyFs::with_page(PAGE as u64);
    drop(Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens"));
    let name = segments(&disk).remove(0);
    // Neither its header nor a record got whole.
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
