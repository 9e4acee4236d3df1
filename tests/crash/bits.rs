//! One bit of a journal flips while no relay runs; then the relay starts.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use libtest_mimic::Failed;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::mock::Mock;
use crate::support::load::{Load, Tally};
use crate::support::relay::Site;
use crate::support::{self, is_long, topic};

/// The variable with the seed that chooses the bits.
const SEED: &str = "RINGBACK_TEST_SEED";
/// The bytes of a segment's header.
const HEADER: u64 = 72;
/// Small segments, because the journal is copied for each bit.
const SMALL: (&str, &str) = ("journal", "segment_size = \"1MiB\"");

/// Where a bit is flipped.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Anywhere in the header of a segment.
    Header,
    /// Anywhere among the records.
    Record,
    /// Among the last records of the last segment.
    Tail,
    /// In one of the checkpoint's slots.
    Checkpoint,
    /// In bytes that are reserved and not yet written.
    Spare,
}

const PLACES: [Place; 5] = [
    Place::Header,
    Place::Record,
    Place::Tail,
    Place::Checkpoint,
    Place::Spare,
];

/// A journal of three processes, and what the last two of them acknowledged; the first one's events are published and
/// checkpointed.
fn fill(mock: &Mock) -> (Site, Tally) {
    let site = Site::of(&mock.bootstrap, "none", None, &[SMALL]);
    let relay = site.start();
    let load = Load::start(&relay, "published", 0, 100);
    load.await_acknowledged(60);
    load.end();
    relay.await_drained();
    relay.terminate();
    assert!(relay.wait(support::PATIENCE).success());
    mock.down();
    let run = |name| {
        let relay = site.start();
        let load = Load::start(&relay, name, 0, 100);
        load.await_acknowledged(60);
        relay.kill();
        load.end()
    };
    let mut tally = run("first");
    tally.add(run("second"));
    mock.up();
    (site, tally)
}

/// The journal's files, each with the length without the zeros at its end, and its whole length.
fn files(journal: &Path) -> Vec<(String, u64, u64)> {
    let mut files: Vec<_> = fs::read_dir(journal)
        .expect("the journal is there")
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let bytes = fs::read(entry.path()).ok()?;
            let used = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            Some((name, used as u64, bytes.len() as u64))
        })
        .collect();
    files.sort();
    files
}

/// Chooses a file and a bit of it.
fn choose(journal: &Path, place: Place, random: &mut StdRng) -> (String, u64) {
    let files = files(journal);
    let segments: Vec<_> = files
        .iter()
        .filter(|(name, ..)| name.ends_with(".segment"))
        .collect();
    let written: Vec<_> = segments
        .iter()
        .copied()
        .filter(|(_, used, _)| *used > 0)
        .collect();
    let (file, bytes) = match place {
        Place::Header => (written[random.random_range(0..written.len())], 0..HEADER),
        Place::Record => {
            let file = written[random.random_range(0..written.len())];
            (file, HEADER..file.1)
        }
        Place::Tail => {
            let file = written[written.len() - 1];
            (file, file.1 - 400..file.1)
        }
        Place::Checkpoint => {
            let file = files.iter().find(|(name, ..)| name == "checkpoint");
            let file = file.expect("there is one");
            (file, 0..file.2)
        }
        Place::Spare => {
            let file = segments[segments.len() - 1];
            (file, file.1..file.2)
        }
    };
    (
        file.0.clone(),
        random.random_range(bytes.start * 8..bytes.end * 8),
    )
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the journal is there").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file is copied");
    }
}

pub fn flipped() -> Result<(), Failed> {
    let seed = std::env::var(SEED)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let mut random = StdRng::seed_from_u64(seed);
    let mock = Mock::start("none");
    let (whole, tally) = fill(&mock);
    let begun = Instant::now();
    let rounds = if is_long() { 200 } else { 10 };
    let (mut lost_records, mut torn) = (0, 0);
    for round in 0..rounds {
        let place = PLACES[round % PLACES.len()];
        let folder = tempfile::tempdir()?;
        let journal = folder.path().join("journal");
        copy(whole.journal(), &journal);
        let (file, bit) = choose(&journal, place, &mut random);
        let mut bytes = fs::read(journal.join(&file))?;
        bytes[usize::try_from(bit / 8)?] ^= 1 << (bit % 8);
        fs::write(journal.join(&file), bytes)?;
        let what = format!("seed {seed} round {round}: {place:?}, bit {bit} of {file}");

        let name = format!("bits-{round}");
        mock.topic(&name);
        let site = Site::of(&mock.bootstrap, &name, Some(journal.clone()), &[SMALL]);
        let relay = site.start();
        relay.await_drained();
        let counted = relay.metric("ringback_journal_corrupt_records_total");
        let delivered = relay.metric("ringback_publish_delivered_total");
        #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
        let all = |records: &[topic::Record]| records.len() as f64 >= delivered;
        let records = topic::read_until(&mock.bootstrap, &name, all);
        drop(relay);
        let arrived: HashSet<_> = records.iter().map(|record| &record.value).collect();
        let bodies = tally.acknowledged.values().flatten();
        let lost = bodies.filter(|body| !arrived.contains(body)).count();
        assert!(lost <= 1, "{what}: {lost} lost");
        let quarantined = files(&journal)
            .iter()
            .any(|(name, ..)| name.starts_with("quarantine-"));
        assert_eq!(
            quarantined,
            counted > 0.0,
            "{what}: damage is copied if and only if it is counted"
        );
        // The journal's last record cannot be distinguished from a torn write: recovery cuts it and logs that.
        let is_tail = matches!(place, Place::Tail) && counted == 0.0;
        assert!(
            lost == 0 || counted == 1.0 || is_tail,
            "{what}: {lost} lost, {counted} counted"
        );
        lost_records += lost;
        torn += usize::from(lost > 0 && counted == 0.0);
    }
    eprintln!(
        "{rounds} flipped bits (seed {seed}) in a journal of {} events: {lost_records} records lost with their bit, all \
         counted but {torn} at the very end; {:.1?}",
        tally.count(),
        begun.elapsed()
    );
    Ok(())
}
