//! One HTTP/1 connection.

use std::pin::pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep, sleep_until};

use super::activity::Activity;
use super::client_error::client_error;
use super::sniff::SniffedStream;
use super::{GRACE, MAX_HEAD, MAX_HEADERS, Phase, Server};
use crate::ingest::refusal::Reason;

/// Serves the connection until it ends; gives the client's fault that ended it, if one did. `head_deadline` is for the
/// first request's head; hyper bounds the later ones.
pub(super) async fn serve<S>(
    stream: &mut SniffedStream,
    service: S,
    activity: &Activity,
    server: &Server,
    head_deadline: Instant,
) -> Option<Reason>
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error: Into<tower::BoxError>>,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(server.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD as usize)
        // A client may close its sending side after its request and still wait for the answer.
        .half_close(true);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut first_head = pin!(sleep_until(head_deadline));
    let mut waiting_for_first = true;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return client_error(&ended),
            () = server.phases.reached(Phase::Stopping) => break,
            () = first_head.as_mut(), if waiting_for_first => {
                if activity.requests() == 0 {
                    return Some(Reason::HeaderTimeout);
                }
                waiting_for_first = false;
            }
        }
    }
    // Every answer carries `Connection: close` from here on, so a connection with a request ends without further help.
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return client_error(&ended),
            () = sleep(GRACE) => {}
        }
        if activity.is_idle() {
            connection.as_mut().graceful_shutdown();
            return client_error(&connection.await);
        }
    }
}
