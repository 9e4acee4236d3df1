//! How long a new record would wait at least, estimated from the last batches.
//!
//! A disk takes a fixed time for a sync and a time for each byte. So a batch takes no less than a smaller one, and no less than
//! its part, by bytes, of a larger one. The least that any of the last batches says is what a new record waits at least, unless the
//! disk has become faster. Refusing by that refuses nothing that would be answered in time.

use std::time::{Duration, Instant};

/// The batches that count. A disk that stalls now and then has a faster one among them, by which nothing is refused.
const RECENT: usize = 4;
/// How long they count, so that a burst after a pause is not measured by the load before it.
const FRESH: Duration = Duration::from_secs(30);

/// The last batches, and the one that is being written.
#[derive(Debug)]
pub(super) struct Pace {
    recent: [(u64, Duration); RECENT],
    /// How many were measured so far.
    measured: usize,
    /// Bytes that are being written, and since when: since the last batch ended, if the writer did not rest.
    writing: u64,
    since: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            recent: [(0, Duration::ZERO); RECENT],
            measured: 0,
            writing: 0,
            since: now,
        }
    }

    /// The writer takes so many bytes.
    pub(super) fn begin(&mut self, bytes: u64, now: Instant) {
        self.writing = bytes;
        self.since = now;
    }

    /// So many of these bytes are synced.
    pub(super) fn committed(&mut self, bytes: u64, now: Instant) {
        self.recent[self.measured % RECENT] = (bytes, now.saturating_duration_since(self.since));
        self.measured += 1;
        self.begin(self.writing.saturating_sub(bytes), now);
    }

    /// True if the last of `bytes` that wait for the writer, which takes at most `batch` bytes at once, would surely be synced
    /// later than in `patience`. The time is asked for only if that is possible.
    pub(super) fn is_late(
        &self,
        bytes: u64,
        batch: u64,
        patience: Duration,
        now: impl Fn() -> Instant,
    ) -> bool {
        if self.measured < RECENT {
            return false;
        }
        let (present, waiting) = (self.least(self.writing, batch), self.least(bytes, batch));
        if present + waiting <= patience {
            return false;
        }
        let elapsed = now().saturating_duration_since(self.since);
        elapsed <= FRESH && present.saturating_sub(elapsed) + waiting > patience
    }

    /// The least time in which the disk has recently written so many bytes, in batches of at most `batch` bytes.
    fn least(&self, bytes: u64, batch: u64) -> Duration {
        if bytes == 0 {
            return Duration::ZERO;
        }
        let times = self.recent.iter().map(|(theirs, time)| {
            if bytes < *theirs {
                return scaled(*time, bytes, *theirs);
            }
            let batch = batch.max(*theirs);
            scaled(*time, bytes.max(batch), batch)
        });
        times.min().unwrap_or_default()
    }
}

/// `time` x `part` / `of`. Both are at most the queue's bytes, so the microseconds of years fit.
fn scaled(time: Duration, part: u64, of: u64) -> Duration {
    let micros = time.as_micros() * u128::from(part) / u128::from(of.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
