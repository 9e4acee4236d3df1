//! Keeps a message that repeats from filling the log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// More keys than a program with a hundred brokers has: the bound holds even if a library invents new ones.
const MAX_KEYS: usize = 1024;

/// A monotonic clock; the simulator supplies its own.
pub type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// Permits one log line per key and interval, and counts the lines in between.
pub struct LogThrottle {
    interval: Duration,
    last_lines: Mutex<BTreeMap<String, LastLine>>,
    clock: Clock,
}

struct LastLine {
    at: Instant,
    suppressed: u64,
}

impl LogThrottle {
    /// Reads the system's clock.
    pub fn new(interval: Duration) -> Self {
        Self::with_clock(interval, Box::new(Instant::now))
    }

    /// Reads the clock of the caller.
    pub fn with_clock(interval: Duration, clock: Clock) -> Self {
        Self {
            interval,
            last_lines: Mutex::default(),
            clock,
        }
    }

    /// Asks to log the message that `key` stands for.
    ///
    /// Returns how many lines of this key were suppressed since the last one, or `None` if this line is suppressed too.
    pub fn permit(&self, key: &str) -> Option<u64> {
        let mut lines = self
            .last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = (self.clock)();
        if let Some(last) = lines.get_mut(key) {
            if now.duration_since(last.at) < self.interval {
                last.suppressed += 1;
                return None;
            }
            last.at = now;
            return Some(std::mem::take(&mut last.suppressed));
        }
        if lines.len() >= MAX_KEYS {
            lines.clear();
        }
        let first = LastLine {
            at: now,
            suppressed: 0,
        };
        lines.insert(key.to_owned(), first);
        Some(0)
    }
}

impl fmt::Debug for LogThrottle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LogThrottle")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn each_key_gets_one_line_per_interval_with_the_number_of_lines_in_between() {
        let seconds = Arc::new(AtomicU64::new(0));
        let (start, elapsed) = (Instant::now(), seconds.clone());
        let clock = move || start + Duration::from_secs(elapsed.load(Ordering::Relaxed));
        let throttle = LogThrottle::with_clock(Duration::from_secs(30), Box::new(clock));
        assert_eq!(throttle.permit("a"), Some(0));
        seconds.store(29, Ordering::Relaxed);
        assert_eq!(throttle.permit("a"), None);
        assert_eq!(throttle.permit("a"), None);
        assert_eq!(throttle.permit("b"), Some(0));
        seconds.store(30, Ordering::Relaxed);
        assert_eq!(throttle.permit("a"), Some(2));
        assert_eq!(throttle.permit("a"), None);
    }
}
