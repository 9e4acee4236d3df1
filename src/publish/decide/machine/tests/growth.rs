//! The number of partitions is known before anything is sent and changes only while nothing is in flight.

use super::*;

fn sends_by(world: &mut World, position: u64) -> Option<i32> {
    match world.machine.offer(position, 0, world.now) {
        Offer::Send(partitions) => Some(partitions.get()),
        Offer::Hold => None,
        other => panic!("{other:?} for {position}"),
    }
}

#[test]
fn a_grown_topic_waits_until_what_is_in_flight_is_acknowledged() {
    let mut world = World::new(10);
    world.pass(Duration::ZERO);
    for position in 0..3 {
        assert_eq!(sends_by(&mut world, position), Some(1));
        world.machine.on_queued(position);
    }
    assert!(world.machine.on_partitions(0, 8));
    for position in 0..3 {
        assert_eq!(sends_by(&mut world, 3), None);
        world.report(position, Ok(()));
    }
    assert_eq!(sends_by(&mut world, 3), Some(8));
    assert!(
        !world.machine.on_partitions(0, 8),
        "the number by which records go"
    );
}

#[test]
fn what_is_held_while_the_number_is_unknown_is_neither_sent_nor_forgotten() {
    let now = Instant::now();
    let mut machine = Machine::new(now, LIMITS, 1);
    machine.tick(now, 0.5);
    machine.take_actions();
    assert!(
        machine.wants_record(),
        "a record must be read before anyone knows that there is one"
    );
    assert_eq!(machine.offer(5, 0, now), Offer::Hold);
    assert!(!machine.knows_partitions());
    assert_eq!((machine.in_flight(), machine.is_empty()), (0, false));
    // The producer is replaced meanwhile: reading goes back to the record that was held.
    machine.replace_producer(now, 0.5);
    machine.tick(now + Duration::from_mins(1), 0.5);
    let actions = machine.take_actions();
    assert!(
        matches!(actions.last(), Some(Action::Rebuild { from: Some(5), .. })),
        "{actions:?}"
    );
    machine.on_partitions(0, 3);
    assert!(matches!(machine.offer(5, 0, now), Offer::Send(many) if many.get() == 3));
}

#[test]
fn a_new_producer_learns_the_number_of_partitions_before_it_sends() {
    let mut world = World::new(10);
    world.pass(Duration::ZERO);
    assert_eq!(sends_by(&mut world, 0), Some(1));
    world.machine.on_queued(0);
    world.report(0, Err(Blame::Cluster));
    let later = world.now + Duration::from_mins(1);
    world.machine.tick(later, 0.5);
    assert_eq!(sends_by(&mut world, 0), None);
    // The topic was created again, with more partitions or fewer.
    world.machine.on_partitions(0, 2);
    assert_eq!(sends_by(&mut world, 0), Some(2));
}

#[test]
fn a_producer_that_never_learns_the_number_is_replaced_as_one_that_never_reports() {
    let now = Instant::now();
    let mut machine = Machine::new(now, LIMITS, 1);
    machine.tick(now, 0.5);
    machine.take_actions();
    assert_eq!(machine.offer(0, 0, now), Offer::Hold);
    // The worker offers the record again meanwhile: the timer runs on.
    assert_eq!(
        machine.offer(0, 0, now + STALL_TIMEOUT.mul_f64(0.9)),
        Offer::Hold
    );
    machine.tick(now + STALL_TIMEOUT.mul_f64(0.9), 0.5);
    assert_eq!(machine.take_actions(), []);
    machine.tick(now + STALL_TIMEOUT, 0.5);
    assert_eq!(
        machine.take_actions()[0],
        Action::ReportStall(STALL_TIMEOUT)
    );
}

/// The number of partitions by which the record would go to this topic.
fn count_of(machine: &mut Machine, position: u64, topic: usize) -> Option<i32> {
    match machine.offer(position, topic, Instant::now()) {
        Offer::Send(partitions) => Some(partitions.get()),
        Offer::Hold => None,
        other => panic!("{other:?} for {position}"),
    }
}

#[test]
fn each_topic_has_its_own_number_and_only_a_record_for_a_missing_one_waits() {
    let now = Instant::now();
    let mut machine = Machine::new(now, LIMITS, 2);
    machine.tick(now, 0.5);
    machine.take_actions();
    machine.on_partitions(0, 3);
    assert!(!machine.knows_partitions());
    assert_eq!(count_of(&mut machine, 0, 0), Some(3));
    machine.on_queued(0);
    assert_eq!(count_of(&mut machine, 1, 1), None, "its topic is missing");
    assert!(machine.awaits_topic(1) && !machine.awaits_topic(0));
    machine.on_partitions(1, 5);
    assert_eq!(
        count_of(&mut machine, 1, 1),
        Some(5),
        "nothing was sent to it before"
    );
    machine.on_queued(1);
    assert!(machine.on_partitions(1, 6));
    assert_eq!(count_of(&mut machine, 2, 0), Some(3));
    machine.on_queued(2);
    for position in 0..3 {
        assert_eq!(count_of(&mut machine, 3, 1), None, "it has grown");
        machine.on_report(1, position, Ok(()), now, 0.5);
    }
    assert_eq!(count_of(&mut machine, 3, 1), Some(6));
}
