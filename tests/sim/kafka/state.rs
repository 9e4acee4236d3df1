//! A producer's inner life, and how it makes requests of its queues.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::{Message, Request};

/// One producer's inner life.
pub struct State {
    pub generation: u64,
    pub producer: u64,
    pub built_at: u64,
    pub linger: u64,
    pub batch_bytes: usize,
    pub batch_records: usize,
    pub in_flight_per_broker: usize,
    pub gapless: bool,
    pub queue_bytes: usize,
    pub largest: usize,
    pub queues: Vec<Queue>,
    /// Requests without an answer, and to which broker.
    pub in_flight: BTreeMap<u64, usize>,
    pub bytes: usize,
    pub fatal: bool,
    /// The topic does not exist, as far as the client knows.
    pub no_topic: bool,
    pub poll_at: Option<u64>,
    /// Its threads wait by a wall clock that was set back.
    pub still_until: u64,
}

#[derive(Default)]
pub struct Queue {
    pub fresh: VecDeque<(Message, u64)>,
    /// By sequence number: the batch and when it is due again.
    pub retries: BTreeMap<u64, (Rc<Vec<Message>>, u64, u64)>,
    pub next: u64,
    pub leader: usize,
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
        }
    }
}
