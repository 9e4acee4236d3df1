//! What each signature is worth, kept from an event's acceptance until its row is shown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ingest::AuthenticateError;

/// So many events without a row are no longer waited for: Kafka's part is in memory and never that late.
const MOST: usize = 16_384;

/// Verdicts by the event's id, which its record bears too; equal bodies have one id, and so a queue of verdicts.
#[derive(Debug, Clone, Default)]
pub struct Verdicts(Arc<Mutex<BTreeMap<String, VecDeque<String>>>>);

impl Verdicts {
    /// Keeps what is to be said of an accepted event.
    pub fn keep(&self, id: &str, signature: Result<Option<&str>, AuthenticateError>) {
        let words = match signature {
            Ok(_) => String::from("signature is valid"),
            Err(error) => format!("{error}: accepted, dev only tells"),
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.entry(id.to_owned()).or_default().push_back(words);
    }

    /// Takes the oldest verdict on an event of this id.
    pub fn take(&self, id: &str) -> Option<String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let verdicts = kept.get_mut(id)?;
        let words = verdicts.pop_front();
        if verdicts.is_empty() {
            kept.remove(id);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bodies_have_their_verdicts_in_turn() {
        let verdicts = Verdicts::default();
        for signature in [Err(AuthenticateError::Stale), Ok(Some("0"))] {
            verdicts.keep("a", signature);
        }
        let stale = "signature is stale: accepted, dev only tells";
        assert_eq!(verdicts.take("a").as_deref(), Some(stale));
        assert_eq!(verdicts.take("a").as_deref(), Some("signature is valid"));
        assert_eq!(verdicts.take("a"), None);
    }
}
