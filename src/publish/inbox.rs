//! The publisher's mailbox: new records, the client's callbacks and the shutdown wake its thread here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::decide::blame::Reason;
use super::decide::timestamps::TimeBounds;
use super::env::DeadLetterPlace;
use super::error::DeliveryError;
use super::topics::SourceTopics;
use crate::journal::Record;

/// A delivery report.
#[derive(Debug)]
pub struct Report {
    /// The producer's.
    pub generation: u64,
    /// The record's.
    pub position: u64,
    /// Acknowledged, or why not.
    pub outcome: Result<(), DeliveryError>,
}

/// What became of a record that [`Env::send_dead_letter`](super::env::Env::send_dead_letter) took.
#[derive(Debug)]
pub struct SentDeadLetter {
    /// The record.
    pub record: Record,
    /// Why it is a dead letter.
    pub reason: Reason,
    /// The topic that took it, or why none did; never a file.
    pub place: DeadLetterPlace,
}

/// What the cluster reports about one topic.
#[derive(Debug, Clone, Copy)]
pub struct TopicState {
    /// How many partitions it has; 0 if that is not known at the moment.
    pub partitions: i32,
    /// What its configuration demands of timestamps, if it was read again.
    pub bounds: Option<TimeBounds>,
}

/// What the client reports about its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// A broker is connected; `fault` is why another one is not.
    Connected {
        /// In words that name what to change.
        fault: Option<String>,
    },
    /// No broker is connected, for this reason.
    Down(String),
}

/// What has arrived for the worker.
#[derive(Debug, Default)]
pub struct Inbox {
    /// In the order of their arrival.
    pub reports: Vec<Report>,
    /// In the order of their arrival.
    pub dead_letters: Vec<SentDeadLetter>,
    /// Whether a broker is connected, if that was reported.
    pub connection: Option<ConnectionState>,
    /// The state of topics by their indices, or what an operator must fix; in the order of their arrival.
    pub topics: Vec<(usize, Result<TopicState, String>)>,
    /// The present producer can no longer be relied on: another one must take over.
    pub replace_producer: bool,
    /// From now on events go to the topics that these sources say.
    pub routes: Option<Vec<SourceTopics>>,
    /// When to end, even if records are left.
    pub drain_deadline: Option<Instant>,
    is_rung: bool,
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inbox: Mutex<Inbox>,
    bell: Condvar,
    /// The publisher has taken routes.
    routed: Condvar,
}

impl Mailbox {
    /// Puts something in and wakes the publisher.
    pub(super) fn put(&self, put: impl FnOnce(&mut Inbox)) {
        let mut inbox = self.lock();
        put(&mut inbox);
        let was_rung = std::mem::replace(&mut inbox.is_rung, true);
        drop(inbox);
        // Until the publisher has woken, another ring would only be a system call.
        if !was_rung {
            self.bell.notify_one();
        }
    }

    /// Puts routes in and waits until the publisher has taken them, that is, until it reads no other record without them. False if
    /// it has not within `patience`; they are withdrawn then.
    pub(super) fn route(&self, sources: Vec<SourceTopics>, patience: Duration) -> bool {
        self.put(|inbox| inbox.routes = Some(sources));
        let waiting = |inbox: &mut Inbox| inbox.routes.is_some();
        let waited = self
            .routed
            .wait_timeout_while(self.lock(), patience, waiting);
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inbox.routes.take().is_none()
    }

    /// Waits for mail until `until`. From then to [`Mailbox::take`] the bell counts as rung: the publisher is awake.
    pub(super) fn wait(&self, until: Instant) {
        let mut inbox = self.lock();
        while !inbox.is_rung {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                inbox.is_rung = true;
                break;
            }
            let waited = self.bell.wait_timeout(inbox, left);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes what has arrived; the drain deadline stays for the next call.
    pub(super) fn take(&self) -> Inbox {
        let mut inbox = self.lock();
        let drain_deadline = inbox.drain_deadline;
        let taken = std::mem::take(&mut *inbox);
        inbox.drain_deadline = drain_deadline;
        if taken.routes.is_some() {
            self.routed.notify_one();
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn routes_wait_until_they_are_taken_and_those_that_nobody_takes_are_withdrawn() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.route(vec![SourceTopics::default()], Duration::ZERO));
        assert_eq!(mailbox.take().routes, None);
        thread::scope(|scope| {
            let routed = scope.spawn(|| {
                let is_taken = mailbox.route(Vec::new(), Duration::from_mins(10));
                (is_taken, Instant::now())
            });
            while mailbox.lock().routes.is_none() {
                thread::yield_now();
            }
            let before = Instant::now();
            assert_eq!(mailbox.take().routes, Some(Vec::new()));
            let (is_taken, at) = routed.join().unwrap();
            assert!(is_taken && at >= before);
        });
    }
}
