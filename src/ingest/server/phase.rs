//! How far the shutdown has come and whether connections are short, shared by everything that serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
pub(crate) struct Phases(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    phase: watch::Sender<Phase>,
    place_wanted: AtomicBool,
}

impl Phases {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            phase: watch::Sender::new(Phase::Serving),
            place_wanted: AtomicBool::new(false),
        }))
    }

    pub(crate) fn current(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Sets whether the next answer over HTTP/1 is to be the last of its connection, for a new one that waits.
    pub(crate) fn want_place(&self, is_wanted: bool) {
        self.0.place_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// False if an answer that is given now is to be the last of its connection: every one after normal operation, or one for
    /// each place that is wanted.
    pub(crate) fn keeps_alive(&self) -> bool {
        let wanted = &self.0.place_wanted;
        let is_given = wanted.load(Ordering::Relaxed) && wanted.swap(false, Ordering::Relaxed);
        !is_given && self.current() == Phase::Serving
    }

    /// Moves forward to `phase`; a phase already passed stays passed.
    pub(crate) fn advance(&self, phase: Phase) {
        self.0.phase.send_if_modified(|current| {
            let forward = *current < phase;
            *current = (*current).max(phase);
            forward
        });
    }

    /// Waits until the shutdown has come at least as far as `phase`.
    pub(crate) async fn reached(&self, phase: Phase) {
        let waited = self
            .0
            .phase
            .subscribe()
            .wait_for(|current| *current >= phase)
            .await
            .map(drop);
        debug_assert!(waited.is_ok(), "`self` holds the sender");
    }
}
