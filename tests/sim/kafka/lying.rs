//! A client between the worker and [`SimClient`] that can lie.

use ringback::publish::env::{Client, Handed, Outgoing};
use ringback::publish::inbox::Report;

use super::Headers;
use super::client::SimClient;
use crate::lies::{self, Lie};

pub struct LyingClient {
    pub honest: SimClient,
    pub generation: u64,
}

impl Client for LyingClient {
    fn send(&self, mut outgoing: Outgoing<'_>) -> Handed {
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
        if lies::is_on(Lie::NewestPartitions) {
            let mut kafka = self.honest.kafka.borrow_mut();
            kafka.extend(self.honest.id);
            let bytes = outgoing.key.unwrap_or_default().bytes();
            let sum: i32 = bytes.map(i32::from).sum();
            outgoing.partition = sum % kafka.partitions.len() as i32;
        }
        if lies::is_on(Lie::NothingArrives) {
            let report = Report {
                generation: self.generation,
                position: outgoing.position,
                has_key: outgoing.key.is_some(),
                outcome: Ok(()),
            };
            let mut kafka = self.honest.kafka.borrow_mut();
            kafka.report(self.honest.id, report);
            return Handed::Taken;
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
                has_key: outgoing.key.is_some(),
                outcome: Ok(()),
            };
            let handed = self.honest.send(outgoing);
            if handed == Handed::Taken {
                let mut kafka = self.honest.kafka.borrow_mut();
                kafka.report(self.honest.id, report);
            }
            return handed;
        }
        if lies::is_on(Lie::SentTwice) {
            let again = Outgoing {
                headers: outgoing.headers.clone(),
                ..outgoing
            };
            let handed = self.honest.send(outgoing);
            if handed == Handed::Taken {
                self.honest.send(again);
            }
            return handed;
        }
        self.honest.send(outgoing)
    }

    fn purge(&self, in_flight: bool) {
        self.honest.purge(in_flight);
    }

    fn look_at_topic(&self) {
        self.honest.look_at_topic();
    }
}
