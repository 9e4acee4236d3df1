//! A token bucket in one number, the time at which it is full again: the generic cell rate algorithm (ITU-T I.371, annex A).
//!
//! Its own few lines rather than a crate's: the crates for it cannot look into a bucket without taking a token, and keep
//! clients in a map that grows with the addresses that an attacker has.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::RateLimit;

/// Times are nanoseconds since an origin that all share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    /// How long one token takes to come back, in nanoseconds.
    interval: u64,
    /// How long an empty bucket takes to fill, in nanoseconds.
    depth: u64,
}

impl Quota {
    pub(super) fn new(limit: &RateLimit) -> Self {
        let interval = 1_000_000_000 / u64::from(limit.per_second.max(1));
        let burst = limit.burst.unwrap_or(limit.per_second).max(1);
        Self {
            interval,
            depth: interval * u64::from(burst),
        }
    }

    /// When a bucket that is full at `full_at` is full if a token is taken `now`, or how long until it has one.
    pub(super) fn take(&self, full_at: u64, now: u64) -> Result<u64, Duration> {
        let after = full_at.max(now) + self.interval;
        match after.checked_sub(now + self.depth) {
            None | Some(0) => Ok(after),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }
}

/// A bucket that many threads take from without a lock.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) quota: Quota,
    full_at: AtomicU64,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            quota,
            full_at: AtomicU64::new(0),
        }
    }

    /// Takes a token, or says how long until there is one.
    pub(super) fn take(&self, now: u64) -> Result<(), Duration> {
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let after = self.quota.take(full_at, now)?;
            let exchanged = self.full_at.compare_exchange_weak(
                full_at,
                after,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match exchanged {
                Ok(_) => return Ok(()),
                Err(current) => full_at = current,
            }
        }
    }

    /// As [`Bucket::take`], but leaves the token.
    pub(super) fn look(&self, now: u64) -> Result<(), Duration> {
        let full_at = self.full_at.load(Ordering::Relaxed);
        self.quota.take(full_at, now).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn bucket(per_second: u32, burst: u32) -> Bucket {
        Bucket::new(Quota::new(&RateLimit {
            per_second,
            burst: Some(burst),
        }))
    }

    #[test]
    fn a_burst_passes_at_once_and_then_a_token_comes_back_each_interval() {
        let bucket = bucket(4, 3);
        for _ in 0..3 {
            assert_eq!(bucket.take(SECOND), Ok(()));
        }
        let quarter = Duration::from_millis(250);
        assert_eq!(bucket.look(SECOND), Err(quarter));
        assert_eq!(bucket.take(SECOND), Err(quarter));
        assert_eq!(bucket.look(SECOND + SECOND / 4), Ok(()));
        assert_eq!(bucket.take(SECOND + SECOND / 4), Ok(()));
        assert_eq!(bucket.take(SECOND + SECOND / 4), Err(quarter));
        // A long pause fills it, and no more than that.
        let later = 100 * SECOND;
        assert_eq!((0..10).filter(|_| bucket.take(later).is_ok()).count(), 3);
    }

    proptest! {
        #[test]
        fn no_span_of_time_has_more_than_its_rate_and_one_burst(
            per_second in 1_u32..2_000,
            burst in 1_u32..50,
            pauses in prop::collection::vec(0_u64..20_000_000, 1..300),
        ) {
            let bucket = bucket(per_second, burst);
            let (mut now, mut taken) = (SECOND, Vec::new());
            for pause in pauses {
                now += pause;
                if bucket.take(now).is_ok() {
                    taken.push(now);
                } else if let Err(wait) = bucket.look(now) {
                    // What it promises, it keeps.
                    prop_assert!(bucket.look(now + u64::try_from(wait.as_nanos()).unwrap()).is_ok());
                }
            }
            let interval = SECOND / u64::from(per_second);
            for (first, begun) in taken.iter().enumerate() {
                for (last, ended) in taken.iter().enumerate().skip(first) {
                    let most = u64::from(burst) + (ended - begun) / interval;
                    prop_assert!(((last - first) as u64) < most);
                }
            }
        }
    }
}
