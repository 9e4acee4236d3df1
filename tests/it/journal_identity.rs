//! The journal's id if the checkpoint is lost and no segment's header is intact.

use ringback::journal::recovery::recover;

use crate::support::core::{body, open, segments};
use crate::support::faulty_fs::FaultyFs;

#[test]
fn records_are_delivered_though_their_only_header_is_damaged_and_the_checkpoint_is_lost() {
    // The header's checksum, then a byte of the id, which one of the checkpoint's damaged slots still has.
    for (byte, is_lost) in [(65, true), (17, false)] {
        let disk = FaultyFs::default();
        let mut core = open(&disk);
        let written = core.append(&[body(40), body(40)]);
        let written = written.expect("they are appended");
        drop(core);
        disk.damage(&segments(&disk)[0], |bytes| bytes[byte] ^= 1);
        if is_lost {
            disk.lose_file("checkpoint");
        } else {
            for slot in [0, 4096] {
                disk.damage("checkpoint", |bytes| bytes[slot + 45] ^= 1);
            }
        }
        let mut core = open(&disk);
        let read: Vec<_> = core.read_all().iter().map(|read| read.position).collect();
        assert_eq!(read, written);
        assert_eq!(core.metric("journal_corrupt_records_total"), 0);
        let next = core.append(&[body(40)]).expect("it is appended");
        assert!(next[0] > written[1]);
    }
}

#[test]
fn records_that_cannot_be_identified_are_copied_and_counted_and_are_not_torn() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    core.append(&[body(40)]).expect("it is appended");
    // The next segment is reserved and unused, so it counts as no loss.
    core.upkeep.step();
    drop(core);
    assert_eq!(segments(&disk).len(), 2);
    let name = segments(&disk).remove(0);
    disk.damage(&name, |bytes| bytes[..72].fill(0));
    disk.lose_file("checkpoint");
    let was = disk.bytes(&name);
    // A new id, as of a process that begins a journal: no record has it.
    let recovered = recover(&disk, *b"a fresh one's id").expect("it starts");
    assert_eq!(recovered.recovery.missing_events, 1);
    assert_eq!(recovered.recovery.recovered_events, 1);
    assert_eq!(recovered.recovery.torn_bytes, 0);
    assert_eq!(recovered.state.unpublished(), 0);
    assert!(segments(&disk).is_empty());
    let copy = disk.names().into_iter();
    let copy = copy.filter(|name| name.starts_with("quarantine-"));
    let copy: Vec<_> = copy.map(|name| disk.bytes(&name)).collect();
    assert!(copy.len() == 1 && was.starts_with(&copy[0]) && copy[0].len() >= 72 + 64 - 8);
}

#[test]
fn a_segment_under_another_one_s_name_is_an_error_that_names_both_and_changes_nothing() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..3 {
        core.append(&[body(3000)]).expect("it is appended");
    }
    drop(core);
    let names = segments(&disk);
    let bytes = [disk.bytes(&names[0]), disk.bytes(&names[1])];
    for (name, bytes) in names.iter().zip(bytes.iter().rev()) {
        disk.damage(name, |content| content.clone_from(bytes));
    }
    let before: Vec<_> = disk.names().iter().map(|name| disk.bytes(name)).collect();
    let fresh = *b"0123456789abcdef";
    let Err(error) = recover(&disk, fresh) else {
        panic!("it starts")
    };
    let text = error.to_string();
    assert!(
        text.contains(&names[0]) && text.contains(&names[1]),
        "{text}"
    );
    let after: Vec<_> = disk.names().iter().map(|name| disk.bytes(name)).collect();
    assert_eq!(after, before);
    for (name, bytes) in names.iter().zip(&bytes) {
        disk.damage(name, |content| content.clone_from(bytes));
    }
    assert_eq!(open(&disk).read_all().len(), 3);
}
