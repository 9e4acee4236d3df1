//! From the journal to the producer: reading, offering, handing over, setting aside.

use std::time::Duration;

use super::sent::Sent;
use super::{RETRY, Trouble, Worker};
use crate::event::{DecodeError, Event};
use crate::journal::{ReadError, Record};
use crate::publish::decide::machine::Offer;
use crate::publish::decide::partitioner::partition;
use crate::publish::env::{Client as _, Handed, Outgoing, Outside};
use crate::publish::kafka::cloudevents::{Blame, blame, headers};

/// Records handed over between two looks at the mail.
const ROUND: usize = 256;

impl<O: Outside> Worker<O> {
    /// Hands records over; true if there may be more at once.
    pub(super) fn fill(&mut self) -> bool {
        self.retry = false;
        for _ in 0..ROUND {
            if !self.machine.wants() {
                // Not known as long as nothing is read.
                self.at_tail = false;
                return false;
            }
            let Some(record) = self.held.take().or_else(|| self.next()) else {
                return false;
            };
            if !self.hand_over(record) {
                return false;
            }
        }
        true
    }

    fn next(&mut self) -> Option<Record> {
        match self.reader.next_record(self.outside.now()) {
            Ok(Some(record)) => {
                self.at_tail = false;
                self.readable();
                Some(record)
            }
            Ok(None) => {
                self.at_tail = true;
                self.readable();
                self.machine.tail();
                None
            }
            Err(error) => {
                self.at_tail = false;
                self.unreadable(&error);
                None
            }
        }
    }

    /// False where nothing more can be handed over for now.
    fn hand_over(&mut self, record: Record) -> bool {
        let Some(client) = &self.client else {
            self.held = Some(record);
            return false;
        };
        let position = record.position;
        let partitions = match self.machine.offer(position, self.outside.now()) {
            Offer::Skip => return true,
            Offer::Hold => {
                self.held = Some(record);
                return false;
            }
            Offer::Later => return false,
            Offer::Send(partitions) => partitions,
        };
        let event = match Event::decode(&record.payload) {
            Ok(event) => event,
            Err(error) => return self.undecodable(&record, &error),
        };
        let key = event.key;
        let stamp = self.machine.stamp(event.received_ms, self.outside.wall());
        let handed = client.send(Outgoing {
            topic: &self.topic,
            partition: partition(key, position, partitions),
            position,
            key,
            value: event.body,
            timestamp_ms: stamp.ms,
            headers: headers(&event, &self.journal_id, position),
        });
        match handed {
            Handed::Taken => {
                self.sent.push(Sent {
                    position,
                    received_ms: event.received_ms,
                    stamp,
                });
                self.machine.sent(position);
                true
            }
            Handed::QueueFull => {
                self.held = Some(record);
                self.retry = true;
                false
            }
            Handed::Refused(code) => {
                let blame = blame(code, event.key.is_some());
                self.failed(blame, &code.to_string());
                self.refused(position, blame);
                false
            }
        }
    }

    /// No event: set aside, unless a newer ringback wrote it or there are so many that it is not the records.
    fn undecodable(&mut self, record: &Record, error: &DecodeError) -> bool {
        let position = record.position;
        if !matches!(error, DecodeError::Version(_)) && self.machine.may_letter() {
            tracing::error!(position, %error, "a record of the journal is no event; setting it aside");
            return self.set_aside(position, "undecodable", &record.payload);
        }
        self.trouble(
            Trouble::Delivery,
            "the journal holds what this version cannot read",
        );
        if let Some(suppressed) = self.throttle.permit("undecodable") {
            tracing::error!(
                position,
                %error,
                suppressed,
                "cannot read a record of the journal; it stays: publish it with the ringback that wrote it"
            );
        }
        self.refused(position, Blame::Cluster);
        false
    }

    /// What is on the disk and cannot be read is waited for; nothing behind it is published.
    fn unreadable(&mut self, error: &ReadError) {
        let now = self.outside.now();
        let (since, retry_at) = match error {
            ReadError::Unreadable {
                since, retry_at, ..
            } => (*since, *retry_at),
            ReadError::Io { .. } => (now, now + RETRY),
        };
        self.read_again = Some(retry_at);
        let waited = Duration::from_secs(now.duration_since(since).as_secs());
        let waited = humantime::format_duration(waited);
        let error = crate::telemetry::chain(error);
        self.reading
            .fail(&format!("{error}, for {waited}; publishing waits"));
        if let Some(suppressed) = self.throttle.permit("read") {
            tracing::error!(error, %waited, suppressed, "cannot read the journal: publishing waits and tries again");
        }
    }

    fn readable(&mut self) {
        if self.read_again.take().is_some() {
            self.reading.pass("ok");
        }
    }

    pub(super) fn dead_letter(&mut self, position: u64, reason: &'static str) {
        // Read again: memory holds nothing back for the rare case.
        self.reader.seek(position);
        match self.reader.next_record(self.outside.now()) {
            Ok(Some(record)) if record.position == position => {
                self.set_aside(position, reason, &record.payload);
            }
            // Damaged meanwhile: the next reading passes over it and says so.
            Ok(_) => {}
            Err(error) => tracing::error!(position, %error, "cannot read a record to set it aside"),
        }
    }

    fn set_aside(&mut self, position: u64, reason: &'static str, payload: &[u8]) -> bool {
        match self.outside.set_aside(position, reason, payload) {
            Ok(()) => {
                self.metrics.dead_letters.with_label_values(&[reason]).inc();
                self.truncator
                    .set_dead_letter_bytes(self.outside.letter_bytes());
                self.machine.lettered(position);
                tracing::error!(
                    position,
                    reason,
                    "an event was set aside as a dead letter: Kafka refuses it for good"
                );
                true
            }
            Err(error) => {
                self.retry = true;
                if let Some(suppressed) = self.throttle.permit("letter") {
                    tracing::error!(position, %error, suppressed, "cannot set an event aside; trying again");
                }
                // Nothing may pass it: it is read again from the watermark.
                self.refused(position, Blame::Cluster);
                false
            }
        }
    }

    fn refused(&mut self, position: u64, blame: Blame) {
        let (now, jitter) = (self.outside.now(), self.outside.jitter());
        self.machine.refused(position, blame, now, jitter);
    }
}
