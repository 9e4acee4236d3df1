//! What all requests share, and the interface to the journal.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use ipnet::IpNet;

use super::body::BodyLimits;
use super::content_log::ContentLog;
use super::dedup::Dedup;
use super::health::Health;
use super::metrics::Metrics;
use super::payload::NotJson;
use super::provenance::client_address;
use super::refusal::{Problem, Reason};
use super::refusal_log::{self, RefusalLog, Sender};
use super::scheme::AuthenticateError;
use super::source::Source;
use crate::journal::{AppendError, Appender, Commit};
use crate::time;

/// What ingest needs of a journal; tests put a slow or failing one in its place.
pub trait Append: Send + Sync + 'static {
    /// Resolves to the record's position once it is synced.
    type Commit: Future<Output = Result<u64, AppendError>> + Send + Unpin + 'static;

    /// Hands over one record (payload = head then body) without blocking. Dropping the commit does not undo it.
    fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Self::Commit, AppendError>;
}

impl Append for Appender {
    type Commit = Commit;

    fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Commit, AppendError> {
        Appender::append(self, head, body)
    }
}

/// What the observer given to [`Ingest::observing`](super::Ingest::observing) learns of each request.
#[derive(Debug, Clone)]
pub enum Observation<'a> {
    /// The event is accepted and about to be appended.
    Accepted {
        /// Its `ce_id`, which its record in the topic has too.
        id: &'a str,
        /// The label of the key that matched (`None` if the source verifies nothing), or what is wrong with the
        /// signature.
        signature: Result<Option<&'a str>, AuthenticateError>,
        /// Why the body is not JSON, if it is not: the event becomes a dead letter and does not come to the topic.
        unparsed: Option<NotJson>,
    },
    /// The request is refused.
    Refused {
        /// The answer's status.
        status: u16,
        /// The metric's label.
        reason: &'static str,
        /// What the sender has to fix, as the answer states it.
        detail: &'a str,
        /// The request's method, as it was sent.
        method: &'a str,
        /// The path of the URL, as it was sent.
        path: &'a str,
    },
}

/// Sees every request.
pub(super) struct Observer {
    /// True if events are accepted whatever their signature.
    pub(super) lenient: bool,
    pub(super) on_event: Box<dyn Fn(&Observation<'_>) + Send + Sync>,
}

/// The shared state of ingest; one per process.
pub(super) struct Ingress<A> {
    pub(super) appender: A,
    pub(super) sources: Vec<Source>,
    /// From a path to an index of `sources`.
    pub(super) routes: HashMap<String, usize>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: BodyLimits,
    pub(super) commit_timeout: Duration,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) health: Option<Health>,
    pub(super) observer: OnceLock<Observer>,
    /// Replaces the system's clock; milliseconds since the Unix epoch.
    pub(super) clock: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
    pub(super) refusal_log: Arc<RefusalLog>,
    /// Of events that are accepted although an operator has to change something.
    pub(super) content_log: ContentLog,
    pub(super) dedup: Dedup,
}

impl<A> Ingress<A> {
    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        if let Some(clock) = self.clock.get() {
            return clock();
        }
        time::now_ms()
    }

    /// Reports a refused request to the observer, which shows each one, else to the log, which throttles them.
    pub(super) fn report_refusal<B>(
        &self,
        source: Option<usize>,
        problem: &Problem,
        peer: IpAddr,
        path: &str,
        request: &Request<B>,
    ) {
        let (reason, method) = (problem.reason, request.method().as_str());
        if let Some(observer) = self.observer.get() {
            (observer.on_event)(&Observation::Refused {
                status: problem.status.as_u16(),
                reason: reason.label(),
                detail: &problem.detail,
                method,
                path,
            });
            return;
        }
        let client = client_address(peer, request.headers(), &self.trusted_proxies);
        if let Some(count) = self.refusal_log.permit(source, reason, client) {
            let sender = Sender {
                client,
                method,
                path,
            };
            let source = source.map(|index| &self.sources[index]);
            let hint = source.and_then(|source| source.authenticator.key_hint());
            let hint = hint.filter(|_| reason == Reason::SignatureMismatch);
            let name = source.map(|source| source.name.as_str());
            refusal_log::log(name, problem, count, &sender, hint);
        }
    }
}
