//! An inspection finds what a relay that opened the journal would find, and leaves every byte as it was.

use rand::SeedableRng as _;
use ringback::journal::Record;
use ringback::journal::inspect::{Content, Damage, InspectError, Inspection, Item};

use crate::support::core::{Body, Core};
use crate::support::faulty_fs::FaultyFs;

const SEGMENT: u64 = 4096;
const BUDGET: u64 = 64 << 10;

fn body(size: usize) -> Body {
    Body((0..size).map(|at| (at % 251) as u8).collect())
}

fn open(disk: &FaultyFs) -> Core {
    Core::open(disk, SEGMENT, BUDGET).expect("the journal opens")
}

fn copy(disk: &FaultyFs) -> FaultyFs {
    disk.crash(&mut rand::rngs::StdRng::seed_from_u64(1))
}

fn segments(disk: &FaultyFs) -> Vec<String> {
    let names = disk.names().into_iter();
    names.filter(|name| name.ends_with(".segment")).collect()
}

struct Found {
    records: Vec<Record>,
    damage: Vec<Damage>,
    missing: u64,
    torn: u64,
    watermark: u64,
}

impl Found {
    /// Unpublished records that are gone.
    fn lost(&self) -> u64 {
        let ranges = self.damage.iter().map(|damage| &damage.positions);
        let lost = ranges.map(|range| range.end.saturating_sub(range.start.max(self.watermark)));
        self.missing + lost.sum::<u64>()
    }
}

fn inspect(disk: &FaultyFs) -> Found {
    let files = |disk: &FaultyFs| -> Vec<_> {
        let names = disk.names().into_iter();
        names.map(|name| (disk.bytes(&name), name)).collect()
    };
    let before = files(disk);
    disk.take_log();
    let inspection = Inspection::open(disk.clone()).expect("there is a journal");
    let mut found = Found {
        records: Vec::new(),
        damage: Vec::new(),
        missing: inspection.missing(),
        torn: 0,
        watermark: inspection.watermark(),
    };
    for segment in &inspection.segments {
        if let Content::Torn(bytes) = segment.content {
            found.torn += bytes;
        }
    }
    for item in inspection.walk(0) {
        match item.expect("the disk in memory can be read") {
            Item::Record(record) => found.records.push(Record {
                position: record.position,
                payload: record.payload,
                body: bytes::Bytes::new(),
            }),
            Item::Damage(damage) => found.damage.push(damage),
            item @ Item::Unreadable { .. } => panic!("the disk in memory is read: {item:?}"),
            Item::Tail { bytes, .. } => found.torn += bytes.end - bytes.start,
        }
    }
    assert_eq!(disk.take_log(), Vec::<String>::new(), "nothing is synced");
    assert!(before == files(disk), "nothing is changed");
    found
}

/// What a relay that opens this disk would publish, and what it would count as lost.
fn recover(disk: &FaultyFs) -> (Vec<Record>, u64, u64) {
    let mut core = open(disk);
    let records = core.read_all();
    let lost = core.metric("journal_corrupt_records_total");
    (records, lost, core.recovery.torn_bytes)
}

fn unpublished(found: &Found) -> Vec<Record> {
    let records = found.records.iter();
    let unpublished = records.filter(|record| record.position >= found.watermark);
    unpublished.cloned().collect()
}

#[test]
fn any_single_flipped_bit_is_seen_as_recovery_sees_it() {
    for published in [None, Some(1)] {
        let disk = FaultyFs::default();
        for _ in 0..2 {
            let mut core = open(&disk);
            core.append(&[body(20), body(100), body(33)])
                .expect("it is appended");
            if let Some(upto) = published {
                core.truncate(upto);
                core.upkeep.checkpoint().expect("it is written");
            }
        }
        let intact = inspect(&disk);
        assert_eq!(intact.records.len(), 6);
        assert_eq!((intact.lost(), intact.torn), (0, 0));
        let mut damaged = 0;
        for name in segments(&disk) {
            let written = disk.bytes(&name).iter().rposition(|byte| *byte != 0);
            for bit in 0..written.map_or(0, |last| last + 1) * 8 {
                let flipped = copy(&disk);
                flipped.damage(&name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
                let found = inspect(&flipped);
                let (records, lost, torn) = recover(&flipped);
                assert_eq!(unpublished(&found), records, "{name} bit {bit}");
                assert_eq!(found.lost(), lost, "{name} bit {bit}");
                assert_eq!(found.torn, torn, "{name} bit {bit}");
                damaged += u64::from(!found.damage.is_empty());
            }
        }
        assert!(damaged > 1_000, "only {damaged} flips were found");
    }
}

#[test]
fn a_write_torn_at_any_byte_is_seen_as_recovery_sees_it() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    core.append(&[body(20), body(100)]).expect("it is appended");
    let name = segments(&disk).remove(0);
    let whole = disk.bytes(&name);
    let used = whole.iter().rposition(|byte| *byte != 0).expect("records") + 1;
    drop(core);
    for length in 0..used {
        let torn = copy(&disk);
        torn.damage(&name, |bytes| bytes[length..].fill(0));
        let found = inspect(&torn);
        let (records, lost, torn) = recover(&torn);
        assert_eq!(found.records, records, "cut at {length}");
        assert_eq!((found.lost(), found.torn), (lost, torn), "cut at {length}");
    }
}

#[test]
fn a_missing_segment_is_counted() {
    for which in 0..2 {
        let disk = FaultyFs::default();
        let mut core = open(&disk);
        for _ in 0..6 {
            core.append(&[body(1500)]).expect("it is appended");
        }
        drop(core);
        disk.lose_file(&segments(&disk)[which]);
        let found = inspect(&disk);
        assert_eq!(found.records.len(), 4, "segment {which}");
        assert_eq!(found.lost(), 2, "segment {which}");
    }
}

#[test]
fn segments_that_are_gone_are_counted_as_a_relay_counts_them_whatever_strides_lie_between() {
    // Three opens of ten records each in a segment of its own, or in four.
    for (size, lost) in [
        (40, &[1][..]),
        (40, &[2]),
        (1500, &[5]),
        (1500, &[4, 5]),
        (1500, &[13, 14]),
        (1500, &[14]),
        (1500, &[4, 14]),
    ] {
        let disk = FaultyFs::default();
        for _ in 0..3 {
            let mut core = open(&disk);
            for _ in 0..10 {
                core.append(&[body(size)]).expect("it is appended");
            }
            core.upkeep.checkpoint().expect("it is written");
        }
        let mut names = segments(&disk);
        names.retain(|name| disk.bytes(name).first() == Some(&b'r'));
        for which in lost {
            disk.lose_file(&names[*which]);
        }
        let case = format!("{lost:?} of {}", names.len());
        let found = inspect(&disk);
        let (records, counted, _) = recover(&disk);
        assert_eq!(found.records, records, "{case}");
        assert_eq!(found.lost(), counted, "{case}");
        assert_eq!(counted, 30 - records.len() as u64, "{case}");
    }
}

#[test]
fn without_a_checkpoint_every_record_is_listed() {
    let disk = FaultyFs::default();
    open(&disk)
        .append(&[body(20), body(100)])
        .expect("it is appended");
    disk.lose_file("checkpoint");
    let inspection = Inspection::open(disk.clone()).expect("the header has the id");
    assert_eq!(inspection.checkpoint, None);
    assert_eq!(inspect(&disk).records.len(), 2);
}

#[test]
fn a_walk_may_begin_anywhere_and_skips_whole_segments() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..6 {
        core.append(&[body(1500)]).expect("it is appended");
    }
    let inspection = Inspection::open(disk.clone()).expect("there is a journal");
    let positions = inspection.walk(4).filter_map(|item| match item {
        Ok(Item::Record(record)) => Some(record.position),
        _ => None,
    });
    assert_eq!(positions.collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn a_folder_without_a_journal_has_its_own_error() {
    let disk = FaultyFs::default();
    assert!(matches!(
        Inspection::open(disk.clone()),
        Err(InspectError::Empty)
    ));
    let disk = FaultyFs::default();
    drop(open(&disk));
    disk.lose_file("checkpoint");
    assert!(matches!(
        Inspection::open(disk.clone()),
        Err(InspectError::NoJournal)
    ));
}
