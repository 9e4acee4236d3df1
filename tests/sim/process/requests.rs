//! Those whose answers are awaited: as ingest does it, from the append to the answer or to the end of its patience.

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
pub struct Pending {
    pub(super) number: usize,
    pub(super) commit: Commit,
    pub(super) until: u64,
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
        let mut writing = self.writing.borrow_mut();
        writing.pending.push(Pending {
            number,
            commit,
            until: now + PATIENCE,
        });
        if writing.at.is_none() && !writing.awaits_segment {
            writing.at = Some(now + self.random.latency(MS / 5, 5 * MS));
        }
        Ok(())
    }

    /// When the next waiting request gives up.
    pub fn patience(&self) -> Option<u64> {
        let writing = self.writing.borrow();
        writing.pending.iter().map(|pending| pending.until).min()
    }
}
