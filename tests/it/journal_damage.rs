//! The journal over damaged and missing segments: only what is damaged is lost, and it is counted.

use crate::support::core::{BUDGET, Core, SEGMENT, body, open, segments};
use crate::support::faulty_fs::FaultyFs;
use ringback::journal::disk::filesystem::FileSystem as _;

#[test]
fn any_single_flipped_bit_loses_at_most_its_own_record_and_is_counted() {
    // Two segments, the first sealed by a restart, the second with a tail.
    let disk = FaultyFs::default();
    for _ in 0..2 {
        let mut core = open(&disk);
        core.append(&[body(20), body(100), body(33)])
            .expect("it is appended");
    }
    let names = segments(&disk);
    let intact: Vec<_> = open(&disk.crash(&mut quiet())).read_all();
    assert_eq!(intact.len(), 6);
    for name in &names {
        let written = disk
            .bytes(name)
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for bit in 0..written * 8 {
            let copy = disk.crash(&mut quiet());
            copy.damage(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            let mut core = match Core::open(&copy, SEGMENT, BUDGET) {
                Ok(core) => core,
                // An open refuses another version or id only under a right CRC, and a flipped bit makes the CRC wrong.
                Err(error) => panic!("{name} bit {bit}: {error}"),
            };
            let records = core.read_all();
            let lost = intact
                .iter()
                .filter(|record| !records.contains(record))
                .count();
            assert!(
                records.iter().all(|record| intact.contains(record)),
                "{name} bit {bit}: invented"
            );
            assert!(lost <= 1, "{name} bit {bit}: {lost} lost");
            assert!(
                records.is_sorted_by_key(|record| record.position),
                "{name} bit {bit}: out of order"
            );
            let counted = core.metric("journal_corrupt_records_total");
            let is_last_of_tail = *name == names[1] && core.recovery.torn_bytes > 0;
            assert!(
                counted == lost as u64 || (is_last_of_tail && counted == 0),
                "{name} bit {bit}: {counted} of {lost}"
            );
            assert_eq!(core.unpublished(), records.len() as u64, "{name} bit {bit}");
            let set_aside = copy
                .names()
                .iter()
                .any(|name| name.starts_with("quarantine-"));
            assert_eq!(
                set_aside,
                counted > 0,
                "{name} bit {bit}: a copy is made of what is counted"
            );
        }
    }
}

fn quiet() -> rand::rngs::StdRng {
    rand::SeedableRng::seed_from_u64(1)
}

#[test]
fn the_positions_that_an_open_skips_do_not_count_as_missing() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    core.append(&[body(10)]).expect("it is appended");
    core.read_all();
    core.truncate(0);
    core.upkeep.step();
    drop(core);
    let mut core = open(&disk);
    let before = segments(&disk);
    for _ in 0..6 {
        core.append(&[body(1500)]).expect("it is appended");
    }
    drop(core);
    let first = segments(&disk)
        .into_iter()
        .find(|name| !before.contains(name) || before.last() == Some(name));
    disk.lose_file(&first.expect("a segment of its own"));
    let mut core = open(&disk);
    let left = core.read_all().len() as u64;
    assert!((3..6).contains(&left), "{left} left");
    assert_eq!(core.metric("journal_corrupt_records_total"), 6 - left);
    assert_eq!(core.metric("journal_recovered_events"), 6);
}

#[test]
fn a_missing_segment_is_counted_and_the_rest_delivered() {
    for which in 0..2 {
        let disk = FaultyFs::default();
        let mut core = open(&disk);
        for _ in 0..6 {
            core.append(&[body(1500)]).expect("it is appended");
        }
        drop(core);
        let names = segments(&disk);
        disk.lose_file(&names[which]);
        let mut core = open(&disk);
        assert_eq!(core.read_all().len(), 4, "segment {which}");
        assert_eq!(
            core.metric("journal_corrupt_records_total"),
            2,
            "segment {which}"
        );
        assert_eq!(core.unpublished(), 4);
        assert_eq!(core.metric("journal_recovered_events"), 6);
    }
}

#[test]
fn a_lost_last_record_is_counted_though_the_next_header_is_damaged_too() {
    let disk = FaultyFs::default();
    for _ in 0..2 {
        // An open's stride lies between the two segments, so the second one's positions do not show where the first ended.
        let mut core = open(&disk);
        core.append(&[body(40), body(40)]).expect("it is appended");
    }
    let names = segments(&disk);
    // Records of 64 bytes after a header of 72.
    disk.damage(&names[0], |bytes| bytes[72 + 64 + 30] ^= 1);
    disk.damage(&names[1], |bytes| bytes[17] ^= 1);
    let mut core = open(&disk);
    assert_eq!(core.read_all().len(), 3);
    assert_eq!(core.metric("journal_corrupt_records_total"), 1);
    assert_eq!(core.unpublished(), 3);
}

#[test]
fn a_position_is_not_used_again_though_nothing_is_left_of_its_record() {
    let disk = FaultyFs::default();
    drop(open(&disk));
    let first = open(&disk)
        .append(&[body(20)])
        .expect("it is appended after a stride");
    for name in segments(&disk) {
        disk.damage(&name, |bytes| bytes.fill(0));
    }
    let second = open(&disk).append(&[body(21)]).expect("it is appended");
    assert!(first[0] < second[0], "{first:?} was used again: {second:?}");
}

#[test]
fn the_first_position_is_not_used_again_though_its_record_is_damaged_and_the_checkpoint_lost() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    let first = core.append(&[body(20)]).expect("it is appended");
    drop(core);
    disk.damage(&segments(&disk)[0], |bytes| bytes[72 + 30] ^= 1);
    disk.lose_file("checkpoint");
    let second = open(&disk).append(&[body(21)]).expect("it is appended");
    assert!(first[0] < second[0], "{first:?} was used again: {second:?}");
}

#[test]
fn a_segment_with_only_one_late_record_left_is_no_torn_tail() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    let records: Vec<_> = (0..150).map(|_| body(40)).collect();
    core.append(&records).expect("it is appended");
    core.append(&[body(40), body(40)]).expect("it is appended");
    // Records of 64 bytes after a header of 72, in segments of 4,096.
    let end = 62 + 62;
    core.truncate(end - 1);
    core.upkeep.step();
    drop(core);
    // The last segment, alone since the others are published, loses its header and its first record.
    let name = segments(&disk).remove(0);
    disk.damage(&name, |bytes| {
        bytes[17] ^= 1;
        bytes[72 + 30] ^= 1;
    });
    let mut core = open(&disk);
    let positions: Vec<_> = core.read_all().iter().map(|read| read.position).collect();
    assert_eq!(positions, (end + 1..152).collect::<Vec<_>>());
}

#[test]
fn damaged_reserved_space_before_a_damaged_header_costs_no_record() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..2 {
        core.append(&[body(2500)]).expect("it is appended");
    }
    drop(core);
    let names = segments(&disk);
    disk.damage(&names[0], |bytes| bytes[4_000] ^= 1);
    disk.damage(&names[1], |bytes| bytes[17] ^= 1);
    let mut core = open(&disk);
    assert_eq!(core.read_all().len(), 2);
    assert_eq!(core.metric("journal_corrupt_records_total"), 0);
}

#[test]
fn known_damage_that_grows_is_not_counted_twice() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    let records: Vec<_> = (0..6).map(|_| body(40)).collect();
    core.append(&records).expect("it is appended");
    let name = segments(&disk).remove(0);
    // Records of 64 bytes after a header of 72.
    for (record, counted) in [(3, 1), (2, 2), (4, 3)] {
        disk.damage(&name, |bytes| bytes[72 + record * 64 + 30] ^= 1);
        core.reader.seek(0);
        assert_eq!(core.read_all().len() as u64, 6 - counted);
        assert_eq!(core.metric("journal_corrupt_records_total"), counted);
        assert_eq!(core.unpublished(), 6 - counted);
    }
}

/// Three segments of two records each.
fn three() -> FaultyFs {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..6 {
        core.append(&[body(1500)]).expect("it is appended");
    }
    disk
}

#[test]
fn a_missing_segment_is_counted_though_the_next_header_is_damaged() {
    let disk = three();
    let names = segments(&disk);
    disk.lose_file(&names[0]);
    disk.damage(&names[1], |bytes| bytes[17] ^= 1);
    let mut core = open(&disk);
    let positions: Vec<_> = core.read_all().iter().map(|read| read.position).collect();
    assert_eq!(positions, [2, 3, 4, 5]);
    assert_eq!(core.metric("journal_corrupt_records_total"), 2);
    assert_eq!(core.metric("journal_recovered_events"), 6);
}

#[test]
fn an_open_counts_the_bytes_that_the_previous_process_counted() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..6 {
        core.append(&[body(1500)]).expect("it is appended");
    }
    core.read_all();
    core.truncate(2);
    core.upkeep.step();
    let before = core.metric("journal_bytes");
    assert!(before >= 3 * 1500, "{before}");
    drop(core);
    let after = open(&disk).metric("journal_bytes");
    // After an open a full segment counts whole, with the room at its end that was too short for a record.
    let room = 2 * 1500;
    assert!((before..before + room).contains(&after), "{before} {after}");
}

#[test]
fn a_copy_that_a_killed_process_left_short_is_completed() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    core.append(&[body(40), body(40)]).expect("it is appended");
    let name = segments(&disk).remove(0);
    disk.damage(&name, |bytes| bytes[72 + 30] ^= 1);
    let copy = format!("quarantine-{:016x}-{:08x}", 0, 72);
    disk.create(&copy).expect("it is begun");
    assert_eq!(core.read_all().len(), 1);
    assert_eq!(disk.bytes(&copy), disk.bytes(&name)[72..72 + 64]);
}

#[test]
fn an_incomplete_first_write_is_torn_and_nothing_is_missing() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    core.append(&[body(3000)]).expect("it is appended");
    core.append(&[body(3000)]).expect("it is appended");
    drop(core);
    let names = segments(&disk);
    disk.damage(&names[1], |bytes| {
        bytes[17] ^= 1;
        bytes[72 + 30] ^= 1;
    });
    let core = open(&disk);
    let written = 72 + 24 + 3000;
    let torn = core.recovery.torn_bytes;
    assert!((written - 8..=written).contains(&torn), "{torn}");
    assert_eq!(core.recovery.missing_events, 0);
    assert_eq!(core.unpublished(), 1);
    // The empty file keeps its number in use until an open finds a newer one.
    assert!(disk.bytes(&names[1]).is_empty());
    drop(core);
    drop(open(&disk));
    assert!(!disk.names().contains(&names[1]));
}
