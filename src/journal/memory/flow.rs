//! Since when acknowledgements have been coming without a pause.

use std::time::{Duration, Instant};

/// A pause without an acknowledgement that ends a flow: longer than any round trip, shorter than an election of leaders.
const PAUSE: Duration = Duration::from_secs(1);

/// A run of acknowledgements with no more than [`PAUSE`] between them.
#[derive(Debug, Default)]
pub(super) struct Flow(Option<(Instant, Instant)>);

impl Flow {
    pub(super) fn on_acknowledged(&mut self, now: Instant) {
        let begun = self
            .0
            .filter(|(_, last)| now.duration_since(*last) <= PAUSE);
        self.0 = Some((begun.map_or(now, |(begun, _)| begun), now));
    }

    /// True if acknowledgements are coming, and have been for at least this long.
    pub(super) fn has_lasted(&self, time: Duration, now: Instant) -> bool {
        self.0.is_some_and(|(begun, last)| {
            now.duration_since(last) <= PAUSE && now.duration_since(begun) >= time
        })
    }
}
