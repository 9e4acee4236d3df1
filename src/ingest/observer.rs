//! What an observer learns of each request. Only `dev` has one: without an observer nothing of this costs anything.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body::Body as _;
use http_body_util::Full;

use super::payload::NotJson;
use super::scheme::AuthenticateError;

/// What the observer given to [`Ingest::observing`](super::Ingest::observing) learns. An accepted event is observed twice
/// at least: when it is accepted, and when it is answered or its client has left.
#[derive(Debug)]
pub enum Observation<'a> {
    /// The event is accepted and about to be appended.
    Accepted(ObservedRequest<'a>),
    /// The request is answered.
    Answered {
        /// As in [`ObservedRequest::number`].
        number: u64,
        /// Unless it was accepted, and observed then.
        request: Option<ObservedRequest<'a>>,
        /// The answer's status.
        status: u16,
        /// The answer's headers, without those that the server adds.
        headers: &'a HeaderMap,
        /// The answer's body.
        body: Bytes,
        /// Why the request is refused, if it is.
        refusal: Option<ObservedRefusal<'a>>,
        /// True if the event was accepted and left out, because its id is known from an earlier one.
        is_duplicate: bool,
        /// From the end of the request's head.
        elapsed: Duration,
    },
    /// The client has left before its answer. An accepted event is stored all the same.
    Left {
        /// As in [`ObservedRequest::number`].
        number: u64,
    },
}

/// One request. Of a refused one only that is known which was read before the refusal.
#[derive(Debug, Clone)]
pub struct ObservedRequest<'a> {
    /// Counts the requests of this process.
    pub number: u64,
    /// When its body was complete, else when it was refused; milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The connection's other end.
    pub peer: SocketAddr,
    /// As it was sent.
    pub method: &'a Method,
    /// As it was sent.
    pub uri: &'a Uri,
    /// Of HTTP.
    pub version: Version,
    /// As they were sent.
    pub headers: &'a HeaderMap,
    /// `None` if it was not read to its end.
    pub body: Option<&'a [u8]>,
    /// The source that has its path.
    pub source: Option<&'a str>,
    /// The event's name.
    pub event: Option<&'a str>,
    /// The event's key.
    pub key: Option<&'a str>,
    /// The `ce_id`, which the record in the topic has too.
    pub id: Option<&'a str>,
    /// The label of the key that matched (`None` if the source verifies nothing), or what is wrong with the signature;
    /// `None` if the request was refused before anybody looked at it.
    pub signature: Option<Result<Option<&'a str>, AuthenticateError>>,
    /// Why the body is not JSON, if the event is accepted all the same: it becomes a dead letter and does not come to the topic.
    pub unparsed: Option<NotJson>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy)]
pub struct ObservedRefusal<'a> {
    /// The metric's label.
    pub reason: &'static str,
    /// What the sender has to fix, as the answer states it.
    pub detail: &'a str,
    /// The request's method, as it was sent.
    pub method: &'a str,
    /// The path of the URL, as it was sent.
    pub path: &'a str,
}

/// Sees every request.
pub(super) struct Observer {
    /// The source whose events are accepted whatever their signature.
    lenient: Option<String>,
    on_event: Box<dyn Fn(&Observation<'_>) + Send + Sync>,
    requests: AtomicU64,
}

impl Observer {
    pub(super) fn new(
        lenient: Option<String>,
        on_event: Box<dyn Fn(&Observation<'_>) + Send + Sync>,
    ) -> Self {
        Self {
            lenient,
            on_event,
            requests: AtomicU64::new(0),
        }
    }

    pub(super) fn is_lenient(&self, source: &str) -> bool {
        self.lenient.as_deref() == Some(source)
    }

    /// What will be known of the next request.
    pub(super) fn next(&self) -> Box<Seen> {
        Box::new(Seen {
            number: 1 + self.requests.fetch_add(1, Ordering::Relaxed),
            ..Seen::default()
        })
    }

    pub(super) fn observe(&self, observation: &Observation<'_>) {
        (self.on_event)(observation);
    }
}

/// What is kept of one request for its observation.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) number: u64,
    /// When the body was complete.
    pub(super) received_ms: Option<u64>,
    /// Held only until the event is accepted, so that its charge to the memory of bodies ends as it would without.
    pub(super) body: Option<Bytes>,
    pub(super) verdict: Option<Result<Option<usize>, AuthenticateError>>,
    pub(super) is_accepted: bool,
    pub(super) is_duplicate: bool,
}

impl Seen {
    /// The body was read at `received_ms`, and its signature looked at.
    pub(super) fn is_read(
        &mut self,
        received_ms: u64,
        body: &Bytes,
        verdict: &Result<Option<usize>, AuthenticateError>,
    ) {
        self.received_ms = Some(received_ms);
        self.body = Some(body.clone());
        self.verdict = Some(verdict.clone());
    }

    /// The request as far as it is known; `now_ms` is the time if its body was not read.
    pub(super) fn request<'a, B>(
        &'a self,
        request: &'a Request<B>,
        peer: SocketAddr,
        now_ms: impl FnOnce() -> u64,
    ) -> ObservedRequest<'a> {
        ObservedRequest {
            number: self.number,
            at_ms: self.received_ms.unwrap_or_else(now_ms),
            peer,
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            body: self.body.as_deref(),
            source: None,
            event: None,
            key: None,
            id: None,
            signature: None,
            unparsed: None,
        }
    }
}

/// The body of an answer, which is in memory.
pub(super) fn body_of(answer: &Response<Full<Bytes>>) -> Bytes {
    let mut body = answer.body().clone();
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut body).poll_frame(&mut context) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}
