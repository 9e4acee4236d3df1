//! Bodies that wait for their senders, the slowest first.
//!
//! While a body waits, its memory is here rather than in its request, so that another request can take it at once and
//! the budget holds exactly. A body that arrives with its head, as most do, never comes here.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::{Budget, Buffer};

/// When the body's sender last kept pace, then a number that makes the key unique.
type Key = (Instant, u64);

/// A sender that is behind for less than this is not cut for a source whose bodies hold more than its own source's: a flood
/// would cut whoever sends his head first and his body a moment later.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whose claim the slower bodies are to be cut for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimant {
    now: Instant,
    /// When its sender last kept pace.
    kept_pace: Option<Instant>,
    /// What the bodies of its source hold, in bytes.
    of_source: usize,
}

impl Claimant {
    pub(super) fn new(budget: &Budget, now: Instant, behind: Duration) -> Self {
        let share = budget.share.as_ref();
        Self {
            now,
            kept_pace: now.checked_sub(behind),
            of_source: share.map_or(0, |share| share.all.get()),
        }
    }
}

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

    /// The slowest that hold `missing` bytes, and what they hold; fewer if the bodies that are slower than the claimant's
    /// and may be cut for it hold less.
    pub(super) fn slower(&self, missing: usize, claimant: Claimant) -> (Vec<Key>, usize) {
        let (mut slowest, mut held) = (Vec::new(), 0);
        for (key, entry) in &self.by_pace {
            let (theirs, _) = *key;
            if held >= missing || claimant.kept_pace.is_none_or(|ours| theirs >= ours) {
                break;
            }
            let is_patient = claimant.now.saturating_duration_since(theirs) < PATIENCE;
            if is_patient && entry.of_source() < claimant.of_source {
                continue;
            }
            held += entry.buffer.charge.held;
            slowest.push(*key);
        }
        (slowest, held)
    }

    /// Cuts these. Gives what they were charged, in bytes, which is the caller's now, and the wakers of their requests.
    pub(super) fn cut(&mut self, slowest: &[Key], wakers: &mut Vec<Waker>) -> usize {
        let mut freed = 0;
        for key in slowest {
            if let Some(Entry { mut buffer, waker }) = self.remove(key) {
                freed += buffer.charge.give();
                wakers.push(waker);
            }
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

impl Entry {
    /// What the bodies of its source hold, in bytes; those of no source give way to everybody.
    fn of_source(&self) -> usize {
        let share = self.buffer.charge.budget.share.as_ref();
        share.map_or(usize::MAX, |share| share.all.get())
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
