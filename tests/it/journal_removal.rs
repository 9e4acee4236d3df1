//! The removal of published segments: together, at a pace, and while a reader is in them.

use std::mem;
use std::time::Instant;

use ringback::journal::engine::state::Spare;

use crate::support::core::{Core, SEGMENT, body, open, segments};
use crate::support::faulty_fs::FaultyFs;

#[test]
fn published_segments_are_removed_together_while_there_is_room() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..3 {
        core.append(&[body(3000)]).expect("it is appended");
        core.upkeep.step();
    }
    let before = segments(&disk);
    core.truncate(1);
    let state = core.engine.lock();
    assert!(state.has_removable());
    assert!(!core.upkeep.is_due(&state), "at once");
    assert!(core.upkeep.is_behind(&state), "never");
    drop(state);
    let spare = mem::replace(&mut core.engine.lock().spare, Spare::NoRoom);
    let state = core.engine.lock();
    assert!(core.upkeep.is_due(&state), "the room is needed");
    drop(state);
    core.engine.lock().spare = spare;
    // The upkeep does not truncate a file that still has a name, because there may be no later checkpoint that covers it.
    disk.lose_file(&before[0]);
    core.upkeep.step();
    assert_eq!(segments(&disk), before[2..]);
    core.upkeep.reclaim();
    assert_eq!(core.upkeep.reclaim_pause(), None);
}

#[test]
fn removing_a_segment_is_retried_and_later_segments_wait() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..4 {
        core.append(&[body(3000)]).expect("it is appended");
    }
    let before = segments(&disk);
    // The full disk cannot remove the second, and has no room for a spare before that one and the next are removed. The
    // checkpoint takes as much as two segments.
    disk.stick(Some(&before[1]));
    disk.set_capacity(Some(4 * SEGMENT));
    core.truncate(2);
    for _ in 0..2 {
        core.upkeep.step();
        assert_eq!(segments(&disk), before[1..]);
        let state = core.engine.lock();
        assert!(state.is_disk_full());
        assert!(!core.upkeep.is_due(&state), "no pause");
        assert!(core.upkeep.is_behind(&state), "given up");
    }
    disk.stick(None);
    core.upkeep.step();
    assert_eq!(segments(&disk)[0], before[3]);
    let state = core.engine.lock();
    assert!(matches!(state.spare, Spare::Ready(_)), "{:?}", disk.names());
    assert!(!core.upkeep.is_behind(&state), "no end");
}

/// Without a checkpoint, recovery takes a segment's end from the next one's header.
#[test]
fn nothing_counts_as_lost_if_a_published_segment_could_not_be_removed() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..4 {
        core.append(&[body(3000)]).expect("it is appended");
    }
    disk.stick(Some(&segments(&disk)[0]));
    core.truncate(2);
    core.upkeep.step();
    drop(core);
    disk.stick(None);
    disk.damage("checkpoint", |bytes| bytes.fill(0));
    let mut core = open(&disk);
    assert_eq!(core.read_all().len(), 4);
    assert_eq!(core.metric("journal_corrupt_records_total"), 0);
}

#[test]
fn a_removed_segment_is_not_damage_for_a_reader_that_has_gone_back() {
    let disk = FaultyFs::default();
    let mut core = Core::open(&disk, 1 << 20, 64 << 20).expect("the journal opens");
    for _ in 0..25 {
        core.append(&[body(100_000)]).expect("it is appended");
    }
    let first_of_next = core.engine.lock().segments[1].first;
    assert_eq!(core.read_all().len(), 25);
    // The reader goes back as for another producer; of the records that it reads again, only the first had not arrived.
    core.reader.seek(0);
    let again = core
        .reader
        .next_record(Instant::now())
        .expect("it can be read");
    assert_eq!(again.map(|record| record.position), Some(0));
    core.truncate(first_of_next - 1);
    core.upkeep.step();
    while core.upkeep.reclaim_pause().is_some() {
        core.upkeep.reclaim();
    }
    // Some records of the removed segment were in the reader's memory.
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

#[test]
fn damage_in_segments_that_could_not_be_removed_is_no_loss() {
    // The last published position, and how many headers behind the first are damaged.
    for (upto, headers) in [(3, 1), (1, 2), (2, 3)] {
        let disk = FaultyFs::with_page(512);
        let mut core = open(&disk);
        for _ in 0..5 {
            core.append(&[body(3000)]).expect("it is appended");
            core.upkeep.step();
        }
        let names = segments(&disk);
        disk.stick(Some(&names[0]));
        core.truncate(upto);
        core.upkeep.step();
        core.upkeep.checkpoint().expect("it is written");
        drop(core);
        assert_eq!(segments(&disk)[..5], names[..5]);
        // Nothing shows where the first one ended, and of the second nothing is left.
        disk.damage(&names[0], |bytes| bytes[80] ^= 1);
        disk.damage(&names[1], |bytes| bytes[..512].fill(0xa5));
        for name in &names[2..=headers] {
            disk.damage(name, |bytes| bytes[0] ^= 1);
        }
        let mut core = open(&disk);
        let delivered = core.read_all();
        let delivered: Vec<_> = delivered.iter().map(|record| record.position).collect();
        let unpublished: Vec<_> = (upto + 1..5).collect();
        assert_eq!(delivered, unpublished, "{headers} headers are damaged");
        assert_eq!(core.metric("journal_corrupt_records_total"), 0);
    }
}
