//! The number of partitions is known before anything is sent and changes only while nothing is in flight.

use super::*;

fn sends_by(world: &mut World, position: u64) -> Option<i32> {
    match world.machine.offer(position, world.now) {
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
    assert!(world.machine.on_partitions(8));
    for position in 0..3 {
        assert_eq!(sends_by(&mut world, 3), None);
        world.report(position, Ok(()));
    }
    assert_eq!(sends_by(&mut world, 3), Some(8));
    assert!(
        !world.machine.on_partitions(8),
        "the number by which records go"
    );
}

#[test]
fn what_is_held_while_the_number_is_unknown_is_neither_sent_nor_forgotten() {
    let now = Instant::now();
    let mut machine = Machine::new(now, LIMITS);
    machine.tick(now, 0.5);
    machine.take_actions();
    assert!(
        machine.wants_record(),
        "a record must be read before anyone knows that there is one"
    );
    assert_eq!(machine.offer(5, now), Offer::Hold);
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
    machine.on_partitions(3);
    assert!(matches!(machine.offer(5, now), Offer::Send(many) if many.get() == 3));
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
    world.machine.on_partitions(2);
    assert_eq!(sends_by(&mut world, 0), Some(2));
}

#[test]
fn a_producer_that_never_learns_the_number_is_replaced_as_one_that_never_reports() {
    let now = Instant::now();
    let mut machine = Machine::new(now, LIMITS);
    machine.tick(now, 0.5);
    machine.take_actions();
    assert_eq!(machine.offer(0, now), Offer::Hold);
    // The worker offers the record again meanwhile: the timer runs on.
    assert_eq!(
        machine.offer(0, now + STALL_TIMEOUT.mul_f64(0.9)),
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
