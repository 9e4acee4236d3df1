//! What is kept of a request from its head to its answer, what is refused by its head alone, and what is counted of its answer.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;

use crate::ingest::ingress::Ingress;
use crate::ingest::metrics::RequestMetrics;
use crate::ingest::observer::{Observation, ObservedRefusal, ObservedRequest, Seen, body_of};
use crate::ingest::provenance::client_address;
use crate::ingest::refusal::{BodyUnread, Problem, Reason, Refusal};
use crate::ingest::server::MAX_HEADERS;
use crate::ingest::source::Source;
use crate::ingest::table::Table;

/// One request and its answer, as they are counted and logged. Dropped without an answer, it counts a client that left.
pub(super) struct Exchange<'a, A> {
    pub(super) ingress: &'a Ingress<A>,
    pub(super) table: &'a Table,
    pub(super) peer: SocketAddr,
    /// The index of the source that has the request's path.
    pub(super) source: Option<usize>,
    /// That path, which outlives the request's head.
    path: Option<&'a str>,
    /// When the head was complete.
    pub(super) started: Instant,
    /// The sender's address; determined only if it will be logged.
    client: Option<IpAddr>,
    is_head: bool,
    has_body: bool,
    is_answered: bool,
    /// The request's, if there is an observer.
    pub(super) number: Option<u64>,
}

impl<'a, A> Exchange<'a, A> {
    pub(super) fn begin(
        ingress: &'a Ingress<A>,
        table: &'a Table,
        peer: SocketAddr,
        request: &Request<Incoming>,
    ) -> Self {
        let client = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| client_address(peer.ip(), request.headers(), &table.trusted_proxies));
        // A webhook's address is its path alone, without the query.
        let route = table.routes.get_key_value(request.uri().path());
        Self {
            ingress,
            table,
            peer,
            source: route.map(|(_, index)| *index),
            path: route.map(|(path, _)| path.as_str()),
            started: Instant::now(),
            client,
            is_head: request.method() == Method::HEAD,
            has_body: !request.body().is_end_stream(),
            is_answered: false,
            number: None,
        }
    }

    /// Refuses what can be refused before a byte of the body is asked for.
    pub(super) fn check_head(
        &self,
        index: usize,
        request: &Request<Incoming>,
    ) -> Result<(), Refusal> {
        let (source, headers) = (&self.table.sources[index], request.headers());
        self.check_address(source, headers)?;
        check_head(request, source.limits.max_body)?;
        self.check_rate(index, headers)
    }

    /// Refuses a client whose address is not on the source's list.
    fn check_address(&self, source: &Source, headers: &HeaderMap) -> Result<(), Refusal> {
        if source.allow.is_empty() {
            return Ok(());
        }
        let client = client_address(self.peer.ip(), headers, &self.table.trusted_proxies);
        let mut allowed = source.allow.iter();
        if allowed.any(|network| network.contains(&client)) {
            return Ok(());
        }
        Err(Refusal::AddressNotAllowed)
    }

    /// Refuses a client that sends too often, and an event that its source would not take.
    fn check_rate(&self, index: usize, headers: &HeaderMap) -> Result<(), Refusal> {
        let proxies = &self.table.trusted_proxies;
        let client = || client_address(self.peer.ip(), headers, proxies);
        let limited = self.table.rate_limits.on_head(index, client);
        limited.map_err(Refusal::RateLimited)
    }

    /// Charges an authenticated event to its source's limit.
    pub(super) fn charge_event(&self, index: usize) -> Result<(), Refusal> {
        let limited = self.table.rate_limits.on_event(index);
        limited.map_err(Refusal::RateLimited)
    }

    fn metrics(&self) -> &RequestMetrics {
        self.source.map_or(&self.ingress.metrics.unknown, |index| {
            &self.table.sources[index].metrics.requests
        })
    }

    /// Counts and reports a refusal; gives its answer.
    pub(super) fn refuse(
        &self,
        problem: &Problem,
        request: &Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        self.metrics().rejected(problem.reason);
        let path = self.path.unwrap_or(request.uri().path());
        self.ingress.report_refusal(
            self.table,
            self.source,
            problem,
            self.peer.ip(),
            path,
            request,
        );
        tracing::debug!(reason = problem.reason.label(), "refused");
        let mut answer = problem.to_response();
        if self.is_head {
            // hyper leaves the body out for HTTP/1 only; over HTTP/2 a body would be a protocol error.
            let length = HeaderValue::from(answer.body().size_hint().lower());
            answer.headers_mut().insert(CONTENT_LENGTH, length);
            *answer.body_mut() = Full::default();
        }
        if self.has_body && problem.body_unread {
            answer.extensions_mut().insert(BodyUnread);
        }
        answer
    }

    pub(super) fn answered(&mut self, answer: &Response<Full<Bytes>>) {
        let (status, elapsed) = (answer.status().as_u16(), self.started.elapsed());
        self.metrics().answered(status, elapsed);
        if let Some(client) = self.client {
            let sources = &self.table.sources;
            let source = self.source.map_or("", |index| &sources[index].name);
            tracing::debug!(%client, source, status, ?elapsed, "answered");
        }
        self.is_answered = true;
    }

    /// Tells the observer of the answer, and of the request unless it was accepted.
    pub(super) fn observe_answer(
        &self,
        seen: &Seen,
        request: &Request<Incoming>,
        answer: &Response<Full<Bytes>>,
        problem: Option<&Problem>,
    ) {
        let Some(observer) = self.ingress.observer.get() else {
            return;
        };
        let source = self.source.map(|index| &self.table.sources[index]);
        let label = |key| source.and_then(|source| source.key_label(key));
        let verdict = seen.verdict.clone();
        let whole = || ObservedRequest {
            source: source.map(|source| source.name.as_str()),
            signature: verdict.map(|verdict| verdict.map(label)),
            ..seen.request(request, self.peer, || self.ingress.now_ms())
        };
        observer.observe(&Observation::Answered {
            number: seen.number,
            request: (!seen.is_accepted).then(whole),
            status: answer.status().as_u16(),
            headers: answer.headers(),
            body: body_of(answer),
            refusal: problem.map(|problem| ObservedRefusal {
                reason: problem.reason.label(),
                detail: &problem.detail,
                method: request.method().as_str(),
                path: self.path.unwrap_or(request.uri().path()),
            }),
            is_duplicate: seen.is_duplicate,
            elapsed: self.started.elapsed(),
        });
    }
}

impl<A> Drop for Exchange<'_, A> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.metrics().rejected(Reason::ClientGone);
            if let Some((observer, number)) = self.ingress.observer.get().zip(self.number) {
                observer.observe(&Observation::Left { number });
            }
        }
    }
}

/// Refuses what no source would take.
fn check_head(request: &Request<Incoming>, max_body: usize) -> Result<(), Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::MethodNotAllowed);
    }
    // HTTP/2 bounds a head by its bytes alone, and a header of one byte costs a hundred in memory.
    if request.headers().len() > MAX_HEADERS {
        return Err(Refusal::TooManyHeaders);
    }
    let only = |name: HeaderName, codings: &[&str]| {
        let mut values = request.headers().get_all(name).iter();
        values.all(|value| {
            let value = value.as_bytes();
            let mut codings = codings.iter();
            codings.any(|coding| value.eq_ignore_ascii_case(coding.as_bytes()))
        })
    };
    // Some clients send the header without a value if they encode nothing.
    if !only(CONTENT_ENCODING, &["identity", ""]) {
        return Err(Refusal::ContentEncoding);
    }
    // A transfer coding before `chunked` would change the body as well.
    if !only(TRANSFER_ENCODING, &["chunked"]) {
        return Err(Refusal::TransferEncoding);
    }
    let least = usize::try_from(request.body().size_hint().lower());
    if least.map_or(true, |least| least > max_body) {
        return Err(Refusal::BodyTooLarge { max_body });
    }
    Ok(())
}
