//! How a producer handles an answer, or that there is none.

use std::collections::BTreeSet;

use rdkafka::types::RDKafkaErrorCode as Code;
use ringback::publish::inbox::Report;

use super::state::retriable;
use super::{Kafka, Request};
use crate::random::{MS, SECOND};

impl Kafka {
    /// Handles the outcome of a request: its answer, or the error if none will come.
    pub(super) fn complete(&mut self, id: u64, request: &Request, outcome: Result<(), Code>) {
        let client = request.client;
        let backoff = self.random.range(100 * MS, SECOND);
        let leader = self.partitions[request.partition].leader;
        let Some(state) = self.clients.get_mut(&client) else {
            return;
        };
        if state.in_flight.remove(&id).is_none() {
            return;
        }
        let earlier: BTreeSet<_> = state
            .in_flight
            .keys()
            .filter_map(|other| self.requests.get(other))
            .filter(|other| other.partition == request.partition)
            .map(|other| other.sequence)
            .chain(state.queues[request.partition].retries.keys().copied())
            .collect();
        let has_earlier = earlier
            .first()
            .is_some_and(|first| *first < request.sequence);
        match outcome {
            Ok(()) => {
                let generation = state.generation;
                state.bytes -= request
                    .batch
                    .iter()
                    .map(|message| message.value.len())
                    .sum::<usize>();
                for message in &*request.batch {
                    let report = Report {
                        generation,
                        position: message.position,
                        outcome: Ok(()),
                    };
                    self.report(client, report);
                }
            }
            Err(code)
                if retriable(code) || (code == Code::OutOfOrderSequenceNumber && has_earlier) =>
            {
                let queue = &mut state.queues[request.partition];
                if !state.stale {
                    queue.leader = leader;
                }
                let due = self.clock.now() + backoff;
                let batch = (request.batch.clone(), due, request.producer);
                queue.retries.insert(request.sequence, batch);
            }
            Err(Code::UnknownProducerId) if state.may_restart_sequence(request) => {
                state.restart_sequence(request, self.clock.now() + backoff);
            }
            Err(code) => {
                if state.gapless {
                    state.fatal = true;
                } else {
                    state.producer = 0;
                    for queue in &mut state.queues {
                        queue.next = 0;
                    }
                }
                let fatal = state.fatal;
                let batch = request.batch.iter().cloned();
                let delay = self.random.latency(MS, self.report_delay);
                self.fail(
                    client,
                    batch.map(|message| (message, code)).collect(),
                    delay,
                );
                if fatal {
                    self.purge(client, false);
                }
            }
        }
        self.poll_in(client, 0);
    }
}
