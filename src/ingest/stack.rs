//! The tower stack that every request passes, the same for both protocols.
//!
//! ```text
//! Call (source known by its path)
//!   │  Measure   counts every answer, and the requests whose client left before theirs
//!   │  Close     says `Connection: close` where no further request can or should follow
//!   │  Answer    turns refusals and panics into answers: nothing above it sees a failure
//!   ▼  Handler   the event's own way
//! ```
//!
//! Requests go down, answers come up. Each future holds the one below it; only the handler's is boxed.

use super::ingress::{Append, Observed, Phase, Shared};
use super::provenance::client_address;
use super::refusal::{CLIENT_GONE, Rejection};
use super::request::Handler;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response, Version, request};
use http_body::Body;
use http_body_util::Full;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tower::{Layer, Service, ServiceBuilder};

/// A request on its way through the stack.
#[derive(Debug)]
pub(super) struct Call<B> {
    pub(super) head: request::Parts,
    pub(super) body: B,
    /// The source's index, where the path belongs to one.
    pub(super) source: Option<usize>,
    /// When its head was complete.
    pub(super) started: Instant,
    /// Who sent it; found out only where it is going to be logged.
    pub(super) client: Option<IpAddr>,
}

/// An answer, or why there is none of the kind that was hoped for.
pub(super) type Outcome = Result<Response<Full<Bytes>>, Rejection>;

impl<B> Call<B> {
    /// Routes by path alone; queries are no part of a webhook's address.
    pub(super) fn new<A>(request: Request<B>, peer: SocketAddr, shared: &Shared<A>) -> Self {
        let (head, body) = request.into_parts();
        let client = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| client_address(peer.ip(), &head.headers, &shared.trusted_proxies));
        Self {
            source: shared.routes.get(head.uri.path()).copied(),
            head,
            body,
            started: Instant::now(),
            client,
        }
    }
}

/// The whole stack; top first.
pub(super) fn stack<A, B>(
    shared: &Arc<Shared<A>>,
) -> impl Service<
    Call<B>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + Unpin,
> + Send
+ 'static
where
    A: Append,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    ServiceBuilder::new()
        .layer(Shares::new(shared, |inner, shared| Measure {
            inner,
            shared,
        }))
        // Above `Answer`, so that an answer to a panic says it too.
        .layer(Shares::new(shared, |inner, shared| Close { inner, shared }))
        .layer(Shares::new(shared, |inner, shared| Answer {
            inner,
            shared,
        }))
        .service(Handler::new(Arc::clone(shared)))
}

/// A layer whose services need what all requests share.
struct Shares<A, F> {
    shared: Arc<Shared<A>>,
    wrap: F,
}

impl<A, F> Shares<A, F> {
    fn new(shared: &Arc<Shared<A>>, wrap: F) -> Self {
        Self {
            shared: Arc::clone(shared),
            wrap,
        }
    }
}

impl<A, F, S, W> Layer<S> for Shares<A, F>
where
    F: Fn(S, Arc<Shared<A>>) -> W,
{
    type Service = W;

    fn layer(&self, inner: S) -> W {
        (self.wrap)(inner, Arc::clone(&self.shared))
    }
}

struct Measure<S, A> {
    inner: S,
    shared: Arc<Shared<A>>,
}

struct Measuring<F, A> {
    inner: F,
    shared: Arc<Shared<A>>,
    source: Option<usize>,
    started: Instant,
    client: Option<IpAddr>,
    answered: bool,
}

impl<S, A, B> Service<Call<B>> for Measure<S, A>
where
    S: Service<Call<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Unpin>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Measuring<S::Future, A>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<B>) -> Self::Future {
        Measuring {
            source: call.source,
            started: call.started,
            client: call.client,
            answered: false,
            shared: Arc::clone(&self.shared),
            inner: self.inner.call(call),
        }
    }
}

impl<F, A> Future for Measuring<F, A>
where
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = ready!(Pin::new(&mut self.inner).poll(cx));
        let elapsed = self.started.elapsed();
        let metrics = self.shared.metrics.of(self.source);
        metrics.answered(response.status().as_u16(), elapsed);
        if let Some(client) = self.client {
            let source = self
                .source
                .map_or("", |index| &self.shared.sources[index].name);
            tracing::debug!(%client, source, status = response.status().as_u16(), ?elapsed, "answered");
        }
        self.answered = true;
        Poll::Ready(Ok(response))
    }
}

impl<F, A> Drop for Measuring<F, A> {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.metrics.of(self.source).count(CLIENT_GONE);
        }
    }
}

struct Close<S, A> {
    inner: S,
    shared: Arc<Shared<A>>,
}

struct Closing<F, A> {
    inner: F,
    shared: Arc<Shared<A>>,
    version: Version,
}

impl<S, A, B> Service<Call<B>> for Close<S, A>
where
    S: Service<Call<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Unpin>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Closing<S::Future, A>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<B>) -> Self::Future {
        Closing {
            version: call.head.version,
            shared: Arc::clone(&self.shared),
            inner: self.inner.call(call),
        }
    }
}

impl<F, A> Future for Closing<F, A>
where
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(mut response) = ready!(Pin::new(&mut self.inner).poll(cx));
        let unread = response.extensions_mut().remove::<BodyUnread>().is_some();
        // HTTP/2 has no such header: a stream is reset and a connection told to go away instead.
        let one_by_one = self.version < Version::HTTP_2;
        if one_by_one && (unread || self.shared.phase() != Phase::Serving) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Poll::Ready(Ok(response))
    }
}

/// An answer's extension: the request's body is still on the connection, in front of any further request.
#[derive(Debug, Clone, Copy)]
struct BodyUnread;

struct Answer<S, A> {
    inner: S,
    shared: Arc<Shared<A>>,
}

struct Answering<F, A> {
    inner: F,
    shared: Arc<Shared<A>>,
    source: Option<usize>,
    has_body: bool,
    is_head: bool,
}

impl<S, A, B> Service<Call<B>> for Answer<S, A>
where
    S: Service<Call<B>, Response = Response<Full<Bytes>>, Error = Rejection, Future: Unpin>,
    B: Body,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Answering<S::Future, A>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The handler is always ready: what is too much is refused where it shows.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<B>) -> Self::Future {
        Answering {
            source: call.source,
            has_body: !call.body.is_end_stream(),
            is_head: call.head.method == Method::HEAD,
            shared: Arc::clone(&self.shared),
            inner: self.inner.call(call),
        }
    }
}

impl<F, A> Future for Answering<F, A>
where
    F: Future<Output = Outcome> + Unpin,
{
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = &mut self.inner;
        // A future that panicked is never polled again, so no broken state of it can be seen.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll(cx)));
        let outcome = match polled {
            Ok(poll) => ready!(poll),
            Err(_) => Err(Rejection::Panicked),
        };
        let rejection = match outcome {
            Ok(response) => return Poll::Ready(Ok(response)),
            Err(rejection) => rejection,
        };
        self.shared.metrics.of(self.source).refused(rejection);
        if let Some(observer) = self.shared.observer.get() {
            (observer.tell)(&Observed::Refused {
                status: rejection.status().as_u16(),
                reason: rejection.label(),
                detail: &rejection.detail(),
            });
        }
        if rejection.status().is_server_error() && self.shared.may_warn() {
            tracing::warn!(
                reason = rejection.label(),
                "refusing events for a fault of our own; more of these are only counted for a while"
            );
        } else {
            tracing::debug!(reason = rejection.label(), "refused");
        }
        let mut response = rejection.into_response();
        if self.is_head {
            // hyper leaves the body out for HTTP/1 only, and over HTTP/2 it would be a protocol error.
            let length = HeaderValue::from(response.body().size_hint().lower());
            response.headers_mut().insert(CONTENT_LENGTH, length);
            *response.body_mut() = Full::default();
        }
        if self.has_body && rejection.leaves_body_unread() {
            response.extensions_mut().insert(BodyUnread);
        }
        Poll::Ready(Ok(response))
    }
}
