//! The list, live: server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! The id of each message is a revision of the store, so that a page which reconnects receives what it has missed and nothing
//! else. A slow page receives fewer messages, never older ones: rows are read when the message before them has been taken.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::reply::{self, Reply};
use super::store::{Changes, Row, Store};

/// Streams at once: a browser has six connections to a host.
const MAX_STREAMS: usize = 16;
/// Rows of one message, which a page renders without a stall.
const MAX_ROWS: usize = 1000;
/// The least time between two messages, unless there is more than one of them holds.
const PACE: Duration = Duration::from_millis(100);
/// The time after which a comment shows both sides that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Opens streams, within a bound.
#[derive(Debug)]
pub struct Streams {
    /// Names this process, so that a page notices that the requests it knows are gone.
    run: String,
    permits: Arc<Semaphore>,
}

impl Streams {
    pub fn new() -> Self {
        Self {
            run: hex::encode(rand::random::<[u8; 8]>()),
            permits: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }

    pub fn run(&self) -> &str {
        &self.run
    }

    /// Begins with what has changed since the message with this id; with everything if the id is none of this run.
    pub fn open(&self, store: &Arc<Store>, last_event_id: Option<&str>) -> Reply {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let sentence = format!(
                "{MAX_STREAMS} pages are open already. Close some of them, and reload this one."
            );
            return reply::error(StatusCode::SERVICE_UNAVAILABLE, &sentence);
        };
        let known = last_event_id.and_then(|id| id.strip_prefix(&self.run)?.strip_prefix('-'));
        let known = known.and_then(|revision| revision.parse().ok());
        let page = Page {
            changed: store.subscribe(),
            store: Arc::clone(store),
            run: self.run.clone(),
            revision: known,
            due: Instant::now(),
            _permit: permit,
        };
        let stream = Stream(Box::pin(page.next()));
        reply::new(StatusCode::OK, "text/event-stream", stream)
    }
}

/// The body of the answer: it makes the next message when the connection has room for one, and ends with the connection.
struct Stream(Pin<Box<dyn Future<Output = (Page, Bytes)> + Send>>);

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (page, message) = ready!(self.0.as_mut().poll(context));
        self.0 = Box::pin(page.next());
        Poll::Ready(Some(Ok(Frame::data(message))))
    }
}

/// What one page has been sent.
struct Page {
    store: Arc<Store>,
    changed: watch::Receiver<u64>,
    run: String,
    /// `None` before the first message of a page that knows nothing.
    revision: Option<u64>,
    /// When the next message may come.
    due: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Page {
    async fn next(mut self) -> (Self, Bytes) {
        let Some(revision) = self.revision else {
            self.revision = Some(0);
            return (self, Bytes::from_static(b"event: reset\ndata: {}\n\n"));
        };
        sleep_until(self.due).await;
        loop {
            self.changed.mark_unchanged();
            let changes = self.store.changes(revision, MAX_ROWS);
            if !changes.rows.is_empty() {
                self.revision = Some(changes.revision);
                self.due = Instant::now();
                if changes.rows.len() < MAX_ROWS {
                    self.due += PACE;
                }
                let message = message(&self.run, &changes);
                return (self, message.into());
            }
            // The store outlives its streams, so this ends with a change or with the time.
            if timeout(KEEP_ALIVE, self.changed.changed()).await.is_err() {
                return (self, Bytes::from_static(b": alive\n\n"));
            }
        }
    }
}

#[derive(Serialize)]
struct Rows<'a> {
    first: u64,
    rows: Vec<&'a Row>,
}

fn message(run: &str, changes: &Changes) -> String {
    let rows = Rows {
        first: changes.first,
        rows: changes.rows.iter().map(|row| &**row).collect(),
    };
    // Numbers and texts under fixed names can always be written.
    let data = serde_json::to_string(&rows).unwrap_or_default();
    format!(
        "id: {run}-{}\nevent: rows\ndata: {data}\n\n",
        changes.revision
    )
}
