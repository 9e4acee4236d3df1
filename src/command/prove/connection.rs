//! One connection and its conversations: an event is sent only after the event before it, of the same connection, was
//! answered or given up.
//!
//! The schedule is open: event `k` of the run is due at `k / rate`, however long replies take. A connection that is late
//! sends without a pause until it has caught up, and latencies count from when an event was due, so a relay that stalls
//! cannot hide the events that it kept waiting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Uri};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::ledger::Reply;
use super::run_state::{FirstReply, RunState};
use super::workload::{Conversation, Workload};
use crate::command::webhook::{PostError, WebhookClient};
use crate::ingest::{Signer, UnverifiedRequest};
use crate::time::now_ms;

/// Pauses before the second, third and fourth attempt: Retell tries three more times and gives up.
const RETRY_AFTER: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// How long after the end of the schedule a late connection still sends what was due before.
const CATCH_UP: Duration = Duration::from_secs(10);

/// When each event of a run is due, and on which connection.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Events per second.
    pub rate: u32,
    /// No event is due later.
    pub duration: Duration,
    /// Conversations at a time; event `k` belongs to the one in slot `k % conversations`.
    pub conversations: u32,
    /// Slot `s` belongs to connection `s % connections`.
    pub connections: u32,
}

impl Schedule {
    /// When an event is due, since the start.
    fn due(&self, event: u64) -> Duration {
        let rate = u64::from(self.rate);
        let rest = event % rate * 1_000_000_000 / rate;
        Duration::from_secs(event / rate) + Duration::from_nanos(rest)
    }

    /// How many events are due before `time`, or before the end if that is earlier.
    pub fn due_before(&self, time: Duration) -> u64 {
        let nanoseconds = time.min(self.duration).as_nanos();
        let events = (nanoseconds * u128::from(self.rate)).div_ceil(1_000_000_000);
        u64::try_from(events).unwrap_or(u64::MAX)
    }
}

/// One connection, to be run as a task.
pub struct Connection {
    pub schedule: Schedule,
    /// Below [`Schedule::connections`].
    pub index: u32,
    pub workload: Arc<Workload>,
    pub state: Arc<RunState>,
    pub client: WebhookClient,
    /// `None` if events are not signed.
    pub signer: Arc<Option<Signer>>,
    /// True once no event may be begun or retried.
    pub stop: watch::Receiver<bool>,
}

impl Connection {
    /// Sends what is due on this connection until the schedule ends or the run is stopped.
    pub async fn run(mut self) {
        let step = usize::try_from(self.schedule.connections).unwrap_or(usize::MAX);
        let slots: Vec<_> = (self.index..self.schedule.conversations)
            .step_by(step)
            .map(u64::from)
            .collect();
        let mut conversations: Vec<_> = slots
            .iter()
            .map(|slot| self.workload.conversation(*slot))
            .collect();
        let end = self.schedule.duration + CATCH_UP;
        for round in 0_u64.. {
            for (slot, conversation) in slots.iter().zip(&mut conversations) {
                let event = round * u64::from(self.schedule.conversations) + slot;
                let due = self.schedule.due(event);
                if due >= self.schedule.duration {
                    return;
                }
                let body = self.next_body(conversation, event);
                // The run's first event goes alone.
                let state = self.state.clone();
                let may_send = async {
                    sleep_until(state.instant(due).into()).await;
                    event == 0 || state.may_proceed().await
                };
                let may_send = unless_stopped(&mut self.stop, may_send).await;
                if may_send != Some(true) || self.state.elapsed() > end {
                    return;
                }
                let number = conversation.sent - 1;
                self.deliver(&conversation.call_id, number, body.into(), due)
                    .await;
            }
            if slots.is_empty() {
                return;
            }
        }
    }

    /// The conversation's next event. If it is over, a new one begins, whose ordinal no other conversation has.
    fn next_body(&self, conversation: &mut Conversation, event: u64) -> Vec<u8> {
        if let Some(body) = self.workload.next_body(conversation) {
            return body;
        }
        let ordinal = u64::from(self.schedule.conversations) + event;
        *conversation = self.workload.conversation(ordinal);
        self.workload.next_body(conversation).unwrap_or_default()
    }

    /// Signed at this moment.
    fn headers(&self, body: &Bytes) -> Result<HeaderMap, PostError> {
        let mut headers = unsigned();
        if let Some(signer) = &*self.signer {
            let uri = Uri::default();
            let request = UnverifiedRequest {
                headers: &headers,
                uri: &uri,
                body,
            };
            // Retell's messages have no id.
            let proof = signer.sign(&request, now_ms(), "")?;
            headers.extend(proof);
        }
        Ok(headers)
    }

    /// Posts until a 2xx comes, the attempts are used up, or the run is stopped.
    async fn deliver(&mut self, call: &str, number: u64, body: Bytes, due: Duration) {
        self.state.ledger().on_sent(call, number, &body, due);
        for pause in RETRY_AFTER.iter().map(Some).chain([None]) {
            let headers = self.headers(&body);
            let reply = match headers {
                Ok(headers) => self.client.post(&headers, None, &body).await,
                Err(error) => Err(error),
            };
            let reply = reply.map(|answer| answer.status);
            self.state.on_reply(if would_repeat(&reply) {
                FirstReply::Abort
            } else {
                FirstReply::Proceed
            });
            let reply = match reply {
                Ok(status) => Reply::Status(status),
                Err(error) => {
                    self.state.on_failure(&error);
                    Reply::None
                }
            };
            let now = self.state.elapsed();
            self.state.ledger().on_reply(call, number, reply, now);
            let Some(pause) = pause else { return };
            if reply.is_acknowledgement()
                || self.state.is_aborted()
                || unless_stopped(&mut self.stop, sleep(*pause))
                    .await
                    .is_none()
            {
                return;
            }
        }
    }
}

/// The headers of every event, before any signature.
fn unsigned() -> HeaderMap {
    let agent = concat!("ringback-prove/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers
}

/// True if every event would be answered like this: nothing listens there, or what does will never accept it. A relay
/// that is full or ending answers 503, which allows no conclusion about the next event.
fn would_repeat(reply: &Result<u16, PostError>) -> bool {
    match reply {
        Ok(408 | 425 | 429) => false,
        Ok(status) => (300..500).contains(status),
        Err(PostError::Connect(_)) => true,
        Err(_) => false,
    }
}

/// The output of `future`, or `None` if the run is stopped before.
async fn unless_stopped<T>(
    stop: &mut watch::Receiver<bool>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let stopped = async {
        // An error means that the command is gone, which ends the run too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    tokio::select! {
        biased;
        () = stopped => None,
        output = future => Some(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_event_would_get_aborts_the_run() {
        for status in [301, 400, 401, 403, 404, 405, 413] {
            assert!(would_repeat(&Ok(status)), "{status}");
        }
        for status in [200, 204, 408, 429, 500, 502, 503] {
            assert!(!would_repeat(&Ok(status)), "{status}");
        }
        let refused = std::io::ErrorKind::ConnectionRefused.into();
        assert!(would_repeat(&Err(PostError::Connect(refused))));
        assert!(!would_repeat(&Err(PostError::Late)));
    }

    #[test]
    fn events_are_due_evenly_and_counted_as_they_are_due() {
        let schedule = Schedule {
            rate: 300,
            duration: Duration::from_secs(2),
            conversations: 7,
            connections: 3,
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
