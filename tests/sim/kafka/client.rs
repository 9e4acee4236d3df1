//! A producer like librdkafka's: one queue per partition, batches, a bounded number of requests in flight to each broker,
//! retries that keep their sequence numbers, a fatal error if a gap would arise, purges, reports in order per partition.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rdkafka::types::RDKafkaErrorCode as Code;
use ringback::publish::DeliveryError;
use ringback::publish::env::{Client, Enqueue, Outgoing};
use ringback::publish::inbox::Report;

use super::state::State;
use super::{Event, Kafka, Message};
use crate::env::Watch;
use crate::lies::{self, Lie};
use crate::random::{MS, SECOND};

/// The worker's handle of a producer.
pub struct SimClient {
    pub id: u64,
    pub kafka: Rc<RefCell<Kafka>>,
    pub watch: Rc<RefCell<Watch>>,
}

impl Client for SimClient {
    fn enqueue(&self, outgoing: Outgoing<'_>) -> Enqueue {
        let outcome = self.kafka.borrow_mut().send(self.id, &outgoing);
        if outcome == Enqueue::Queued {
            let now = self.kafka.borrow().clock.now();
            self.watch.borrow_mut().taken(now);
        }
        if matches!(outcome, Enqueue::Rejected(_)) {
            self.watch.borrow_mut().failed = true;
        }
        outcome
    }

    fn purge(&self, in_flight: bool) {
        let mut kafka = self.kafka.borrow_mut();
        self.watch.borrow_mut().given_up(kafka.clock.now());
        kafka.purge(self.id, in_flight);
    }

    fn request_topic_states(&self) {
        self.kafka.borrow_mut().query_topics(self.id);
    }
}

impl Drop for SimClient {
    fn drop(&mut self) {
        if lies::is_on(Lie::OldProducerKept) {
            return;
        }
        let mut kafka = self.kafka.borrow_mut();
        kafka.purge(self.id, true);
        kafka.clients.remove(&self.id);
    }
}

impl Kafka {
    /// A producer with these librdkafka properties.
    pub fn build(&mut self, generation: u64, properties: &BTreeMap<String, String>) -> u64 {
        let number = |name: &str, default: usize| {
            let value = properties.get(name);
            value.map_or(default, |value| value.parse().expect("a number"))
        };
        self.next += 1;
        let id = self.next;
        let now = self.clock.now();
        let state = State {
            generation,
            producer: 0,
            epoch: 0,
            built_at: now,
            linger: number("linger.ms", 5) as u64 * MS,
            batch_bytes: number("batch.size", 1_000_000),
            batch_records: number("batch.num.messages", 10_000),
            in_flight_per_broker: number("max.in.flight.requests.per.connection", 5),
            gapless: properties["enable.gapless.guarantee"] == "true",
            all: properties["acks"] == "all" && !lies::is_on(Lie::LeaderAlone),
            queue_bytes: self
                .queue_bytes
                .min(number("queue.buffering.max.kbytes", 1 << 20) * 1024),
            largest: number("message.max.bytes", 1_000_000),
            queues: Vec::new(),
            in_flight: BTreeMap::new(),
            bytes: 0,
            fatal: false,
            no_topic: false,
            stale: false,
            poll_at: None,
            query_until: None,
            still_until: 0,
        };
        self.clients.insert(id, state);
        self.poll_in(id, 0);
        self.query_topics(id);
        id
    }

    /// Removes the clients of a process that is gone, and all that they would still report.
    pub fn forget_clients(&mut self) {
        self.clients.clear();
        self.mail.clear();
        self.topic_states.clear();
        self.events
            .retain(|_, event| !matches!(event, Event::Mail(..)));
    }

    fn send(&mut self, id: u64, outgoing: &Outgoing<'_>) -> Enqueue {
        self.next += 1;
        let message = Message::of(outgoing, id, self.next);
        let refused = self.ledger.borrow().refused_by_client(&message);
        let number = usize::try_from(outgoing.partition).expect("ringback chooses it");
        let partition = self.find_partition(message.topic, number);
        let is_missing = self.missing_topic == message.topic;
        let now = self.clock.now();
        let has_key = outgoing.key.is_some();
        let rejected = |code| Enqueue::Rejected(DeliveryError::new(code, has_key));
        let Some(state) = self.clients.get_mut(&id) else {
            return rejected(Code::Fatal);
        };
        let size = message.value.len();
        if state.fatal {
            return rejected(Code::Fatal);
        }
        if state.no_topic && is_missing {
            return rejected(Code::UnknownTopic);
        }
        let Some(partition) = partition.filter(|index| *index < state.queues.len()) else {
            return rejected(Code::UnknownPartition);
        };
        if size > state.largest || refused {
            return rejected(Code::MessageSizeTooLarge);
        }
        if state.bytes + size > state.queue_bytes {
            return Enqueue::QueueFull;
        }
        state.bytes += size;
        let linger = state.linger;
        state.queues[partition].fresh.push_back((message, now));
        self.poll_in(id, linger);
        Enqueue::Queued
    }

    pub(super) fn purge(&mut self, id: u64, in_flight: bool) {
        let Some(state) = self.clients.get_mut(&id) else {
            return;
        };
        let mut given_up = Vec::new();
        for queue in &mut state.queues {
            for (batch, ..) in std::mem::take(&mut queue.retries).into_values() {
                given_up.extend(
                    batch
                        .iter()
                        .cloned()
                        .map(|message| (message, Code::PurgeQueue)),
                );
            }
            let fresh = std::mem::take(&mut queue.fresh);
            given_up.extend(
                fresh
                    .into_iter()
                    .map(|(message, _)| (message, Code::PurgeQueue)),
            );
        }
        if in_flight {
            // Requests in transit may still arrive, but nobody waits for their answers.
            for request in std::mem::take(&mut state.in_flight).into_keys() {
                if let Some(request) = self.requests.remove(&request) {
                    let batch = request.batch.iter().cloned();
                    given_up.extend(batch.map(|message| (message, Code::PurgeInflight)));
                }
            }
        }
        let delay = if in_flight && self.slow_purge > 0 {
            self.random.below(self.slow_purge)
        } else {
            0
        };
        self.clock.log(|| {
            format!(
                "client {id}: {} records purged, reported in {delay} µs",
                given_up.len()
            )
        });
        self.fail(id, given_up, delay);
    }

    pub(super) fn fail(&mut self, id: u64, messages: Vec<(Message, Code)>, delay: u64) {
        let Some(state) = self.clients.get_mut(&id) else {
            return;
        };
        let generation = state.generation;
        state.bytes -= messages
            .iter()
            .map(|(message, _)| message.value.len())
            .sum::<usize>();
        for (message, code) in messages {
            let report = Report {
                generation,
                position: message.position,
                outcome: Err(DeliveryError::new(code, message.key.is_some())),
            };
            self.report_after(id, report, delay);
        }
    }

    pub(super) fn poll_in(&mut self, id: u64, delay: u64) {
        let at = self.clock.now() + delay;
        if let Some(state) = self.clients.get_mut(&id)
            && state.poll_at.is_none_or(|poll| poll > at)
        {
            state.poll_at = Some(at);
            self.at(at, Event::Poll(id));
        }
    }

    /// A turn of the client's own thread.
    pub(super) fn poll(&mut self, id: u64) {
        let now = self.clock.now();
        let Some(state) = self.clients.get_mut(&id) else {
            return;
        };
        if state.poll_at.is_some_and(|at| at <= now) {
            state.poll_at = None;
        }
        let still = state.still_until;
        if still > now {
            return self.poll_in(id, still - now);
        }
        if self.topic_is_missing(id) {
            return;
        }
        let Some(state) = self.clients.get_mut(&id) else {
            return;
        };
        if state.fatal {
            return;
        }
        if state.producer == 0 {
            let delay = self.random.latency(5 * MS, 500 * MS);
            if self.brokers.iter().any(|broker| broker.up) {
                self.next += 1;
                state.producer = self.next;
            }
            return self.poll_in(id, delay);
        }
        for broker in 0..self.brokers.len() {
            self.send_to(id, broker);
        }
    }

    fn send_to(&mut self, id: u64, broker: usize) {
        let now = self.clock.now();
        loop {
            let Some(state) = self.clients.get_mut(&id) else {
                return;
            };
            let busy = state.in_flight.values().filter(|to| **to == broker).count();
            if busy >= state.in_flight_per_broker {
                return;
            }
            let mut due = Vec::new();
            let mut later = None;
            for (index, queue) in state.queues.iter().enumerate() {
                let topic = self.partitions[index].topic;
                let is_missing = self.missing_since.is_some() && self.missing_topic == topic;
                if queue.leader != broker || is_missing {
                    continue;
                }
                let at = match (queue.retries.first_key_value(), queue.fresh.front()) {
                    (Some((_, (_, at, _))), _) => *at,
                    (None, Some((_, since))) => {
                        let full = queue.fresh.len() >= state.batch_records;
                        if full { now } else { since + state.linger }
                    }
                    (None, None) => continue,
                };
                if at <= now {
                    due.push(index);
                } else {
                    later = Some(later.map_or(at, |later: u64| later.min(at)));
                }
            }
            if due.is_empty() {
                if let Some(at) = later {
                    self.poll_in(id, at - now);
                }
                return;
            }
            if !self.brokers[broker].up {
                // The client connects again: `reconnect.backoff.max.ms`.
                for index in due.into_iter().filter(|_| !state.stale) {
                    state.queues[index].leader = self.partitions[index].leader;
                }
                let delay = self.random.range(100 * MS, SECOND);
                return self.poll_in(id, delay);
            }
            let partition = self.random.pick(&due);
            let request = state.next_request(id, broker, self.brokers[broker].ends, partition);
            let sent = self.transmit(request);
            if let Some(state) = self.clients.get_mut(&id) {
                state.in_flight.insert(sent, broker);
            }
        }
    }
}
