//! A record is dead-lettered after three isolated failures in a row, and ten such dead letters in a row stop publishing: what
//! counts as one, and what does not.

use super::*;

/// A machine that isolates 0 and 1, of which the first has failed alone twice.
struct Isolated {
    machine: Machine,
    now: Instant,
    generation: u64,
}

const TOO_LARGE: Result<(), Blame> = Err(Blame::Record(Reason::TooLarge));

impl Isolated {
    fn after_two_failures() -> Self {
        let now = Instant::now();
        let mut isolated = Self {
            machine: Machine::new(now, LIMITS, 1),
            now,
            generation: 0,
        };
        isolated.build();
        for position in [0, 1] {
            isolated.send(position);
        }
        isolated.report(1, TOO_LARGE);
        isolated.report(0, TOO_LARGE);
        for _ in 0..2 {
            isolated.build();
            isolated.fail_alone(0);
        }
        assert!(isolated.dead_letters().is_empty());
        isolated
    }

    fn build(&mut self) {
        self.now += Duration::from_secs(11);
        self.machine.tick(self.now, 0.5);
        self.generation += 1;
        let actions = self.machine.take_actions();
        assert!(
            matches!(actions[..], [.., Action::Rebuild { generation, .. }] if generation == self.generation),
            "{actions:?}"
        );
        self.machine.on_partitions(0, 1);
    }

    fn send(&mut self, position: u64) {
        assert!(matches!(
            self.machine.offer(position, 0, self.now),
            Offer::Send(_)
        ));
        self.machine.on_queued(position);
    }

    fn report(&mut self, position: u64, outcome: Result<(), Blame>) {
        self.machine
            .on_report(self.generation, position, outcome, self.now, 0.5);
    }

    fn fail_alone(&mut self, position: u64) {
        self.send(position);
        self.report(position, TOO_LARGE);
    }

    fn dead_letters(&mut self) -> Vec<u64> {
        let dead_letters = self.machine.take_actions().into_iter();
        dead_letters
            .filter_map(|action| match action {
                Action::DeadLetter { position, .. } => Some(position),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn unparsed_bodies_do_not_stop_publishing_however_many_come_in_a_row() {
    let now = Instant::now();
    let mut machine = Machine::new(now, LIMITS, 1);
    machine.tick(now, 0.5);
    machine.on_partitions(0, 1);
    machine.take_actions();
    for position in 0..30 {
        assert!(matches!(machine.offer(position, 0, now), Offer::Send(_)));
        machine.dead_lettered(position, Reason::Unparsed);
        assert!(machine.may_dead_letter(), "after {position}");
        assert_eq!(machine.take_actions(), [Action::Truncate(position)]);
    }
    assert!(machine.is_empty());
}

#[test]
fn the_third_isolated_failure_makes_a_dead_letter() {
    let mut isolated = Isolated::after_two_failures();
    isolated.build();
    isolated.fail_alone(0);
    assert_eq!(isolated.dead_letters(), [0]);
}

#[test]
fn another_record_s_late_acknowledgement_does_not_reset_the_count() {
    let mut isolated = Isolated::after_two_failures();
    assert!(isolated.machine.on_report(1, 1, Ok(()), isolated.now, 0.5));
    isolated.build();
    isolated.fail_alone(0);
    assert_eq!(isolated.dead_letters(), [0]);
}

#[test]
fn the_suspect_s_own_late_acknowledgement_resets_the_count() {
    let mut isolated = Isolated::after_two_failures();
    assert!(isolated.machine.on_report(1, 0, Ok(()), isolated.now, 0.5));
    isolated.machine.take_actions();
    isolated.build();
    isolated.fail_alone(1);
    assert!(
        isolated
            .machine
            .isolation
            .suspect
            .as_ref()
            .is_some_and(|suspect| (suspect.position, suspect.failures) == (1, 1))
    );
    assert!(isolated.dead_letters().is_empty());
}

#[test]
fn a_fault_of_the_cluster_in_between_resets_the_count_and_a_neighbour_s_does_not() {
    for (between, dead_letters) in [(Blame::Cluster, vec![]), (Blame::Collateral, vec![0])] {
        let mut isolated = Isolated::after_two_failures();
        isolated.build();
        isolated.send(0);
        isolated.report(0, Err(between));
        assert!(isolated.dead_letters().is_empty());
        isolated.build();
        isolated.fail_alone(0);
        assert_eq!(isolated.dead_letters(), dead_letters, "{between:?}");
    }
}

#[test]
fn failures_are_not_counted_against_the_next_record_if_the_suspect_was_damaged_meanwhile() {
    let mut isolated = Isolated::after_two_failures();
    isolated.build();
    // The reader comes to 1 at once.
    isolated.fail_alone(1);
    assert!(isolated.dead_letters().is_empty());
    assert!(
        isolated
            .machine
            .isolation
            .suspect
            .as_ref()
            .is_some_and(|suspect| (suspect.position, suspect.failures) == (1, 1))
    );
}

#[test]
fn the_record_behind_a_dead_letter_waits_as_after_a_first_failure() {
    let mut isolated = Isolated::after_two_failures();
    isolated.build();
    isolated.fail_alone(0);
    isolated.machine.dead_lettered(0, Reason::TooLarge);
    isolated.build();
    isolated.fail_alone(1);
    let wait = isolated.machine.deadline().map(|at| at - isolated.now);
    assert_eq!(wait, Some(Duration::from_millis(75)));
}
