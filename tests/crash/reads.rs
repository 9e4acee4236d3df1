//! Reads that fail for a while, or at one place for good, while writes and syncs succeed; and a tail that was spoiled.
//!
//! A preloaded library (`reads.c`) makes them fail.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use libtest_mimic::Failed;

use crate::mock::Mock;
use crate::support::load::Load;
use crate::support::preload::Preload;
use crate::support::relay::{Relay, Site};
use crate::support::{self, eventually, is_long};

const SMALL: (&str, &str) = ("journal", "segment_size = \"1MiB\"");
/// The unit in which Linux reads a file.
const PAGE: u64 = 4096;

/// The library that makes reads fail.
struct Disk(Preload);

impl Disk {
    fn new() -> Self {
        let disk = Self(Preload::compile("reads.c", "RINGBACK_TEST_READS"));
        disk.heal();
        disk
    }

    /// Makes these bytes unreadable in files whose path contains `part`; all bytes if `to` is 0.
    fn fail(&self, part: &str, from: u64, to: u64) {
        self.0.order(format!("{part} {from} {to}\n"));
    }

    fn heal(&self) {
        self.0.order("");
    }

    fn start(&self, site: &Site) -> Relay {
        self.0.start(site, &[])
    }
}

/// Waits until the relay reports that it waits for the disk.
fn await_blocked(relay: &Relay) {
    eventually("reading waits", || {
        relay.metric("ringback_journal_read_blocked_seconds") > 0.0
    });
    let (_, checks) = relay.admin("/readyz?verbose");
    assert!(checks.contains("[!]journal-read cannot read "), "{checks}");
}

fn assert_nothing_given_up(site: &Site, relay: &Relay) {
    for counter in ["corrupt", "unreadable"] {
        let counter = format!("ringback_journal_{counter}_records_total");
        assert_eq!(relay.metric(&counter), 0.0, "{counter}");
    }
    for kind in ["quarantine-", "unreadable-"] {
        assert_eq!(files(site.journal(), kind), [] as [String; 0]);
    }
}

fn files(journal: &Path, beginning: &str) -> Vec<String> {
    let entries = fs::read_dir(journal).expect("the journal is there");
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(beginning)).collect();
    names.sort();
    names
}

/// Segments that were written to.
fn segments(journal: &Path) -> Vec<String> {
    let mut names = files(journal, "0");
    names.retain(|name| {
        let bytes = fs::read(journal.join(name)).expect("it can be read");
        bytes.iter().any(|byte| *byte != 0)
    });
    names
}

pub fn for_a_while() -> Result<(), Failed> {
    let mock = Mock::start("reads");
    let disk = Disk::new();
    let site = Site::of(&mock.bootstrap, "reads", None, &[SMALL]);
    let relay = disk.start(&site);
    let load = Load::start(&relay, "reads", 300, 1_000);
    load.await_acknowledged(300);
    let times: &[u64] = if is_long() { &[5, 60] } else { &[5] };
    for seconds in times {
        for place in [".segment", site.journal().to_str().ok_or("a path")?] {
            disk.fail(place, 0, 0);
            await_blocked(&relay);
            assert_eq!(relay.admin("/readyz").0, 200);
            // The fault lasts that long, whatever happens meanwhile.
            std::thread::sleep(Duration::from_secs(*seconds));
            disk.heal();
            load.await_acknowledged(300);
            eventually("reading goes on", || {
                relay.metric("ringback_journal_read_blocked_seconds") == 0.0
            });
        }
    }
    let tally = load.end();
    relay.await_drained();
    tally.assert_all_accepted();
    assert_nothing_given_up(&site, &relay);
    tally.assert_kept("reads that fail", &mock.bootstrap, "reads");
    Ok(())
}

pub fn while_it_ends() -> Result<(), Failed> {
    let (away, deadline) = if is_long() { (45, 60) } else { (4, 8) };
    let mock = Mock::start("away");
    let disk = Disk::new();
    let shutdown = format!("readiness_delay = \"0s\"\ndrain_deadline = \"{deadline}s\"");
    let site = Site::of(
        &mock.bootstrap,
        "away",
        None,
        &[SMALL, ("shutdown", &shutdown)],
    );
    mock.down();
    let relay = disk.start(&site);
    let load = Load::start(&relay, "away", 0, 1_000);
    load.await_acknowledged(3_000);
    let tally = load.end();
    disk.fail(site.journal().to_str().ok_or("a path")?, 0, 0);
    mock.up();
    relay.terminate();
    await_blocked(&relay);
    std::thread::sleep(Duration::from_secs(away));
    assert!(relay.wait(support::PATIENCE).success());
    disk.heal();
    let relay = disk.start(&site);
    relay.await_drained();
    assert_nothing_given_up(&site, &relay);
    tally.assert_kept("a volume that is away at the end", &mock.bootstrap, "away");
    Ok(())
}

/// A journal of several unpublished segments, which a relay has left in order, and what that relay acknowledged.
fn backlog(mock: &Mock, topic: &str, patience: &str) -> (Site, crate::support::load::Tally) {
    let lines = format!("segment_size = \"1MiB\"\nread_patience = \"{patience}\"");
    let shutdown = "readiness_delay = \"0s\"\ndrain_deadline = \"1s\"";
    let site = Site::of(
        &mock.bootstrap,
        topic,
        None,
        &[("journal", &lines), ("shutdown", shutdown)],
    );
    mock.down();
    let relay = site.start();
    let load = Load::start(&relay, topic, 0, 1_000);
    load.await_acknowledged(2_500);
    let tally = load.end();
    relay.terminate();
    assert!(relay.wait(support::PATIENCE).success());
    mock.up();
    assert!(segments(site.journal()).len() >= 3);
    (site, tally)
}

pub fn one_block() -> Result<(), Failed> {
    let mock = Mock::start("block");
    let disk = Disk::new();
    let (site, tally) = backlog(&mock, "block", "2s");
    let middle = segments(site.journal()).remove(1);
    disk.fail(&middle, 100 * PAGE, 101 * PAGE);
    let relay = disk.start(&site);
    await_blocked(&relay);
    relay.await_drained();
    let (_, checks) = relay.admin("/readyz?verbose");
    assert!(
        checks.contains(" passed over since the start, "),
        "{checks}"
    );
    let lost = relay.metric("ringback_journal_unreadable_records_total");
    assert!((1.0..=6.0).contains(&lost), "{lost}");
    assert_eq!(relay.metric("ringback_journal_corrupt_records_total"), 0.0);
    assert_eq!(
        relay.metric("ringback_publish_delivered_total") + lost,
        tally.count() as f64
    );
    let number = middle.trim_end_matches(".segment");
    let kept = || files(site.journal(), &format!("unreadable-{number}-"));
    eventually("the segment is kept under another name only", || {
        !site.journal().join(&middle).exists() && kept().len() == 1
    });
    relay.terminate();
    assert!(relay.wait(support::PATIENCE).success());
    // The block is still unreadable, so the drain fails; then the disk is healed.
    let drain = || {
        let mut command = site.tool(&["journal", "drain"]);
        command.envs(disk.0.environment());
        command.output().expect("the binary runs")
    };
    let output = drain();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(kept().len(), 1);
    disk.heal();
    let output = drain();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(kept(), [] as [String; 0]);
    assert_eq!(files(site.journal(), "drain-"), [] as [String; 0]);
    // The drained records come after their neighbours, so order is not checked: each must be there, byte for byte.
    let held = support::topic::holds_in_any_order(&mock.bootstrap, "block", &tally.acknowledged);
    eprintln!("one unreadable block: {lost} passed over and drained later, {held} repeated");
    Ok(())
}

pub fn at_the_start() -> Result<(), Failed> {
    let mock = Mock::start("none");
    let disk = Disk::new();
    for place in ["header", "middle", "last", "slot 0", "slot 1"] {
        let topic = place.replace(' ', "-");
        mock.topic(&topic);
        let (site, tally) = backlog(&mock, &topic, "2s");
        let segments = segments(site.journal());
        let last = segments.last().ok_or("no segment")?;
        let used = fs::read(site.journal().join(last))?;
        let used = used
            .iter()
            .rposition(|byte| *byte != 0)
            .ok_or("no record")? as u64;
        let (file, page) = match place {
            "header" => (segments[1].as_str(), 0),
            "middle" => (segments[1].as_str(), 77),
            "last" => (last.as_str(), used / PAGE),
            "slot 0" => ("checkpoint", 0),
            _ => ("checkpoint", 1),
        };
        disk.fail(file, page * PAGE, (page + 1) * PAGE);
        let relay = disk.start(&site);
        let load = Load::start(&relay, "fresh", 0, 100);
        load.await_acknowledged(50);
        let fresh = load.end();
        fresh.assert_all_accepted();
        relay.await_drained();
        let lost = relay.metric("ringback_journal_unreadable_records_total");
        assert_eq!(
            relay.metric("ringback_journal_corrupt_records_total"),
            0.0,
            "{place}"
        );
        let delivered = relay.metric("ringback_publish_delivered_total");
        let kept = tally.count() + fresh.count();
        // Nothing shows how many records there were at the journal's end, so the count may be too high there.
        let most = if file == "checkpoint" { 0.0 } else { 6.0 };
        assert!(lost <= most, "{place}: {lost}");
        assert!(
            delivered + lost >= kept as f64,
            "{place}: {delivered} and {lost} of {kept}"
        );
        eprintln!(
            "unreadable at the start, {place}: {delivered} of {kept} delivered, {lost} passed over"
        );
        disk.heal();
        relay.kill();
    }
    Ok(())
}

pub fn spoiled_tail() -> Result<(), Failed> {
    let mock = Mock::start("tail");
    for (name, page_bytes, filling) in [("sector", 512, 0xff_u8), ("all", u64::MAX, 0xa5)] {
        let shutdown = "readiness_delay = \"0s\"\ndrain_deadline = \"1s\"";
        let site = Site::of(
            &mock.bootstrap,
            "tail",
            None,
            &[SMALL, ("shutdown", shutdown)],
        );
        mock.down();
        let relay = site.start();
        let load = Load::start(&relay, name, 100, 100);
        load.await_acknowledged(30);
        let tally = load.end();
        relay.terminate();
        assert!(relay.wait(support::PATIENCE).success());
        let segment = segments(site.journal()).pop().ok_or("no segment")?;
        let path = site.journal().join(&segment);
        let bytes = fs::read(&path)?;
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .ok_or("no record")? as u64
            + 1;
        let start = end.next_multiple_of(512).saturating_sub(page_bytes);
        let file = OpenOptions::new().write(true).open(&path)?;
        let length = usize::try_from(end.next_multiple_of(512) - start)?;
        file.write_all_at(&vec![filling; length], start)?;
        mock.up();
        let relay = site.start();
        relay.await_drained();
        let lost = relay.metric("ringback_journal_corrupt_records_total");
        let delivered = relay.metric("ringback_publish_delivered_total");
        assert_eq!(delivered + lost, tally.count() as f64, "{name}");
        assert!(lost >= 1.0, "{name}");
        assert!(
            page_bytes < u64::MAX || delivered == 0.0,
            "{name}: {delivered}"
        );
        assert_eq!(files(site.journal(), "quarantine-").len(), 1, "{name}");
        eprintln!(
            "a spoiled tail, {name}: {lost} of {} counted",
            tally.count()
        );
    }
    Ok(())
}
