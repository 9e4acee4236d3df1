//! A journal in memory through its handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::journal::disk::real::DiskFileSystem;
use crate::journal::{Commit, Journal, Metrics, Reader, in_memory_with};
use crate::telemetry::Registry;

const PATIENCE: Duration = Duration::from_secs(8);
const BUDGET: u64 = 16 * RECORD_OVERHEAD;

/// A journal, its metrics, and a clock in milliseconds.
struct World {
    journal: Journal<DiskFileSystem>,
    metrics: Metrics,
    now_ms: Arc<AtomicU64>,
}

fn world() -> World {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let limits = Limits {
        budget: BUDGET,
        patience: PATIENCE,
    };
    let (now_ms, base) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let shared = now_ms.clone();
    let clock = move || base + Duration::from_millis(shared.load(Ordering::Relaxed));
    World {
        journal: in_memory_with(limits, &metrics, [7; 16], Box::new(clock)),
        metrics,
        now_ms,
    }
}

impl World {
    fn append(&self, body: &'static [u8]) -> Result<Commit, AppendError> {
        let body = Bytes::from_static(body);
        self.journal.appender.append(b"head".to_vec(), body)
    }

    fn wait(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn read(&mut self) -> Option<(u64, Vec<u8>)> {
        let record = self.journal.reader.next_record(Instant::now()).unwrap()?;
        Some((record.position, record.whole().to_vec()))
    }

    /// What the gauges show.
    fn snapshot(&self) -> Snapshot {
        match &self.journal.reader {
            Reader::Memory(reader) => reader.memory.snapshot(),
            Reader::Disk(_) => panic!("it is in memory"),
        }
    }

    fn truncate(&self, upto: u64) {
        self.journal.truncator.truncate(..=upto);
    }
}

fn answer(commit: &mut Commit) -> Option<Result<u64, AppendError>> {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(commit).poll(&mut context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

#[test]
fn a_waiter_is_answered_by_its_acknowledgement_alone() {
    let mut world = world();
    let mut commits = [world.append(b"a").unwrap(), world.append(b"b").unwrap()];
    assert_eq!(world.read(), Some((0, b"heada".to_vec())));
    assert_eq!(world.read(), Some((1, b"headb".to_vec())));
    assert_eq!(world.read(), None);
    assert_eq!(commits.each_mut().map(answer), [None, None]);
    // A partition that answers slowly holds up the watermark, but not the others' answers.
    world.journal.truncator.acknowledge(1);
    assert_eq!(answer(&mut commits[1]), Some(Ok(1)));
    assert_eq!(answer(&mut commits[0]), None);
    world.journal.truncator.acknowledge(0);
    world.truncate(1);
    assert_eq!(answer(&mut commits[0]), Some(Ok(0)));
    assert_eq!(world.journal.truncator.unpublished(), 0);
}

#[test]
fn a_rewind_reads_again_what_is_not_done_with_the_bytes_that_were_appended() {
    let mut world = world();
    let _commits = [b"a", b"b", b"c"].map(|body| world.append(body).unwrap());
    while world.read().is_some() {}
    world.journal.truncator.acknowledge(1);
    world.journal.reader.seek(0);
    assert_eq!(world.read(), Some((0, b"heada".to_vec())));
    assert_eq!(world.read(), Some((2, b"headc".to_vec())));
    assert_eq!(world.read(), None);
    // The watermark may have passed the place to which reading goes back.
    world.journal.truncator.acknowledge(0);
    world.truncate(1);
    world.journal.reader.seek(0);
    assert_eq!(world.read(), Some((2, b"headc".to_vec())));
}

#[test]
fn a_waiter_that_has_gone_takes_nothing_out_of_the_order() {
    let mut world = world();
    drop(world.append(b"a").unwrap());
    let _waits = world.append(b"b").unwrap();
    assert_eq!(world.read().map(|(position, _)| position), Some(0));
    assert_eq!(world.read().map(|(position, _)| position), Some(1));
    assert_eq!(world.metrics.figures().unpublished, Some(2));
}

#[test]
fn a_refused_record_is_answered_so_and_is_never_read_again() {
    let mut world = world();
    let mut commit = world.append(b"a").unwrap();
    let _next = world.append(b"b").unwrap();
    world.journal.truncator.refuse(0);
    assert_eq!(answer(&mut commit), Some(Err(AppendError::Refused)));
    world.journal.reader.seek(0);
    assert_eq!(world.read().map(|(position, _)| position), Some(1));
}

#[test]
fn memory_is_bounded_by_bytes_and_by_the_number_of_records_and_is_free_again_with_each_acknowledgement()
 {
    let world = world();
    let mut taken = 0;
    while world.append(b"").is_ok() {
        taken += 1;
        assert!(taken < 100, "the budget never refuses");
    }
    // Fewer than by their bytes alone, which would be four thousand.
    assert_eq!(taken, BUDGET / (RECORD_OVERHEAD + 4));
    assert_eq!(world.append(b"").unwrap_err(), AppendError::Full);
    let full = world.journal.truncator.unpublished();
    world.journal.truncator.acknowledge(3);
    assert_eq!(world.journal.truncator.unpublished(), full - 1);
    for position in 0..3 {
        world.journal.truncator.acknowledge(position);
    }
    world.append(b"").expect("there is room again");
}

#[test]
fn while_kafka_is_silent_records_wait_and_while_it_is_too_slow_they_are_refused_at_once() {
    let world = world();
    let _commits: Vec<_> = (0..8).map(|_| world.append(b"").unwrap()).collect();
    // Silence: Kafka may be back within the patience of whoever comes now.
    world.wait(PATIENCE * 3);
    world.append(b"").expect("it may still be in time");
    // It is back, and catches up for as long as a sender waits: still nobody is refused.
    for position in 0..6 {
        world.journal.truncator.acknowledge(position);
        world.append(b"").expect("Kafka may catch up");
        world.wait(Duration::from_secs(1));
    }
    // It does not catch up: what comes now would wait behind records older than its own patience.
    for position in 6..8 {
        world.journal.truncator.acknowledge(position);
        world.wait(Duration::from_secs(1));
    }
    world.journal.truncator.acknowledge(8);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.append(b"").unwrap_err(), AppendError::Overloaded);
    // Once the backlog is younger, records are taken again without help.
    for position in 9..14 {
        world.journal.truncator.acknowledge(position);
    }
    world.append(b"").expect("the oldest is young enough");
}

#[test]
fn a_partition_without_a_leader_has_no_event_of_another_one_refused() {
    let world = world();
    let mut stuck = world.append(b"").unwrap();
    // Others are acknowledged at once, for long after the sender of the first one has given up.
    for position in 1..60 {
        let mut commit = world.append(b"").expect("it would not wait");
        world.wait(Duration::from_millis(500));
        world.journal.truncator.acknowledge(position);
        assert_eq!(answer(&mut commit), Some(Ok(position)));
    }
    assert_eq!(answer(&mut stuck), None);
    // Its partition has a leader again: one late acknowledgement among the others.
    world.journal.truncator.acknowledge(0);
    world.append(b"").expect("it would not wait either");
}

#[test]
fn a_dead_letter_on_its_way_holds_up_no_watermark_and_keeps_its_bytes_and_its_waiter() {
    let mut world = world();
    let appended_at = world.journal.truncator.deadline(0);
    assert_eq!(appended_at, None, "there is no such record yet");
    let mut commits = [b"a", b"b", b"c"].map(|body| world.append(body).unwrap());
    while world.read().is_some() {}
    let deadlines = [0, 1].map(|position| world.journal.truncator.deadline(position));
    assert!(deadlines[0].is_some() && deadlines[0] == deadlines[1]);
    world.journal.truncator.detach(0);
    world.journal.truncator.detach(1);
    world.journal.truncator.acknowledge(2);
    world.truncate(2);
    world.wait(Duration::from_secs(3));
    let now = world.snapshot();
    assert_eq!((now.unpublished, now.bytes), (2, 2 * (RECORD_OVERHEAD + 5)));
    assert!((now.oldest_seconds - 3.0).abs() < 0.001, "{now:?}");
    assert_eq!(commits.each_mut().map(answer), [None, None, Some(Ok(2))]);
    world.journal.reader.seek(0);
    assert_eq!(world.read(), None, "it is not sent a second time");
    world.journal.truncator.acknowledge(1);
    assert_eq!(answer(&mut commits[1]), Some(Ok(1)));
    world.journal.appender.give_up();
    assert_eq!(answer(&mut commits[0]), Some(Err(AppendError::Closed)));
    assert_eq!(world.journal.truncator.unpublished(), 0);
}

#[test]
fn an_end_answers_everyone_who_waits_and_takes_nothing_more() {
    let mut world = world();
    let mut commit = world.append(b"a").unwrap();
    world.journal.appender.give_up();
    assert_eq!(answer(&mut commit), Some(Err(AppendError::Closed)));
    assert_eq!(world.append(b"b").unwrap_err(), AppendError::Closed);
    assert_eq!(world.read(), None);
    // The producer's last report comes too late.
    world.journal.truncator.acknowledge(0);
    world.truncate(0);
    assert_eq!(world.journal.truncator.unpublished(), 0);
    world.journal.truncator.close().unwrap();
}

#[test]
fn an_append_wakes_the_reader_only_if_it_waits() {
    let mut world = world();
    let rung = Arc::new(AtomicU64::new(0));
    let bell = rung.clone();
    let wake = move || {
        bell.fetch_add(1, Ordering::Relaxed);
    };
    world.journal.reader.on_commit(Box::new(wake));
    assert_eq!(world.read(), None);
    let _commits = [b"a", b"b"].map(|body| world.append(body).unwrap());
    assert_eq!(
        rung.load(Ordering::Relaxed),
        1,
        "the reader needs no second wake-up"
    );
    while world.read().is_some() {}
    let _commit = world.append(b"c").unwrap();
    assert_eq!(rung.load(Ordering::Relaxed), 2);
}

#[test]
fn the_gauges_are_those_of_what_is_held() {
    let world = world();
    let empty = world.journal.truncator.unpublished();
    assert_eq!((empty, world.snapshot().oldest_seconds), (0, 0.0));
    let _commits = [b"abc", b"def"].map(|body| world.append(body).unwrap());
    world.wait(Duration::from_secs(3));
    let now = world.snapshot();
    assert_eq!((now.unpublished, now.bytes), (2, 2 * (RECORD_OVERHEAD + 7)));
    assert_eq!((now.budget, now.poisoned), (BUDGET, false));
    assert!((now.oldest_seconds - 3.0).abs() < 0.001, "{now:?}");
    assert!(now.exhaustion_seconds.is_infinite());
    world.journal.truncator.acknowledge(0);
    assert_eq!(world.snapshot().bytes, RECORD_OVERHEAD + 7);
}
