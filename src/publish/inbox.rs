//! The one place where the publisher's thread waits: new records and the end ring here, and what the client's callbacks
//! tell while it is polled is gathered here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rdkafka::types::RDKafkaErrorCode;

use super::decide::timestamps::TimeBounds;

/// A delivery report.
#[derive(Debug)]
pub struct Report {
    /// The producer's.
    pub generation: u64,
    /// The record's.
    pub position: u64,
    /// A compacted topic refuses records without one.
    pub has_key: bool,
    /// Acknowledged, or why not.
    pub outcome: Result<(), RDKafkaErrorCode>,
}

/// What a look at the topic has shown.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// How many partitions it has; 0: not known at the moment.
    pub partitions: i32,
    /// What its configuration says of timestamps, if it was read again.
    pub bounds: Option<TimeBounds>,
}

/// What has come in.
#[derive(Debug, Default)]
pub struct Inbox {
    /// In the order of their coming.
    pub reports: Vec<Report>,
    /// What the client last said of its connection to the cluster.
    pub trouble: Option<String>,
    /// A broker is connected.
    pub connected: bool,
    /// What a look at the topic has shown, or in words why it shows nothing.
    pub topic: Option<Result<Seen, String>>,
    /// The present producer may wait for hours: another one must take over.
    pub renew: bool,
    /// When to end, even with records left.
    pub drain: Option<Instant>,
    rung: bool,
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inbox: Mutex<Inbox>,
    bell: Condvar,
}

impl Mailbox {
    /// Puts something in and wakes the publisher.
    pub(super) fn put(&self, put: impl FnOnce(&mut Inbox)) {
        let mut inbox = self.lock();
        put(&mut inbox);
        let silent = !std::mem::replace(&mut inbox.rung, true);
        drop(inbox);
        // A rung bell is heard before the next wait: ringing again would only be a system call.
        if silent {
            self.bell.notify_one();
        }
    }

    /// Waits until something has come, or until `until`. From here to [`Mailbox::take`] nobody rings: its owner is awake.
    pub(super) fn wait(&self, until: Instant) {
        let mut inbox = self.lock();
        while !inbox.rung {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                inbox.rung = true;
                break;
            }
            let waited = self.bell.wait_timeout(inbox, left);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes what has come. `drain` stays known.
    pub(super) fn take(&self) -> Inbox {
        let mut inbox = self.lock();
        let drain = inbox.drain;
        let taken = std::mem::take(&mut *inbox);
        inbox.drain = drain;
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
