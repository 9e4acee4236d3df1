//! The requests that the inspector shows, within bounds of their number and their memory. The oldest give way.
//!
//! Each change has a revision, and each request the one of its last change. So a page that has seen everything up to a revision
//! receives exactly what changed since, in batches; a request that changed twice comes once.

mod entry;
mod kept;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use tokio::sync::watch;

pub use self::entry::{Captured, Entry, Forwarded, Row};

use self::entry::{Answer, Record};
use self::kept::{Ending, Kept};
use super::lines::Lines;
use crate::ingest::{Observation, ObservedRefusal};
use crate::time::now_ms;

/// How many of the newest requests are looked at for one that the inspector itself has sent.
const RECENT: usize = 10_000;
/// The metric's label of a client that left.
const CLIENT_GONE: &str = "client_gone";
/// The metric's label of the only refusal after which an event may still come to the topic.
const COMMIT_TIMEOUT: &str = "commit_timeout";

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub requests: usize,
    /// Of memory, for everything that is kept of the requests.
    pub bytes: usize,
    /// The longest body that is kept whole.
    pub body: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            requests: 100_000,
            bytes: 128 * 1024 * 1024,
            body: 4 * 1024 * 1024,
        }
    }
}

/// What has changed since a revision.
#[derive(Debug)]
pub struct Changes {
    /// Up to which these rows are all that changed.
    pub revision: u64,
    /// The number of the oldest request that is kept.
    pub first: u64,
    pub rows: Vec<Arc<Row>>,
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    bounds: Bounds,
    kept: Mutex<Kept>,
    revision: watch::Sender<u64>,
}

impl Store {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            kept: Mutex::new(Kept::new(bounds)),
            revision: watch::Sender::new(0),
        }
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Resolves on each change; what has changed is asked for with [`Store::changes`].
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn read(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.read();
        let changed = change(&mut kept);
        self.revision.send_replace(kept.revision());
        changed
    }

    /// Keeps what is observed of a request. Of one that is answered it gives its number.
    pub fn observe(&self, observation: &Observation<'_>) -> Option<u64> {
        match observation {
            Observation::Accepted(request) => {
                self.change(|kept| kept.add(request, true));
                None
            }
            Observation::Left { number } => self.change(|kept| {
                if let Some(n) = kept.accepted(*number) {
                    let ending = Ending {
                        answer: None,
                        reason: Some(CLIENT_GONE),
                        answer_us: None,
                        is_awaited: true,
                    };
                    kept.end(n, ending);
                }
                None
            }),
            Observation::Answered {
                number,
                request,
                status,
                headers,
                body,
                refusal,
                is_duplicate,
                elapsed,
            } => {
                let reason = refusal.map(|refusal: ObservedRefusal<'_>| refusal.reason);
                let ending = Ending {
                    answer: Some(Answer {
                        status: *status,
                        headers: Lines::of_map(headers),
                        body: body.clone(),
                        detail: refusal.map(|refusal| refusal.detail.to_owned()),
                    }),
                    reason,
                    answer_us: u64::try_from(elapsed.as_micros()).ok(),
                    is_awaited: !is_duplicate
                        && reason.is_none_or(|reason| reason == COMMIT_TIMEOUT),
                };
                self.change(|kept| {
                    let n = match request {
                        Some(request) => Some(kept.add(request, false)),
                        None => kept.accepted(*number),
                    };
                    kept.end(n?, ending);
                    n
                })
            }
        }
    }

    /// Keeps where the event of this record is.
    pub fn delivered(&self, message: &BorrowedMessage<'_>) {
        let headers: Vec<_> = message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter())
            .collect();
        let text = |name: &str| {
            let header = headers.iter().find(|header| header.key == name)?;
            std::str::from_utf8(header.value?).ok()
        };
        let source = text("ce_source").and_then(|urn| urn.strip_prefix("urn:ringback:"));
        let Some((source, id)) = source.zip(text("ce_id")) else {
            return;
        };
        let lines = headers.iter();
        let lines = lines.map(|header| (header.key, header.value.unwrap_or_default()));
        let record = Record {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message
                .key()
                .map(|key| String::from_utf8_lossy(key).into_owned()),
            headers: Lines::of(lines),
        };
        self.change(|kept| kept.delivered(source, id, record, now_ms()));
    }

    pub fn changes(&self, revision: u64, most: usize) -> Changes {
        self.read().changes(revision, most)
    }

    /// Keeps what the handler has answered.
    pub fn forwarded(&self, n: u64, forwarded: Forwarded) {
        self.change(|kept| kept.change(n, |entry| entry.forwarded = Some(Arc::new(forwarded))));
    }

    /// The request with this number, if it is still kept.
    pub fn get(&self, n: u64) -> Option<Entry> {
        self.read().get(n).cloned()
    }

    /// The next older requests below `before`, at most `most`, from the newest; with `None` the newest of all.
    pub fn older(&self, before: Option<u64>, most: usize) -> Vec<(Arc<Row>, Arc<Captured>)> {
        let kept = self.read();
        kept.below(before.unwrap_or(kept.next()), most)
    }

    /// The newest request that came from `client`. If it repeats one, that is entered.
    pub fn sent_from(&self, client: SocketAddr, again: Option<u64>) -> Option<u64> {
        self.change(|kept| {
            let n = kept.newest(RECENT, |request| request.client == client)?;
            if again.is_some() {
                kept.change(n, |entry| Arc::make_mut(&mut entry.row).again = again);
            }
            Some(n)
        })
    }
}
