//! Keeps the log short: what is said again and again is said once in a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of the log that say the same: librdkafka repeats itself with every reconnection.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// What librdkafka says once, and how often it has been said since.
type Said = BTreeMap<String, (Instant, u64)>;

type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// Keeps repeated words out of the log; outlives the producers, whose faults repeat.
pub struct Sayings {
    said: Mutex<Said>,
    clock: Clock,
}

impl Default for Sayings {
    fn default() -> Self {
        Self::timed_by(Box::new(Instant::now))
    }
}

impl Sayings {
    /// With a clock of the caller's: a simulator's is not the system's.
    pub fn timed_by(clock: Clock) -> Self {
        Self {
            said: Mutex::default(),
            clock,
        }
    }

    /// How often `what` was kept back since it was last said; `None` if it is to be kept back now.
    pub(crate) fn may_say(&self, what: &str) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.clock)();
        if let Some((last, kept)) = said.get_mut(what) {
            if now.duration_since(*last) < LOG_EVERY {
                *kept += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(kept));
        }
        // The keys come from a library's fixed list; this only makes the bound certain.
        if said.len() >= 256 {
            said.clear();
        }
        said.insert(what.to_owned(), (now, 0));
        Some(0)
    }
}
