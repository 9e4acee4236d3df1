//! Those whose answers are awaited: as ingest does it, from the append to the answer or to the end of its patience.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use ringback::event::Event;
use ringback::journal::{AppendError, Commit};

use super::Process;
use crate::ledger::{NO_EVENT, Poison, body, key_text};
use crate::random::{MS, SECOND};
use crate::world::Surroundings;

/// As ingest's `commit_timeout`.
const PATIENCE: u64 = 8 * SECOND;
/// An append whose answer is awaited.
pub(super) struct Pending {
    number: usize,
    commit: Commit,
    until: u64,
}

impl Process {
    /// A request's event goes to the writer.
    pub fn append(&mut self, around: &Surroundings, number: usize) -> Result<(), AppendError> {
        let (key, size, poison) = {
            let ledger = around.ledger.borrow();
            let sent = &ledger.events[number];
            (sent.key.map(key_text), sent.size, sent.poison)
        };
        let event = Event {
            received_ms: u64::try_from(around.clock.wall().as_millis()).expect("not so late"),
            source: "sim",
            kind: "call_ended",
            key: key.as_deref(),
            id: "id",
            content_type: "application/json",
            traceparent: "",
            tracestate: "",
            body: &[],
        };
        let Some(appender) = &self.appender else {
            return Err(AppendError::Closed);
        };
        let bytes = Bytes::from(body(number, size));
        let envelope = if poison == Poison::NoEvent {
            NO_EVENT.to_vec()
        } else {
            event.encode_envelope()
        };
        let commit = appender.append(envelope, bytes)?;
        let now = around.clock.now();
        self.pending.push(Pending {
            number,
            commit,
            until: now + PATIENCE,
        });
        if self.writer_at.is_none() && !self.awaits_segment {
            self.writer_at = Some(now + self.random.latency(MS / 5, 5 * MS));
        }
        Ok(())
    }

    pub(super) fn answers(&mut self, around: &Surroundings) {
        let now = around.clock.now();
        let mut context = Context::from_waker(Waker::noop());
        let was_poisoned = self.was_poisoned || around.disk.lock().failed;
        let journal = self.journal;
        let mut last = None;
        self.pending.retain_mut(|pending| {
            let Poll::Ready(outcome) = Pin::new(&mut pending.commit).poll(&mut context) else {
                // Who has waited so long is answered 503; the event may land all the same.
                let waits = pending.until > now;
                around.ledger.borrow_mut().torn += u64::from(!waits);
                return waits;
            };
            let number = pending.number;
            around.clock.say(|| format!("event {number}: {outcome:?}"));
            let mut ledger = around.ledger.borrow_mut();
            if let Ok(position) = outcome {
                if was_poisoned {
                    ledger.violate(format!("event {number} was acknowledged after the poison"));
                }
                if last.is_some_and(|last| last >= position) {
                    ledger.violate(format!("position {position} came after {last:?}"));
                }
                last = Some(position);
                ledger.acknowledge(number, (journal, position));
            } else {
                ledger.torn += u64::from(outcome == Err(AppendError::Poisoned));
            }
            false
        });
        if self.stepper.is_none() && !self.pending.is_empty() {
            let mut ledger = around.ledger.borrow_mut();
            ledger.violate(format!("{} requests wait for nobody", self.pending.len()));
        }
    }

    /// When the next waiting request gives up.
    pub fn patience(&self) -> Option<u64> {
        self.pending.iter().map(|pending| pending.until).min()
    }
}
