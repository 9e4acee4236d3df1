//! What all requests share, and the seam to the journal.

use super::body::Limits;
use super::metrics::Metrics;
use super::payload::pointers::Pointers;
use super::scheme::{AuthenticateError, Authenticator};
use crate::journal::{AppendError, Appender, Commit};
use bytes::Bytes;
use ipnet::IpNet;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What ingest needs of a journal; tests put a slow or failing one in its place.
pub trait Append: Send + Sync + 'static {
    /// Resolves to the record's position once it is synced.
    type Commit: Future<Output = Result<u64, AppendError>> + Send + Unpin + 'static;

    /// Hands over one record (payload = head then body) without blocking; it goes on whatever becomes of the commit.
    fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Self::Commit, AppendError>;
}

impl Append for Appender {
    type Commit = Commit;

    fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Commit, AppendError> {
        Appender::append(self, head, body)
    }
}

/// What [`Ingest::observing`](super::Ingest::observing)'s hook is told of each request.
#[derive(Debug, Clone, Copy)]
pub enum Observed<'a> {
    /// It is taken, and about to be appended.
    Taken(Verdict<'a>),
    /// It is refused.
    Refused {
        /// The answer's.
        status: u16,
        /// The metric's label.
        reason: &'static str,
        /// What the sender is told to mend.
        detail: &'a str,
    },
}

/// What a source's scheme says of one request.
#[derive(Debug, Clone, Copy)]
pub struct Verdict<'a> {
    /// The source's name.
    pub source: &'a str,
    /// The event's `ce_id`, by which it can be found again in the topic.
    pub id: &'a str,
    /// The matching key's label (`None` where the scheme has no keys), or what is wrong with the signature.
    pub outcome: Result<Option<&'a str>, AuthenticateError>,
}

/// Whoever looks on.
pub(super) struct Observer {
    /// What is wrong with a signature is told and does not count.
    pub(super) lenient: bool,
    pub(super) tell: Box<dyn Fn(&Observed<'_>) + Send + Sync>,
}
pub(super) type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// How far the end has come; it only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// As ever.
    Serving,
    /// Serving as ever, but each connection ends after its request.
    Leaving,
    /// Nothing new is accepted; what has begun is finished.
    Stopping,
}

/// One per process.
pub(super) struct Shared<A> {
    pub(super) appender: A,
    pub(super) sources: Vec<Source>,
    /// From a path to an index of `sources`.
    pub(super) routes: HashMap<String, usize>,
    pub(super) metrics: Metrics,
    pub(super) limits: Limits,
    pub(super) header_timeout: Duration,
    pub(super) commit_timeout: Duration,
    pub(super) max_connections: usize,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) observer: OnceLock<Observer>,
    pub(super) clock: OnceLock<Clock>,
    pub(super) born: Instant,
    pub(super) warned: AtomicU64,
}

/// One `[[source]]`, ready to serve.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) authenticator: Authenticator,
    pub(super) key_labels: Vec<String>,
    pub(super) pointers: Pointers,
}

/// Between two warnings of our own faults: they come with every request, and the metrics have their number.
const WARN_EVERY: Duration = Duration::from_secs(10);

impl<A> Shared<A> {
    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes forward to `phase`, never back.
    pub(super) fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|present| {
            let forward = *present < phase;
            if forward {
                *present = phase;
            }
            forward
        });
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        if let Some(clock) = self.clock.get() {
            return clock();
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock before 1970 finds every signature stale, which is the safe side.
        u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    }

    /// True at most once in ten seconds.
    pub(super) fn may_warn(&self) -> bool {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        let every = u64::try_from(WARN_EVERY.as_millis()).unwrap_or(u64::MAX);
        self.warned
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                (now >= next).then(|| now.saturating_add(every))
            })
            .is_ok()
    }
}
