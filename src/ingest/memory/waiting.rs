//! Bodies that wait for their senders, the slowest first.
//!
//! While a body waits, its memory is here rather than in its request, so that another request can take it at once and
//! the budget holds exactly. A body that arrives with its head, as most do, never comes here.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::{Budget, Buffer};

/// When the body's sender last kept pace, then a number that makes the key unique.
type Key = (Instant, u64);

/// All waiting bodies of one budget.
#[derive(Debug, Default)]
pub(super) struct WaitingBodies {
    by_pace: BTreeMap<Key, Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    buffer: Buffer,
    /// Wakes the request that the body belongs to.
    waker: Waker,
}

/// A request's claim to its waiting body. Dropping it drops the body.
#[derive(Debug)]
pub(in crate::ingest) struct WaitingBody {
    budget: Budget,
    key: Key,
    is_taken: bool,
}

impl Budget {
    /// Lets a body wait whose sender last kept pace at `kept_pace`.
    pub(in crate::ingest) fn wait(&self, buffer: Buffer, kept_pace: Instant) -> WaitingBody {
        let mut waiting = self.waiting();
        let key = (kept_pace, waiting.next);
        waiting.next += 1;
        // The request registers its waker when it polls for the first time.
        let waker = Waker::noop().clone();
        waiting.by_pace.insert(key, Entry { buffer, waker });
        WaitingBody {
            budget: self.clone(),
            key,
            is_taken: false,
        }
    }

    /// Makes room for `bytes` by cutting the slowest bodies, but only those slower than a sender that last kept pace at
    /// `kept_pace`, and none if all of these together are not enough. True if there may be room now.
    pub(in crate::ingest) fn cut_slower(&self, bytes: usize, kept_pace: Instant) -> bool {
        let mut waiting = self.waiting();
        let wanted = self.0.used.load(Ordering::Relaxed).saturating_add(bytes);
        let mut missing = wanted.saturating_sub(self.0.limit);
        let mut count = 0;
        for ((theirs, _), entry) in &waiting.by_pace {
            if missing == 0 || *theirs >= kept_pace {
                break;
            }
            missing = missing.saturating_sub(entry.buffer.charge.held);
            count += 1;
        }
        if missing > 0 {
            return false;
        }
        let slowest = std::iter::from_fn(|| waiting.by_pace.pop_first());
        let cut: Vec<_> = slowest.take(count).collect();
        drop(waiting);
        for (_, entry) in cut {
            entry.cut();
        }
        true
    }

    /// Cuts the slowest body if its sender has not kept pace since `kept_pace`. False if there is none.
    pub(in crate::ingest) fn cut_slowest(&self, kept_pace: Instant) -> bool {
        let mut waiting = self.waiting();
        let slowest = waiting.by_pace.first_entry();
        let slowest = slowest.filter(|entry| entry.key().0 < kept_pace);
        let cut = slowest.map(OccupiedEntry::remove);
        drop(waiting);
        let is_cut = cut.is_some();
        cut.into_iter().for_each(Entry::cut);
        is_cut
    }
}

impl Entry {
    fn cut(self) {
        let Self { buffer, waker } = self;
        // Before its request can run, so that the request that needs the room finds it.
        drop(buffer);
        waker.wake();
    }
}

impl WaitingBody {
    /// Ready once the body has been cut.
    pub(in crate::ingest) fn poll_cut(&self, cx: &Context<'_>) -> Poll<()> {
        match self.budget.waiting().by_pace.get_mut(&self.key) {
            Some(entry) => {
                entry.waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Ends the wait and gives the body back; `None` if it has been cut.
    pub(in crate::ingest) fn take(mut self) -> Option<Buffer> {
        self.is_taken = true;
        let entry = self.budget.waiting().by_pace.remove(&self.key);
        entry.map(|entry| entry.buffer)
    }
}

impl Drop for WaitingBody {
    fn drop(&mut self) {
        if !self.is_taken {
            let entry = self.budget.waiting().by_pace.remove(&self.key);
            // Its memory is returned outside of the lock.
            drop(entry);
        }
    }
}
