//! A producer that holds records and does not report on them.

use super::*;

/// When the producer is replaced, in whole seconds from now, while it reports on nothing until `end`.
fn rebuilds(world: &mut World, end: Duration) -> Vec<u64> {
    let begun = world.now;
    let mut at = Vec::new();
    while world.now < begun + end {
        let known = world.batches.len();
        world.pass(Duration::from_secs(1));
        world.fill();
        if world.batches.len() > known {
            at.push(world.now.duration_since(begun).as_secs());
        }
    }
    at
}

fn stalled() -> World {
    let mut world = World::new(3);
    world.pass(Duration::ZERO);
    world.fill();
    assert_eq!(world.queue, [0, 1, 2]);
    world
}

#[test]
fn a_stalled_producer_is_replaced_after_the_timeout_and_then_every_five_minutes() {
    let mut world = stalled();
    // One more second for the purge and the back-off, in the steps of this test.
    let at = rebuilds(&mut world, Duration::from_secs(1_000));
    assert_eq!(at, [61, 362, 663, 964]);
    assert_eq!(world.queue, [0, 1, 2], "everything is sent again, in order");
    world.run(&BTreeSet::new());
    assert_eq!(world.first, [0, 1, 2]);
}

#[test]
fn any_report_resets_the_timeout() {
    for outcome in [Ok(()), Err(Blame::Cluster)] {
        let mut world = stalled();
        rebuilds(&mut world, Duration::from_secs(100));
        let failed = outcome.is_err();
        let position = world.queue.pop_front().unwrap();
        world.report(position, outcome);
        world.act();
        let at = rebuilds(&mut world, Duration::from_secs(100));
        // A failure itself replaces the producer, and the timer starts again with the new one.
        let expected: &[u64] = if failed { &[1, 62] } else { &[61] };
        assert_eq!(at, expected, "{outcome:?}");
    }
}

#[test]
fn reports_of_the_replacement_s_own_purge_do_not_reset_the_timeout() {
    let mut world = stalled();
    let now = world.now + STALL_TIMEOUT;
    world.machine.tick(now, 0.5);
    assert_eq!(
        world.machine.take_actions(),
        [
            Action::ReportStall(STALL_TIMEOUT),
            Action::Purge { in_flight: false }
        ]
    );
    for position in 0..3 {
        let purged = Err(Blame::Collateral);
        world.machine.on_report(1, position, purged, now, 0.5);
    }
    world.now = now;
    world.queue.clear();
    let at = rebuilds(&mut world, Duration::from_secs(200));
    assert_eq!(at, [1], "the replacement that was under way");
}

#[test]
fn slow_reports_and_a_producer_without_records_are_no_stall() {
    let mut world = stalled();
    for _ in 0..3 {
        assert_eq!(rebuilds(&mut world, STALL_TIMEOUT.mul_f64(0.9)), [0_u64; 0]);
        let position = world.queue.pop_front().unwrap();
        world.report(position, Ok(()));
        world.act();
    }
    assert_eq!(world.machine.deadline(), None);
    assert_eq!(rebuilds(&mut world, STALL_TIMEOUT * 5), [0_u64; 0]);
    // The timer starts again with the next record.
    world.end = 4;
    world.fill();
    assert_eq!(
        rebuilds(&mut world, STALL_TIMEOUT + Duration::from_secs(1)),
        [61]
    );
}

#[test]
fn new_credentials_reset_the_timeout() {
    let mut world = stalled();
    rebuilds(&mut world, Duration::from_secs(100));
    world.machine.replace_producer(world.now, 0.5);
    world.act();
    assert_eq!(rebuilds(&mut world, Duration::from_secs(100)), [1, 62]);
}

#[test]
fn the_user_s_batch_size_is_halved_as_the_default_is_and_never_raised() {
    for (given, expected) in [(1_000_000, 500_000), (20_000, 16_384), (1_000, 1_000)] {
        let limits = Limits {
            batch_bytes: given,
            ..LIMITS
        };
        let mut world = World::new(20);
        world.machine = Machine::new(world.now, limits, 1);
        world.pass(Duration::ZERO);
        world.fill();
        for position in std::mem::take(&mut world.queue) {
            world.report(position, Err(Blame::Record(Reason::TooLarge)));
        }
        world.act();
        world.run(&BTreeSet::new());
        world.end = 30;
        world.run(&BTreeSet::new());
        assert_eq!(world.batches[0], given);
        assert_eq!(world.batches.last(), Some(&expected));
    }
}
