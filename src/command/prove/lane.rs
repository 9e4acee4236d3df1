//! A lane: one connection and the calls on it, an event of which goes out only after the one before was answered.
//!
//! The schedule is open: event `k` of the run is due at `k / rate`, however long answers take. A lane that is late sends
//! without a pause until it has caught up, and times are counted from when an event was due, so a relay that stalls
//! cannot hide the events that it kept waiting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::events::{Call, Run};
use super::ledger::Answer;
use super::post::{PostError, Poster};
use super::{Books, First};

/// Waits before the second, third and fourth try: Retell tries three more times and gives up.
const RETRY_AFTER: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// How long after the end what was due before it is still sent.
const CATCH_UP: Duration = Duration::from_secs(10);

/// When each event of a run is due, and on which lane.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Events a second.
    pub rate: u32,
    /// Nothing is due later.
    pub duration: Duration,
    /// Calls at a time; event `k` is of the call in slot `k % calls`.
    pub calls: u32,
    /// Slot `s` is on lane `s % lanes`.
    pub lanes: u32,
}

impl Schedule {
    /// When an event is due, since the start.
    fn due(&self, event: u64) -> Duration {
        let rate = u64::from(self.rate);
        let rest = event % rate * 1_000_000_000 / rate;
        Duration::from_secs(event / rate) + Duration::from_nanos(rest)
    }

    /// How many events are due before `time`, or the end if that is earlier.
    pub fn due_before(&self, time: Duration) -> u64 {
        let nanoseconds = time.min(self.duration).as_nanos();
        let events = (nanoseconds * u128::from(self.rate)).div_ceil(1_000_000_000);
        u64::try_from(events).unwrap_or(u64::MAX)
    }
}

/// One lane, to be run as a task.
pub struct Lane {
    /// The run's.
    pub schedule: Schedule,
    /// The lane's ordinal, below [`Schedule::lanes`].
    pub ordinal: u32,
    /// What bodies are made of.
    pub run: Arc<Run>,
    /// Where everything is entered.
    pub books: Arc<Books>,
    /// The lane's connection.
    pub poster: Poster,
    /// True once nothing more is to be begun or retried.
    pub stop: watch::Receiver<bool>,
}

impl Lane {
    /// Sends what is due on this lane, until the end of the schedule or until it is stopped.
    pub async fn run(mut self) {
        let lanes = usize::try_from(self.schedule.lanes).unwrap_or(usize::MAX);
        let slots: Vec<_> = (self.ordinal..self.schedule.calls).step_by(lanes).collect();
        let mut calls: Vec<_> = slots
            .iter()
            .map(|slot| self.run.call(u64::from(*slot)))
            .collect();
        let latest = self.schedule.duration + CATCH_UP;
        for turn in 0_u64.. {
            for (slot, call) in slots.iter().zip(&mut calls) {
                let ordinal = turn * u64::from(self.schedule.calls) + u64::from(*slot);
                let due = self.schedule.due(ordinal);
                if due >= self.schedule.duration {
                    return;
                }
                let body = self.next_body(call, ordinal);
                let at = self.books.begun + due;
                let reached = tokio::select! {
                    () = sleep_until(at.into()) => true,
                    () = stopped(&mut self.stop) => false,
                };
                // The first event goes alone.
                if !reached || (ordinal > 0 && !self.may_go_on().await) {
                    return;
                }
                if self.books.now() > latest || *self.stop.borrow() {
                    return;
                }
                self.deliver(&call.id, call.number - 1, body.into(), due)
                    .await;
            }
            if slots.is_empty() {
                return;
            }
        }
    }

    /// Once the first event has its answer: true unless that leaves no hope.
    async fn may_go_on(&mut self) -> bool {
        let mut first = self.books.first.subscribe();
        tokio::select! {
            first = first.wait_for(|first| *first != First::Awaited) => {
                first.is_ok_and(|first| *first == First::GoOn)
            }
            () = stopped(&mut self.stop) => false,
        }
    }

    /// The call's next event; where it is over, the first of a new one, numbered by the event as no other call is.
    fn next_body(&self, call: &mut Call, ordinal: u64) -> Vec<u8> {
        if let Some(body) = self.run.next(call) {
            return body;
        }
        *call = self.run.call(u64::from(self.schedule.calls) + ordinal);
        self.run.next(call).unwrap_or_default()
    }

    /// Tries until a 2xx comes, the tries are used up, or the lane is stopped.
    async fn deliver(&mut self, call: &str, number: u64, body: Bytes, due: Duration) {
        self.books.ledger().sent(call, number, &body, due);
        let waits = RETRY_AFTER.iter().map(Some).chain([None]);
        for wait in waits {
            let answer = self.poster.post(&body).await;
            let says = if is_hopeless(&answer) {
                First::Hopeless
            } else {
                First::GoOn
            };
            self.books.first.send_if_modified(|first| {
                let is_first = *first == First::Awaited;
                if is_first {
                    *first = says;
                }
                is_first
            });
            let answer = match answer {
                Ok(status) => Answer::Status(status),
                Err(error) => {
                    self.books.note(&error);
                    Answer::None
                }
            };
            let now = self.books.now();
            self.books.ledger().answered(call, number, answer, now);
            let Some(wait) = wait else { return };
            let hopeless = *self.books.first.borrow() == First::Hopeless;
            if answer.is_acknowledgement() || hopeless || *self.stop.borrow() {
                return;
            }
            tokio::select! {
                () = sleep(*wait) => {}
                () = stopped(&mut self.stop) => return,
            }
        }
    }
}

/// True where the same answer is to be expected for every event: nothing listens there, or what does will never take it.
/// A relay that is full or ending answers 503, which says nothing of the next event.
fn is_hopeless(answer: &Result<u16, PostError>) -> bool {
    match answer {
        Ok(408 | 425 | 429) => false,
        Ok(status) => (300..500).contains(status),
        Err(PostError::Connect(_)) => true,
        Err(_) => false,
    }
}

/// Resolves once the run is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could stop it otherwise: an end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_will_not_change_leaves_no_hope() {
        for status in [301, 400, 401, 403, 404, 405, 413] {
            assert!(is_hopeless(&Ok(status)), "{status}");
        }
        for status in [200, 204, 408, 429, 500, 502, 503] {
            assert!(!is_hopeless(&Ok(status)), "{status}");
        }
        let refused = std::io::ErrorKind::ConnectionRefused.into();
        assert!(is_hopeless(&Err(PostError::Connect(refused))));
        assert!(!is_hopeless(&Err(PostError::Late)));
    }

    #[test]
    fn events_are_due_evenly_and_counted_as_they_are_due() {
        let schedule = Schedule {
            rate: 300,
            duration: Duration::from_secs(2),
            calls: 7,
            lanes: 3,
        };
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(150), Duration::from_millis(500));
        assert_eq!(schedule.due(600), Duration::from_secs(2));
        for event in 0..600 {
            assert_eq!(
                schedule.due_before(schedule.due(event) + Duration::from_nanos(1)),
                event + 1
            );
        }
        assert_eq!(schedule.due_before(Duration::ZERO), 0);
        assert_eq!(schedule.due_before(Duration::from_secs(99)), 600);
    }
}
