//! What one connection is doing, seen from its bytes and from its requests.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Server;
use crate::ingest::refusal::Reason;

/// How long a connection must have been idle before it may be closed for another. Of one that was just accepted, nothing
/// has been read yet, even if its request is already here; and a TLS handshake waits for its client twice at most.
const IDLE_US: u64 = 250_000;
/// The longest time that an unfinished head keeps its connection while others wait for one, because until then it may
/// only have been cut in two on its way.
const STALLED_HEAD_US: u64 = 1_000_000;

/// Shared by a connection's stream, which sees bytes arrive, its service, which sees requests begin and end, and the
/// listener, which looks for a connection to close if they run short.
#[derive(Debug)]
pub(crate) struct Activity {
    /// The origin of the times below, which are microseconds: the same for all connections.
    epoch: Instant,
    requests: AtomicU64,
    in_flight: AtomicUsize,
    /// When the connection was accepted or the last request ended.
    idle_since: AtomicU64,
    /// One more than when the first byte of the next head arrived; 0 if none has.
    head_since: AtomicU64,
    body_unread: AtomicBool,
    is_http2: AtomicBool,
    begun: Notify,
    asked_to_give_way: Notify,
}

/// What a connection without a request has waited for and since when, in microseconds. The least gives way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    /// Nothing of the next request has arrived.
    Idle(u64),
    /// The next head is unfinished.
    Head(u64),
}

/// Marks one request as running until it is dropped.
pub(crate) struct InFlight(Arc<Activity>);

impl Activity {
    /// Of a connection that has just been accepted.
    pub(crate) fn new(epoch: Instant) -> Self {
        let activity = Self {
            epoch,
            requests: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            body_unread: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            begun: Notify::new(),
            asked_to_give_way: Notify::new(),
        };
        activity.idle_since.store(activity.now(), Ordering::Relaxed);
        activity
    }

    fn now(&self) -> u64 {
        let elapsed = self.epoch.elapsed().as_micros();
        // Enough for half a million years.
        u64::try_from(elapsed).unwrap_or(u64::MAX - 1)
    }

    /// Records a request whose head is complete.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.begun.notify_one();
        InFlight(Arc::clone(self))
    }

    /// Records that bytes were read from an HTTP/1 client, or before the protocol is known. During a request they are
    /// taken for its body.
    pub(crate) fn bytes_arrived(&self) {
        if self.in_flight() == 0 && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    /// Records that what has arrived was HTTP/2's preface, and that frames follow, which are no heads.
    pub(crate) fn speaks_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
        self.no_head();
    }

    /// Records that what has arrived was no head: it will not be served any more.
    pub(crate) fn no_head(&self) {
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// True if the client may still be sending a body that has been refused.
    pub(crate) fn is_body_unread(&self) -> bool {
        self.body_unread.load(Ordering::Relaxed)
    }

    /// How many requests have begun so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many requests have no answer yet.
    pub(crate) fn in_flight(&self) -> usize {
        // With it goes the time at which the last request ended.
        self.in_flight.load(Ordering::Acquire)
    }

    /// True between requests, if nothing of the next one has arrived.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight() == 0 && self.head_since.load(Ordering::Relaxed) == 0
    }

    /// Waits until the first request has begun. Only one task may wait at a time.
    pub(crate) async fn first_request(&self) {
        while self.requests() == 0 {
            self.begun.notified().await;
        }
    }

    /// Waits until the client has let its connection wait too long: for a head, which is a fault, or idly, which is
    /// none. To be polled by the connection's task after each step of the connection.
    pub(crate) async fn expired(&self, server: &Server) -> Option<Reason> {
        let mut timer = pin!(sleep_until(self.epoch));
        poll_fn(|cx| {
            loop {
                let Some((deadline, reason)) = self.deadline(server) else {
                    return Poll::Pending;
                };
                // A later deadline is left to the timer's next expiry, so that most requests never set it.
                if deadline < timer.deadline() || timer.is_elapsed() {
                    timer.as_mut().reset(deadline);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                if deadline <= Instant::now() {
                    return Poll::Ready(reason);
                }
            }
        })
        .await
    }

    /// Until when the client may wait, and why no longer. `None` while a request runs.
    fn deadline(&self, server: &Server) -> Option<(Instant, Option<Reason>)> {
        if self.in_flight() > 0 {
            return None;
        }
        let idle_since = self.idle_since.load(Ordering::Relaxed);
        let head_since = self.head_since.load(Ordering::Relaxed).checked_sub(1);
        let (since, limit, reason) = match head_since {
            // A client that connects and sends nothing is not trusted with a connection for as long as one that has.
            _ if self.requests() == 0 => (
                idle_since,
                server.header_timeout,
                Some(Reason::HeaderTimeout),
            ),
            Some(since) => (since, server.header_timeout, Some(Reason::HeaderTimeout)),
            None => (idle_since, server.idle_timeout, None),
        };
        Some((self.epoch + Duration::from_micros(since) + limit, reason))
    }

    /// What the connection waits for, if it may be closed to make room for another; `None` otherwise.
    pub(crate) fn wait(&self) -> Option<Wait> {
        if self.in_flight() > 0 {
            return None;
        }
        let (wait, patience) = match self.head_since.load(Ordering::Relaxed).checked_sub(1) {
            None => {
                // An answer over HTTP/1 ends its connection if need be. Whoever speaks HTTP/2 might go on for ever.
                let ends_otherwise = !self.is_http2.load(Ordering::Relaxed) || self.requests() == 0;
                let patience = if ends_otherwise { IDLE_US } else { 0 };
                (
                    Wait::Idle(self.idle_since.load(Ordering::Relaxed)),
                    patience,
                )
            }
            Some(since) => (Wait::Head(since), STALLED_HEAD_US),
        };
        let (Wait::Idle(since) | Wait::Head(since)) = wait;
        (since + patience <= self.now()).then_some(wait)
    }

    /// Asks the connection to make room for another.
    pub(crate) fn give_way(&self) {
        self.asked_to_give_way.notify_one();
    }

    /// Waits until the connection is asked to make room while it waits for its client.
    pub(crate) async fn gives_way(&self) -> Wait {
        loop {
            self.asked_to_give_way.notified().await;
            if let Some(wait) = self.wait() {
                return wait;
            }
        }
    }
}

impl InFlight {
    /// Records that the answer comes before the request's body has arrived.
    pub(crate) fn leave_body_unread(&self) {
        self.0.body_unread.store(true, Ordering::Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Before the count, so that whoever sees no request sees the time of its end.
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        // The bytes that arrived during this request were its body.
        self.0.head_since.store(0, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_may_be_closed_only_while_it_waits_for_its_client() {
        let ten_seconds_ago = Instant::now() - Duration::from_secs(10);
        let activity = Arc::new(Activity::new(ten_seconds_ago));
        let idle_since = |microseconds| {
            let since = &activity.idle_since;
            since.store(microseconds, Ordering::Relaxed);
        };
        // It has just been accepted.
        assert_eq!(activity.wait(), None);
        idle_since(9_000_000);
        assert_eq!(activity.wait(), Some(Wait::Idle(9_000_000)));
        // A head that has only just begun to arrive.
        activity.bytes_arrived();
        assert_eq!((activity.wait(), activity.is_idle()), (None, false));
        let request = activity.begin();
        let another = activity.begin();
        assert_eq!(activity.wait(), None);
        drop(request);
        activity.bytes_arrived();
        idle_since(9_000_000);
        assert_eq!(activity.wait(), None);
        drop(another);
        // Its client may be about to send the next request.
        assert_eq!((activity.wait(), activity.is_idle()), (None, true));
        idle_since(9_500_000);
        assert_eq!(activity.wait(), Some(Wait::Idle(9_500_000)));
        activity.head_since.store(1, Ordering::Relaxed);
        assert_eq!(activity.wait(), Some(Wait::Head(0)));
        // No answer over HTTP/2 ends its connection.
        activity.speaks_http2();
        drop(activity.begin());
        assert!(matches!(activity.wait(), Some(Wait::Idle(10_000_000..))));
    }

    #[test]
    fn the_longest_idle_connection_is_closed_before_any_with_a_head() {
        let mut waits = [Wait::Head(1), Wait::Idle(7), Wait::Idle(2), Wait::Head(0)];
        waits.sort_unstable();
        let first_to_last = [Wait::Idle(2), Wait::Idle(7), Wait::Head(0), Wait::Head(1)];
        assert_eq!(waits, first_to_last);
    }
}
