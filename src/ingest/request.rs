//! One request from its head to its answer: the cheapest refusals first, then the body, then who sent it, then what it
//! says, and last the journal.

mod exchange;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use prometheus::Histogram;
use tokio::time::timeout_at;

use self::exchange::Exchange;
use super::body::{collect, discard};
use super::carry::carry;
use super::commit::CountedCommit;
use super::dedup::Identity;
use super::ingress::{Append, Ingress};
use super::memory::head_cost;
use super::metrics::EventCounters;
use super::observer::{Observation, ObservedRequest, Observer, Seen};
use super::payload::{EventFields, EventKind, NotJson};
use super::provenance::{content_type, trace_context};
use super::refusal::{BodyUnread, Refusal};
use super::scheme::{AuthenticateError, UnverifiedRequest};
use super::source::Source;
use crate::event::Event;

const RINGBACK_ID: HeaderName = HeaderName::from_static("ringback-id");
/// Hexadecimal digits of an event's id.
const ID_DIGITS: usize = 32;

/// The index of the key that authenticates a request, if its source has keys.
type Verdict = Result<Option<usize>, AuthenticateError>;

/// Answers one request, whatever happens to it.
pub(super) async fn respond<A: Append>(
    ingress: Arc<Ingress<A>>,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let table = ingress.table.load_full();
    let health = table.health.as_ref();
    let readiness = ingress.readiness.get();
    if let Some(answer) = health.and_then(|health| health.answer(&request, readiness)) {
        return Ok(answer);
    }
    let mut exchange = Exchange::begin(&ingress, &table, peer, &request);
    let mut seen = ingress.observer.get().map(Observer::next);
    exchange.number = seen.as_ref().map(|seen| seen.number);
    let outcome = {
        let mut accepting = pin!(accept(&exchange, &mut request, &mut seen));
        // A future that panicked is not polled again, so its broken state is never seen.
        poll_fn(|cx| {
            catch_unwind(AssertUnwindSafe(|| accepting.as_mut().poll(cx)))
                .unwrap_or(Poll::Ready(Err(Refusal::Panicked)))
        })
        .await
    };
    let (answer, problem) = match outcome {
        Ok(answer) => (answer, None),
        Err(refusal) => {
            let problem = refusal.problem();
            (exchange.refuse(&problem, &request), Some(problem))
        }
    };
    exchange.answered(&answer);
    if let Some(seen) = seen {
        exchange.observe_answer(&seen, &request, &answer, problem.as_ref());
    }
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
    seen: &mut Option<Box<Seen>>,
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
    if let Some(seen) = seen {
        seen.is_read(received_ms, &body, &verdict);
    }
    let is_lenient = observer.is_some_and(|observer| observer.is_lenient(&source.name));
    let verdict = check_verdict(source, verdict, is_lenient)?;
    let is_genuine = verdict.is_ok();
    let is_authenticated = matches!(verdict, Ok(Some(_)));
    if is_authenticated && let Some(text) = source.authenticator.handshake(&body) {
        return Ok(handshake(text));
    }
    exchange.charge_event(index)?;

    let (envelope, counters, ringback_id, identity) = {
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
        if let Some((observer, seen)) = observer.zip(seen.as_mut()) {
            let whole = ObservedRequest {
                source: Some(&source.name),
                event: fields.and_then(|fields| fields.kind.as_deref()),
                key,
                id: Some(id),
                signature: Some(verdict.map(|key| source.key_label(key))),
                unparsed,
                ..seen.request(request, exchange.peer, || received_ms)
            };
            observer.observe(&Observation::Accepted(whole));
            (seen.is_accepted, seen.body) = (true, None);
            // The observer's time is no part of a stage.
            timer = StageTimer(Instant::now());
        }
        (envelope, counters, ringback_id, identity)
    };
    timer.finish(&metrics.validate);
    // The head is not needed any more, its charge has been returned, and the commit may take long on a slow disk.
    *request.headers_mut() = HeaderMap::new();
    *request.uri_mut() = Uri::default();

    if commit(exchange, source, identity, envelope, body, counters).await? {
        timer.finish(&metrics.commit);
    } else if let Some(seen) = seen {
        seen.is_duplicate = true;
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
