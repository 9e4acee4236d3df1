//! The HTTP contract over HTTP/2 without TLS (h2c, prior knowledge): the same refusals, concurrent streams, orderly
//! shutdown.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::server::{KEY, PATIENCE, Server, limits, now_ms, small_limits};

type Body = BoxBody<Bytes, Infallible>;

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;

async fn connect(server: &Server) -> (SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let stream = tokio::net::TcpStream::connect(server.address).await;
    let stream = TokioIo::new(stream.expect("the relay listens"));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .expect("the relay speaks HTTP/2");
    (sender, tokio::spawn(connection))
}

fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed()
}

/// A body that sends what its channel receives, and stays open until the channel's sender is dropped.
struct Fed(mpsc::UnboundedReceiver<Bytes>);

fn fed() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (feed, chunks) = mpsc::unbounded_channel();
    (feed, Fed(chunks).boxed())
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.0.poll_recv(context);
        chunk.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("http://ringback{path}"))
        .body(body)
        .expect("a request")
}

async fn send(sender: &mut SendRequest<Body>, request: Request<Body>) -> Response<Incoming> {
    sender.ready().await.expect("the connection is open");
    sender.send_request(request).await.expect("it is answered")
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let bounded = tokio::time::timeout(PATIENCE, test);
        bounded.await.expect("nothing here takes that long");
    });
}

#[test]
fn streams_of_one_connection_are_answered_concurrently() {
    let server = small_limits();
    run(async {
        let (sender, _connection) = connect(&server).await;
        let mut running = Vec::new();
        for number in 0..20 {
            let body = format!(r#"{{"event":"e","call":{{"call_id":"{number}"}}}}"#);
            let id = hex::encode(&blake3::hash(body.as_bytes()).as_bytes()[..16]);
            let mut sender = sender.clone();
            running.push(tokio::spawn(async move {
                let answer = send(&mut sender, request(Method::POST, "/open", whole(body))).await;
                assert_eq!(answer.status(), StatusCode::NO_CONTENT);
                assert_eq!(answer.headers()["ringback-id"], id.as_str());
            }));
        }
        for task in running {
            task.await.expect("each is answered");
        }
    });
    assert_eq!(server.sample("ringback_journal_unpublished_events"), 20.0);
}

#[test]
fn a_busy_connection_gives_way_between_two_requests_if_a_new_one_waits() {
    let server = Server::start("max_connections = 1\nheader_timeout = \"60s\"", "");
    run(async {
        let (mut busy, _connection) = connect(&server).await;
        let ask = || request(Method::POST, "/nowhere", whole(EVENT));
        let answer = send(&mut busy, ask()).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let (mut new, _new_connection) = connect(&server).await;
        let served = tokio::spawn(async move {
            let event = request(Method::POST, "/open", whole(EVENT));
            send(&mut new, event).await.status()
        });
        while !served.is_finished() {
            // Closed once the other one has its place.
            _ = busy.send_request(ask()).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(
            served.await.expect("it is answered"),
            StatusCode::NO_CONTENT
        );
    });
}

#[test]
fn a_head_of_very_many_headers_is_refused_and_a_head_request_has_no_body() {
    let server = small_limits();
    run(async {
        let (mut sender, _connection) = connect(&server).await;
        let mut bomb = request(Method::POST, "/open", whole(EVENT));
        for _ in 0..300 {
            let name = http::HeaderName::from_static("a");
            bomb.headers_mut()
                .append(name, http::HeaderValue::from_static(""));
        }
        let answer = send(&mut sender, bomb).await;
        assert_eq!(answer.status().as_u16(), 431);
        let answer = send(&mut sender, request(Method::HEAD, "/open", whole(""))).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        let body = answer.into_body().collect().await.expect("no error");
        assert!(body.to_bytes().is_empty());
    });
    assert_eq!(server.refused("open", "too_many_headers"), 1.0);
}

#[test]
fn stalled_requests_are_charged_with_what_they_cost() {
    // 128 KiB for bodies and heads hold fewer than fifty requests, although none of them sends a byte of its body.
    let server = small_limits();
    run(async {
        let (mut sender, _connection) = connect(&server).await;
        let mut running = Vec::new();
        for _ in 0..60 {
            let (feed, body) = fed();
            sender.ready().await.expect("the connection is open");
            let answer = sender.send_request(request(Method::POST, "/open", body));
            running.push((feed, answer));
        }
        // No request is cut before the budget is used up, and each is charged before its body is read.
        while server.refused("open", "body_stalled") < 15.0 {
            tokio::task::yield_now().await;
        }
        let (feeds, answers): (Vec<_>, Vec<_>) = running.into_iter().unzip();
        drop(feeds);
        let mut codes = Vec::new();
        for answer in answers {
            codes.push(answer.await.expect("it is answered").status().as_u16());
        }
        let cut = codes.iter().filter(|code| **code == 408).count();
        assert!((15..=45).contains(&cut), "{cut} of 60 were cut");
        // The other bodies end without a byte.
        assert!(
            codes.iter().all(|code| matches!(code, 400 | 408)),
            "{codes:?}"
        );
    });
}

#[test]
fn the_refusals_are_those_of_http_1() {
    let server = small_limits();
    run(async {
        let (mut sender, _connection) = connect(&server).await;
        let large = vec![b' '; 70_000];
        for (method, path, body, status) in [
            (Method::GET, "/open", &b""[..], 405),
            (Method::POST, "/nowhere", EVENT, 404),
            (Method::POST, "/open", b"{", 400),
            (Method::POST, "/webhook", EVENT, 401),
            (Method::POST, "/open", &large, 413),
        ] {
            let body = whole(Bytes::copy_from_slice(body));
            let answer = send(&mut sender, request(method, path, body)).await;
            assert_eq!(answer.status().as_u16(), status, "{path}");
            let kind = &answer.headers()["content-type"];
            assert_eq!(kind, "application/problem+json");
            let text = answer.into_body().collect().await.expect("a body");
            let problem: serde_json::Value =
                serde_json::from_slice(&text.to_bytes()).expect("it is JSON");
            assert_eq!(problem["status"], status);
        }
        let signed = crate::support::server::digest(KEY, now_ms(), EVENT);
        let mut good = request(Method::POST, "/webhook", whole(EVENT));
        good.headers_mut()
            .insert("x-retell-signature", signed.parse().expect("a value"));
        let answer = send(&mut sender, good).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    });
}

#[test]
fn a_streamed_body_over_the_limit_gets_413_and_one_that_stops_408() {
    let server = small_limits();
    run(async {
        let (mut sender, _connection) = connect(&server).await;
        let (feed, body) = fed();
        for _ in 0..5 {
            feed.send(Bytes::from(vec![b' '; 16_000]))
                .expect("the body is open");
        }
        let answer = send(&mut sender, request(Method::POST, "/open", body)).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    });
    let server = limits("60s", "1s");
    run(async {
        let (mut sender, _connection) = connect(&server).await;
        let (feed, body) = fed();
        feed.send(Bytes::from_static(b"{\"event\":"))
            .expect("the body is open");
        let answer = send(&mut sender, request(Method::POST, "/open", body)).await;
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
        drop(feed);
        // The connection stays usable.
        let answer = send(&mut sender, request(Method::POST, "/open", whole(EVENT))).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    });
}

#[test]
fn an_idle_connection_is_closed() {
    let server = limits("1s", "60s");
    run(async {
        let (sender, connection) = connect(&server).await;
        // Only the relay can end the connection, because the client keeps its sender.
        let ended = connection.await.expect("no panic");
        assert!(ended.is_ok(), "{ended:?}");
        drop(sender);
    });
    server.await_refused("", "header_timeout", 1.0);
}

#[test]
fn a_connection_that_idles_after_a_request_is_closed_and_that_is_no_rejection() {
    let server = Server::start("header_timeout = \"60s\"\nidle_timeout = \"1s\"", "");
    run(async {
        let (mut sender, connection) = connect(&server).await;
        let answer = send(&mut sender, request(Method::POST, "/open", whole(EVENT))).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let ended = connection.await.expect("no panic");
        assert!(ended.is_ok(), "{ended:?}");
    });
    assert_eq!(server.refused("", "header_timeout"), 0.0);
}

/// A body of zeros that counts what of it was taken.
struct Counted {
    left: usize,
    taken: Arc<AtomicUsize>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.left.min(16 * 1024);
        if length == 0 {
            return Poll::Ready(None);
        }
        self.left -= length;
        self.taken.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; length])))))
    }
}

#[test]
fn a_client_can_send_all_of_a_refused_body() {
    let server = small_limits();
    run(async {
        let (mut sender, _connection) = connect(&server).await;
        let length = 9 * 1024 * 1024;
        let taken = Arc::new(AtomicUsize::new(0));
        let body = Counted {
            left: length,
            taken: Arc::clone(&taken),
        };
        let answer = send(&mut sender, request(Method::POST, "/open", body.boxed())).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        // A reset of the stream would stop the client half-way.
        while taken.load(Ordering::Relaxed) < length {
            tokio::task::yield_now().await;
        }
        let answer = send(&mut sender, request(Method::POST, "/open", whole(EVENT))).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    });
}

#[test]
fn shutdown_answers_a_running_request_and_then_closes_the_connection() {
    let server = small_limits();
    run(async {
        let (mut sender, connection) = connect(&server).await;
        let answer = send(&mut sender, request(Method::POST, "/open", whole(EVENT))).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let (feed, body) = fed();
        sender.ready().await.expect("the connection is open");
        let running = tokio::spawn(sender.send_request(request(Method::POST, "/open", body)));
        feed.send(Bytes::from_static(&EVENT[..10]))
            .expect("the body is open");
        while server.sample("ringback_http_body_bytes") < 10.0 {
            tokio::task::yield_now().await;
        }
        server.terminate();
        feed.send(Bytes::from_static(&EVENT[10..]))
            .expect("the body is open");
        drop(feed);
        let answer = running.await.expect("no panic").expect("it is answered");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let ended = connection.await.expect("no panic");
        assert!(ended.is_ok(), "{ended:?}");
    });
    assert_eq!(server.wait().code(), Some(0));
}
