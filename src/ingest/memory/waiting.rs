//! Bodies that wait for their senders, the slowest first.
//!
//! While a body waits, its memory is here rather than in its request, so that another request can take it at once and
//! the budget holds exactly. A body that arrives with its head, as most do, never comes here.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::{Budget, Buffer};

/// When the body's sender last kept pace, then a number that makes the key unique.
type Key = (Instant, u64);

/// All waiting bodies of one budget.
#[derive(Debug, Default)]
pub(super) struct WaitingBodies {
    by_pace: BTreeMap<Key, Entry>,
    /// What they are charged together, in bytes.
    held: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    buffer: Buffer,
    /// Wakes the request that the body belongs to.
    waker: Waker,
}

/// A request's handle on its waiting body. Dropping it drops the body.
#[derive(Debug)]
pub(in crate::ingest) struct WaitingBody {
    budget: Budget,
    key: Key,
    is_taken: bool,
}

impl Budget {
    /// Lets a body wait whose sender last kept pace at `kept_pace`.
    pub(in crate::ingest) fn wait(&self, buffer: Buffer, kept_pace: Instant) -> WaitingBody {
        let key = self.with_state(|state| state.waiting.insert(buffer, kept_pace));
        WaitingBody {
            budget: self.clone(),
            key,
            is_taken: false,
        }
    }

    /// Cuts the slowest body if its sender has not kept pace since `kept_pace`. False if there is none.
    pub(in crate::ingest) fn cut_slowest(&self, kept_pace: Instant) -> bool {
        let cut = self.with_state(|state| {
            let waiting = &mut state.waiting;
            let slowest = waiting.by_pace.first_key_value().map(|(key, _)| *key);
            let slowest = slowest.filter(|(theirs, _)| *theirs < kept_pace);
            slowest.and_then(|key| waiting.remove(&key))
        });
        let Some(Entry { buffer, waker }) = cut else {
            return false;
        };
        drop(buffer);
        waker.wake();
        true
    }
}

impl WaitingBodies {
    /// What all of them are charged, in bytes.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// How many of the slowest hold `missing` bytes, and what they hold; fewer if the bodies that are slower than a
    /// sender which last kept pace at `kept_pace` hold less.
    pub(super) fn slower(&self, missing: usize, kept_pace: Option<Instant>) -> (usize, usize) {
        let (mut count, mut held) = (0, 0);
        for ((theirs, _), entry) in &self.by_pace {
            if held >= missing || kept_pace.is_none_or(|ours| *theirs >= ours) {
                break;
            }
            held += entry.buffer.charge.held;
            count += 1;
        }
        (count, held)
    }

    /// Cuts the `count` slowest. Gives what they were charged, in bytes, which is the caller's now, and the wakers of
    /// their requests.
    pub(super) fn cut(&mut self, count: usize, wakers: &mut Vec<Waker>) -> usize {
        let mut freed = 0;
        for _ in 0..count {
            let slowest = self.by_pace.pop_first();
            let Some((_, Entry { mut buffer, waker })) = slowest else {
                break;
            };
            let held = std::mem::take(&mut buffer.charge.held);
            self.held -= held;
            freed += held;
            wakers.push(waker);
        }
        freed
    }

    fn insert(&mut self, buffer: Buffer, kept_pace: Instant) -> Key {
        let key = (kept_pace, self.next);
        self.next += 1;
        self.held += buffer.charge.held;
        // The request registers its waker when it polls for the first time.
        let waker = Waker::noop().clone();
        self.by_pace.insert(key, Entry { buffer, waker });
        key
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.by_pace.remove(key)?;
        self.held -= entry.buffer.charge.held;
        Some(entry)
    }
}

impl WaitingBody {
    /// Ready once the body has been cut.
    pub(in crate::ingest) fn poll_cut(&self, cx: &Context<'_>) -> Poll<()> {
        match self.budget.state().waiting.by_pace.get_mut(&self.key) {
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
        let entry = self.budget.state().waiting.remove(&self.key);
        entry.map(|entry| entry.buffer)
    }
}

impl Drop for WaitingBody {
    fn drop(&mut self) {
        if !self.is_taken {
            let entry = self.budget.state().waiting.remove(&self.key);
            // Its memory is returned outside of the lock.
            drop(entry);
        }
    }
}
