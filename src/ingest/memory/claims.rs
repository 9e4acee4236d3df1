//! Requests that need more memory than is free, the one served first in front.
//!
//! A claim is served from the memory of waiting bodies that are slower, and holds that memory from the moment in which
//! they are cut. If these are not enough, it waits for the requests that are in motion: each of them soon waits for its
//! sender, claims memory itself or is complete. As no sender is waited for, none can prolong this. A claim is refused as
//! soon as what is in motion could not serve it either; what waits for a sync does not count, as a disk may stall.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::time::Instant;

use super::waiting::Claimant;
use super::{Budget, Charge, Exhausted, State};

/// Who is served first: in whole seconds, who is least behind, because less than that may be the scheduler's doing; of
/// these, who needs least; of these, who came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    seconds_behind: u64,
    needs: usize,
    number: u64,
}

/// All open claims of one budget.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_rank: BTreeMap<Rank, Entry>,
    /// What the claiming requests hold together, in bytes.
    held: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    /// Claimed, in bytes.
    bytes: usize,
    /// What the request holds already, in bytes.
    held: usize,
    /// How far the sender is behind. It stays the same while the claim is open, because the sender is not waited for.
    behind: Duration,
    /// With the source's share.
    budget: Budget,
    answer: Sender<Charge>,
}

/// A claim that is served or refused: dropping the sender refuses it.
type Settled = (Sender<Charge>, Option<Charge>);

/// An open claim. Dropping it withdraws it.
#[derive(Debug)]
pub(in crate::ingest) struct Claim {
    budget: Budget,
    rank: Rank,
    answer: Receiver<Charge>,
}

impl Budget {
    /// Claims `bytes` more for a request that has `charge` and whose sender is `behind` its pace.
    pub(in crate::ingest) fn claim(
        &self,
        bytes: usize,
        charge: &Charge,
        behind: Duration,
    ) -> Claim {
        let held = charge.held;
        let (sender, answer) = oneshot::channel();
        let entry = Entry {
            bytes,
            held,
            behind,
            budget: self.clone(),
            answer: sender,
        };
        let rank = self.with_state(|state| {
            let claims = &mut state.claims;
            let rank = Rank {
                seconds_behind: behind.as_secs(),
                needs: held.saturating_add(bytes),
                number: claims.next,
            };
            claims.next += 1;
            claims.held += held;
            claims.by_rank.insert(rank, entry);
            rank
        });
        Claim {
            budget: self.clone(),
            rank,
            answer,
        }
    }

    /// Serves and refuses claims, if there are any. To be called after whatever may free memory or end a motion.
    pub(super) fn settle(&self) {
        // Sequentially consistent, as the changes of the sums are: either this sees the claim or the claim sees those.
        if self.inner.open_claims.load(Ordering::SeqCst) > 0 {
            self.with_state(|_| ());
        }
    }

    /// Changes the shared state, and settles the claims before another can change it.
    pub(super) fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        // Closes the way past the claims before the sums are read.
        self.count_claims(&state.claims);
        let mut wakers = Vec::new();
        let settled = self.settle_claims(&mut state, &mut wakers);
        self.count_claims(&state.claims);
        drop(state);
        // Outside of the lock, because a charge that is not received any more is returned here.
        for (sender, charge) in settled {
            if let Some(charge) = charge {
                let _ = sender.send(charge);
            }
        }
        for waker in wakers {
            waker.wake();
        }
        changed
    }

    fn count_claims(&self, claims: &Claims) {
        let open = claims.by_rank.len();
        self.inner.open_claims.store(open, Ordering::SeqCst);
    }

    fn settle_claims(&self, state: &mut State, wakers: &mut Vec<Waker>) -> Vec<Settled> {
        let mut settled = Vec::new();
        if state.claims.by_rank.is_empty() {
            return settled;
        }
        let now = Instant::now();
        let mut next = state
            .claims
            .by_rank
            .first_key_value()
            .map(|(rank, _)| *rank);
        while let Some(rank) = next {
            let Some(claim) = state.claims.by_rank.get(&rank) else {
                break;
            };
            let (bytes, held, behind) = (claim.bytes, claim.held, claim.behind);
            let is_beyond_share = claim.budget.is_beyond_share(bytes);
            let claimant = Claimant::new(&claim.budget, now, behind);
            let before = self.in_motion(state);
            let missing = bytes.saturating_sub(self.free());
            let (slowest, slower) = state.waiting.slower(missing, claimant);
            if slower >= missing && !is_beyond_share {
                let freed = state.waiting.cut(&slowest, wakers);
                // What is cut changes hands in one step.
                if self.exchange(freed, bytes).is_err() {
                    // A request that had passed by the claims was faster. None can pass any more.
                    continue;
                }
                let claim = state.claims.remove(rank);
                settled.extend(claim.map(|claim| {
                    let mut charge = claim.budget.charge();
                    charge.hold(bytes);
                    (claim.answer, Some(charge))
                }));
            } else {
                // What became free or was charged in the meantime counts as in motion.
                let in_motion = before.max(self.in_motion(state));
                let others = state.claims.held - held;
                let hope = slower.saturating_add(in_motion).saturating_add(others);
                // Beyond its share a source waits for nobody: the flood would hold up all others' claims.
                if hope < missing || is_beyond_share {
                    let claim = state.claims.remove(rank);
                    settled.extend(claim.map(|claim| (claim.answer, None)));
                }
            }
            next = state
                .claims
                .by_rank
                .range((Excluded(rank), Unbounded))
                .next()
                .map(|(rank, _)| *rank);
        }
        // If the claims wait for one another alone, the last in line gives way.
        while self.in_motion(state) == 0
            && let Some((rank, _)) = state.claims.by_rank.last_key_value()
        {
            let rank = *rank;
            let claim = state.claims.remove(rank);
            settled.extend(claim.map(|claim| (claim.answer, None)));
        }
        settled
    }

    /// What requests hold whose bodies arrive and that wait neither for their senders nor for memory, in bytes.
    fn in_motion(&self, state: &State) -> usize {
        let arriving = self.inner.arriving.load(Ordering::SeqCst);
        let still = state.waiting.held() + state.claims.held;
        arriving.saturating_sub(still)
    }
}

impl Claims {
    fn remove(&mut self, rank: Rank) -> Option<Entry> {
        let entry = self.by_rank.remove(&rank)?;
        self.held -= entry.held;
        Some(entry)
    }
}

impl Claim {
    /// Waits until the claim is served or refused.
    pub(in crate::ingest) async fn served(&mut self) -> Result<Charge, Exhausted> {
        (&mut self.answer).await.map_err(|_| Exhausted)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.budget.with_state(|state| {
            state.claims.remove(self.rank);
        });
    }
}
