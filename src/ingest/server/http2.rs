//! One HTTP/2 connection.

use std::pin::pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::sleep;

use super::activity::Activity;
use super::client_error::client_error;
use super::sniff::SniffedStream;
use super::{GRACE, MAX_HEAD, Phase, Phases, Server};
use crate::ingest::refusal::Reason;

/// Concurrent streams of one connection: RFC 9113 asks for no fewer than 100.
const MAX_STREAMS: u32 = 100;
/// HTTP/2 flow control, in bytes: what a client may send of all bodies before ringback has read it. Bodies are read as
/// they arrive, so the windows bound speed (one window per round trip) rather than memory.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Streams that a client may reset before ringback has looked at them (CVE-2023-44487).
const MAX_RESETS: usize = 20;

/// Serves the connection until it ends; gives the client's fault that ended it, if one did.
///
/// hyper has no limit for an idle HTTP/2 connection. One that has been idle for too long gets a GOAWAY, and is closed
/// once no request has come for [`GRACE`].
pub(super) async fn serve<S>(
    stream: &mut SniffedStream,
    service: S,
    activity: &Activity,
    server: &Server,
) -> Option<Reason>
where
    S: Service<
            Request<Incoming>,
            Response = Response<Full<Bytes>>,
            Error: Into<tower::BoxError>,
            Future: Send + 'static,
        >,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .keep_alive_interval(server.header_timeout)
        .keep_alive_timeout(server.header_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut expired = pin!(activity.expired(server));
    let mut may_go_away = pin!(may_go_away(&server.phases, activity));
    let mut is_going_away = false;
    let fault = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return client_error(&ended),
            fault = expired.as_mut() => break fault,
            () = may_go_away.as_mut(), if !is_going_away => {
                is_going_away = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    connection.as_mut().graceful_shutdown();
    loop {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return fault,
            () = sleep(GRACE) => {}
        }
        if activity.in_flight() == 0 {
            return fault;
        }
    }
}

/// Waits until a draining server may send GOAWAY. A connection without a request yet gets its first one served, because
/// its client would only open another connection like it; once the listener is closed, that wait is bounded by
/// [`GRACE`].
async fn may_go_away(phases: &Phases, activity: &Activity) {
    phases.reached(Phase::Draining).await;
    tokio::select! {
        () = activity.first_request() => {}
        () = async {
            phases.reached(Phase::Stopping).await;
            sleep(GRACE).await;
        } => {}
    }
}
