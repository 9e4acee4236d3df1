//! Twins, claims that pass on, capacity, other settings, files.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::ingest::Verify;
use crate::ingest::metrics::Metrics;
use crate::telemetry::Registry;

fn source(name: &str, dedup: Option<Duration>, dedup_capacity: usize) -> SourceConfig {
    SourceConfig {
        name: name.into(),
        path: format!("/{name}").as_str().into(),
        verify: Verify::None,
        dedup,
        dedup_capacity,
        ..SourceConfig::default()
    }
}

fn metrics(sources: &[SourceConfig]) -> Vec<DedupMetrics> {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let sources = sources.iter();
    sources.map(|source| metrics.source(source).dedup).collect()
}

const HOUR: Option<Duration> = Some(Duration::from_hours(1));

/// Two sources with windows, and one without.
fn three() -> (Dedup, Vec<DedupMetrics>) {
    let sources = [
        source("a", HOUR, 1_000),
        source("b", HOUR, 1_000),
        source("off", None, 1_000),
    ];
    let metrics = metrics(&sources);
    let dedup = Dedup::new().reconfigured(sources.iter().zip(&metrics));
    (dedup, metrics)
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The claim, which nobody else has.
fn claim(dedup: &Dedup, source: usize, id: &str) -> Option<Claim> {
    let identity = dedup.identity(source, id).unwrap();
    match poll(pin!(identity.claim())) {
        Poll::Ready(claim) => claim,
        Poll::Pending => panic!("somebody has the claim"),
    }
}

#[test]
fn an_id_is_a_duplicate_in_its_own_source_and_only_after_its_commit() {
    let (dedup, metrics) = three();
    drop(claim(&dedup, 0, "x"));
    claim(&dedup, 0, "x").unwrap().committed();
    assert!(claim(&dedup, 0, "x").is_none());
    assert!(claim(&dedup, 0, "y").is_some());
    assert!(claim(&dedup, 1, "x").is_some());
    assert!(dedup.identity(2, "x").is_none());
    assert_eq!(metrics[0].duplicates.get(), 1);
    assert_eq!(metrics[1].duplicates.get(), 0);
}

#[test]
fn twins_wait_for_the_commit_and_are_duplicates_then() {
    let (dedup, metrics) = three();
    let first = claim(&dedup, 0, "x").unwrap();
    let twins: Vec<_> = (0..9).map(|_| dedup.identity(0, "x").unwrap()).collect();
    let mut twins: Vec<_> = twins
        .into_iter()
        .map(|twin| Box::pin(twin.claim()))
        .collect();
    assert!(
        twins
            .iter_mut()
            .all(|twin| poll(twin.as_mut()).is_pending())
    );
    first.committed();
    for twin in &mut twins {
        assert!(matches!(poll(twin.as_mut()), Poll::Ready(None)));
    }
    assert_eq!(metrics[0].duplicates.get(), 9);
    assert!(dedup.windows[0].as_ref().unwrap().lock().claims.is_empty());
}

#[test]
fn a_claim_without_a_commit_goes_to_the_next_who_still_waits() {
    let (dedup, metrics) = three();
    let first = claim(&dedup, 0, "x").unwrap();
    let mut gone = Box::pin(dedup.identity(0, "x").unwrap().claim());
    let mut second = Box::pin(dedup.identity(0, "x").unwrap().claim());
    let mut third = Box::pin(dedup.identity(0, "x").unwrap().claim());
    for twin in [&mut gone, &mut second, &mut third] {
        assert!(poll(twin.as_mut()).is_pending());
    }
    drop(gone);
    drop(first);
    assert!(
        poll(third.as_mut()).is_pending(),
        "only one tries at a time"
    );
    // It leaves with the claim on its way to it.
    drop(second);
    let Poll::Ready(Some(last)) = poll(third.as_mut()) else {
        panic!("the claim is lost");
    };
    drop(last);
    assert!(dedup.windows[0].as_ref().unwrap().lock().claims.is_empty());
    assert_eq!(metrics[0].duplicates.get(), 0);
    assert!(claim(&dedup, 0, "x").is_some());
}

#[test]
fn requests_that_gave_up_do_not_add_up_while_a_commit_takes_long() {
    let (dedup, _) = three();
    let first = claim(&dedup, 0, "x").unwrap();
    for _ in 0..1_000 {
        assert!(poll(pin!(dedup.identity(0, "x").unwrap().claim())).is_pending());
    }
    let window = dedup.windows[0].as_ref().unwrap();
    let waiting = window
        .lock()
        .claims
        .values()
        .map(Vec::capacity)
        .sum::<usize>();
    assert!(waiting < 16, "{waiting}");
    first.committed();
    assert!(claim(&dedup, 0, "x").is_none());
}

#[test]
fn beyond_its_capacity_the_oldest_is_forgotten_and_counted() {
    let (dedup, metrics) = three();
    for id in 0..=1_000 {
        claim(&dedup, 0, &id.to_string()).unwrap().committed();
    }
    assert_eq!(metrics[0].over_capacity.get(), 1);
    assert!(claim(&dedup, 0, "0").is_some());
    assert!(claim(&dedup, 0, "1").is_none());
}

#[test]
fn other_settings_keep_marks_and_claims_by_the_source_s_name() {
    let (dedup, _) = three();
    claim(&dedup, 0, "x").unwrap().committed();
    claim(&dedup, 1, "x").unwrap().committed();
    let first = claim(&dedup, 1, "y").unwrap();
    let sources = [
        source("off", HOUR, 1_000),
        source("a", None, 1_000),
        source("b", Some(Duration::from_mins(1)), 2_000),
    ];
    let metrics = metrics(&sources);
    let dedup = dedup.reconfigured(sources.iter().zip(&metrics));
    assert!(claim(&dedup, 0, "x").is_some(), "a new window is empty");
    assert!(dedup.identity(1, "x").is_none());
    assert!(claim(&dedup, 2, "x").is_none());
    let mut twin = Box::pin(dedup.identity(2, "y").unwrap().claim());
    assert!(poll(twin.as_mut()).is_pending());
    first.committed();
    assert!(matches!(poll(twin.as_mut()), Poll::Ready(None)));
    let window = dedup.windows[2].as_ref().unwrap();
    assert_eq!(window.settings(), (Duration::from_mins(1), 2_000));
}

#[test]
fn a_window_is_read_again_and_what_cannot_be_read_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (dedup, _) = three();
    dedup.keep_in(folder.path()).unwrap();
    claim(&dedup, 0, "x").unwrap().committed();
    claim(&dedup, 1, "x").unwrap().committed();
    drop(dedup);
    let other = folder.path().join("dedup-b-0000000000000000");
    assert!(other.is_file());
    std::fs::remove_file(&other).unwrap();
    std::fs::create_dir(&other).unwrap();

    let (dedup, _) = three();
    dedup.keep_in(folder.path()).unwrap();
    assert!(claim(&dedup, 0, "x").is_none());
    assert!(claim(&dedup, 1, "x").is_some());
}

#[test]
fn what_cannot_be_written_is_counted_and_still_known_until_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (dedup, metrics) = three();
    dedup.keep_in(folder.path()).unwrap();
    drop(folder);
    claim(&dedup, 0, "x").unwrap().committed();
    assert!(claim(&dedup, 0, "x").is_none());
    drop(dedup);
    assert_eq!(metrics[0].unsaved.get(), 1);
}
