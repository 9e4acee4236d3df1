//! Three failures alone, in a row, of the same record: what counts as one, and what does not.

use super::*;

/// A machine that isolates 0 and 1, of which the first has failed alone twice.
struct Isolated {
    machine: Machine,
    now: Instant,
    generation: u64,
}

const TOO_LARGE: Result<(), Blame> = Err(Blame::Record("too_large"));

impl Isolated {
    fn after_two_strikes() -> Self {
        let now = Instant::now();
        let mut isolated = Self {
            machine: Machine::new(now, LIMITS),
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
        assert!(isolated.letters().is_empty());
        isolated
    }

    fn build(&mut self) {
        self.now += Duration::from_secs(11);
        self.machine.tick(self.now, 0.5);
        self.generation += 1;
        let actions = self.machine.actions();
        assert!(
            matches!(actions[..], [.., Action::Rebuild { generation, .. }] if generation == self.generation),
            "{actions:?}"
        );
        self.machine.partitions(1);
    }

    fn send(&mut self, position: u64) {
        assert!(matches!(
            self.machine.offer(position, self.now),
            Offer::Send(_)
        ));
        self.machine.sent(position);
    }

    fn report(&mut self, position: u64, outcome: Result<(), Blame>) {
        self.machine
            .report(self.generation, position, outcome, self.now, 0.5);
    }

    fn fail_alone(&mut self, position: u64) {
        self.send(position);
        self.report(position, TOO_LARGE);
    }

    fn letters(&mut self) -> Vec<u64> {
        let letters = self.machine.actions().into_iter();
        letters
            .filter_map(|action| match action {
                Action::DeadLetter { position, .. } => Some(position),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn the_third_is_the_last() {
    let mut isolated = Isolated::after_two_strikes();
    isolated.build();
    isolated.fail_alone(0);
    assert_eq!(isolated.letters(), [0]);
}

#[test]
fn another_record_s_late_acknowledgement_acquits_nobody() {
    let mut isolated = Isolated::after_two_strikes();
    assert!(isolated.machine.report(1, 1, Ok(()), isolated.now, 0.5));
    isolated.build();
    isolated.fail_alone(0);
    assert_eq!(isolated.letters(), [0]);
}

#[test]
fn one_s_own_late_acknowledgement_does() {
    let mut isolated = Isolated::after_two_strikes();
    assert!(isolated.machine.report(1, 0, Ok(()), isolated.now, 0.5));
    isolated.machine.actions();
    isolated.build();
    isolated.fail_alone(1);
    assert!(
        isolated
            .machine
            .suspect
            .as_ref()
            .is_some_and(|suspect| (suspect.position, suspect.strikes) == (1, 1))
    );
    assert!(isolated.letters().is_empty());
}

#[test]
fn a_fault_of_the_cluster_in_between_begins_the_count_anew_and_a_neighbour_s_does_not() {
    for (between, letters) in [(Blame::Cluster, vec![]), (Blame::Collateral, vec![0])] {
        let mut isolated = Isolated::after_two_strikes();
        isolated.build();
        isolated.send(0);
        isolated.report(0, Err(between));
        assert!(isolated.letters().is_empty());
        isolated.build();
        isolated.fail_alone(0);
        assert_eq!(isolated.letters(), letters, "{between:?}");
    }
}

#[test]
fn strikes_are_not_handed_on_where_the_suspect_was_damaged_meanwhile() {
    let mut isolated = Isolated::after_two_strikes();
    isolated.build();
    // The reader comes to 1 at once.
    isolated.fail_alone(1);
    assert!(isolated.letters().is_empty());
    assert!(
        isolated
            .machine
            .suspect
            .as_ref()
            .is_some_and(|suspect| (suspect.position, suspect.strikes) == (1, 1))
    );
}
