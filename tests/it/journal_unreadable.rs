//! Unreadable is not damaged: what the disk does not give is waited for, and what is passed over in the end is kept whole.

use std::time::{Duration, Instant};

use ringback::journal::ReadError;
use ringback::journal::filesystem::FileSystem as _;

use crate::support::core::{BUDGET, Core, body, segments};
use crate::support::faulty_fs::FaultyFs;

const PAGE: usize = 512;
const SEGMENT: u64 = 16 << 10;
/// Ringback's default.
const PATIENCE: Duration = Duration::from_mins(10);
/// More than any pause between two tries.
const STEP: Duration = Duration::from_secs(2);

/// Reads under a clock of its own.
struct Publisher {
    core: Core,
    now: Instant,
    read: Vec<u64>,
}

impl Publisher {
    fn new(disk: &FaultyFs) -> Self {
        Self {
            core: Core::open(disk, SEGMENT, BUDGET).expect("the journal opens"),
            now: Instant::now(),
            read: Vec::new(),
        }
    }

    /// Reads to the tail; the error where it must wait.
    fn read(&mut self) -> Result<(), ReadError> {
        while let Some(record) = self.core.reader.next_record(self.now)? {
            self.read.push(record.position);
        }
        Ok(())
    }

    /// Tries for so long; true once the tail is reached.
    fn read_for(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        while self.now < end {
            if self.read().is_ok() {
                return true;
            }
            self.now += STEP;
        }
        false
    }

    fn count(&self, name: &str) -> u64 {
        self.core.metric(name)
    }
}

/// A disk with records 0 to 39 of 124 bytes each in three segments; a batch of one fills a page, four a batch two.
fn forty() -> FaultyFs {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..40 {
        core.append(&[body(600), body(100)])
            .expect("it is appended");
    }
    core.maintenance.step();
    disk
}

fn unread_names(disk: &FaultyFs) -> Vec<String> {
    let names = disk.names().into_iter();
    names
        .filter(|name| name.starts_with("unreadable-"))
        .collect()
}

#[test]
fn a_volume_that_is_away_costs_nothing_however_long_that_lasts() {
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
fn a_place_is_waited_for_in_time_and_not_in_tries_and_each_good_read_begins_again() {
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
        // Up to the next place only, which is worn out before it is read.
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
    // Its batch has two records over two pages: the first one's second half and the second one.
    disk.wear_out(&name, 5 * PAGE..6 * PAGE);
    assert!(!publisher.read_for(PATIENCE));
    assert_eq!(
        publisher.read,
        [0, 1, 2, 3],
        "up to the place, and no further"
    );
    assert_eq!(publisher.core.unpublished(), 80);
    assert!(publisher.read_for(STEP * 4));
    let lost = publisher.count("journal_unreadable_records_total");
    assert_eq!(lost, 2);
    let expected: Vec<_> = (0..80).filter(|at| ![4, 5].contains(at)).collect();
    assert_eq!(publisher.read, expected);
    assert_eq!(publisher.core.unpublished(), 78);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    // When everything is published, the segment is gone from the journal and kept, every byte of it, and it counts.
    publisher.core.truncate(79);
    publisher.core.maintenance.step();
    while publisher.core.maintenance.freeing().is_some() {
        publisher.core.maintenance.free();
    }
    assert!(!segments(&disk).contains(&name));
    let kept = unread_names(&disk);
    assert_eq!(kept.len(), 1);
    assert_eq!(disk.bytes(&kept[0]), whole);
    assert_eq!(publisher.count("journal_bytes"), SEGMENT);
    // Once somebody has taken it away, its room comes back.
    disk.remove(&kept[0]).expect("it is there");
    publisher.core.maintenance.step();
    assert_eq!(publisher.count("journal_bytes"), 0);
}

#[test]
fn a_start_does_not_wait_for_a_place_that_cannot_be_read_and_loses_nothing_once_it_can() {
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
fn a_place_that_is_unreadable_from_the_start_costs_only_its_own_records() {
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
        // The next process waits for it again, and publishes the rest of the segment at most once more.
        drop(publisher);
        let mut publisher = Publisher::new(&disk);
        assert!(publisher.read_for(PATIENCE * 4), "{case}");
        assert_eq!(publisher.read.len() as u64 + lost, 80, "{case}");
    }
}

#[test]
fn what_was_passed_over_and_is_published_is_not_waited_for_again() {
    let disk = forty();
    let name = segments(&disk).remove(0);
    disk.wear_out(&name, 5 * PAGE..6 * PAGE);
    let mut publisher = Publisher::new(&disk);
    publisher.read_for(PATIENCE * 2);
    publisher.core.truncate(9);
    publisher.core.maintenance.step();
    drop(publisher);
    let mut publisher = Publisher::new(&disk);
    publisher.read().expect("nothing is waited for");
    assert_eq!(publisher.read, (10..80).collect::<Vec<_>>());
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
}

#[test]
fn a_start_keeps_a_segment_whole_that_is_set_aside_though_it_is_the_last() {
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

#[test]
fn a_spare_whose_first_page_cannot_be_read_hides_no_damage_before_it() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..15 {
        core.append(&[body(100)]).expect("it is appended");
    }
    core.maintenance.step();
    drop(core);
    let names = segments(&disk);
    disk.damage(&names[0], |bytes| {
        for record in [8, 9, 10, 14] {
            bytes[record * PAGE + 80..record * PAGE + 120].fill(0xa5);
        }
    });
    disk.wear_out(&names[1], 0..PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(!publisher.read_for(STEP * 3));
    assert_eq!(publisher.count("journal_corrupt_records_total"), 4);
    assert_eq!(publisher.read, [0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13]);
    // Readable again, it turns out to be empty: nothing is missing, and nothing is read twice.
    disk.wear_out(&names[1], 0..0);
    publisher.now += STEP;
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read.len(), 11);
    assert_eq!(publisher.core.unpublished(), 11);
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
}

#[test]
fn what_the_first_page_of_an_open_s_first_segment_held_is_counted_exactly() {
    let disk = FaultyFs::with_page(PAGE as u64);
    drop(Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens"));
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("it opens again, a stride further on");
    core.append(&[body(40), body(40), body(40)])
        .expect("three in the header's page");
    core.append(&[body(40)]).expect("one behind it");
    core.maintenance.checkpoint().expect("it is written");
    drop(core);
    let name = segments(&disk)
        .into_iter()
        .find(|name| disk.bytes(name).first() == Some(&b'r'))
        .expect("one was written to");
    disk.wear_out(&name, 0..PAGE);
    // The newest checkpoint knows it, and so does an older one, of before the first record.
    for lost_slots in [0..0, 0..8192] {
        let disk = disk.crash(&mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1));
        disk.damage("checkpoint", |bytes| {
            // The second part of both slots.
            for slot in [0, 4096] {
                if !lost_slots.is_empty() {
                    bytes[slot + 60..slot + 100].fill(0);
                }
            }
        });
        let mut publisher = Publisher::new(&disk);
        assert!(publisher.read_for(PATIENCE * 3));
        assert_eq!(publisher.read.len(), 1);
        assert_eq!(publisher.count("journal_unreadable_records_total"), 3);
        assert_eq!(publisher.count("journal_recovered_events"), 4);
    }
}

#[test]
fn what_was_only_estimated_is_no_damage_once_it_can_be_read() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    core.append(&[body(40)]).expect("it is appended");
    core.append(&[body(40)]).expect("it is appended");
    core.maintenance.checkpoint().expect("it is written");
    drop(core);
    let name = segments(&disk).remove(0);
    // Behind the last record: one more may have been there.
    disk.wear_out(&name, 2 * PAGE..3 * PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(publisher.read_for(PATIENCE * 2));
    assert_eq!(publisher.count("journal_unreadable_records_total"), 1);
    publisher
        .core
        .append(&[body(40)])
        .expect("into a new segment");
    publisher.core.maintenance.step();
    drop(publisher);
    disk.wear_out(&name, 0..0);
    let mut publisher = Publisher::new(&disk);
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read.len(), 3);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    assert_eq!(publisher.count("journal_recovered_events"), 3);
}

#[test]
fn neighbours_that_cannot_be_read_at_all_are_counted_exactly_once_the_next_one_tells() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..80 {
        core.append(&[body(600), body(100)])
            .expect("it is appended");
    }
    core.maintenance.step();
    drop(core);
    let names = segments(&disk);
    assert!(names.len() >= 5, "{names:?}");
    let whole = usize::try_from(SEGMENT).expect("a small number");
    for (name, unreadable) in [(&names[0], whole), (&names[1], whole), (&names[2], PAGE)] {
        disk.wear_out(name, 0..unreadable);
    }
    let mut publisher = Publisher::new(&disk);
    disk.wear_out(&names[2], 0..0);
    assert!(publisher.read_for(PATIENCE * 8));
    let lost = publisher.count("journal_unreadable_records_total");
    assert!(lost > 40, "{lost}");
    assert_eq!(publisher.read.len() as u64 + lost, 160);
    assert_eq!(publisher.count("journal_recovered_events"), 160);
    assert_eq!(publisher.core.unpublished(), publisher.read.len() as u64);
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
    assert_eq!(unread_names(&disk).len(), 2);
}

#[test]
fn reserved_space_that_can_be_read_does_not_speak_for_the_device() {
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..4 {
        core.append(&[body(100)]).expect("it is appended");
    }
    core.maintenance.step();
    drop(core);
    // All that was written; the rest of the file and the spare answer with zeros.
    let name = segments(&disk).remove(0);
    disk.wear_out(&name, 0..4 * PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(!publisher.read_for(PATIENCE * 10));
    assert_eq!(publisher.count("journal_unreadable_records_total"), 0);
    assert_eq!(unread_names(&disk), [] as [String; 0]);
    disk.wear_out(&name, 0..0);
    publisher.now += STEP;
    publisher.read().expect("all can be read");
    assert_eq!(publisher.read, [0, 1, 2, 3]);
}

#[test]
fn intact_records_behind_an_unreadable_page_are_delivered_though_the_next_header_is_damaged() {
    let disk = forty();
    let names = segments(&disk);
    disk.damage(&names[1], |bytes| bytes[17] ^= 1);
    disk.wear_out(&names[0], 4 * PAGE..5 * PAGE);
    let mut publisher = Publisher::new(&disk);
    assert!(publisher.read_for(PATIENCE * 4));
    let lost = publisher.count("journal_unreadable_records_total");
    assert_eq!(publisher.read.len() as u64 + lost, 80);
    assert!((1..=2).contains(&lost), "{lost}");
    assert_eq!(publisher.count("journal_corrupt_records_total"), 0);
}
