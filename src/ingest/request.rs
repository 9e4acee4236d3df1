//! One request's way: cheap refusals first, then the body, then who sent it, and only then what it says.

use super::body::collect;
use super::ingress::{Append, Observed, Shared, Source, Verdict};
use super::payload::validate;
use super::provenance::{content_type, trace_context};
use super::refusal::Rejection;
use super::server::connection::MAX_HEADERS;
use super::stack::{Call, Outcome};
use crate::event::Event;
use crate::journal::AppendError;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use prometheus::{Histogram, IntCounter};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::runtime::Handle;
use tower::Service;

const RINGBACK_ID: HeaderName = HeaderName::from_static("ringback-id");
/// Digits of an event's id.
const ID: usize = 32;

/// The innermost service.
pub(super) struct Handler<A> {
    shared: Arc<Shared<A>>,
}

impl<A> Handler<A> {
    pub(super) fn new(shared: Arc<Shared<A>>) -> Self {
        Self { shared }
    }
}

impl<A, B> Service<Call<B>> for Handler<A>
where
    A: Append,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<B>) -> Self::Future {
        Box::pin(handle(Arc::clone(&self.shared), call))
    }
}

async fn handle<A, B>(shared: Arc<Shared<A>>, call: Call<B>) -> Outcome
where
    A: Append,
    B: Body<Data = Bytes> + Unpin,
{
    let index = call.source.ok_or(Rejection::UnknownPath)?;
    let source = &shared.sources[index];
    let metrics = &shared.metrics;
    let headers = &call.head.headers;
    if call.head.method != Method::POST {
        return Err(Rejection::MethodNotAllowed);
    }
    check_head(headers, &call.body, shared.limits.max_body)?;

    let body = collect(call.body, head_cost(headers), &shared.limits).await?;
    let received_ms = shared.now_ms();
    let mut step = Step(call.started);
    step.ends(&metrics.receive);

    let verdict = source
        .authenticator
        .authenticate(headers, &body, received_ms);
    step.ends(&metrics.verify);
    if let Ok(Some(key)) = verdict
        && let Some(counter) = metrics.sources[index].matches.get(key)
    {
        counter.inc();
    }
    let observer = shared.observer.get();
    if !observer.is_some_and(|observer| observer.lenient) {
        verdict.map_err(Rejection::Unauthenticated)?;
    }

    let mut id = [0; ID];
    let id = event_id(&body, &mut id);
    let (envelope, accepted) = {
        let found = validate(&body, &source.pointers).map_err(Rejection::Invalid)?;
        let (traceparent, tracestate) = trace_context(headers);
        let event = Event {
            received_ms,
            source: &source.name,
            kind: &found.kind,
            key: found.key.as_deref(),
            id,
            content_type: content_type(headers),
            traceparent,
            tracestate: &tracestate,
            body: &[],
        };
        let metrics = &metrics.sources[index];
        let accepted = Accepted {
            kind: metrics.accepted(&found.kind).cloned(),
            without_key: metrics.without_key.clone().filter(|_| found.key.is_none()),
        };
        (event.encode_envelope(), accepted)
    };
    step.ends(&metrics.validate);
    if let Some(observer) = observer {
        (observer.tell)(&Observed::Taken(Verdict {
            source: &source.name,
            id,
            outcome: verdict.map(|key| source.key_label(key)),
        }));
        // What an observer takes is no part of the commit.
        step = Step(Instant::now());
    }
    // Nothing more is asked of it, and a slow disk may keep the rest of this waiting.
    drop(call.head);

    let commit = shared
        .appender
        .append(envelope, body)
        .map_err(Rejection::NotAppended)?;
    let committing = Committing {
        commit: Some(commit),
        accepted,
    };
    tokio::time::timeout(shared.commit_timeout, committing)
        .await
        .map_err(|_| Rejection::CommitTimeout)?
        .map_err(Rejection::NotAppended)?;
    step.ends(&metrics.commit);
    Ok(accept(id))
}

/// A step of the way, by when it began; the next one begins where it ends, so that the clock is read once for both.
struct Step(Instant);

impl Step {
    fn ends(&mut self, duration: &Histogram) {
        let now = Instant::now();
        duration.observe(now.duration_since(self.0).as_secs_f64());
        self.0 = now;
    }
}

fn accept(id: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(RINGBACK_ID, id);
    }
    response
}

/// What can be refused before a byte of the body is asked for.
fn check_head<B: Body>(headers: &HeaderMap, body: &B, max_body: usize) -> Result<(), Rejection> {
    // HTTP/2 bounds a head by its bytes alone, and a header of one byte costs a hundred in memory.
    if headers.len() > MAX_HEADERS {
        return Err(Rejection::TooManyHeaders);
    }
    let only = |name: HeaderName, coding: &[u8]| {
        let mut values = headers.get_all(name).iter();
        values.all(|value| value.as_bytes().eq_ignore_ascii_case(coding))
    };
    if !only(CONTENT_ENCODING, b"identity") {
        return Err(Rejection::ContentEncoding);
    }
    // A transfer coding before `chunked` would change the body as well.
    if !only(TRANSFER_ENCODING, b"chunked") {
        return Err(Rejection::TransferEncoding);
    }
    if usize::try_from(body.size_hint().lower()).map_or(true, |lower| lower > max_body) {
        return Err(Rejection::BodyTooLarge { max_body });
    }
    Ok(())
}

/// What a request costs in memory beside its body, in bytes: the task with its futures, and a map's entry a header.
/// Measured on stalled HTTP/2 streams: 3 KB for a head of one header, about 100 bytes for each further one.
fn head_cost(headers: &HeaderMap) -> usize {
    const REQUEST: usize = 3 * 1024;
    const HEADER: usize = 128;
    let texts = headers.iter();
    let texts: usize = texts
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    REQUEST + texts + HEADER * headers.len()
}

/// `ce_id`: the first 128 bits of BLAKE3 in hex, so that a retry of the same body repeats it. `hex` holds its digits.
fn event_id<'a>(body: &[u8], hex: &'a mut [u8; ID]) -> &'a str {
    let hash = blake3::hash(body);
    // The lengths fit, and digits are text.
    let _ = hex::encode_to_slice(&hash.as_bytes()[..ID / 2], hex);
    std::str::from_utf8(hex).unwrap_or_default()
}

impl Source {
    fn key_label(&self, key: Option<usize>) -> Option<&str> {
        key.and_then(|key| self.key_labels.get(key))
            .map(String::as_str)
    }
}

/// The counters of one event, due when it is committed.
struct Accepted {
    kind: Option<IntCounter>,
    without_key: Option<IntCounter>,
}

impl Accepted {
    fn count(&self) {
        for counter in [&self.kind, &self.without_key].into_iter().flatten() {
            counter.inc();
        }
    }
}

/// A commit that is counted exactly when it happens, whether or not anybody still waits for it.
///
/// While the request waits, nothing but the request is needed. If it is dropped first (its time was up, its client has
/// left), the rest of the wait moves to a task of its own, so only such events cost one.
struct Committing<C>
where
    C: Future<Output = Result<u64, AppendError>> + Send + Unpin + 'static,
{
    commit: Option<C>,
    accepted: Accepted,
}

impl<C> Future for Committing<C>
where
    C: Future<Output = Result<u64, AppendError>> + Send + Unpin + 'static,
{
    type Output = Result<u64, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(commit) = self.commit.as_mut() else {
            return Poll::Pending;
        };
        let outcome = std::task::ready!(Pin::new(commit).poll(cx));
        self.commit = None;
        if outcome.is_ok() {
            self.accepted.count();
        }
        Poll::Ready(outcome)
    }
}

impl<C> Drop for Committing<C>
where
    C: Future<Output = Result<u64, AppendError>> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        let Some(commit) = self.commit.take() else {
            return;
        };
        // Without a runtime the process is ending, and its metrics with it.
        if let Ok(runtime) = Handle::try_current() {
            let accepted = Accepted {
                kind: self.accepted.kind.take(),
                without_key: self.accepted.without_key.take(),
            };
            runtime.spawn(async move {
                if commit.await.is_ok() {
                    accepted.count();
                }
            });
        }
    }
}
