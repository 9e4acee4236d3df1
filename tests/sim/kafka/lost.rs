//! Clients and brokers that have lost touch with each other without any error.

use super::Kafka;
use crate::coverage::{self, Seen};
use crate::random::SECOND;

/// Longer than any history.
const FOR_EVER: u64 = 1_000_000_000 * SECOND;

impl Kafka {
    /// Moves the leaders of all partitions, while the present clients still ask the former ones, because what these
    /// clients know looks newer to them than what brokers report. `remade`: the topic is another one, which knows no
    /// producer.
    pub fn leave_behind(&mut self, remade: bool) {
        for index in 0..self.partitions.len() {
            if remade {
                self.remake(index);
            } else {
                let leader = self.partitions[index].leader;
                self.move_leader(index, (leader + 1) % self.brokers.len());
            }
        }
        if remade {
            coverage::seen(Seen::TopicRemade);
        }
        for state in self.clients.values_mut() {
            state.stale = true;
        }
    }

    /// Hangs the threads of the present clients, as a resolver does that does not answer.
    pub fn hang_clients(&mut self) {
        self.stand_still(self.clock.now() + FOR_EVER);
    }

    /// Expires the producers' ids. `strict`: the brokers refuse an unknown producer whose sequence does not begin at 0, as those
    /// before Kafka 2.5 do.
    pub fn forget_producers(&mut self, strict: bool) {
        self.strict = strict;
        let alive: Vec<_> = self.clients.values().map(|state| state.producer).collect();
        for partition in &mut self.partitions {
            let is_known = |producer| partition.producers.contains_key(producer);
            if alive.iter().any(is_known) {
                coverage::seen(Seen::ProducerExpired);
            }
            partition.producers.clear();
            partition.replicas.forget_producers();
        }
    }
}
