//! The way back to ringback 0.1 and forward again, on one journal: `.ci/downgrade` builds that release and runs these tests.
//!
//! Fixtures of 0.1 (`journal_fixtures`) hold the way forward in every `cargo test`.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ringback::event::{Carried, Event};
use ringback::journal::format::set_aside::SetAsideName;

use crate::support::core::Body;
use crate::support::faulty_fs::FaultyFs;
use crate::support::mock_kafka::{Arrived, MockKafka};
use crate::support::publisher::{PAGE, PATIENCE, Publisher, unread_names};
use crate::support::server::{self, KEY, Server, write_config};

const NOWHERE: &str = "127.0.0.1:1";
const JOURNAL: &str = "segment_size = \"1MiB\"\nbudget = \"16MiB\"";

/// A ringback of either version.
#[derive(Debug, Clone, Copy)]
enum Version {
    Old,
    New,
}

impl Version {
    const BOTH: [Self; 2] = [Self::Old, Self::New];

    fn program(self) -> PathBuf {
        match self {
            Self::Old => std::env::var_os("RINGBACK_0_1")
                .expect("RINGBACK_0_1 names the binary of 0.1")
                .into(),
            Self::New => env!("CARGO_BIN_EXE_ringback").into(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Orderly,
    Killed,
}

/// A journal, and a Kafka that is empty at first.
struct Site {
    folder: tempfile::TempDir,
    kafka: MockKafka,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("journal")).expect("it can be made");
        Self {
            folder,
            kafka: MockKafka::start(),
        }
    }

    /// A site with a copy of this one's journal.
    fn copy(&self) -> Self {
        let copy = Self::new();
        for entry in fs::read_dir(self.journal()).expect("it can be listed") {
            let entry = entry.expect("it can be listed");
            let to = copy.journal().join(entry.file_name());
            fs::copy(entry.path(), to).expect("it can be copied");
        }
        copy
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn start(&self, version: Version, bootstrap: &str) -> Server {
        let config = write_config(self.folder.path(), bootstrap, "", JOURNAL);
        Server::start_program(&version.program(), &config)
    }

    /// Accepts these events without a Kafka, and ends.
    fn accept(&self, version: Version, numbers: Range<u64>, end: End) {
        let server = self.start(version, NOWHERE);
        for number in numbers {
            assert_eq!(server.post(&body(number)), 204, "{version:?}");
        }
        match end {
            End::Orderly => {
                server.terminate();
                assert!(server.wait().success(), "{version:?}");
            }
            End::Killed => server.kill(),
        }
    }

    /// Publishes all that the journal holds; fails if the topic gets more records than this.
    fn publish(&self, version: Version, records: usize) -> Vec<Arrived> {
        let server = self.start(version, &self.kafka.bootstrap);
        let arrived = self.kafka.read(records);
        server.terminate();
        assert!(server.wait().success(), "{version:?}");
        arrived
    }

    /// What `command` of this version prints about the journal.
    fn print(&self, version: Version, command: &[&str]) -> Output {
        let output = Command::new(version.program())
            .args(command)
            .arg("--path")
            .arg(self.journal())
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{version:?}: {output:?}");
        output
    }

    fn status(&self) -> serde_json::Value {
        let output = self.print(Version::New, &["journal", "status", "--json"]);
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    }

    /// The path of the newest segment that has records.
    fn newest_segment(&self) -> PathBuf {
        let names = self.names("");
        let segments = names.iter().filter(|name| name.ends_with(".segment"));
        let paths = segments.map(|name| self.journal().join(name));
        let mut written = paths.filter(|path| fs::read(path).expect("it is there")[0] != 0);
        written.next_back().expect("one has records")
    }

    /// The names of the journal's files that begin so.
    fn names(&self, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(self.journal()).expect("it can be listed");
        let names = entries.map(|entry| entry.expect("it can be listed").file_name());
        let names = names.map(|name| name.into_string().expect("its names are ASCII"));
        let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort_unstable();
        names
    }
}

fn body(number: u64) -> Vec<u8> {
    let call = number % 3;
    format!("{{\"event\":\"call_ended\",\"call\":{{\"call_id\":\"call-{call}\"}},\"n\":{number}}}")
        .into_bytes()
}

fn bodies(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
    numbers.into_iter().map(body).collect()
}

fn values(arrived: &[Arrived]) -> Vec<Vec<u8>> {
    arrived.iter().map(|record| record.value.clone()).collect()
}

fn position(record: &Arrived) -> u64 {
    let position = record.header("ringback_position").expect("it has one");
    position.parse().expect("a number")
}

/// Each version accepts events and ends; then each publishes a copy of the journal.
fn take_turns(turns: &[(Version, End)]) {
    let site = Site::new();
    let mut next = 0;
    for (version, end) in turns {
        site.accept(*version, next..next + 20, *end);
        next += 20;
    }
    assert_eq!(site.status()["unpublished"]["events"], next, "{turns:?}");
    for publisher in Version::BOTH {
        let copy = site.copy();
        let arrived = copy.publish(publisher, usize::try_from(next).expect("few"));
        assert_eq!(
            values(&arrived),
            bodies(0..next),
            "{turns:?}, {publisher:?}"
        );
        let mut positions: Vec<_> = arrived.iter().map(position).collect();
        let count = positions.len();
        positions.dedup();
        assert!(positions.is_sorted() && positions.len() == count);
        assert_eq!(copy.status()["unpublished"]["events"], 0);
    }
}

#[test]
#[ignore = "needs the binary of 0.1: .ci/downgrade"]
fn either_version_publishes_what_the_other_accepted_once_and_in_order_after_an_orderly_end() {
    take_turns(&[
        (Version::Old, End::Orderly),
        (Version::New, End::Orderly),
        (Version::Old, End::Orderly),
        (Version::New, End::Orderly),
    ]);
}

#[test]
#[ignore = "needs the binary of 0.1: .ci/downgrade"]
fn either_version_publishes_what_the_other_accepted_once_and_in_order_after_kills() {
    take_turns(&[
        (Version::Old, End::Killed),
        (Version::New, End::Killed),
        (Version::Old, End::Killed),
        (Version::New, End::Killed),
    ]);
    take_turns(&[(Version::New, End::Orderly), (Version::Old, End::Killed)]);
}

#[test]
#[ignore = "needs the binary of 0.1: .ci/downgrade"]
fn the_old_version_goes_on_behind_what_the_new_one_published_and_the_new_one_behind_that() {
    let site = Site::new();
    let mut expected = Vec::new();
    for (round, version) in [Version::New, Version::Old, Version::New, Version::Old]
        .into_iter()
        .enumerate()
    {
        let numbers = (round as u64 * 5)..(round as u64 * 5 + 5);
        let server = site.start(version, &site.kafka.bootstrap);
        for number in numbers.clone() {
            assert_eq!(server.post(&body(number)), 204, "{version:?}");
        }
        expected.extend(bodies(numbers));
        assert_eq!(values(&site.kafka.read(expected.len())), expected);
        server.terminate();
        assert!(server.wait().success());
    }
    // What was published before the old version came, it does not read again: it takes no padding for damage.
    assert_eq!(site.names("quarantine-"), [] as [String; 0]);
}

#[test]
#[ignore = "needs the binary of 0.1: .ci/downgrade"]
fn the_old_version_cuts_a_torn_tail_and_publishes_what_is_before_it() {
    let site = Site::new();
    site.accept(Version::New, 0..20, End::Killed);
    let path = site.newest_segment();
    let mut bytes = fs::read(&path).expect("it is there");
    // The next batch begins on a page of its own; half of it is a copy of the first one's bytes.
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("records") + 1;
    let next = used.next_multiple_of(4096);
    bytes.copy_within(72..132, next);
    fs::write(&path, bytes).expect("it can be written");
    for version in Version::BOTH {
        let copy = site.copy();
        assert_eq!(values(&copy.publish(version, 20)), bodies(0..20));
    }
    // Back again: what the old version left is no damage to the new one.
    let copy = site.copy();
    copy.accept(Version::Old, 20..25, End::Killed);
    assert_eq!(values(&copy.publish(Version::New, 25)), bodies(0..25));
}

#[test]
#[ignore = "needs the binary of 0.1: .ci/downgrade"]
fn the_old_version_passes_over_a_damaged_record_and_publishes_all_others() {
    let site = Site::new();
    site.accept(Version::New, 0..20, End::Killed);
    let path = site.newest_segment();
    let mut bytes = fs::read(&path).expect("it is there");
    let mark = b"\"n\":7}";
    let at = bytes.windows(mark.len()).position(|window| window == mark);
    bytes[at.expect("the eighth body") + 4] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
    let intact = bodies((0..20).filter(|number| *number != 7));
    for version in Version::BOTH {
        let copy = site.copy();
        assert_eq!(values(&copy.publish(version, 19)), intact, "{version:?}");
        assert_ne!(copy.names("quarantine-"), [] as [String; 0]);
    }
}

#[test]
#[ignore = "needs the binary of 0.1: .ci/downgrade"]
fn the_old_version_leaves_segments_that_are_set_aside_and_uses_none_of_their_positions() {
    const EVENTS: u64 = 90;
    let disk = FaultyFs::with_page(PAGE as u64);
    let mut publisher = Publisher::new(&disk);
    for number in 0..EVENTS {
        let body = body(number);
        let event = Event {
            received_ms: 1_764_000_000_000 + number,
            source: "open",
            kind: "call_ended",
            key: Some("call"),
            id: "one",
            content_type: "application/json",
            traceparent: "",
            tracestate: "",
            carried: Carried::default(),
            is_unparsed: false,
            body: &body,
        };
        let record = Body([event.encode_envelope().as_ref(), &body[..]].concat());
        publisher.core.append(&[record]).expect("it is appended");
    }
    publisher.core.upkeep.step();
    // The two newest segments that have records cannot be read, except for their headers.
    let names = disk.names().into_iter();
    let written = names.filter(|name| name.ends_with(".segment") && disk.bytes(name)[0] != 0);
    let written: Vec<_> = written.collect();
    assert!(written.len() >= 3, "{written:?}");
    for name in &written[written.len() - 2..] {
        let length = disk.bytes(name).len();
        disk.wear_out(name, PAGE..length);
    }
    assert!(publisher.read_for(PATIENCE * 8));
    publisher.core.truncate(EVENTS - 1);
    publisher.core.upkeep.step();
    while publisher.core.upkeep.reclaim_pause().is_some() {
        publisher.core.upkeep.reclaim();
    }
    let unread = unread_names(&disk);
    assert_eq!(unread.len(), 2, "{unread:?}");
    let known = unread.iter().map(|name| SetAsideName::parse(name));
    let known = known.map(|name| name.and_then(|name| name.known).expect("known"));
    let known: Vec<_> = known.map(|known| known.first..known.end).collect();
    assert_eq!(known[1].end, EVENTS);

    let site = Site::new();
    for name in disk.names() {
        fs::write(site.journal().join(&name), disk.bytes(&name)).expect("it can be written");
    }
    // The old version accepts and publishes behind them, and keeps its hands off their files.
    let server = site.start(Version::Old, &site.kafka.bootstrap);
    for number in EVENTS..EVENTS + 5 {
        assert_eq!(server.post(&body(number)), 204);
    }
    let arrived = site.kafka.read(5);
    assert_eq!(values(&arrived), bodies(EVENTS..EVENTS + 5));
    assert!(arrived.iter().all(|record| position(record) >= EVENTS));
    server.terminate();
    assert!(server.wait().success());
    assert_eq!(site.names("unreadable-"), unread);
    // Forward again, `journal drain` publishes what they hold: here all of it, the disk being well.
    let config = write_config(site.folder.path(), &site.kafka.bootstrap, "", JOURNAL);
    let drain = Command::new(Version::New.program())
        .args(["journal", "drain", "--config"])
        .arg(config)
        .output()
        .expect("the binary runs");
    assert!(drain.status.success(), "{drain:?}");
    assert_eq!(site.names("unreadable-"), [] as [String; 0]);
    let set_aside: Vec<_> = known.into_iter().flatten().collect();
    let arrived = site.kafka.read(5 + set_aside.len());
    assert_eq!(values(&arrived[5..]), bodies(set_aside));
}

#[test]
#[ignore = "needs the binary of 0.1: .ci/downgrade"]
fn the_old_version_publishes_a_body_that_is_not_json_under_the_type_unparsed() {
    let site = Site::new();
    let server = site.start(Version::New, NOWHERE);
    let signed = |body: &[u8]| {
        let signature = server::signature(KEY, server::now_ms(), body);
        let more = format!("Connection: close\r\n{signature}");
        server.exchange(&server::post("/webhook", &more, body))
    };
    assert!(signed(b"no JSON").starts_with("HTTP/1.1 204"));
    assert_eq!(server.post(&body(1)), 204);
    server.kill();
    let arrived = site.publish(Version::Old, 2);
    assert_eq!(values(&arrived), [b"no JSON".to_vec(), body(1)]);
    assert_eq!(arrived[0].header("ce_type"), Some("retell.unparsed"));
}

/// Holds this page's path to what `.ci/downgrade` runs.
#[test]
fn the_script_of_the_way_back_runs_these_tests() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/downgrade");
    let script = fs::read_to_string(script).expect("the script is there");
    assert!(script.contains("--test it downgrade:: -- --ignored"));
}
