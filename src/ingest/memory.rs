//! One memory budget for all requests: bodies are charged from their first byte until they are synced, heads while
//! their bodies arrive.
//!
//! A request that does not fit takes the memory of bodies whose senders are slower ([`waiting`]). If these are not enough,
//! it waits for memory that is about to be free, but never for a sender ([`claims`]): a few slow ones could stop all
//! others. If none will be free, it is refused, and its sender tries again.

mod claims;
mod share;
mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use prometheus::IntGauge;

use self::claims::Claims;
use self::share::{Share, Shares};
use self::waiting::WaitingBodies;

/// `max_in_flight`, shared by all requests; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    inner: Arc<Inner>,
    /// `None` for what is no source's.
    share: Option<Arc<Share>>,
}

#[derive(Debug)]
struct Inner {
    limit: usize,
    /// All charges, in bytes.
    used: AtomicUsize,
    /// The charges of requests whose bodies arrive, in bytes; never less than they are.
    arriving: AtomicUsize,
    gauge: IntGauge,
    /// While there are any, memory is given to claims alone.
    open_claims: AtomicUsize,
    shares: Shares,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: WaitingBodies,
    claims: Claims,
}

/// The budget is used up. Nothing was charged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

/// One request's part of the budget, returned when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Budget,
    held: usize,
    has_arrived: bool,
}

impl Budget {
    /// `limit` in bytes. `gauge` shows the sum of all charges.
    pub(super) fn new(limit: usize, gauge: IntGauge) -> Self {
        gauge.set(0);
        let inner = Inner {
            limit,
            used: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
            gauge,
            open_claims: AtomicUsize::new(0),
            shares: Shares::default(),
            state: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
            share: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self) -> usize {
        let used = self.inner.used.load(Ordering::SeqCst);
        self.inner.limit.saturating_sub(used)
    }

    /// Charges `bytes` in exchange for `returned` bytes that were charged until now. These are free afterwards even if
    /// there is no room.
    fn exchange(&self, returned: usize, bytes: usize) -> Result<(), Exhausted> {
        let inner = &self.inner;
        // Before `used`, so that memory is never taken for neither free nor in motion.
        inner.arriving.fetch_add(bytes, Ordering::SeqCst);
        let exchanged = inner
            .used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                let sum = (used - returned).checked_add(bytes);
                sum.filter(|sum| *sum <= inner.limit)
            });
        if exchanged.is_err() {
            inner.used.fetch_sub(returned, Ordering::SeqCst);
        }
        if returned > 0 {
            inner.gauge.sub(as_i64(returned));
            inner.arriving.fetch_sub(returned, Ordering::SeqCst);
        }
        if exchanged.is_err() {
            inner.arriving.fetch_sub(bytes, Ordering::SeqCst);
            return Err(Exhausted);
        }
        inner.gauge.add(as_i64(bytes));
        Ok(())
    }

    /// An empty charge, to be grown as bytes arrive.
    pub(super) fn charge(&self) -> Charge {
        Charge {
            budget: self.clone(),
            held: 0,
            has_arrived: false,
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
    /// Charges `bytes` more, or nothing at all; nothing as well while others claim memory, or beyond the source's share.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let is_claimed = self.budget.inner.open_claims.load(Ordering::SeqCst) > 0;
        if is_claimed || self.budget.is_beyond_share(bytes) {
            return Err(Exhausted);
        }
        let grown = self.budget.exchange(0, bytes);
        match grown {
            Ok(()) => self.hold(bytes),
            // A claim may have counted on it in the meantime.
            Err(Exhausted) => self.budget.settle(),
        }
        grown
    }

    /// These bytes were charged.
    fn hold(&mut self, bytes: usize) {
        self.held += bytes;
        if let Some(share) = &self.budget.share {
            share.all.add(bytes);
        }
    }

    /// Gives away what it holds, which another charge holds from now on.
    fn give(&mut self) -> usize {
        if let Some(share) = &self.budget.share {
            share.all.sub(self.held);
        }
        std::mem::take(&mut self.held)
    }

    /// Returns `bytes` before the rest.
    pub(super) fn shrink(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.held, "more is returned than was charged");
        let bytes = bytes.min(self.held);
        let inner = &self.budget.inner;
        inner.used.fetch_sub(bytes, Ordering::SeqCst);
        inner.gauge.sub(as_i64(bytes));
        self.held -= bytes;
        if let Some(share) = &self.budget.share {
            share.all.sub(bytes);
        }
        if !self.has_arrived {
            inner.arriving.fetch_sub(bytes, Ordering::SeqCst);
        } else if let Some(share) = &self.budget.share {
            share.complete.sub(bytes);
        }
        self.budget.settle();
    }

    /// Takes over what another one holds.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.held += std::mem::take(&mut other.held);
    }

    /// The body is complete: from here on, its memory waits for the journal. Refused if that is beyond the source's share.
    pub(super) fn arrived(&mut self) -> Result<(), Exhausted> {
        self.budget.complete(self.held)?;
        self.has_arrived = true;
        let inner = &self.budget.inner;
        inner.arriving.fetch_sub(self.held, Ordering::SeqCst);
        self.budget.settle();
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // An empty one may be dropped while the state is locked.
        if self.held > 0 {
            self.shrink(self.held);
        }
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
