//! Since when Kafka has acknowledged nothing in time, although it does acknowledge.

use std::time::{Duration, Instant};

/// A pause without an acknowledgement that ends a run: longer than any round trip, shorter than an election of leaders.
const PAUSE: Duration = Duration::from_secs(1);

/// A run of acknowledgements with no more than [`PAUSE`] between them, each too late for its sender.
///
/// What is acknowledged now shows how long a new record would wait. The oldest record does not: its partition may be the only
/// one without a leader.
#[derive(Debug, Default)]
pub(super) struct LateRun(Option<(Instant, Instant)>);

impl LateRun {
    /// Kafka has acknowledged a record; `is_late`: its sender no longer waits for that.
    pub(super) fn on_acknowledged(&mut self, is_late: bool, now: Instant) {
        let begun = self
            .0
            .filter(|(_, last)| now.duration_since(*last) <= PAUSE);
        self.0 = is_late.then(|| (begun.map_or(now, |(begun, _)| begun), now));
    }

    /// True if acknowledgements are coming, and have been late for at least this long.
    pub(super) fn has_lasted(&self, time: Duration, now: Instant) -> bool {
        self.0.is_some_and(|(begun, last)| {
            now.duration_since(last) <= PAUSE && now.duration_since(begun) >= time
        })
    }
}
