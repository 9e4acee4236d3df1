//! Unreadable is not damaged: the reader waits for an unreadable place, and a segment with a place that is passed over is kept
//! whole.

use ringback::journal::disk::filesystem::FileSystem as _;

use crate::support::core::{body, segments};
use crate::support::publisher::{
    PAGE, PATIENCE, Publisher, SEGMENT, STEP, batches, forty, unread_names,
};

#[test]
fn a_volume_that_is_gone_costs_nothing_however_long_that_lasts() {
    let disk = forty();
    let mut publisher = Publisher::new(&disk);
    disk.unplug(true);
    assert!(!publisher.read_for(PATIENCE * 10));
    let before = publisher.read.len();
    disk.unplug(false);
    assert!(publisher.read_for(STEP * 2));
    assert!(before < 80);
    assert_eq!(publisher.read, (0..80).collect::<Vec<_>>());
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
    assert_eq!(unread_names(&disk), [] as [String; 0]);
}

#[test]
fn patience_is_measured_in_time_and_begins_again_after_each_good_read() {
    let disk = forty();
    let mut publisher = Publisher::new(&disk);
    let name = segments(&disk).remove(0);
    for round in 0..5 {
        let hole = (4 + 4 * round) * PAGE;
        disk.wear_out(&name, hole..hole + PAGE);
        for _ in 0..1_000 {
            publisher.read().expect_err("it waits");
        }
        assert!(!publisher.read_for(PATIENCE - STEP * 2));
        disk.wear_out(&name, 0..0);
        publisher.now += STEP;
        // Reads up to the next place only, which is unreadable by then.
        let next = (4 + 4 * (round + 1)) * PAGE;
        disk.wear_out(&name, next..next + PAGE);
        publisher
            .core
            .reader
            .seek(publisher.read.last().map_or(0, |last| last + 1));
        publisher.read().expect_err("it waits");
        disk.wear_out(&name, 0..0);
    }
    publisher.now += STEP;
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read, (0..80).collect::<Vec<_>>());
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
}

#[test]
fn a_place_that_stays_unreadable_is_passed_over_after_patience_counted_exactly_and_its_segment_kept_whole()
 {
    let disk = forty();
    let mut publisher = Publisher::new(&disk);
    let name = segments(&disk).remove(0);
    let whole = disk.bytes(&name);
    // This page has the second half of a batch's first record, and its second record.
    disk.wear_out(&name, 5 * PAGE..6 * PAGE);
    assert!(!publisher.read_for(PATIENCE));
    assert_eq!(
        publisher.read,
        [0, 1, 2, 3],
        "reads up to the place and no further"
    );
    assert_eq!(publisher.core.unpublished(), 80);
    assert!(publisher.read_for(STEP * 4));
    let lost = publisher.count("journal_unreadable_records_total");
    assert_eq!(lost, 2);
    let expected: Vec<_> = (0..80).filter(|at| ![4, 5].contains(at)).collect();
    assert_eq!(publisher.read, expected);
    assert_eq!(publisher.core.unpublished(), 78);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    // Once everything is published, the journal removes the segment. Its second name keeps every byte, and these count.
    publisher.core.truncate(79);
    publisher.core.upkeep.step();
    while publisher.core.upkeep.reclaim_pause().is_some() {
        publisher.core.upkeep.reclaim();
    }
    assert!(!segments(&disk).contains(&name));
    let kept = unread_names(&disk);
    assert_eq!(kept.len(), 1);
    assert_eq!(disk.bytes(&kept[0]), whole);
    assert_eq!(publisher.count("journal_bytes"), SEGMENT);
    // Once an operator has removed it, its bytes no longer count.
    disk.remove(&kept[0]).expect("it is there");
    publisher.core.upkeep.step();
    assert_eq!(publisher.count("journal_bytes"), 0);
}

#[test]
fn the_first_pages_of_the_only_segment_are_passed_over_as_any_other_place() {
    for (pages, is_synced_known) in [(1, true), (2, true), (3, true), (4, true), (3, false)] {
        let disk = batches(10);
        if !is_synced_known {
            // As an older ringback writes the checkpoint: without its second part.
            for slot in [0, 4096] {
                disk.damage("checkpoint", |bytes| bytes[slot + 60..slot + 100].fill(0));
            }
        }
        let name = segments(&disk).remove(0);
        disk.wear_out(&name, 0..pages * PAGE);
        let mut publisher = Publisher::new(&disk);
        assert!(!publisher.read_for(PATIENCE), "{pages} pages");
        // The header may be one place, and what follows it another.
        assert!(publisher.read_for(PATIENCE + STEP * 20), "{pages} pages");
        // A batch takes two pages: its first record needs both, its second one only the latter. The header shares the first.
        let lost = pages as u64;
        assert_eq!(publisher.read, (lost..20).collect::<Vec<_>>());
        assert_eq!(publisher.count("journal_unreadable_records_total"), lost);
        assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    }
}

#[test]
fn an_open_does_not_wait_for_an_unreadable_place_and_nothing_is_lost_once_it_can_be_read() {
    let disk = forty();
    let names = segments(&disk);
    // Under a header, in the middle, in the last segment, behind its last record, in either slot of the checkpoint.
    let last = names.iter().rfind(|name| disk.bytes(name)[0] != 0);
    let last = last.expect("one was written to");
    let used = disk
        .bytes(last)
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("records");
    let tail = used / PAGE * PAGE;
    for (name, hole) in [
        (&names[0], 0),
        (&names[1], 0),
        (&names[1], 8 * PAGE),
        (last, 0),
        (last, 4 * PAGE),
        (last, tail),
        (last, tail + PAGE),
        (&String::from("checkpoint"), 0),
        (&String::from("checkpoint"), 4096),
    ] {
        let case = format!("{name} at {hole}");
        let disk = disk.crash(&mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1));
        disk.wear_out(name, hole..hole + PAGE);
        let mut publisher = Publisher::new(&disk);
        let fresh = publisher
            .core
            .append(&[body(300)])
            .expect("it accepts at once");
        let waits = publisher.read().is_err();
        disk.wear_out(name, 0..0);
        publisher.now += STEP;
        publisher.read().expect("all can be read");
        let expected: Vec<_> = (0..80).chain(fresh.iter().copied()).collect();
        assert_eq!(publisher.read, expected, "{case}, waited: {waits}");
        for counter in ["corrupt", "unreadable"] {
            let counter = format!("journal_{counter}_records_total");
            assert_eq!(publisher.count(&counter), 0, "{case}: {counter}");
        }
        assert_eq!(publisher.core.unpublished(), 81, "{case}");
        assert_eq!(publisher.count("journal_recovered_events"), 80, "{case}");
    }
}

#[test]
fn a_place_that_is_unreadable_from_the_open_on_costs_only_its_own_records() {
    let disk = forty();
    let names = segments(&disk);
    for (name, hole) in [(&names[0], 0), (&names[1], 0), (&names[1], 8 * PAGE)] {
        let case = format!("{name} at {hole}");
        let disk = disk.crash(&mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1));
        disk.wear_out(name, hole..hole + PAGE);
        let mut publisher = Publisher::new(&disk);
        assert!(!publisher.read_for(PATIENCE), "{case}");
        assert!(publisher.read_for(PATIENCE * 3), "{case}");
        let lost = publisher.count("journal_unreadable_records_total");
        assert!((1..=2).contains(&lost), "{case}: {lost}");
        assert_eq!(publisher.read.len() as u64 + lost, 80, "{case}");
        assert_eq!(
            publisher.core.unpublished() + lost,
            publisher.count("journal_recovered_events")
        );
        assert_eq!(
            publisher.count("journal_corrupt_records_total"),
            0,
            "{case}"
        );
        assert_eq!(unread_names(&disk).len(), 1, "{case}");
        // The next process waits for the place again, and publishes the rest of its segment once more at most.
        drop(publisher);
        let mut publisher = Publisher::new(&disk);
        assert!(publisher.read_for(PATIENCE * 4), "{case}");
        assert_eq!(publisher.read.len() as u64 + lost, 80, "{case}");
    }
}

#[test]
fn a_passed_over_place_before_the_watermark_is_not_waited_for_again() {
    let disk = forty();
    let name = segments(&disk).remove(0);
    disk.wear_out(&name, 5 * PAGE..6 * PAGE);
    let mut publisher = Publisher::new(&disk);
    publisher.read_for(PATIENCE * 2);
    publisher.core.truncate(9);
    publisher.core.upkeep.step();
    drop(publisher);
    let mut publisher = Publisher::new(&disk);
    publisher.read().expect("nothing is waited for");
    assert_eq!(publisher.read, (10..80).collect::<Vec<_>>());
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
}

#[test]
fn an_open_keeps_the_last_segment_whole_if_it_is_set_aside() {
    let disk = forty();
    let name = segments(&disk).remove(0);
    let last = segments(&disk)
        .into_iter()
        .rfind(|name| disk.bytes(name)[0] != 0);
    let last = last.expect("one was written to");
    assert_ne!(name, last);
    disk.wear_out(&last, 2 * PAGE..3 * PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(publisher.read_for(PATIENCE * 2));
    let whole = disk.bytes(&last);
    drop(publisher);
    for _ in 0..2 {
        drop(Publisher::new(&disk));
        assert_eq!(disk.bytes(&last), whole);
    }
}
