//! From the journal to the producer: reading, offering, sending, dead-lettering.

use super::sent::SentRecord;
use super::{Problem, Worker};
use crate::event::{DecodeError, Event};
use crate::journal::Record;
use crate::log_throttle::Permit;
use crate::publish::decide::blame::{Blame, Reason};
use crate::publish::decide::machine::Offer;
use crate::publish::decide::partitioner::partition;
use crate::publish::env::{Client as _, DeadLetterPlace, Enqueue, Env, Outgoing};
use crate::publish::inbox::SentDeadLetter;
use crate::publish::kafka::cloudevents::headers;

/// Records sent between two looks at the mail, at most.
const ROUND: usize = 256;

/// What comes after a record.
enum After {
    NextRecord,
    /// The mail, and then the next record: writing this one took as long as a sync.
    Mail,
    /// Nothing more can be sent for now.
    Wait,
}

impl<E: Env> Worker<E> {
    /// Sends records; true if there may be more at once.
    pub(super) fn fill(&mut self) -> bool {
        self.must_retry = false;
        for _ in 0..ROUND {
            if !self.machine.wants_record() {
                // Not known while nothing is read.
                self.is_at_tail = false;
                return false;
            }
            let Some(record) = self.held.take().or_else(|| self.read()) else {
                return false;
            };
            match self.send(record) {
                After::NextRecord => {}
                After::Mail => return true,
                After::Wait => return false,
            }
        }
        true
    }

    fn read(&mut self) -> Option<Record> {
        match self.reader.next_record(self.env.now()) {
            Ok(Some(record)) => {
                self.is_at_tail = false;
                self.mark_readable();
                Some(record)
            }
            Ok(None) => {
                self.is_at_tail = true;
                self.mark_readable();
                self.machine.reached_tail();
                None
            }
            Err(error) => {
                self.is_at_tail = false;
                self.mark_unreadable(&error);
                None
            }
        }
    }

    fn send(&mut self, record: Record) -> After {
        let Some(client) = &self.client else {
            self.held = Some(record);
            return After::Wait;
        };
        let position = record.position;
        let decoded = Event::decode_parts(&record.payload, &record.body);
        let topics = &self.config.topics;
        let topic = decoded
            .as_ref()
            .map_or(0, |event| topics.of(event.source, event.kind));
        let partitions = match self.machine.offer(position, topic, self.env.now()) {
            Offer::Skip => return After::NextRecord,
            Offer::Hold => {
                self.held = Some(record);
                return After::Wait;
            }
            Offer::NextProducer => return After::Wait,
            Offer::Send(partitions) => partitions,
        };
        let event = match decoded {
            Ok(event) => event,
            Err(error) => return self.on_undecodable(&record, &error),
        };
        if event.is_unparsed {
            let is_written = self.dead_letter(&record, Reason::Unparsed);
            return if is_written { After::Mail } else { After::Wait };
        }
        let key = event.key;
        let stamp = self
            .machine
            .stamp(topic, event.received_ms, self.env.since_epoch());
        let outcome = client.enqueue(Outgoing {
            topic: topics.name(topic),
            partition: partition(key, position, partitions),
            position,
            key,
            value: event.body,
            timestamp_ms: stamp.ms,
            headers: headers(&event, &self.config.journal_id, position),
        });
        match outcome {
            Enqueue::Queued => {
                self.sent.push(SentRecord {
                    position,
                    topic,
                    received_ms: event.received_ms,
                    stamp,
                });
                self.machine.on_queued(position);
                After::NextRecord
            }
            Enqueue::QueueFull => {
                self.held = Some(record);
                self.must_retry = true;
                After::Wait
            }
            Enqueue::Rejected(error) => {
                let blame = error.blame();
                self.on_delivery_failure(blame, &error.to_string());
                self.reject(position, blame);
                After::Wait
            }
        }
    }

    /// Dead-letters a record that is no event. The record stays if a newer ringback wrote it, or if so many dead
    /// letters came in a row that the records are not the cause.
    fn on_undecodable(&mut self, record: &Record, error: &DecodeError) -> After {
        let position = record.position;
        if !matches!(error, DecodeError::Version(_)) && self.machine.may_dead_letter() {
            tracing::error!(position, %error, "a record of the journal is no event; it becomes a dead letter");
            let is_written = self.dead_letter(record, Reason::Undecodable);
            return if is_written {
                After::NextRecord
            } else {
                After::Wait
            };
        }
        self.health.mark_unhealthy(
            Problem::Delivery,
            "the journal holds a record that this version cannot read",
        );
        if let Some(permit) = self.throttle.permit("undecodable") {
            tracing::error!(
                position,
                %error,
                suppressed = permit.suppressed(),
                "cannot read a record of the journal; it stays: publish it with the ringback that wrote it"
            );
        }
        self.reject(position, Blame::Cluster);
        After::Wait
    }

    /// Dead-letters this record. Reads it again for that, so that memory need not hold it.
    pub(super) fn dead_letter_at(&mut self, position: u64, reason: Reason) {
        self.reader.seek(position);
        match self.reader.next_record(self.env.now()) {
            Ok(Some(record)) if record.position == position => {
                self.dead_letter(&record, reason);
            }
            // It was damaged meanwhile: the next reading passes over it and logs that.
            Ok(_) => {}
            Err(error) => {
                tracing::error!(position, %error, "cannot read a record to dead-letter it");
            }
        }
    }

    /// Returns true once the dead letter is durable, the event is refused because no place takes it, or, in memory, the dead
    /// letter is on its way.
    fn dead_letter(&mut self, record: &Record, reason: Reason) -> bool {
        let position = record.position;
        // Its sender waits for its own acknowledgement only, and the events behind it must not wait for that.
        if let Some(deadline) = self.truncator.deadline(position)
            && self.env.send_dead_letter(record, reason, deadline)
        {
            self.truncator.detach(position);
            self.machine.dead_lettered(position, reason);
            self.dead_letters_underway += 1;
            return true;
        }
        let payload = record.whole();
        match self.env.write_dead_letter(position, reason, &payload) {
            Ok(place) => {
                self.machine.dead_lettered(position, reason);
                self.finish_dead_letter(position, reason, &payload, &place);
                true
            }
            Err(error) => {
                self.must_retry = true;
                if let Some(permit) = self.throttle.permit("dead letter") {
                    tracing::error!(position, %error, suppressed = permit.suppressed(), "cannot write a dead letter; trying again");
                }
                // Nothing may pass it: reading goes back to it from the watermark.
                self.reject(position, Blame::Cluster);
                false
            }
        }
    }

    /// What became of a dead letter that was on its way.
    pub(super) fn on_dead_letter(&mut self, sent: &SentDeadLetter) {
        let SentDeadLetter {
            record,
            reason,
            place,
        } = sent;
        self.dead_letters_underway -= 1;
        self.finish_dead_letter(record.position, *reason, &record.whole(), place);
    }

    fn finish_dead_letter(
        &self,
        position: u64,
        reason: Reason,
        payload: &[u8],
        place: &DeadLetterPlace,
    ) {
        match place {
            DeadLetterPlace::Nowhere | DeadLetterPlace::NotTaken(_) => {
                self.metrics.refused.inc(reason);
                self.truncator.refuse(position);
            }
            DeadLetterPlace::Topic(_) | DeadLetterPlace::File(_) => {
                self.metrics.dead_letters.inc(reason);
                self.truncator.acknowledge(position);
                self.truncator
                    .set_dead_letter_bytes(self.env.dead_letter_bytes());
            }
        }
        self.log_dead_letter(position, reason, payload, place);
    }

    fn log_dead_letter(
        &self,
        position: u64,
        reason: Reason,
        payload: &[u8],
        place: &DeadLetterPlace,
    ) {
        let cause = match reason {
            Reason::TooLarge | Reason::InvalidRecord => "Kafka refuses it for good",
            Reason::Undecodable => "it cannot be decoded",
            Reason::Unparsed => "its body is not JSON",
        };
        // Senders decide how many bodies are not JSON; the other reasons are rare.
        let permit = if reason == Reason::Unparsed {
            self.throttle.permit("unparsed")
        } else {
            Some(Permit::default())
        };
        let Some(permit) = permit else {
            return;
        };
        let event = Event::decode(payload).ok();
        let (topic, file) = match place {
            DeadLetterPlace::Topic(topic) => (Some(topic.as_str()), None),
            DeadLetterPlace::File(file) => (None, Some(file)),
            DeadLetterPlace::Nowhere | DeadLetterPlace::NotTaken(_) => (None, None),
        };
        let (outcome, error) = match place {
            DeadLetterPlace::Topic(_) | DeadLetterPlace::File(_) => ("dead-lettered", None),
            DeadLetterPlace::Nowhere => (
                "answered 503, because kafka.dead_letter_topic is not set",
                None,
            ),
            DeadLetterPlace::NotTaken(error) => (
                "answered 503, because its dead-letter topic did not take it",
                Some(error),
            ),
        };
        tracing::error!(
            position,
            reason = reason.label(),
            key = event.and_then(|event| event.key),
            size = event.map_or(payload.len(), |event| event.body.len()),
            topic,
            error,
            file = file.map(|file| file.display().to_string()),
            hint = file.and_then(|_| replay_hint(position, reason)),
            suppressed = permit.suppressed(),
            "an event was {outcome}: {cause}"
        );
    }

    fn reject(&mut self, position: u64, blame: Blame) {
        let (now, jitter) = (self.env.now(), self.env.jitter());
        self.machine.on_rejected(position, blame, now, jitter);
    }
}

/// How an operator publishes a dead letter that is a file; `None` if a replay cannot.
fn replay_hint(position: u64, reason: Reason) -> Option<String> {
    const REPLAY: &str = "ringback dead-letter replay --config FILE";
    match reason {
        Reason::TooLarge | Reason::InvalidRecord => Some(format!(
            "after the cause is fixed: {REPLAY} --position {position}"
        )),
        Reason::Unparsed => Some(format!(
            "to a topic that takes any bytes: {REPLAY} --position {position} --topic TOPIC"
        )),
        Reason::Undecodable => None,
    }
}
