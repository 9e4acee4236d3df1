//! What one connection is doing, seen from its bytes and from its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Shared by a connection's stream, which sees bytes arrive, and its service, which sees requests begin and end.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    requests: AtomicU64,
    in_flight: AtomicUsize,
    /// True if bytes have arrived since the last request began or ended: part of the next head is here.
    head_arriving: AtomicBool,
    begun: Notify,
}

/// Marks one request as running until it is dropped.
pub(crate) struct InFlight(Arc<Activity>);

impl Activity {
    /// Records a request whose head is complete.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.head_arriving.store(false, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.begun.notify_one();
        InFlight(Arc::clone(self))
    }

    /// Records that bytes were read from the client.
    pub(crate) fn bytes_arrived(&self) {
        self.head_arriving.store(true, Ordering::Relaxed);
    }

    /// How many requests have begun so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many requests have no answer yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// True between requests, if nothing of the next one has arrived.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight() == 0 && !self.head_arriving.load(Ordering::Relaxed)
    }

    /// Waits until the first request has begun. Only one task may wait at a time.
    pub(crate) async fn first_request(&self) {
        while self.requests() == 0 {
            self.begun.notified().await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // The bytes that arrived during this request were its body.
        self.0.head_arriving.store(false, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
