//! Segments that were set aside, drained after a repair that was not perfect: a rescue tool fills what it could not read with zeros.

use std::fs;
use std::path::{Path, PathBuf};

use ringback::journal::format::set_aside::{KnownExtent, SetAsideName};

use super::{SMALL, leave, run, status, text};
use crate::support::mock_kafka::MockKafka;
use crate::support::server::write_config;

const EVENTS: usize = 30;
/// Each batch begins on a page of its own, and each event is a batch.
const PAGE: usize = 4096;

/// An empty journal, and a segment that it had.
struct Site {
    folder: tempfile::TempDir,
    segment: Vec<u8>,
    /// What the journal knew of the segment.
    known: KnownExtent,
}

impl Site {
    fn new(kafka: &MockKafka) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        leave(folder.path(), EVENTS);
        let segment = fs::read(folder.path().join("journal/0000000000000000.segment"));
        let segment = segment.expect("it is there");
        write_config(folder.path(), &kafka.bootstrap, "", SMALL);
        let output = run(folder.path(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let used = segment.iter().rposition(|byte| *byte != 0);
        Self {
            known: KnownExtent {
                journal_id: segment[16..32].try_into().expect("an id"),
                first: 0,
                end: EVENTS as u64,
                used: (used.expect("records") as u64 + 1).next_multiple_of(8),
            },
            folder,
            segment,
        }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// Puts a segment aside under the name that it has with this knowledge.
    fn put(&self, known: Option<KnownExtent>, segment: &[u8]) -> PathBuf {
        let name = SetAsideName {
            sequence: 0,
            known,
            copy: 0,
        };
        let path = self.journal().join(name.to_string());
        fs::write(&path, segment).expect("it can be written");
        path
    }

    /// Drains; returns the exit code and what was printed.
    fn drain(&self) -> (Option<i32>, String) {
        let output = run(self.folder.path(), &[]);
        let words = text(&output.stdout) + &text(&output.stderr);
        (output.status.code(), words)
    }
}

fn files(journal: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(journal).expect("it is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let mut paths: Vec<_> = paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(kind)
        })
        .collect();
    paths.sort();
    paths
}

#[test]
fn a_repaired_segment_is_removed_only_if_all_its_events_are_published_and_the_missing_ones_are_counted()
 {
    let kafka = MockKafka::start();
    let site = Site::new(&kafka);
    let mut total = EVENTS;
    let page = |number: usize| number * PAGE;
    type Change = fn(&mut Vec<u8>, fn(usize) -> usize);
    let cases: [(&str, usize, Change); 6] = [
        ("intact", 30, |_, _| {}),
        ("shorter", 25, |bytes, page| bytes.truncate(page(25))),
        ("zeros in the middle", 28, |bytes, page| {
            bytes[page(10)..page(12)].fill(0);
        }),
        ("zeros at both ends", 22, |bytes, page| {
            bytes[..page(3)].fill(0);
            bytes[page(25)..].fill(0);
        }),
        ("no header", 30, |bytes, _| bytes[..64].fill(0)),
        ("zeros", 0, |bytes, _| bytes.fill(0)),
    ];
    for (case, published, change) in cases {
        let mut segment = site.segment.clone();
        change(&mut segment, page);
        let path = site.put(Some(site.known), &segment);
        let (code, words) = site.drain();
        let found = format!("{published} of 30 events published");
        assert!(words.contains(&found), "{case}: {words}");
        let missing = format!(", {} missing", 30 - published);
        assert_eq!(words.contains(&missing), published < 30, "{case}: {words}");
        assert_eq!(code, Some(i32::from(published < 30)), "{case}: {words}");
        assert_eq!(path.exists(), published < 30, "{case}");
        if published < 30 {
            assert!(words.contains("the segment stays"), "{case}: {words}");
            assert!(words.contains("1 segment set aside"), "{case}: {words}");
            assert!(words.contains("records lost to damage"), "{case}: {words}");
            assert!(fs::read(&path).expect("it stays") == segment, "{case}");
            fs::remove_file(&path).expect("it is there");
        }
        assert_eq!(
            files(&site.journal(), "drain-"),
            [] as [PathBuf; 0],
            "{case}"
        );
        total += published;
    }
    kafka.read(total);
}

#[test]
fn what_a_segment_has_beyond_what_was_known_of_it_is_published_too_and_a_torn_write_behind_it_is_kept()
 {
    let kafka = MockKafka::start();
    let site = Site::new(&kafka);
    let known = site.known;
    let mut headless = site.segment.clone();
    headless[..64].fill(0);
    for (known, segment) in [
        // It got more records after it was set aside.
        (
            KnownExtent {
                end: 20,
                used: known.used - 10 * PAGE as u64,
                ..known
            },
            &site.segment,
        ),
        // An unreadable end counted as one record.
        (KnownExtent { end: 20, ..known }, &site.segment),
        // So did an unreadable beginning.
        (KnownExtent { first: 9, ..known }, &headless),
    ] {
        let path = site.put(Some(known), segment);
        let (code, words) = site.drain();
        assert!(words.contains("30 of 30 events published"), "{words}");
        assert_eq!(code, Some(0), "{words}");
        assert!(!path.exists());
    }
    let mut torn = site.segment.clone();
    torn[30 * PAGE..30 * PAGE + 600].fill(7);
    site.put(Some(known), &torn);
    let (code, words) = site.drain();
    assert_eq!(code, Some(0), "{words}");
    let kept = files(&site.journal(), "torn-");
    assert_eq!(kept.len(), 1);
    assert!(
        fs::read(&kept[0])
            .expect("it is there")
            .ends_with(&[7; 600])
    );
    kafka.read(EVENTS * 5);
}

#[test]
fn a_segment_without_a_known_end_stays_though_all_that_it_has_is_published() {
    let kafka = MockKafka::start();
    let site = Site::new(&kafka);
    let mut segment = site.segment.clone();
    segment[25 * PAGE..].fill(0);
    // As an older ringback named it.
    let path = site.put(None, &segment);
    assert!(path.ends_with("unreadable-0000000000000000.segment"));
    assert_eq!(status(&site.journal())["set_aside"]["count"], 1);
    let (code, words) = site.drain();
    assert_eq!(code, Some(1), "{words}");
    assert!(
        words.contains("25 of 25 events published; nothing shows how many"),
        "{words}"
    );
    assert!(words.contains("1 segment set aside"), "{words}");
    assert_eq!(files(&site.journal(), "unreadable-"), [path]);
    assert_eq!(files(&site.journal(), "drain-"), [] as [PathBuf; 0]);
    kafka.read(EVENTS + 25);
}

#[test]
fn an_earlier_journal_s_segment_is_published_as_that_journal_s_though_its_header_is_gone() {
    let kafka = MockKafka::start();
    let (earlier, site) = (Site::new(&kafka), Site::new(&kafka));
    let mut segment = earlier.segment.clone();
    segment[..PAGE].fill(0);
    // Both have the same number.
    site.put(Some(earlier.known), &segment);
    site.put(Some(site.known), &site.segment);
    let (code, words) = site.drain();
    assert_eq!(code, Some(1), "{words}");
    assert!(
        words.contains("29 of 30 events published, 1 missing"),
        "{words}"
    );
    assert!(words.contains("30 of 30 events published\n"), "{words}");
    assert_eq!(files(&site.journal(), "unreadable-").len(), 1);
    let records = kafka.read(4 * EVENTS - 1);
    let id = hex::encode(earlier.known.journal_id);
    let of_earlier = records
        .iter()
        .filter(|record| record.header("ringback_journal") == Some(&id));
    assert_eq!(of_earlier.count(), 2 * EVENTS - 1);
}

#[test]
fn a_segment_under_a_name_that_says_nothing_stays_and_is_reported() {
    let kafka = MockKafka::start();
    let site = Site::new(&kafka);
    let path = site.journal().join("unreadable-0-copy.segment");
    fs::write(&path, &site.segment).expect("it can be written");
    let (code, words) = site.drain();
    assert_eq!(code, Some(1), "{words}");
    assert!(
        words.contains("unreadable-0-copy.segment stays: give it back"),
        "{words}"
    );
    assert!(words.contains("1 segment set aside"), "{words}");
    assert!(path.exists());
}
