//! A client between the worker and [`SimClient`] that can lie.

use ringback::publish::env::{Client, Enqueue, Outgoing};
use ringback::publish::inbox::Report;

use super::Headers;
use super::client::SimClient;
use super::topics;
use crate::lies::{self, Lie};

pub struct LyingClient {
    pub honest: SimClient,
    pub generation: u64,
}

impl Client for LyingClient {
    fn enqueue(&self, mut outgoing: Outgoing<'_>) -> Enqueue {
        let position = outgoing.position;
        if self.honest.watch.borrow().written.contains(&position) {
            let words = format!("{position} is sent again though it was reported as written");
            self.honest
                .kafka
                .borrow()
                .ledger
                .borrow_mut()
                .violate(words);
        }
        if lies::is_on(Lie::OneTopic) {
            let partitions = self.honest.kafka.borrow().partitions_of(0);
            outgoing.topic = topics::NAMES[0];
            outgoing.partition %= partitions as i32;
        }
        if lies::is_on(Lie::NewestPartitions) {
            let mut kafka = self.honest.kafka.borrow_mut();
            kafka.extend(self.honest.id);
            let bytes = outgoing.key.unwrap_or_default().bytes();
            let sum: i32 = bytes.map(i32::from).sum();
            let topic = topics::index(outgoing.topic);
            outgoing.partition = sum % kafka.partitions_of(topic) as i32;
        }
        if lies::is_on(Lie::NothingArrives) {
            let report = Report {
                generation: self.generation,
                position: outgoing.position,
                outcome: Ok(()),
            };
            let mut kafka = self.honest.kafka.borrow_mut();
            kafka.report(self.honest.id, report);
            return Enqueue::Queued;
        }
        if lies::is_on(Lie::TimestampZero) {
            outgoing.timestamp_ms = 0;
        }
        if lies::is_on(Lie::TimestampOfReceipt) {
            outgoing.timestamp_ms = Headers::of(&outgoing).received_ms();
        }
        if lies::is_on(Lie::KeyDropped) {
            outgoing.key = None;
        }
        if lies::is_on(Lie::SentIsDone) {
            let report = Report {
                generation: self.generation,
                position,
                outcome: Ok(()),
            };
            let outcome = self.honest.enqueue(outgoing);
            if outcome == Enqueue::Queued {
                let mut kafka = self.honest.kafka.borrow_mut();
                kafka.report(self.honest.id, report);
            }
            return outcome;
        }
        if lies::is_on(Lie::SentTwice) {
            let again = Outgoing {
                headers: outgoing.headers.clone(),
                ..outgoing
            };
            let outcome = self.honest.enqueue(outgoing);
            if outcome == Enqueue::Queued {
                self.honest.enqueue(again);
            }
            return outcome;
        }
        self.honest.enqueue(outgoing)
    }

    fn purge(&self, in_flight: bool) {
        self.honest.purge(in_flight);
    }

    fn request_topic_states(&self) {
        self.honest.request_topic_states();
    }
}
