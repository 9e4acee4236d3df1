//! Notices that the wall clock was set back.
//!
//! librdkafka waits until times of the wall clock (`cnd_timedwait`): where that is set back an hour, whichever of its
//! threads was waiting goes on for an hour more, the one that reconnects after an outage among them. A producer that
//! has lived through it is replaced.

use std::time::{Duration, Instant};

use crate::time::since_epoch;

/// Less than this prolongs no wait by more than a broker's own time-outs do.
const TOLERANCE: Duration = Duration::from_secs(5);

/// The wall clock beside the monotonic one.
#[derive(Debug)]
pub(crate) struct WallClock {
    begun: Instant,
    /// What the wall clock showed when the monotonic one began, by the last look.
    origin: Duration,
}

impl WallClock {
    pub(crate) fn new() -> Self {
        let (begun, wall) = (Instant::now(), since_epoch());
        Self {
            begun,
            origin: wall,
        }
    }

    /// By how much the clock was set back since the last look, where it matters.
    pub(crate) fn set_back(&mut self) -> Option<Duration> {
        self.look(since_epoch(), self.begun.elapsed())
    }

    fn look(&mut self, wall: Duration, elapsed: Duration) -> Option<Duration> {
        let origin = wall.saturating_sub(elapsed);
        let before = std::mem::replace(&mut self.origin, origin);
        before.checked_sub(origin).filter(|step| *step >= TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_step_back_is_told_and_only_once() {
        let second = Duration::from_secs;
        let mut clock = WallClock {
            begun: Instant::now(),
            origin: second(10_000),
        };
        assert_eq!(clock.look(second(10_001), second(1)), None);
        assert_eq!(clock.look(second(10_000), second(2)), None, "slewed");
        assert_eq!(clock.look(second(6_403), second(3)), Some(second(3_598)));
        assert_eq!(clock.look(second(6_404), second(4)), None);
        assert_eq!(clock.look(second(10_005), second(5)), None, "forward");
        assert_eq!(clock.look(second(6), second(6)), Some(second(10_000)));
    }
}
