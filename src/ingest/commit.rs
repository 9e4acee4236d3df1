//! Waits for an event's commit, and counts and marks the event exactly when it is committed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;

use super::dedup::Claim;
use super::ingress::Append;
use super::metrics::EventCounters;
use crate::journal::AppendError;

/// A commit in progress. It is counted even if its request is dropped first (the client has left, `commit_timeout` has
/// passed): the rest of the wait then moves to a task, which only such events cost.
pub(super) struct CountedCommit<A: Append> {
    /// `None` once the commit has finished.
    pending: Option<(A::Commit, Outcome)>,
}

/// What a commit changes. Dropped without one, it returns the claim.
struct Outcome {
    counters: EventCounters,
    /// `None` if the event's source has no window of duplicates.
    claim: Option<Claim>,
}

impl Outcome {
    fn committed(self) {
        self.counters.count();
        if let Some(claim) = self.claim {
            claim.committed();
        }
    }
}

impl<A: Append> CountedCommit<A> {
    pub(super) fn new(commit: A::Commit, counters: EventCounters, claim: Option<Claim>) -> Self {
        Self {
            pending: Some((commit, Outcome { counters, claim })),
        }
    }
}

impl<A: Append> Future for CountedCommit<A> {
    type Output = Result<u64, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((commit, _)) = self.pending.as_mut() else {
            return Poll::Pending;
        };
        let committed = ready!(Pin::new(commit).poll(cx));
        if let Some((_, outcome)) = self.pending.take()
            && committed.is_ok()
        {
            outcome.committed();
        }
        Poll::Ready(committed)
    }
}

impl<A: Append> Drop for CountedCommit<A> {
    fn drop(&mut self) {
        let Some((commit, outcome)) = self.pending.take() else {
            return;
        };
        // Without a runtime the process is ending, and its metrics with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if commit.await.is_ok() {
                    outcome.committed();
                }
            });
        }
    }
}
