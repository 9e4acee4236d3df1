//! Whether each event's signature is valid, kept from the event's acceptance until its row is printed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ingest::AuthenticateError;

/// Events without a row that are kept. Rows are never that late, because the embedded Kafka is in memory.
const MAX_PENDING: usize = 16_384;

/// A note on each signature by the event's id, which its record carries too. Equal bodies have one id, hence the queues.
#[derive(Debug, Clone, Default)]
pub struct SignatureNotes(Arc<Mutex<BTreeMap<String, VecDeque<String>>>>);

impl SignatureNotes {
    /// Keeps the note on an accepted event; `fault` is what is wrong with its signature.
    pub fn keep(&self, id: &str, fault: Option<&AuthenticateError>) {
        let note = match fault {
            None => String::from("signature is valid"),
            Some(error) => format!("{error}: accepted without --require-signature"),
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_PENDING {
            kept.clear();
        }
        kept.entry(id.to_owned()).or_default().push_back(note);
    }

    /// Takes the oldest note on an event with this id.
    pub fn take(&self, id: &str) -> Option<String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = kept.get_mut(id)?;
        let note = notes.pop_front();
        if notes.is_empty() {
            kept.remove(id);
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn equal_bodies_get_their_notes_in_order() {
        let notes = SignatureNotes::default();
        let stale = AuthenticateError::Stale {
            difference: Duration::from_secs(301),
            is_ahead: false,
            tolerance: Duration::from_mins(5),
        };
        for fault in [Some(&stale), None] {
            notes.keep("a", fault);
        }
        let stale = "signature is stale: accepted without --require-signature";
        assert_eq!(notes.take("a").as_deref(), Some(stale));
        assert_eq!(notes.take("a").as_deref(), Some("signature is valid"));
        assert_eq!(notes.take("a"), None);
    }
}
