//! A folder may hold files of an earlier journal, whose segments had the same numbers: none of them is taken for this
//! journal's.

use ringback::journal::disk::filesystem::FileSystem as _;
use ringback::journal::format::set_aside::SetAsideName;

use crate::support::core::{body, open, segments};
use crate::support::faulty_fs::FaultyFs;
use crate::support::publisher::{PAGE, PATIENCE, Publisher, SEGMENT, forty, unread_names};

/// What an earlier journal has left.
const FOREIGN: [u8; 700] = [9; 700];

fn put(disk: &FaultyFs, name: &str, content: &[u8]) {
    disk.create(name).expect("the name is free");
    disk.damage(name, |bytes| *bytes = content.to_vec());
    disk.sync_directory().expect("the disk works");
}

fn names(disk: &FaultyFs, kind: &str) -> Vec<String> {
    let names = disk.names().into_iter();
    names.filter(|name| name.starts_with(kind)).collect()
}

/// Passes over a page of the first segment.
fn pass_over(disk: &FaultyFs) -> Publisher {
    let name = segments(disk).remove(0);
    disk.wear_out(&name, 5 * PAGE..6 * PAGE);
    let mut publisher = Publisher::new(disk);
    assert!(publisher.read_for(PATIENCE * 2));
    publisher
}

#[test]
fn a_segment_gets_another_name_if_an_earlier_journal_s_has_the_one_under_which_it_is_set_aside() {
    let disk = forty();
    pass_over(&disk);
    let mut taken = unread_names(&disk);
    assert_eq!(taken.len(), 1);
    // The name that an older ringback gave.
    taken.push(String::from("unreadable-0000000000000000.segment"));
    taken.dedup();

    let disk = forty();
    let whole = disk.bytes(&segments(&disk)[0]);
    for name in &taken {
        put(&disk, name, &FOREIGN);
    }
    let own = |disk: &FaultyFs| {
        let mut own = unread_names(disk);
        own.retain(|name| !taken.contains(name));
        own
    };
    pass_over(&disk);
    assert_eq!(own(&disk).len(), 1);
    // The next process passes over it again, and finds its own name.
    let mut publisher = pass_over(&disk);
    publisher.core.truncate(79);
    publisher.core.upkeep.step();
    while publisher.core.upkeep.reclaim_pause().is_some() {
        publisher.core.upkeep.reclaim();
    }
    let own = own(&disk);
    assert_eq!(own.len(), 1, "{own:?}");
    assert!(disk.bytes(&own[0]) == whole);
    for name in &taken {
        assert!(disk.bytes(name) == FOREIGN, "{name}");
    }
    let foreign = (taken.len() * FOREIGN.len()) as u64;
    assert_eq!(publisher.count("journal_bytes"), SEGMENT + foreign);
}

#[test]
fn a_torn_first_write_is_kept_under_another_name_if_an_earlier_journal_s_copy_has_its_name() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = open(&disk);
    core.append(&[body(40)]).expect("it is taken");
    core.upkeep.step();
    let spare = segments(&disk).pop().expect("a spare");
    drop(core);
    disk.damage(&spare, |bytes| bytes[..600].fill(7));
    let number = spare.trim_end_matches(".segment");
    let taken = format!("torn-{number}-00000000");
    put(&disk, &taken, &FOREIGN);
    open(&disk);
    assert!(disk.bytes(&taken) == FOREIGN);
    let kept: Vec<_> = names(&disk, "torn-")
        .iter()
        .map(|name| disk.bytes(name))
        .collect();
    assert!(kept.contains(&vec![7; 600]), "{:?}", names(&disk, "torn-"));
}

#[test]
fn damage_is_copied_under_another_name_if_an_earlier_journal_s_copy_has_its_name() {
    let damaged = || {
        let disk = forty();
        let name = segments(&disk).remove(0);
        disk.damage(&name, |bytes| bytes[5 * PAGE..6 * PAGE].fill(7));
        disk
    };
    let disk = damaged();
    assert!(Publisher::new(&disk).read_for(PATIENCE));
    let taken = names(&disk, "quarantine-");
    assert_eq!(taken.len(), 1);
    let copy = disk.bytes(&taken[0]);

    for (foreign, is_replaced) in [
        (FOREIGN.repeat(9), false),
        (FOREIGN.to_vec(), false),
        // A copy that was cut short, also one whose pages did not all reach the disk, is completed.
        (copy[..100].to_vec(), true),
        ([&copy[..100], &vec![0; copy.len() - 100]].concat(), true),
        (copy.clone(), true),
    ] {
        let disk = damaged();
        put(&disk, &taken[0], &foreign);
        for _ in 0..2 {
            assert!(Publisher::new(&disk).read_for(PATIENCE));
        }
        let mut kept: Vec<_> = names(&disk, "quarantine-")
            .iter()
            .map(|name| disk.bytes(name))
            .collect();
        kept.sort();
        let mut expected = vec![copy.clone()];
        if !is_replaced {
            expected.push(foreign);
        }
        expected.sort();
        assert!(kept == expected, "{:?}", names(&disk, "quarantine-"));
    }
}

#[test]
fn a_copy_of_a_torn_write_is_not_removed_in_favour_of_an_earlier_journal_s_with_higher_numbers() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = open(&disk);
    core.append(&[body(40)]).expect("it is taken");
    let name = segments(&disk).remove(0);
    drop(core);
    for number in 0xf0..0xf9 {
        put(&disk, &format!("torn-{number:016x}-00000000"), &FOREIGN);
    }
    disk.damage(&name, |bytes| bytes[PAGE..PAGE + 600].fill(7));
    open(&disk);
    let kept = names(&disk, "torn-");
    assert_eq!(kept.len(), 8, "{kept:?}");
    assert!(disk.bytes(&kept[0]).ends_with(&[7; 600]), "{kept:?}");
}

#[test]
fn the_name_of_a_segment_that_is_set_aside_says_what_it_held_and_follows_what_is_known_later() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut publisher = Publisher::new(&disk);
    let batch = [body(600), body(100)];
    for _ in 0..5 {
        publisher.core.append(&batch).expect("it is appended");
    }
    let name = segments(&disk).remove(0);
    let mut expected = 10;
    for page in [3, 11] {
        disk.wear_out(&name, page * PAGE..(page + 1) * PAGE);
        assert!(publisher.read_for(PATIENCE * 2));
        let names = unread_names(&disk);
        assert_eq!(names.len(), 1, "{names:?}");
        let found = SetAsideName::parse(&names[0]).expect("a name");
        let used = disk.bytes(&name).iter().rposition(|byte| *byte != 0);
        let known = found.known.expect("what was known");
        assert_eq!((known.first, known.end), (0, expected));
        assert_eq!(
            known.used,
            (used.expect("records") as u64 + 1).next_multiple_of(8)
        );
        assert_eq!((found.sequence, found.copy), (0, 0));
        // It is still written to.
        publisher.core.append(&batch).expect("it is appended");
        expected += 2;
    }
}
