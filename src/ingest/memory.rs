//! The one budget that all bodies in memory share, from their first byte until they are synced.
//!
//! Nothing ever waits for room: a wait would hold the connection and what has already arrived, so that many slow
//! senders could stop everybody. What does not fit is refused, and the sender tries again.

use prometheus::IntGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `max_in_flight`, shared by all requests; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
    gauge: IntGauge,
}

/// The budget is used up; nothing was charged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

/// One request's part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Budget,
    held: usize,
}

impl Budget {
    /// `limit` in bytes; `gauge` follows what is held.
    pub(super) fn new(limit: usize, gauge: IntGauge) -> Self {
        gauge.set(0);
        Self(Arc::new(Inner {
            limit,
            used: AtomicUsize::new(0),
            gauge,
        }))
    }

    /// An empty charge, to be grown as bytes arrive.
    pub(super) fn charge(&self) -> Charge {
        Charge {
            budget: self.clone(),
            held: 0,
        }
    }
}

impl Charge {
    /// Charges `bytes` more, or nothing at all.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let inner = &self.budget.0;
        // Only the sum matters, no other memory is ordered by it.
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

    /// Gives `bytes` back ahead of the rest.
    pub(super) fn shrink(&mut self, bytes: usize) {
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

/// A gauge's number; no machine holds more than `i64::MAX` bytes.
fn as_i64(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
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
