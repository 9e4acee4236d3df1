//! The machine against a broker of a few lines: every position arrives in order, whatever fails.

mod growth;
mod isolated_failures;
mod stall;

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::publish::decide::blame::Reason;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
const STALL_TIMEOUT: Duration = Duration::from_mins(1);
const LIMITS: Limits = Limits {
    drain_timeout: DRAIN_TIMEOUT,
    stall_timeout: STALL_TIMEOUT,
    max_ahead: MAX_AHEAD,
    batch_bytes: BATCH_BYTES,
};

/// Drives a machine as the worker does, with a journal that holds `0..end` and a producer that is a queue.
struct World {
    machine: Machine,
    now: Instant,
    next: u64,
    end: u64,
    queue: VecDeque<u64>,
    generation: u64,
    isolate: bool,
    batches: Vec<u32>,
    first: Vec<u64>,
    dead_letters: Vec<u64>,
    truncated: Option<u64>,
}

impl World {
    fn new(end: u64) -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(now, LIMITS, 1),
            now,
            next: 0,
            end,
            queue: VecDeque::new(),
            generation: 0,
            isolate: false,
            batches: Vec::new(),
            first: Vec::new(),
            dead_letters: Vec::new(),
            truncated: None,
        }
    }

    fn act(&mut self) {
        loop {
            let actions = self.machine.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::ReportStall(_) => {}
                    Action::Purge { .. } => {
                        for position in std::mem::take(&mut self.queue) {
                            self.report(position, Err(Blame::Collateral));
                        }
                    }
                    Action::Rebuild {
                        generation,
                        from,
                        isolate,
                        batch_bytes,
                    } => {
                        assert!(
                            self.queue.is_empty(),
                            "a producer was dropped with records in it"
                        );
                        self.generation = generation;
                        self.isolate = isolate;
                        self.batches.push(batch_bytes);
                        self.next = from.unwrap_or(self.next);
                        self.machine.on_partitions(0, 1);
                    }
                    Action::DeadLetter { position, reason } => {
                        self.dead_letters.push(position);
                        // The worker reads the record again for it, which moves the reader.
                        self.next = position + 1;
                        self.machine.dead_lettered(position, reason);
                    }
                    Action::Truncate(upto) => {
                        assert!(self.truncated < Some(upto));
                        self.truncated = Some(upto);
                    }
                }
            }
        }
    }

    fn report(&mut self, position: u64, outcome: Result<(), Blame>) {
        let generation = self.generation;
        if self
            .machine
            .on_report(generation, position, outcome, self.now, 0.5)
        {
            self.first.push(position);
        }
    }

    fn fill(&mut self) {
        self.act();
        while self.machine.wants_record() && self.next < self.end {
            match self.machine.offer(self.next, 0, self.now) {
                Offer::Send(_) => {
                    self.machine.on_queued(self.next);
                    self.queue.push_back(self.next);
                    self.next += 1;
                }
                Offer::Skip => self.next += 1,
                Offer::Hold | Offer::NextProducer => break,
            }
            self.act();
        }
        if self.isolate {
            assert!(self.queue.len() <= 1, "more than one record in isolation");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.machine.tick(self.now, 0.5);
        self.act();
    }

    /// Delivers the whole queue as one batch, which fails if it has a `bad` record.
    fn deliver_batch(&mut self, bad: &BTreeSet<u64>) {
        let batch = std::mem::take(&mut self.queue);
        let fails = batch.iter().any(|position| bad.contains(position));
        for position in batch {
            let outcome = if fails {
                Err(Blame::Record(Reason::TooLarge))
            } else {
                Ok(())
            };
            self.report(position, outcome);
        }
        self.act();
    }

    fn run(&mut self, bad: &BTreeSet<u64>) {
        for _ in 0..2_000 {
            self.pass(Duration::from_secs(11));
            self.fill();
            self.deliver_batch(bad);
            if self.truncated == self.end.checked_sub(1) {
                return;
            }
        }
    }
}

#[test]
fn a_refused_record_is_dead_lettered_and_its_neighbours_are_not() {
    let mut world = World::new(20);
    world.run(&BTreeSet::from([7]));
    assert_eq!(world.dead_letters, [7]);
    let expected: Vec<u64> = (0..20).filter(|position| *position != 7).collect();
    assert_eq!(world.first, expected);
    assert!(
        world.batches.iter().all(|batch| *batch == BATCH_BYTES),
        "the batch's size was not the cause"
    );
}

#[test]
fn what_was_acknowledged_around_a_dead_letter_is_not_sent_again() {
    // Another partition takes 1 to 3 each time that 0 is refused.
    let mut world = World::new(4);
    let mut sends = Vec::new();
    for _ in 0..40 {
        world.pass(Duration::from_secs(11));
        world.fill();
        for position in std::mem::take(&mut world.queue) {
            sends.push(position);
            let refused = position == 0;
            world.report(
                position,
                if refused {
                    Err(Blame::Record(Reason::TooLarge))
                } else {
                    Ok(())
                },
            );
        }
        world.act();
    }
    assert_eq!(world.dead_letters, [0]);
    assert_eq!(world.first, [1, 2, 3]);
    let again = sends.iter().filter(|position| **position > 0).count();
    assert_eq!(again, 3, "{sends:?}");
}

#[test]
fn a_batch_that_fails_while_its_records_pass_alone_gets_smaller() {
    let mut world = World::new(20);
    world.pass(Duration::ZERO);
    world.fill();
    for position in std::mem::take(&mut world.queue) {
        world.report(position, Err(Blame::Record(Reason::TooLarge)));
    }
    world.act();
    world.run(&BTreeSet::new());
    world.end = 30;
    world.run(&BTreeSet::new());
    assert_eq!(world.dead_letters, [] as [u64; 0]);
    assert_eq!(world.first, (0..30).collect::<Vec<_>>());
    assert_eq!(world.batches.last(), Some(&(BATCH_BYTES / 2)));
}

#[test]
fn ten_dead_letters_in_a_row_stop_publishing_until_a_record_passes() {
    let mut world = World::new(30);
    world.run(&(0..30).collect());
    assert_eq!(world.dead_letters, (0..10).collect::<Vec<_>>());
    assert_eq!(world.truncated, Some(9));
    world.run(&BTreeSet::new());
    assert_eq!(world.first, (10..30).collect::<Vec<_>>());
}

#[test]
fn a_fault_of_the_cluster_is_waited_out_and_nothing_is_dead_lettered() {
    let mut world = World::new(5);
    for _ in 0..50 {
        world.pass(Duration::from_secs(11));
        world.fill();
        for position in std::mem::take(&mut world.queue) {
            world.report(position, Err(Blame::Cluster));
        }
        world.act();
    }
    assert_eq!((world.dead_letters.len(), world.truncated), (0, None));
    world.run(&BTreeSet::new());
    assert_eq!(world.first, [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_not_reported_on_is_purged_and_an_old_producer_s_report_counts_only_as_success() {
    let mut world = World::new(2);
    world.pass(Duration::ZERO);
    world.fill();
    let now = world.now;
    world.machine.on_report(1, 0, Err(Blame::Cluster), now, 0.5);
    // Neither the broker nor the client reports on position 1.
    assert_eq!(
        world.machine.take_actions(),
        [Action::Purge { in_flight: false }]
    );
    world.machine.tick(now + DRAIN_TIMEOUT, 0.5);
    assert_eq!(
        world.machine.take_actions(),
        [Action::Purge { in_flight: true }]
    );
    assert_eq!(
        world.machine.deadline(),
        Some(now + DRAIN_TIMEOUT + PURGE_TIMEOUT)
    );
    world
        .machine
        .tick(now + DRAIN_TIMEOUT + PURGE_TIMEOUT.mul_f64(0.9), 0.5);
    assert_eq!(world.machine.in_flight(), 1);
    world.machine.tick(now + DRAIN_TIMEOUT + PURGE_TIMEOUT, 0.5);
    assert_eq!(world.machine.in_flight(), 0);
    world.machine.tick(
        now + DRAIN_TIMEOUT + PURGE_TIMEOUT + Duration::from_secs(1),
        0.5,
    );
    assert!(matches!(
        world.machine.take_actions()[..],
        [Action::Rebuild {
            generation: 2,
            from: Some(0),
            ..
        }]
    ));
    assert!(!world.machine.on_report(1, 0, Err(Blame::Cluster), now, 0.5));
    assert!(world.machine.on_report(1, 0, Ok(()), now, 0.5));
    assert_eq!(world.machine.take_actions(), [Action::Truncate(0)]);
}

#[test]
fn a_full_window_is_resent_and_never_exceeded() {
    let end = 2 * MAX_AHEAD as u64;
    let mut world = World::new(end);
    world.pass(Duration::ZERO);
    world.fill();
    assert_eq!(world.queue.len(), MAX_AHEAD);
    let first = world.queue.pop_front().unwrap();
    world.report(first, Err(Blame::Cluster));
    world.act();
    world.pass(Duration::from_secs(11));
    world.fill();
    assert_eq!(world.queue.len(), MAX_AHEAD);
    world.run(&BTreeSet::new());
    assert!(world.first.iter().copied().eq(0..end));
}

proptest! {
    /// Reports fail at random, after any part of the queue was delivered; acknowledgements of what arrived may be lost.
    #[test]
    fn every_position_arrives_and_first_deliveries_are_in_order(
        steps in proptest::collection::vec((0usize..8, 0u8..4), 1..60),
    ) {
        let mut world = World::new(40);
        let mut topic: Vec<u64> = Vec::new();
        for (arrive, fate) in steps {
            world.pass(Duration::from_secs(11));
            world.fill();
            for _ in 0..arrive {
                if let Some(position) = world.queue.pop_front() {
                    topic.push(position);
                    // Fate 1: it arrived, but the acknowledgement was lost.
                    let outcome = if fate == 1 { Err(Blame::Cluster) } else { Ok(()) };
                    world.report(position, outcome);
                }
            }
            if fate == 2 && let Some(position) = world.queue.pop_front() {
                world.report(position, Err(Blame::Cluster));
            }
            world.act();
        }
        for _ in 0..500 {
            world.pass(Duration::from_secs(11));
            world.fill();
            topic.extend(&world.queue);
            world.deliver_batch(&BTreeSet::new());
        }
        prop_assert_eq!(world.truncated, Some(39));
        prop_assert!(world.machine.is_empty());
        let mut seen = BTreeSet::new();
        let first: Vec<u64> = topic.into_iter().filter(|position| seen.insert(*position)).collect();
        prop_assert_eq!(first, (0..40).collect::<Vec<_>>());
    }
}
