//! A producer's state, and how it makes requests from its queues.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::{Message, Request};

/// The state of one producer.
pub struct State {
    pub generation: u64,
    pub producer: u64,
    /// How often the producer's id was renewed.
    pub epoch: u64,
    pub built_at: u64,
    pub linger: u64,
    pub batch_bytes: usize,
    pub batch_records: usize,
    pub in_flight_per_broker: usize,
    pub gapless: bool,
    /// `acks` is `all`.
    pub all: bool,
    pub queue_bytes: usize,
    pub largest: usize,
    pub queues: Vec<Queue>,
    /// Requests without an answer, and to which broker.
    pub in_flight: BTreeMap<u64, usize>,
    pub bytes: usize,
    pub fatal: bool,
    /// The topic does not exist, as far as the client knows.
    pub no_topic: bool,
    /// It goes on asking the leaders that it knows, though others lead now.
    pub stale: bool,
    pub poll_at: Option<u64>,
    /// Until when the present query of the topic may last.
    pub query_until: Option<u64>,
    /// Until when its threads hang, or wait by a wall clock that was set back.
    pub still_until: u64,
}

/// Keeps the ids of one producer's epochs apart from other producers' ids.
const EPOCH: u64 = 1 << 40;

#[derive(Default)]
pub struct Queue {
    pub fresh: VecDeque<(Message, u64)>,
    /// By sequence number: the batch and when it is due again.
    pub retries: BTreeMap<u64, (Rc<Vec<Message>>, u64, u64)>,
    pub next: u64,
    pub leader: usize,
}

impl Queue {
    pub fn led_by(leader: usize) -> Self {
        Self {
            leader,
            ..Self::default()
        }
    }
}

pub fn retriable(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::RequestTimedOut
            | Code::NotLeaderForPartition
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::UnknownTopicOrPartition
    )
}

impl State {
    pub fn next_request(
        &mut self,
        client: u64,
        broker: usize,
        ends: u64,
        partition: usize,
    ) -> Request {
        let queue = &mut self.queues[partition];
        let retry = queue.retries.pop_first();
        let is_retry = retry.is_some();
        let (sequence, batch, producer) = retry.map_or_else(
            || {
                let mut batch = Vec::new();
                let mut bytes = 0;
                while let Some((message, _)) = queue.fresh.front() {
                    bytes += message.value.len();
                    let full = bytes > self.batch_bytes || batch.len() >= self.batch_records;
                    if full && !batch.is_empty() {
                        break;
                    }
                    batch.extend(queue.fresh.pop_front().map(|(message, _)| message));
                }
                let sequence = queue.next;
                queue.next += batch.len() as u64;
                (sequence, Rc::new(batch), self.producer)
            },
            |(sequence, (batch, _, producer))| (sequence, batch, producer),
        );
        Request {
            client,
            producer,
            broker,
            ends,
            partition,
            sequence,
            batch,
            is_retry,
            all: self.all,
        }
    }

    /// True if the producer can go on though a broker has forgotten it: nothing is in flight, and what was refused had not been
    /// sent before, so it cannot have been written.
    pub fn may_restart_sequence(&self, refused: &Request) -> bool {
        !refused.is_retry && self.in_flight.is_empty()
    }

    /// Takes another producer id, counts from 0 again, and sends what was refused and what waits in the same order.
    pub fn restart_sequence(&mut self, refused: &Request, at: u64) {
        let queue = &mut self.queues[refused.partition];
        let again = (refused.batch.clone(), at, refused.producer);
        queue.retries.insert(refused.sequence, again);
        // Retries need the new id before the next poll can ask for one, and no other producer has this number.
        self.epoch += 1;
        self.producer = EPOCH * self.epoch + self.producer % EPOCH;
        for queue in &mut self.queues {
            queue.next = 0;
            for (_, (batch, due, _)) in std::mem::take(&mut queue.retries) {
                let count = batch.len() as u64;
                queue
                    .retries
                    .insert(queue.next, (batch, due, self.producer));
                queue.next += count;
            }
        }
    }
}
