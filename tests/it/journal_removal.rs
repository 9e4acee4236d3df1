//! How published segments leave: together, at a pace, and under a reader's feet.

use std::time::Instant;

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
fn a_segment_that_cannot_be_removed_is_tried_again_and_those_behind_it_wait() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..4 {
        core.append(&[body(3000)]).expect("it is appended");
    }
    let before = segments(&disk);
    // The full disk does not let go of the second, nor has it room for a spare before that one and the next are gone. The
    // checkpoint takes as much as two segments.
    disk.stick(Some(&before[1]));
    disk.set_capacity(Some(4 * SEGMENT));
    core.truncate(2);
    for _ in 0..2 {
        core.maintenance.step();
        assert_eq!(segments(&disk), before[1..]);
        let state = core.shared.lock();
        assert!(state.disk_full);
        assert!(!core.maintenance.is_due(&state), "no pause");
        assert!(core.maintenance.is_behind(&state), "given up");
    }
    disk.stick(None);
    core.maintenance.step();
    assert_eq!(segments(&disk)[0], before[3]);
    let state = core.shared.lock();
    assert!(
        state.spare.is_some() && !state.disk_full,
        "{:?}",
        disk.names()
    );
    assert!(!core.maintenance.is_behind(&state), "no end");
}

/// A start without a checkpoint tells a segment's end by the next one's header.
#[test]
fn nothing_is_taken_for_lost_where_a_published_segment_could_not_be_removed() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..4 {
        core.append(&[body(3000)]).expect("it is appended");
    }
    disk.stick(Some(&segments(&disk)[0]));
    core.truncate(2);
    core.maintenance.step();
    drop(core);
    disk.stick(None);
    disk.damage("checkpoint", |bytes| bytes.fill(0));
    let mut core = open(&disk);
    assert_eq!(core.read_all().len(), 4);
    assert_eq!(core.metric("journal_corrupt_records_total"), 0);
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
    let again = core
        .reader
        .next_record(Instant::now())
        .expect("it can be read");
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
