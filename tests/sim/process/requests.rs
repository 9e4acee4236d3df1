//! Requests as ingest handles them: from the append to the answer or the time-out.

use bytes::Bytes;
use ringback::event::{Carried, Event};
use ringback::journal::{AppendError, Commit};

use super::Process;
use super::writing::{Nearby, Writing};
use crate::coverage::{self, Seen};
use crate::kafka::topics;
use crate::ledger::{Ledger, NO_EVENT, Poison, body, key_text};
use crate::random::{Clock, MS, SECOND};
use crate::senders::Inlet;
use crate::world::Surroundings;

/// Ingest's `commit_timeout`.
pub const PATIENCE: u64 = 8 * SECOND;

/// An append whose answer is awaited.
pub struct Pending {
    pub number: usize,
    pub commit: Commit,
    pub until: u64,
}

/// An event as ingest appends it: its envelope, and its body.
pub fn record_of(clock: &Clock, ledger: &Ledger, number: usize) -> (Vec<u8>, Vec<u8>) {
    let sent = &ledger.events[number];
    let key = sent.key.map(key_text);
    let event = Event {
        received_ms: u64::try_from(clock.wall().as_millis()).expect("not so late"),
        source: topics::SOURCE,
        kind: topics::event_of(sent.topic),
        key: key.as_deref(),
        id: "id",
        content_type: "application/json",
        traceparent: "",
        tracestate: "",
        carried: Carried::default(),
        is_unparsed: sent.poison == Poison::Unparsed,
        body: &[],
    };
    let envelope = if sent.poison == Poison::NoEvent {
        NO_EVENT.to_vec()
    } else {
        event.encode_envelope()
    };
    (envelope, body(number, sent.size))
}

impl Inlet for Process {
    fn append(&mut self, around: &Surroundings, number: usize) -> Result<(), AppendError> {
        let nearby = Nearby::of(around);
        self.writing.borrow_mut().append(&nearby, number)
    }
}

impl Process {
    /// When the next waiting request gives up.
    pub fn patience(&self) -> Option<u64> {
        let writing = self.writing.borrow();
        writing.pending.iter().map(|pending| pending.until).min()
    }
}

impl Writing {
    fn append(&mut self, nearby: &Nearby, number: usize) -> Result<(), AppendError> {
        let Some(appender) = &self.appender else {
            return Err(AppendError::Closed);
        };
        let (head, body) = record_of(&nearby.clock, &nearby.ledger.borrow(), number);
        let commit = appender.append(head, Bytes::from(body))?;
        let now = nearby.clock.now();
        self.pending.push(Pending {
            number,
            commit,
            until: now + PATIENCE,
        });
        if self.at.is_none() && !self.awaits_segment {
            self.at = Some(now + self.random.latency(MS / 5, 5 * MS));
        }
        Ok(())
    }

    /// By chance, another request arrives while the upkeep is inside a step.
    pub fn requests_beside(&mut self, nearby: &Nearby) {
        if self.extra_requests == 0 || nearby.disk.lock().dead.is_some() || !self.random.percent(5)
        {
            return;
        }
        self.extra_requests -= 1;
        let key = self.random.below(4) as u8;
        let size = self.random.below(300) as usize;
        let number = nearby.ledger.borrow_mut().send(Some(key), size, Poison::No);
        let taken = self.append(nearby, number);
        if taken.is_ok() {
            coverage::seen(Seen::RequestBeside);
        }
        nearby
            .clock
            .log(|| format!("event {number} (key {key}, {size} bytes) beside: {taken:?}"));
    }
}
