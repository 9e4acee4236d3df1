//! Keeps a message that repeats from filling the log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Permission to log one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permit {
    suppressed: u64,
}

impl Permit {
    /// How many lines of this key were suppressed since the last one. `None` if none was, so that the line has no such field.
    pub fn suppressed(self) -> Option<u64> {
        Some(self.suppressed).filter(|number| *number > 0)
    }
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

    /// Asks to log the message that `key` stands for; `None` if this line is suppressed.
    pub fn permit(&self, key: &str) -> Option<Permit> {
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
            let suppressed = std::mem::take(&mut last.suppressed);
            return Some(Permit { suppressed });
        }
        if lines.len() >= MAX_KEYS {
            lines.clear();
        }
        let first = LastLine {
            at: now,
            suppressed: 0,
        };
        lines.insert(key.to_owned(), first);
        Some(Permit::default())
    }
}

/// As [`LogThrottle`], for one line and without a lock: for what can happen with every request.
#[derive(Debug, Default)]
pub struct LineThrottle {
    /// Milliseconds on the caller's clock, from which on the next line is permitted.
    next_ms: AtomicU64,
    suppressed: AtomicU64,
}

impl LineThrottle {
    /// Asks to log the line at `now`, the time since any fixed moment.
    ///
    /// Returns how many lines were suppressed since the last one, or `None` if this line is suppressed too.
    pub fn permit(&self, now: Duration, interval: Duration) -> Option<u64> {
        if self.claim(now, interval) {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Asks to log that lines were suppressed, if no other line came to report it.
    ///
    /// Returns how many, once their interval is over at `now`; at least 1. `None` if there are none, or not yet.
    pub fn overdue(&self, now: Duration, interval: Duration) -> Option<u64> {
        if self.suppressed.load(Ordering::Relaxed) == 0 || !self.claim(now, interval) {
            return None;
        }
        let suppressed = self.suppressed.swap(0, Ordering::Relaxed);
        (suppressed > 0).then_some(suppressed)
    }

    /// True for one caller in each interval.
    fn claim(&self, now: Duration, interval: Duration) -> bool {
        // Saturates after half a billion years.
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // Relaxed: nothing but the line depends on these numbers.
        let next = self.next_ms.load(Ordering::Relaxed);
        ms(now) >= next
            && self
                .next_ms
                .compare_exchange(
                    next,
                    ms(now.saturating_add(interval)),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
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

    use super::*;

    #[test]
    fn each_key_gets_one_line_per_interval_with_the_number_of_lines_in_between() {
        let seconds = Arc::new(AtomicU64::new(0));
        let (start, elapsed) = (Instant::now(), seconds.clone());
        let clock = move || start + Duration::from_secs(elapsed.load(Ordering::Relaxed));
        let throttle = LogThrottle::with_clock(Duration::from_secs(30), Box::new(clock));
        let first = Some(Permit { suppressed: 0 });
        assert_eq!(throttle.permit("a"), first);
        seconds.store(29, Ordering::Relaxed);
        assert_eq!(throttle.permit("a"), None);
        assert_eq!(throttle.permit("a"), None);
        assert_eq!(throttle.permit("b"), first);
        seconds.store(30, Ordering::Relaxed);
        assert_eq!(throttle.permit("a"), Some(Permit { suppressed: 2 }));
        assert_eq!(throttle.permit("a"), None);
    }

    #[test]
    fn a_line_without_a_lock_is_permitted_once_per_interval_and_no_suppressed_one_is_forgotten() {
        let throttle = LineThrottle::default();
        let permit =
            |seconds| throttle.permit(Duration::from_secs(seconds), Duration::from_mins(1));
        assert_eq!(permit(0), Some(0));
        assert_eq!(permit(59), None);
        assert_eq!(permit(60), Some(1));
        assert_eq!(permit(119), None);
        // Of many threads one logs, and the others are counted.
        let permitted = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..100).filter_map(|_| permit(120)).sum::<u64>()))
                .collect();
            let sums = threads.into_iter().map(|thread| thread.join().unwrap());
            sums.sum::<u64>()
        });
        let left = permit(180).unwrap();
        assert_eq!(permitted + left, 1 + 8 * 100 - 1);
    }

    #[test]
    fn suppressed_lines_are_reported_once_their_interval_is_over_though_no_other_comes() {
        let (throttle, minute) = (LineThrottle::default(), Duration::from_mins(1));
        let permit = |seconds| throttle.permit(Duration::from_secs(seconds), minute);
        let overdue = |seconds| throttle.overdue(Duration::from_secs(seconds), minute);
        assert_eq!(overdue(0), None);
        assert_eq!(permit(0), Some(0));
        assert_eq!(overdue(60), None, "that line was logged");
        assert_eq!((permit(58), permit(59)), (None, None));
        assert_eq!(overdue(59), None, "too early");
        assert_eq!(overdue(60), Some(2));
        assert_eq!(overdue(180), None);
        // The report is a line too.
        assert_eq!(permit(119), None);
        assert_eq!(permit(120), Some(1));
    }
}
