//! The number of partitions: known before anything is sent, and changed only while nothing is in flight.

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
        world.machine.sent(position);
    }
    assert!(world.machine.partitions(8));
    for position in 0..3 {
        assert_eq!(sends_by(&mut world, 3), None);
        world.report(position, Ok(()));
    }
    assert_eq!(sends_by(&mut world, 3), Some(8));
    assert!(
        !world.machine.partitions(8),
        "the number by which records go"
    );
}

#[test]
fn what_is_held_while_the_number_is_unknown_is_neither_sent_nor_forgotten() {
    let now = Instant::now();
    let mut machine = Machine::new(now, LIMITS);
    machine.tick(now, 0.5);
    machine.actions();
    assert!(
        machine.wants(),
        "a record must be read to know whether there is one"
    );
    assert_eq!(machine.offer(5, now), Offer::Hold);
    assert!(!machine.knows_partitions());
    assert_eq!((machine.in_flight(), machine.is_empty()), (0, false));
    // The producer is replaced meanwhile: reading goes back to what was held.
    machine.renew(now, 0.5);
    machine.tick(now + Duration::from_mins(1), 0.5);
    let actions = machine.actions();
    assert!(
        matches!(actions.last(), Some(Action::Rebuild { from: Some(5), .. })),
        "{actions:?}"
    );
    machine.partitions(3);
    assert!(matches!(machine.offer(5, now), Offer::Send(many) if many.get() == 3));
}

#[test]
fn a_new_producer_looks_at_the_topic_before_it_sends() {
    let mut world = World::new(10);
    world.pass(Duration::ZERO);
    assert_eq!(sends_by(&mut world, 0), Some(1));
    world.machine.sent(0);
    world.report(0, Err(Blame::Cluster));
    let later = world.now + Duration::from_mins(1);
    world.machine.tick(later, 0.5);
    assert_eq!(sends_by(&mut world, 0), None);
    // The topic was made again with fewer partitions or more, whatever it was before.
    world.machine.partitions(2);
    assert_eq!(sends_by(&mut world, 0), Some(2));
}

#[test]
fn a_producer_that_never_learns_the_number_is_replaced_as_one_that_never_reports() {
    let now = Instant::now();
    let mut machine = Machine::new(now, LIMITS);
    machine.tick(now, 0.5);
    machine.actions();
    assert_eq!(machine.offer(0, now), Offer::Hold);
    // Offered again meanwhile, as the worker does: the silence goes on.
    assert_eq!(machine.offer(0, now + STALL.mul_f64(0.9)), Offer::Hold);
    machine.tick(now + STALL.mul_f64(0.9), 0.5);
    assert_eq!(machine.actions(), []);
    machine.tick(now + STALL, 0.5);
    assert_eq!(machine.actions()[0], Action::Stalled(STALL));
}
