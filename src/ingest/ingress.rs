//! What all requests share, and the interface to the journal.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Request;

use super::memory::Budget;
use super::metrics::Metrics;
use super::observer::Observer;
use super::provenance::client_address;
use super::refusal::{Problem, Reason};
use super::refusal_log::{self, Sender};
use super::table::Table;
use crate::journal::{AppendError, Appender, Commit};
use crate::readiness::Readiness;
use crate::time;

/// What ingest needs of a journal; tests put a slow or failing one in its place.
pub trait Append: Send + Sync + 'static {
    /// Resolves to the record's position once it is synced.
    type Commit: Future<Output = Result<u64, AppendError>> + Send + Unpin + 'static;

    /// Hands over one record (payload = head then body) without blocking. Dropping the commit does not undo it.
    fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Self::Commit, AppendError>;

    /// As [`Append::append`], for the source that has this lane, which shares the journal fairly with the others if it can.
    fn append_for(
        &self,
        lane: usize,
        head: Vec<u8>,
        body: Bytes,
    ) -> Result<Self::Commit, AppendError> {
        let _ = lane;
        self.append(head, body)
    }
}

impl Append for Appender {
    type Commit = Commit;

    fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Commit, AppendError> {
        Appender::append(self, head, body)
    }

    fn append_for(&self, lane: usize, head: Vec<u8>, body: Bytes) -> Result<Commit, AppendError> {
        self.append_in(lane, head, body)
    }
}

/// The shared state of ingest; one per process.
pub(super) struct Ingress<A> {
    pub(super) appender: A,
    /// By which the next requests are judged.
    pub(super) table: ArcSwap<Table>,
    pub(super) metrics: Arc<Metrics>,
    /// Memory for all bodies.
    pub(super) budget: Budget,
    /// What health checks on the webhook port report; without it ingest is ready.
    pub(super) readiness: OnceLock<Readiness>,
    pub(super) observer: OnceLock<Observer>,
    /// Replaces the system's clock; milliseconds since the Unix epoch.
    pub(super) clock: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
}

impl<A> Ingress<A> {
    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        if let Some(clock) = self.clock.get() {
            return clock();
        }
        time::now_ms()
    }

    /// Reports a refused request to the log, which throttles them, unless an observer shows each one.
    pub(super) fn report_refusal<B>(
        &self,
        table: &Table,
        source: Option<usize>,
        problem: &Problem,
        peer: IpAddr,
        path: &str,
        request: &Request<B>,
    ) {
        if self.observer.get().is_some() {
            return;
        }
        let (reason, method) = (problem.reason, request.method().as_str());
        let client = client_address(peer, request.headers(), &table.trusted_proxies);
        if let Some(count) = table.refusal_log.permit(source, reason, client) {
            let sender = Sender {
                client,
                method,
                path,
            };
            let source = source.map(|index| &table.sources[index]);
            let hint = source.and_then(|source| source.authenticator.key_hint());
            let hint = hint.unwrap_or_else(|| reason.advice());
            let hint = (reason == Reason::SignatureMismatch).then_some(hint);
            let name = source.map(|source| source.name.as_str());
            refusal_log::log(name, problem, count, &sender, hint);
        }
    }
}
