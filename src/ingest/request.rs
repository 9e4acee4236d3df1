//! One request from its head to its answer: the cheapest refusals first, then the body, then who sent it, then what it
//! says, and last the journal.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use prometheus::Histogram;
use tokio::time::timeout_at;

use super::body::{collect, discard};
use super::carry::carry;
use super::commit::CountedCommit;
use super::dedup::Identity;
use super::ingress::{Append, Ingress, Observation};
use super::memory::head_cost;
use super::metrics::{EventCounters, RequestMetrics};
use super::payload::{EventFields, EventKind, NotJson};
use super::provenance::{client_address, content_type, trace_context};
use super::refusal::{BodyUnread, Reason, Refusal};
use super::scheme::{AuthenticateError, UnverifiedRequest};
use super::server::MAX_HEADERS;
use super::source::Source;
use super::table::Table;
use crate::event::Event;

const RINGBACK_ID: HeaderName = HeaderName::from_static("ringback-id");
/// Hexadecimal digits of an event's id.
const ID_DIGITS: usize = 32;

/// The index of the key that authenticates a request, if its source has keys.
type Verdict = Result<Option<usize>, AuthenticateError>;

/// Answers one request, whatever happens to it.
pub(super) async fn respond<A: Append>(
    ingress: Arc<Ingress<A>>,
    peer: IpAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let table = ingress.table.load_full();
    let health = table.health.as_ref();
    let readiness = ingress.readiness.get();
    if let Some(answer) = health.and_then(|health| health.answer(&request, readiness)) {
        return Ok(answer);
    }
    let mut exchange = Exchange::begin(&ingress, &table, peer, &request);
    let outcome = {
        let mut accepting = pin!(accept(&exchange, &mut request));
        // A future that panicked is not polled again, so its broken state is never seen.
        poll_fn(|cx| {
            catch_unwind(AssertUnwindSafe(|| accepting.as_mut().poll(cx)))
                .unwrap_or(Poll::Ready(Err(Refusal::Panicked)))
        })
        .await
    };
    let answer = outcome.unwrap_or_else(|refusal| exchange.refuse(&refusal, &request));
    exchange.answered(&answer);
    let is_unread = answer.extensions().get::<BodyUnread>().is_some();
    // Over HTTP/1 the server reads on before it closes the connection; here the stream would be reset at once. Nothing
    // more is read of a body that was too slow.
    if is_unread
        && request.version() == Version::HTTP_2
        && answer.status() != StatusCode::REQUEST_TIMEOUT
    {
        let table = Arc::clone(&table);
        tokio::spawn(async move {
            let head_bytes = head_cost(request.headers());
            discard(request.into_body(), head_bytes, &table.limits).await;
        });
    }
    Ok(answer)
}

/// Takes the event of `request` into the journal; an answer means that it is committed.
async fn accept<A: Append>(
    exchange: &Exchange<'_, A>,
    request: &mut Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let Exchange { ingress, table, .. } = *exchange;
    let index = exchange.source.ok_or(Refusal::UnknownPath)?;
    let (source, metrics) = (&table.sources[index], &ingress.metrics);
    exchange.check_head(index, request)?;

    let head_bytes = head_cost(request.headers());
    let started = exchange.started.into();
    let body = collect(request.body_mut(), started, head_bytes, &source.limits).await?;
    let received_ms = ingress.now_ms();
    let mut timer = StageTimer(exchange.started);
    timer.finish(&metrics.receive);

    let headers = request.headers();
    let unverified = UnverifiedRequest {
        headers,
        uri: request.uri(),
        body: &body,
    };
    let verdict = source.authenticator.authenticate(&unverified, received_ms);
    timer.finish(&metrics.verify);
    let observer = ingress.observer.get();
    let is_lenient = observer.is_some_and(|observer| observer.lenient);
    let verdict = check_verdict(source, verdict, is_lenient)?;
    let is_genuine = verdict.is_ok();
    let is_authenticated = matches!(verdict, Ok(Some(_)));
    if is_authenticated && let Some(text) = source.authenticator.handshake(&body) {
        return Ok(handshake(text));
    }
    exchange.charge_event(index)?;

    let (envelope, counters, unparsed, ringback_id, identity) = {
        let content = source.reading.read(headers, &body);
        if !is_authenticated {
            check_content(source, &content)?;
        }
        let fields = content.as_ref().ok();
        let mut digits = [0; ID_DIGITS];
        let id = fields.and_then(|fields| fields.id.as_deref());
        let id = id.or_else(|| source.authenticator.message_id(headers));
        let id = id.unwrap_or_else(|| body_id(&body, &mut digits));
        table.content_log.event(index, id, &content);
        let kind = EventKind::of(&content);
        let key = fields.and_then(|fields| fields.key.as_deref());
        let unparsed = content.as_ref().err().copied();
        let (traceparent, tracestate) = trace_context(headers);
        let (carrying, left_out) = carry(&source.carry, headers, request.uri().query());
        let event = Event {
            received_ms,
            source: &source.name,
            kind: kind.name(),
            key,
            id,
            content_type: content_type(headers),
            traceparent,
            tracestate: &tracestate,
            carried: carrying.carried(),
            is_unparsed: unparsed.is_some(),
            body: &[],
        };
        let counters = source.metrics.of_event(kind, key.is_some());
        if left_out > 0 {
            source.metrics.left_out.inc_by(left_out);
        }
        let ringback_id = HeaderValue::from_str(id).ok();
        let dedup = Some(&table.dedup).filter(|_| is_genuine);
        let identity = dedup.and_then(|dedup| dedup.identity(index, id));
        let envelope = event.encode_envelope();
        (envelope, counters, unparsed, ringback_id, identity)
    };
    timer.finish(&metrics.validate);
    if let Some(observer) = observer {
        let id = ringback_id.as_ref().and_then(|id| id.to_str().ok());
        (observer.on_event)(&Observation::Accepted {
            id: id.unwrap_or_default(),
            signature: verdict.map(|key| source.key_label(key)),
            unparsed,
        });
        // The observer's time is not part of the commit.
        timer = StageTimer(Instant::now());
    }
    // The head is not needed any more, its charge has been returned, and the commit may take long on a slow disk.
    *request.headers_mut() = HeaderMap::new();
    *request.uri_mut() = Uri::default();

    if commit(exchange, source, identity, envelope, body, counters).await? {
        timer.finish(&metrics.commit);
    }
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    if let Some(id) = ringback_id {
        answer.headers_mut().insert(RINGBACK_ID, id);
    }
    Ok(answer)
}

/// The matching key, if the source has keys, is counted. `is_lenient` lets others pass, too.
fn check_verdict(source: &Source, verdict: Verdict, is_lenient: bool) -> Result<Verdict, Refusal> {
    match verdict {
        Err(error) if !is_lenient => return Err(Refusal::Unauthenticated(error)),
        Ok(Some(key)) => {
            let counter = source.metrics.matches.get(key);
            counter.inspect(|counter| counter.inc());
        }
        Ok(None) | Err(_) => {}
    }
    Ok(verdict)
}

/// Returns once the event is committed: true if it is a new one, false if it is a duplicate and was committed before.
async fn commit<A: Append>(
    exchange: &Exchange<'_, A>,
    source: &Source,
    identity: Option<Identity>,
    envelope: Vec<u8>,
    body: Bytes,
    counters: EventCounters,
) -> Result<bool, Refusal> {
    let Exchange { ingress, table, .. } = *exchange;
    let deadline = Instant::now() + table.commit_timeout;
    let mut claim = None;
    if let Some(identity) = identity {
        let claimed = timeout_at(deadline.into(), identity.claim()).await;
        claim = claimed.map_err(|_| Refusal::CommitTimeout)?;
        if claim.is_none() {
            return Ok(false);
        }
    }
    let commit = ingress
        .appender
        .append_for(source.lane, envelope, body)
        .map_err(Refusal::NotAppended)?;
    let commit = CountedCommit::<A>::new(commit, counters, claim);
    timeout_at(deadline.into(), commit)
        .await
        .map_err(|_| Refusal::CommitTimeout)?
        .map_err(Refusal::NotAppended)?;
    Ok(true)
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

/// Refuses what is no event. For what comes from anybody only: a genuine sender's retry would carry the same bytes, so
/// a refusal would lose them.
fn check_content(
    source: &Source,
    content: &Result<EventFields<'_>, NotJson>,
) -> Result<(), Refusal> {
    match content {
        Ok(fields) if fields.kind.is_none() && source.reading.expects_name(fields) => {
            Err(Refusal::NoEvent)
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::NotJson(*error)),
    }
}

/// The answer to a sender that only asks whether somebody is there.
fn handshake(text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(text));
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

/// `ce_id` without a message id: the first 128 bits of BLAKE3 in hexadecimal, so that a retry of the same body repeats it.
fn body_id<'a>(body: &[u8], digits: &'a mut [u8; ID_DIGITS]) -> &'a str {
    let hash = blake3::hash(body);
    let encoded = hex::encode_to_slice(&hash.as_bytes()[..ID_DIGITS / 2], digits);
    debug_assert!(encoded.is_ok(), "two digits per byte");
    std::str::from_utf8(digits).unwrap_or_default()
}

/// Measures the stages of one request. A stage begins where the one before it ended, so that one clock read serves
/// both.
struct StageTimer(Instant);

impl StageTimer {
    fn finish(&mut self, stage: &Histogram) {
        let now = Instant::now();
        stage.observe(now.duration_since(self.0).as_secs_f64());
        self.0 = now;
    }
}

/// One request and its answer, as they are counted and logged. Dropped without an answer, it counts a client that left.
struct Exchange<'a, A> {
    ingress: &'a Ingress<A>,
    table: &'a Table,
    peer: IpAddr,
    /// The index of the source that has the request's path.
    source: Option<usize>,
    /// That path, which outlives the request's head.
    path: Option<&'a str>,
    /// When the head was complete.
    started: Instant,
    /// The sender's address; determined only if it will be logged.
    client: Option<IpAddr>,
    is_head: bool,
    has_body: bool,
    is_answered: bool,
}

impl<'a, A> Exchange<'a, A> {
    fn begin(
        ingress: &'a Ingress<A>,
        table: &'a Table,
        peer: IpAddr,
        request: &Request<Incoming>,
    ) -> Self {
        let client = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| client_address(peer, request.headers(), &table.trusted_proxies));
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
        }
    }

    /// Refuses what can be refused before a byte of the body is asked for.
    fn check_head(&self, index: usize, request: &Request<Incoming>) -> Result<(), Refusal> {
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
        let client = client_address(self.peer, headers, &self.table.trusted_proxies);
        let mut allowed = source.allow.iter();
        if allowed.any(|network| network.contains(&client)) {
            return Ok(());
        }
        Err(Refusal::AddressNotAllowed)
    }

    /// Refuses a client that sends too often, and an event that its source would not take.
    fn check_rate(&self, index: usize, headers: &HeaderMap) -> Result<(), Refusal> {
        let proxies = &self.table.trusted_proxies;
        let client = || client_address(self.peer, headers, proxies);
        let limited = self.table.rate_limits.on_head(index, client);
        limited.map_err(Refusal::RateLimited)
    }

    /// Charges an authenticated event to its source's limit.
    fn charge_event(&self, index: usize) -> Result<(), Refusal> {
        let limited = self.table.rate_limits.on_event(index);
        limited.map_err(Refusal::RateLimited)
    }

    fn metrics(&self) -> &RequestMetrics {
        self.source.map_or(&self.ingress.metrics.unknown, |index| {
            &self.table.sources[index].metrics.requests
        })
    }

    /// Counts and reports a refusal; gives its answer.
    fn refuse(&self, refusal: &Refusal, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let problem = refusal.problem();
        self.metrics().rejected(problem.reason);
        let path = self.path.unwrap_or(request.uri().path());
        self.ingress
            .report_refusal(self.table, self.source, &problem, self.peer, path, request);
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

    fn answered(&mut self, answer: &Response<Full<Bytes>>) {
        let (status, elapsed) = (answer.status().as_u16(), self.started.elapsed());
        self.metrics().answered(status, elapsed);
        if let Some(client) = self.client {
            let sources = &self.table.sources;
            let source = self.source.map_or("", |index| &sources[index].name);
            tracing::debug!(%client, source, status, ?elapsed, "answered");
        }
        self.is_answered = true;
    }
}

impl<A> Drop for Exchange<'_, A> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.metrics().rejected(Reason::ClientGone);
        }
    }
}
