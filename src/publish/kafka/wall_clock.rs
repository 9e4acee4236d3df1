//! Detects that the wall clock was set back.
//!
//! librdkafka waits until times of the wall clock (`cnd_timedwait`): if that is set back an hour, each of its threads that was waiting
//! waits an hour longer, among them the one that reconnects after an outage. Its producer is replaced.

use std::time::{Duration, Instant};

use crate::time::since_epoch;

/// A smaller step prolongs no wait by more than a broker's own time-outs do.
const TOLERANCE: Duration = Duration::from_secs(5);

/// Compares the wall clock with the monotonic one.
#[derive(Debug)]
pub(crate) struct WallClock {
    started: Instant,
    /// The wall-clock time at `started`, by the last comparison.
    origin: Duration,
}

impl WallClock {
    pub(crate) fn new() -> Self {
        let (started, origin) = (Instant::now(), since_epoch());
        Self { started, origin }
    }

    /// By how much the wall clock was set back since the last call, if it matters.
    pub(crate) fn step_back(&mut self) -> Option<Duration> {
        self.compare(since_epoch(), self.started.elapsed())
    }

    fn compare(&mut self, wall: Duration, elapsed: Duration) -> Option<Duration> {
        let origin = wall.saturating_sub(elapsed);
        let before = std::mem::replace(&mut self.origin, origin);
        before.checked_sub(origin).filter(|step| *step >= TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_reported_once_and_a_step_forward_never() {
        let second = Duration::from_secs;
        let mut clock = WallClock {
            started: Instant::now(),
            origin: second(10_000),
        };
        assert_eq!(clock.compare(second(10_001), second(1)), None);
        assert_eq!(
            clock.compare(second(10_000), second(2)),
            None,
            "within the tolerance"
        );
        assert_eq!(clock.compare(second(6_403), second(3)), Some(second(3_598)));
        assert_eq!(clock.compare(second(6_404), second(4)), None);
        assert_eq!(clock.compare(second(10_005), second(5)), None, "forward");
        assert_eq!(clock.compare(second(6), second(6)), Some(second(10_000)));
    }
}
