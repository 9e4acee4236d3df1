//! How far the shutdown has come, shared by everything that serves.

use std::sync::Arc;

use tokio::sync::watch;

/// A phase of serving; phases only move forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Normal operation.
    Serving,
    /// New connections and requests are still served, but each connection closes after its current request.
    Draining,
    /// The listener accepts nothing new; requests that have begun are finished.
    Stopping,
}

/// The current phase; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Phases(Arc<watch::Sender<Phase>>);

impl Phases {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }

    pub(crate) fn current(&self) -> Phase {
        *self.0.borrow()
    }

    /// Moves forward to `phase`; a phase already passed stays passed.
    pub(crate) fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let forward = *current < phase;
            *current = (*current).max(phase);
            forward
        });
    }

    /// Waits until the shutdown has come at least as far as `phase`.
    pub(crate) async fn reached(&self, phase: Phase) {
        let waited = self
            .0
            .subscribe()
            .wait_for(|current| *current >= phase)
            .await
            .map(drop);
        debug_assert!(waited.is_ok(), "`self` holds the sender");
    }
}
