//! How published segments leave: together, at a pace, and under a reader's feet.

use crate::support::core::{Core, SEGMENT, body, open, segments};
use crate::support::faulty_fs::FaultyFs;

#[test]
fn published_segments_leave_together_while_there_is_room() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..3 {
        core.append(&[body(3000)]).expect("it is appended");
        core.maintenance.step();
    }
    let before = segments(&disk);
    core.truncate(1);
    let state = core.shared.lock();
    assert!(state.has_removable());
    assert!(!core.maintenance.is_due(&state), "at once");
    assert!(core.maintenance.is_behind(&state), "never");
    drop(state);
    core.shared.lock().disk_full = true;
    let state = core.shared.lock();
    assert!(core.maintenance.is_due(&state), "the room is needed");
    drop(state);
    core.shared.lock().disk_full = false;
    // One whose name stays, whatever the reason, is not cut: no checkpoint may be left to say that it is published.
    disk.lose_file(&before[0]);
    core.maintenance.step();
    assert_eq!(segments(&disk), before[2..]);
    core.maintenance.free();
    assert_eq!(core.maintenance.freeing(), None);
}

#[test]
fn a_segment_that_cannot_be_removed_is_tried_again_and_holds_up_no_other() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..4 {
        core.append(&[body(3000)]).expect("it is appended");
    }
    let before = segments(&disk);
    // The full disk does not let go of the oldest, and has no room for a spare before the others are gone.
    disk.stick(Some(&before[0]));
    // The checkpoint takes as much as two segments.
    disk.set_capacity(Some(5 * SEGMENT));
    core.truncate(3);
    core.maintenance.step();
    let has_spare = |core: &Core| core.shared.lock().spare.is_some();
    assert!(has_spare(&core), "{:?}", disk.names());
    assert!(!core.shared.lock().disk_full);
    assert!(segments(&disk).contains(&before[0]));
    assert!(!segments(&disk).contains(&before[1]));
    assert!(core.maintenance.is_behind(&core.shared.lock()), "given up");
    core.maintenance.step();
    assert!(segments(&disk).contains(&before[0]));
    disk.stick(None);
    core.maintenance.step();
    assert!(!segments(&disk).contains(&before[0]));
    assert!(!core.maintenance.is_behind(&core.shared.lock()), "no end");
}

#[test]
fn the_newest_segment_stays_while_an_older_one_cannot_be_removed() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..3 {
        core.append(&[body(3000)]).expect("it is appended");
    }
    let before = segments(&disk);
    core.truncate(2);
    core.maintenance.checkpoint().expect("it is written");
    drop(core);
    disk.stick(Some(&before[0]));
    // None is active after a start: all are removable.
    let mut core = open(&disk);
    assert!(segments(&disk).contains(&before[0]));
    assert!(!segments(&disk).contains(&before[1]));
    assert!(segments(&disk).contains(&before[2]));
    disk.stick(None);
    core.maintenance.step();
    assert!(!segments(&disk).contains(&before[0]));
    assert!(!segments(&disk).contains(&before[2]));
}

#[test]
fn a_reader_that_went_back_takes_no_removed_segment_for_damaged() {
    let disk = FaultyFs::default();
    let mut core = Core::open(&disk, 1 << 20, 64 << 20).expect("the journal opens");
    for _ in 0..25 {
        core.append(&[body(100_000)]).expect("it is appended");
    }
    let first_of_next = core.shared.lock().segments[1].first;
    assert_eq!(core.read_all().len(), 25);
    // A producer was given up; what is read again had arrived all the same, but for the first of it.
    core.reader.seek(0);
    let again = core.reader.next_record().expect("it can be read");
    assert_eq!(again.map(|record| record.position), Some(0));
    core.truncate(first_of_next - 1);
    core.maintenance.step();
    while core.maintenance.freeing().is_some() {
        core.maintenance.free();
    }
    // Some were in memory.
    let left = core.read_all();
    let after = left
        .iter()
        .position(|record| record.position == first_of_next);
    let after = after.expect("what is not published is read");
    assert_eq!(left.len() - after, 25 - first_of_next as usize);
    assert!(left[..after].len() < first_of_next as usize - 1);
    assert_eq!(core.metric("journal_corrupt_records_total"), 0);
    let copies = disk.names();
    assert!(!copies.iter().any(|name| name.starts_with("quarantine")));
}
