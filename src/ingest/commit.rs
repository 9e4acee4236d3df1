//! Waits for an event's commit, and counts the event exactly when it is committed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;

use super::ingress::Append;
use super::metrics::EventCounters;
use crate::journal::AppendError;

/// A commit in progress. It is counted even if its request is dropped first (the client has left, `commit_timeout` has
/// passed): the rest of the wait then moves to a task, which only such events cost.
pub(super) struct CountedCommit<A: Append> {
    /// `None` once the commit has finished.
    pending: Option<(A::Commit, EventCounters)>,
}

impl<A: Append> CountedCommit<A> {
    pub(super) fn new(commit: A::Commit, counters: EventCounters) -> Self {
        Self {
            pending: Some((commit, counters)),
        }
    }
}

impl<A: Append> Future for CountedCommit<A> {
    type Output = Result<u64, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((commit, counters)) = self.pending.as_mut() else {
            return Poll::Pending;
        };
        let outcome = ready!(Pin::new(commit).poll(cx));
        if outcome.is_ok() {
            counters.count();
        }
        self.pending = None;
        Poll::Ready(outcome)
    }
}

impl<A: Append> Drop for CountedCommit<A> {
    fn drop(&mut self) {
        let Some((commit, counters)) = self.pending.take() else {
            return;
        };
        // Without a runtime the process is ending, and its metrics with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if commit.await.is_ok() {
                    counters.count();
                }
            });
        }
    }
}
