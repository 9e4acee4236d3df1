//! The journal never assigns a position twice, even if nothing is left of the record that had it.

use crate::support::core::{body, open, segments};
use crate::support::faulty_fs::FaultyFs;

/// An open cannot distinguish a file whose only record is damaged from an incomplete first write.
#[test]
fn positions_of_opens_without_a_remaining_record_are_not_given_out_again() {
    let disk = FaultyFs::default();
    open(&disk).append(&[body(1)]).expect("it is appended");
    let mut last = 0;
    for (header_too, spare_made, starts_between) in [
        (false, true, 2),
        (true, false, 0),
        (true, true, 9),
        (false, false, 30),
    ] {
        // These opens end before they leave a file, so only the checkpoint shows their positions.
        for _ in 0..starts_between {
            let names = disk.names();
            drop(open(&disk));
            for made in disk.names().iter().filter(|name| !names.contains(name)) {
                disk.lose_file(made);
            }
        }
        let rotten = open(&disk).append(&[body(2)]).expect("it is appended");
        // A later open's stride could reach lower positions.
        assert!(rotten[0] > last, "{rotten:?} after {last}");
        last = rotten[0];
        let newest = written(&disk).expect("it was written");
        disk.damage(&newest, |bytes| {
            bytes[72 + 16] ^= 1;
            bytes[17] ^= u8::from(header_too);
        });
        // The next open removes the files without records and ends before it writes; then its checkpoint is damaged.
        drop(open(&disk));
        disk.damage("checkpoint", |bytes| bytes.fill(0));
        if !spare_made {
            disk.lose_file(segments(&disk).last().expect("there are files"));
        }
    }
}

/// Only the checkpoint's older slot and a file's number show that position.
#[test]
fn a_position_of_an_open_that_found_no_segment_is_not_given_out_again() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    let first = core.append(&[body(1)]).expect("it is appended");
    core.truncate(first[0]);
    core.upkeep.checkpoint().expect("it is written");
    drop(core);
    drop(open(&disk));
    assert_eq!(written(&disk), None, "the segment was published");
    let mut core = open(&disk);
    let lost = core.append(&[body(2)]).expect("it is appended");
    drop(core);
    let newest = written(&disk).expect("it was written");
    disk.damage(&newest, |bytes| {
        bytes[72 + 16] ^= 1;
        bytes[17] ^= 1;
    });
    let number = |bytes: &[u8], slot: usize| bytes[slot + 32];
    disk.damage("checkpoint", |bytes| {
        let newer = if number(bytes, 0) > number(bytes, 4096) {
            0
        } else {
            4096
        };
        bytes[newer] ^= 1;
    });
    let next = open(&disk).append(&[body(3)]).expect("it is appended");
    assert!(next[0] > lost[0], "{next:?} after {lost:?}");
}

/// Otherwise an open would take the old file's synced end for the new file's, and not write its last batch again.
#[test]
fn the_number_of_the_file_in_the_checkpoint_is_not_given_out_again() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    let first = core.append(&[body(1)]).expect("it is appended");
    let old = written(&disk).expect("it was written");
    core.truncate(first[0]);
    core.upkeep.checkpoint().expect("it is written");
    drop(core);
    drop(open(&disk));
    assert_eq!(written(&disk), None, "the segment was published");
    // Remove the spare, because an open on a full disk leaves none.
    for spare in segments(&disk) {
        disk.lose_file(&spare);
    }
    open(&disk).append(&[body(2)]).expect("it is appended");
    let new = written(&disk).expect("it was written");
    assert!(new > old, "{new} after {old}");
}

/// The newest segment that was written to.
fn written(disk: &FaultyFs) -> Option<String> {
    let names = segments(disk).into_iter();
    names
        .rev()
        .find(|name| disk.bytes(name).iter().any(|byte| *byte != 0))
}
