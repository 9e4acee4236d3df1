//! How a partition's leader handles a batch and answers the client.

use rdkafka::types::RDKafkaErrorCode as Code;

use super::{Event, Kafka, Request};
use crate::coverage::{self, Seen};
use crate::random::MS;

impl Kafka {
    /// Handles a request that arrives, even from a client that has given it up or is gone.
    pub(super) fn arrive(&mut self, id: u64, request: &Request) {
        let broker = &self.brokers[request.broker];
        if !broker.up || broker.ends != request.ends {
            return self.after(MS, Event::Answer(id, Err(Code::BrokerTransportFailure)));
        }
        if broker.silent && self.random.percent(50) {
            return;
        }
        let outcome = self.append(request);
        self.clock.log(|| {
            let positions: Vec<_> = request
                .batch
                .iter()
                .map(|message| message.position)
                .collect();
            format!(
                "broker {}: partition {}, producer {}, sequence {}, {positions:?}: {outcome:?}",
                request.broker, request.partition, request.producer, request.sequence
            )
        });
        match outcome {
            Ok(end) if request.all => self.await_replicas(id, request.partition, end),
            outcome => self.reply(id, outcome.map(drop)),
        }
        self.replicate(request.partition);
    }

    /// Sends the leader's answer to the client; it may be lost.
    pub(super) fn reply(&mut self, id: u64, outcome: Result<(), Code>) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let broker = request.broker;
        if self.brokers[broker].silent {
            return coverage::seen(Seen::SilentBroker);
        }
        if self.random.percent(self.lost_answers) {
            // Either the connection is lost with it, or the client learns nothing.
            if self.random.percent(50) {
                self.after(MS, Event::Answer(id, Err(Code::BrokerTransportFailure)));
            }
            return;
        }
        let transit = self.transit_time(broker);
        self.after(transit, Event::Answer(id, outcome));
    }

    /// Lets the leader write a batch; returns the log's length with it, or why the leader refuses it.
    fn append(&mut self, request: &Request) -> Result<u64, Code> {
        let partition = &self.partitions[request.partition];
        if self.is_missing(partition.topic) {
            return Err(Code::UnknownTopicOrPartition);
        }
        if self.missing_since.is_some() {
            coverage::seen(Seen::OneOfTwoMissing);
        }
        if partition.leader != request.broker {
            return Err(Code::NotLeaderForPartition);
        }
        let count = request.batch.len() as u64;
        let late = self.refuses_times(&request.batch);
        let too_few = self.lacks_replicas(request.partition);
        let partition = &mut self.partitions[request.partition];
        if too_few {
            coverage::seen(Seen::TooFewReplicas);
            return Err(Code::NotEnoughReplicas);
        }
        if let Some(next) = partition.producers.get(&request.producer) {
            if request.sequence + count <= *next {
                return Ok(partition
                    .replicas
                    .end_of(request.producer, request.sequence));
            }
            if request.sequence != *next {
                return Err(Code::OutOfOrderSequenceNumber);
            }
        } else if request.sequence > 0 {
            if self.strict {
                coverage::seen(Seen::UnknownRefused);
                return Err(Code::UnknownProducerId);
            }
            coverage::seen(Seen::UnknownGoesOn);
        }
        let refusal = partition.refuses_one.take().or(partition.refusal);
        self.times.refused_at_will |= refusal == Some(Code::InvalidTimestamp);
        if let Some(code) = refusal {
            // A compacted topic refuses only records without a key.
            let keyless = request.batch.iter().any(|message| message.key.is_none());
            let appends = code == Code::NotEnoughReplicasAfterAppend;
            if !appends && (code != Code::InvalidRecord || keyless) {
                return Err(code);
            }
        }
        if let Some(code) = late {
            coverage::seen(Seen::TooOld);
            return Err(code);
        }
        let bytes: usize = request
            .batch
            .iter()
            .map(|message| message.value.len())
            .sum();
        let ledger = self.ledger.clone();
        let mut ledger = ledger.borrow_mut();
        if let Some(code) = ledger.refused_by_topic(&request.batch) {
            return Err(code);
        }
        if bytes > self.largest_batch {
            return Err(Code::MessageSizeTooLarge);
        }
        let wrong = request.batch.iter().find_map(|message| {
            let words = self.judge_time(message)?;
            Some(format!(
                "the record of position {}, {words}",
                message.position
            ))
        });
        if let Some(words) = wrong {
            ledger.violate(words);
        }
        let end = self.partitions[request.partition].append(request);
        match refusal {
            Some(code) if code == Code::NotEnoughReplicasAfterAppend => Err(code),
            _ => Ok(end),
        }
    }
}
