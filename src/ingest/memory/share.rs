//! How much of the budget one source may have beside others: a multiple of what complete bodies leave, so that they always leave
//! something.
//!
//! Only bodies that are complete count, which wait for the journal: those that arrive can be cut for others. A source that
//! floods ringback takes memory until it has three times what is left, that is three quarters of all; two such
//! sources have three sevenths each. Nothing is set aside for sources that send nothing. This is the dynamic threshold of
//! switches with shared memory (Choudhury and Hahne, 1998).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Budget, Exhausted};

/// How many times the rest one source may have.
const FACTOR: usize = 3;

/// What the bodies of one source hold together, in bytes. The source counts as one for as long as somebody has this: it is configured,
/// or a charge is left of it.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) complete: Held,
    /// With those that arrive.
    pub(super) all: Held,
    count: Arc<AtomicUsize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A sum of bytes.
#[derive(Debug, Default)]
pub(super) struct Held(AtomicUsize);

impl Held {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, bytes: usize) {
        let before = self.0.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(bytes <= before, "a source returned more than it had");
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// All shares by the names of their sources: of a source that is configured again, the same.
#[derive(Debug, Default)]
pub(super) struct Shares {
    count: Arc<AtomicUsize>,
    by_name: Mutex<Vec<(String, Weak<Share>)>>,
}

impl Shares {
    fn of(&self, source: &str) -> Arc<Share> {
        let by_name = self.by_name.lock();
        let mut by_name = by_name.unwrap_or_else(PoisonError::into_inner);
        let known = by_name.iter().find(|(name, _)| name == source);
        if let Some(share) = known.and_then(|(_, share)| share.upgrade()) {
            return share;
        }
        by_name.retain(|(_, share)| share.strong_count() > 0);
        self.count.fetch_add(1, Ordering::Relaxed);
        let share = Arc::new(Share {
            complete: Held::default(),
            all: Held::default(),
            count: Arc::clone(&self.count),
        });
        by_name.push((source.to_owned(), Arc::downgrade(&share)));
        share
    }
}

impl Budget {
    /// The same budget, charged for the source of this name, which gets only its share if there are others.
    pub(in crate::ingest) fn shared_with(&self, source: &str) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            share: Some(self.inner.shares.of(source)),
        }
    }

    /// True if these bytes more are beyond the source's share, so that they are refused at once. A source that has no complete
    /// body is not limited, so that its largest fits.
    pub(super) fn is_beyond_share(&self, bytes: usize) -> bool {
        let share = self.share.as_ref();
        share.is_some_and(|share| self.is_beyond(share.complete.get(), bytes))
    }

    /// Counts a body of so many bytes as complete, if that is within its source's share. Bodies that arrive together are all
    /// within it until one of them is complete.
    pub(super) fn complete(&self, bytes: usize) -> Result<(), Exhausted> {
        let Some(share) = &self.share else {
            return Ok(());
        };
        let within = |total| (!self.is_beyond(total, bytes)).then_some(total + bytes);
        let complete = &share.complete.0;
        let counted = complete.fetch_update(Ordering::SeqCst, Ordering::SeqCst, within);
        counted.map(drop).map_err(|_| Exhausted)
    }

    /// As [`Budget::is_beyond_share`], for a source whose complete bodies have `total` bytes.
    fn is_beyond(&self, total: usize, bytes: usize) -> bool {
        let inner = &self.inner;
        if total == 0 || inner.shares.count.load(Ordering::Relaxed) < 2 {
            return false;
        }
        // What arrives can be cut, so nobody's slow bodies make a share smaller.
        let arriving = inner.arriving.load(Ordering::SeqCst);
        let complete = inner.used.load(Ordering::SeqCst).saturating_sub(arriving);
        // A body of this source that is complete since a moment ago may still count as arriving.
        let complete = complete.max(total);
        let rest = inner.limit.saturating_sub(complete).saturating_sub(bytes);
        total + bytes > FACTOR.saturating_mul(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::IntGauge;

    use super::super::Charge;
    use super::*;

    fn budget() -> Budget {
        Budget::new(1000, IntGauge::new("held", "held").unwrap())
    }

    /// Complete bodies of ten bytes each, until no more are given.
    fn flood(budget: &Budget) -> Vec<Charge> {
        let charges = (0..200).map_while(|_| {
            let mut charge = budget.charge();
            let is_complete = charge.grow(10).is_ok() && charge.arrived().is_ok();
            is_complete.then_some(charge)
        });
        charges.collect()
    }

    #[test]
    fn a_flood_leaves_a_quarter_to_others_and_two_floods_leave_a_seventh() {
        let budget = budget();
        let [a, b, c] = ["a", "b", "c"].map(|name| budget.shared_with(name));
        let first = flood(&a);
        assert_eq!(first.len(), 75);
        let second = flood(&b);
        assert_eq!(second.len(), 18, "three quarters of a quarter");
        let third = flood(&c);
        assert!(!third.is_empty(), "there is always something");
        // As the first flood's are returned, the others get more, and the first one less.
        drop(first);
        let more = flood(&b);
        assert!(second.len() + more.len() > 60);
        drop((second, third, more));
        assert_eq!(flood(&a).len(), 75);
    }

    #[test]
    fn bodies_that_arrive_together_are_within_the_share_together() {
        let budget = budget();
        let [a, b] = ["a", "b"].map(|name| budget.shared_with(name));
        let arriving: Vec<_> = (0..100)
            .map(|_| {
                let mut charge = a.charge();
                assert_eq!(charge.grow(10), Ok(()), "none of them is complete");
                charge
            })
            .collect();
        let complete = arriving.into_iter().filter_map(|mut charge| {
            let arrived = charge.arrived();
            arrived.is_ok().then_some(charge)
        });
        assert_eq!(complete.collect::<Vec<_>>().len(), 75);
        assert_eq!(a.share.as_ref().unwrap().complete.get(), 0);
        assert_eq!((budget.free(), flood(&b).len()), (1000, 75));
    }

    #[test]
    fn a_source_without_others_and_a_single_body_may_have_everything() {
        let alone = budget();
        let only = alone.shared_with("only");
        // Configured again, it is still the only one.
        assert_eq!(flood(&alone.shared_with("only")).len(), 100);
        assert_eq!(flood(&only).len(), 100);
        let _other = alone.shared_with("other");
        let mut body = only.charge();
        assert_eq!((body.grow(500), body.grow(500)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_source_that_was_removed_counts_for_as_long_as_it_holds_something() {
        let budget = budget();
        let [a, b] = ["a", "b"].map(|name| budget.shared_with(name));
        let mut last = b.charge();
        assert_eq!((last.grow(10), last.arrived()), (Ok(()), Ok(())));
        drop(b);
        assert_eq!(flood(&a).len(), 74, "of what b leaves");
        // It comes back, and finds what it holds.
        let b = budget.shared_with("b");
        assert_eq!(b.share.as_ref().unwrap().complete.get(), 10);
        drop((b, last));
        assert_eq!(flood(&a).len(), 100);
        let _c = budget.shared_with("c");
        assert_eq!(flood(&a).len(), 75);
    }

    #[tokio::test]
    async fn beyond_its_share_a_source_is_refused_and_slow_bodies_make_no_share_smaller() {
        let budget = budget();
        let [a, b] = ["a", "b"].map(|name| budget.shared_with(name));
        let long_ago = tokio::time::Instant::now() - Duration::from_secs(5);
        let mut charge = a.charge();
        assert_eq!(charge.grow(100), Ok(()));
        let bytes = Vec::new();
        let slow = a.wait(super::super::Buffer { bytes, charge }, long_ago);
        let fast = flood(&a);
        assert_eq!(fast.len(), 75, "as without the slow one");
        let mut charge = a.charge();
        let mut claim = a.claim(10, &charge, Duration::ZERO);
        assert_eq!(claim.served().await.map(drop), Err(Exhausted));
        drop(claim);
        // The other one is served at once, and takes the slow body's memory if it needs that.
        assert_eq!(charge.grow(10), Err(Exhausted));
        let mut other = b.charge();
        assert_eq!(other.grow(100), Ok(()));
        let mut claim = b.claim(100, &other, Duration::ZERO);
        other.absorb(claim.served().await.unwrap());
        assert_eq!((other.held, slow.take().is_none()), (200, true));
        drop((claim, fast, other));
        assert_eq!(a.share.as_ref().unwrap().complete.get(), 0);
        assert_eq!(budget.free(), 1000);
    }

    #[tokio::test]
    async fn a_flood_does_not_cut_a_smaller_source_s_body_that_is_only_a_moment_late() {
        let budget = budget();
        let [flood, other] = ["flood", "other"].map(|name| budget.shared_with(name));
        let now = tokio::time::Instant::now();
        let ago = |millis| now.checked_sub(Duration::from_millis(millis)).unwrap();
        let waiting = |of: &Budget, held, kept_pace| {
            let mut charge = of.charge();
            assert_eq!(charge.grow(held), Ok(()));
            let bytes = Vec::new();
            of.wait(super::super::Buffer { bytes, charge }, kept_pace)
        };
        let late = waiting(&other, 100, ago(500));
        let theirs = waiting(&flood, 900, ago(100));
        let empty = flood.charge();
        let mut claim = flood.claim(50, &empty, Duration::ZERO);
        let served = claim.served().await.map(|charge| charge.held);
        assert_eq!((served, theirs.take().is_none()), (Ok(50), true));
        assert!(late.take().is_some(), "it is the slowest, but smaller");
        // One that is late for a second gives way to everybody.
        let late = waiting(&other, 100, ago(2000));
        let _theirs = waiting(&flood, 850, ago(0));
        let mut claim = flood.claim(80, &empty, Duration::ZERO);
        assert!(claim.served().await.is_ok());
        assert!(late.take().is_none());
    }
}
