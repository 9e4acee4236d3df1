//! One memory budget for all requests: bodies are charged from their first byte until they are synced, heads while
//! their bodies arrive.
//!
//! A request never waits for room: a waiting request would hold its connection and the bytes that have arrived, so a
//! few slow senders could stop all others. A request that does not fit takes the memory of bodies whose senders are
//! slower ([`waiting`]); if there are none, it is refused, and its sender tries again.

mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use prometheus::IntGauge;

use self::waiting::WaitingBodies;

/// `max_in_flight`, shared by all requests; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
    gauge: IntGauge,
    waiting: Mutex<WaitingBodies>,
}

/// The budget is used up. Nothing was charged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

/// One request's part of the budget, returned when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Budget,
    held: usize,
}

impl Budget {
    /// `limit` in bytes. `gauge` shows the sum of all charges.
    pub(super) fn new(limit: usize, gauge: IntGauge) -> Self {
        gauge.set(0);
        Self(Arc::new(Inner {
            limit,
            used: AtomicUsize::new(0),
            gauge,
            waiting: Mutex::default(),
        }))
    }

    fn waiting(&self) -> MutexGuard<'_, WaitingBodies> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty charge, to be grown as bytes arrive.
    pub(super) fn charge(&self) -> Charge {
        Charge {
            budget: self.clone(),
            held: 0,
        }
    }
}

/// A body, or the part of it that has arrived, and what it is charged. Both are dropped together.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    pub(super) charge: Charge,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Charge {
    /// Charges `bytes` more, or nothing at all.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let inner = &self.budget.0;
        // Relaxed: only the sum itself is shared; no other memory depends on it.
        inner
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= inner.limit)
            })
            .map_err(|_| Exhausted)?;
        inner.gauge.add(as_i64(bytes));
        self.held += bytes;
        Ok(())
    }

    /// Returns `bytes` before the rest.
    pub(super) fn shrink(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.held, "more is returned than was charged");
        let bytes = bytes.min(self.held);
        let inner = &self.budget.0;
        inner.used.fetch_sub(bytes, Ordering::Relaxed);
        inner.gauge.sub(as_i64(bytes));
        self.held -= bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink(self.held);
    }
}

/// For the gauge. No machine has more than `i64::MAX` bytes.
fn as_i64(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What a request costs in memory beside its body, in bytes: its task and futures, and a map entry per header. Measured
/// on stalled HTTP/2 streams: 3 KB for a head of one header, about 100 bytes for each further one.
pub(super) fn head_cost(headers: &HeaderMap) -> usize {
    const REQUEST: usize = 3 * 1024;
    const HEADER: usize = 128;
    let texts = headers.iter();
    let texts: usize = texts
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    REQUEST + texts + HEADER * headers.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_all_or_nothing_and_returns_when_dropped() -> Result<(), prometheus::Error> {
        let gauge = IntGauge::new("held", "held")?;
        let budget = Budget::new(10, gauge.clone());
        let mut first = budget.charge();
        assert_eq!(first.grow(8), Ok(()));
        let mut second = budget.charge();
        assert_eq!(second.grow(3), Err(Exhausted));
        assert_eq!(second.grow(2), Ok(()));
        assert_eq!(second.grow(usize::MAX), Err(Exhausted));
        assert_eq!(gauge.get(), 10);
        first.shrink(3);
        assert_eq!(gauge.get(), 7);
        drop(first);
        drop(second);
        assert_eq!(gauge.get(), 0);
        Ok(())
    }
}
