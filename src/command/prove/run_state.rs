//! What the connections, the topic's reader and the command share during a run.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ledger::Ledger;
use crate::command::webhook::PostError;

/// What the reply to the run's first event allows; until it has come, no other event is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstReply {
    Awaited,
    /// Other events may be answered otherwise.
    Proceed,
    /// Every event would be answered like this one: sending more would prove nothing.
    Abort,
}

/// The state of one run.
pub struct RunState {
    started: Instant,
    first_reply: watch::Sender<FirstReply>,
    ledger: Mutex<Ledger>,
    last_failure: Mutex<Option<String>>,
}

impl RunState {
    /// Starts the run's clock.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            first_reply: watch::Sender::new(FirstReply::Awaited),
            ledger: Mutex::new(Ledger::new()),
            last_failure: Mutex::new(None),
        }
    }

    /// The moment `time` after the start.
    pub fn instant(&self, time: Duration) -> Instant {
        self.started + time
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Keeps the reply to the run's first event and ignores all others.
    pub fn on_reply(&self, reply: FirstReply) {
        self.first_reply.send_if_modified(|first| {
            let is_first = *first == FirstReply::Awaited;
            if is_first {
                *first = reply;
            }
            is_first
        });
    }

    /// True if the first reply has aborted the run.
    pub fn is_aborted(&self) -> bool {
        *self.first_reply.borrow() == FirstReply::Abort
    }

    /// Waits for the first reply; false if it has aborted the run.
    pub async fn may_proceed(&self) -> bool {
        let mut first = self.first_reply.subscribe();
        let reply = first.wait_for(|first| *first != FirstReply::Awaited).await;
        reply.is_ok_and(|reply| *reply == FirstReply::Proceed)
    }

    /// Keeps the reason why an attempt got no reply.
    pub fn on_failure(&self, error: &PostError) {
        *lock(&self.last_failure) = Some(error.to_string());
    }

    pub fn last_failure(&self) -> Option<String> {
        lock(&self.last_failure).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
