//! Journals that earlier versions of ringback wrote are read, counted and reported as they were left.
//!
//! `tests/fixtures/journals` has them, and the program that wrote them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bytesize::ByteSize;
use ringback::event::{Carried, Event};
use ringback::journal::inspect::{Content, Folder, Inspection, Item};
use ringback::journal::{self, Config, Metrics};
use ringback::telemetry::Registry;

/// The first release, and the last version whose recovery acted as it decided.
const VERSIONS: [&str; 2] = ["v0_1", "v0_1_later"];

/// What is found in a journal.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Unpublished events, each by the number in its body.
    events: Vec<u64>,
    resume_at: u64,
    recovered: u64,
    missing: u64,
    torn_bytes: u64,
    corrupt: u64,
    /// Events that still count as unpublished after all were read.
    unpublished: u64,
}

/// A copy of this journal, with the zeros at its files' ends that the fixture leaves out.
fn restore(version: &str, kind: &str) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/journals")
        .join(version)
        .join(kind);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let lengths = fs::read_to_string(from.join("lengths")).expect("it has its files' lengths");
    for line in lengths.lines() {
        let (name, length) = line.split_once(' ').expect("a name and a length");
        let to = folder.path().join(name);
        fs::create_dir_all(to.parent().expect("it is in a folder")).expect("it can be made");
        fs::copy(from.join(name), &to).expect("it can be copied");
        let file = fs::File::options()
            .write(true)
            .open(to)
            .expect("it is there");
        file.set_len(length.parse().expect("a number"))
            .expect("it can be extended");
    }
    folder
}

fn body(index: u64) -> String {
    let padding = "x".repeat(1_000 + usize::try_from(index).expect("a small number"));
    format!(r#"{{"event":"call_ended","call":{{"call_id":"call-{index}"}},"padding":"{padding}"}}"#)
}

/// Checks every byte of the event and returns its number.
fn number(payload: &[u8]) -> u64 {
    let event = Event::decode(payload).expect("it is an event");
    let number = event.received_ms - 1_764_000_000_000;
    let body = body(number);
    let expected = Event {
        received_ms: event.received_ms,
        source: "retell",
        kind: "call_ended",
        key: Some("call"),
        id: "fixture",
        content_type: "application/json",
        traceparent: "",
        tracestate: "",
        carried: Carried::default(),
        is_unparsed: false,
        body: body.as_bytes(),
    };
    assert_eq!(event, expected);
    number
}

/// Opens the journal, reads all of it and closes it.
fn open(folder: &Path) -> Found {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).expect("fresh metrics can be registered");
    let config = Config {
        path: folder.to_owned(),
        segment_size: ByteSize::kib(32),
        ..Config::default()
    };
    let mut journal = journal::open(&config, metrics).expect("the journal opens");
    let mut found = Found {
        resume_at: journal.recovery.resume_at,
        recovered: journal.recovery.recovered_events,
        missing: journal.recovery.missing_events,
        torn_bytes: journal.recovery.torn_bytes,
        ..Found::default()
    };
    let read = |journal: &mut journal::Journal| journal.reader.next_record(Instant::now());
    while let Some(record) = read(&mut journal).expect("the disk can be read") {
        let number = number(&record.payload);
        assert_eq!(
            number, record.position,
            "each was appended under its number"
        );
        found.events.push(number);
    }
    found.unpublished = journal.truncator.unpublished();
    let families = registry.gather();
    let corrupt = families
        .iter()
        .find(|family| family.name() == "journal_corrupt_records_total");
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let corrupt = corrupt.expect("it is registered").get_metric()[0]
        .get_counter()
        .get_value() as u64;
    found.corrupt = corrupt;
    drop((journal.appender, journal.reader));
    journal.truncator.close().expect("the journal closes");
    found
}

/// What an inspection finds: positions of records, lost positions, bytes of a torn tail.
fn inspect(folder: &Path) -> (Vec<u64>, Vec<u64>, u64) {
    let inspection = Inspection::open(Folder::open(folder).expect("there is a folder"));
    let inspection = inspection.expect("there is a journal");
    assert_eq!(inspection.missing(), 0);
    assert!(inspection.checkpoint.is_some());
    assert!(
        inspection
            .segments
            .iter()
            .all(|segment| matches!(segment.content, Content::Sound { .. } | Content::Spare)),
        "every header is sound"
    );
    let (mut records, mut lost, mut tail) = (Vec::new(), Vec::new(), 0);
    for item in inspection.walk(0) {
        match item.expect("the disk can be read") {
            Item::Record(record) => {
                assert_eq!(number(&record.payload), record.position);
                records.push(record.position);
            }
            Item::Damage(damage) => lost.extend(damage.positions),
            Item::Tail { bytes, .. } => tail += bytes.end - bytes.start,
            Item::Unreadable { .. } => panic!("everything can be read"),
        }
    }
    (records, lost, tail)
}

fn names(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("it can be listed");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let mut paths: Vec<_> = paths
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        })
        .collect();
    paths.sort_unstable();
    paths
}

#[test]
fn a_journal_that_was_closed_goes_on_after_its_watermark() {
    for version in VERSIONS {
        let folder = restore(version, "clean");
        assert_eq!(inspect(folder.path()), ((0..5).collect(), vec![], 0));
        let expected = Found {
            events: vec![2, 3, 4],
            resume_at: 2,
            recovered: 3,
            unpublished: 3,
            ..Found::default()
        };
        assert_eq!(open(folder.path()), expected, "{version}");
        // Once more, on the journal as this version has left it.
        assert_eq!(open(folder.path()), expected, "{version}");
    }
}

#[test]
fn a_torn_tail_is_cut_and_a_copy_of_it_is_kept() {
    for version in VERSIONS {
        let folder = restore(version, "torn");
        let (records, lost, torn) = inspect(folder.path());
        assert_eq!((records, lost), ((0..5).collect(), vec![]), "{version}");
        assert!(torn > 500, "{torn}");
        let expected = Found {
            events: (0..5).collect(),
            recovered: 5,
            torn_bytes: torn,
            unpublished: 5,
            ..Found::default()
        };
        assert_eq!(open(folder.path()), expected, "{version}");
        let copies = names(folder.path(), "torn-");
        assert_eq!(copies.len(), 1, "{version}");
        let copy = fs::metadata(&copies[0]).expect("it is there");
        assert_eq!(copy.len(), torn, "{version}");
    }
}

#[test]
fn a_damaged_record_is_counted_copied_and_passed_over() {
    for version in VERSIONS {
        let folder = restore(version, "damaged");
        assert_eq!(inspect(folder.path()), (vec![0, 1, 3, 4], vec![2], 0));
        let expected = Found {
            events: vec![0, 1, 3, 4],
            recovered: 5,
            corrupt: 1,
            unpublished: 4,
            ..Found::default()
        };
        assert_eq!(open(folder.path()), expected, "{version}");
        assert_eq!(names(folder.path(), "quarantine-").len(), 1, "{version}");
    }
}

#[test]
fn a_full_segment_and_the_next_one_are_read_as_one_journal() {
    for version in VERSIONS {
        let folder = restore(version, "full");
        assert_eq!(inspect(folder.path()), ((0..40).collect(), vec![], 0));
        let expected = Found {
            events: (0..40).collect(),
            recovered: 40,
            unpublished: 40,
            ..Found::default()
        };
        assert_eq!(open(folder.path()), expected, "{version}");
    }
}

#[test]
fn quarantine_and_dead_letters_of_an_earlier_version_stay_and_are_listed() {
    for version in VERSIONS {
        let folder = restore(version, "set_aside");
        let (records, lost, _) = inspect(folder.path());
        assert_eq!((records, lost), (vec![0, 2, 3, 4], vec![1]), "{version}");
        let copies = names(folder.path(), "quarantine-");
        assert_eq!(copies.len(), 1, "{version}");
        let expected = Found {
            events: vec![3, 4],
            resume_at: 3,
            recovered: 2,
            unpublished: 2,
            ..Found::default()
        };
        assert_eq!(open(folder.path()), expected, "{version}");
        assert_eq!(names(folder.path(), "quarantine-"), copies, "{version}");
        let list = Command::new(env!("CARGO_BIN_EXE_ringback"))
            .args(["dead-letter", "list", "--json", "--path"])
            .arg(folder.path())
            .output()
            .expect("the binary runs");
        let text = String::from_utf8_lossy(&list.stdout);
        assert!(
            list.status.success(),
            "{}",
            String::from_utf8_lossy(&list.stderr)
        );
        let letter: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!(letter["position"], 2, "{version}");
        assert_eq!(letter["reason"], "too_large", "{version}");
        assert_eq!(letter["key"], "call", "{version}");
    }
}
