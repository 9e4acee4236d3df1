//! One HTTP/1 connection.

use std::pin::pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::time::sleep;

use super::activity::Activity;
use super::client_error::client_error;
use super::sniff::SniffedStream;
use super::{GRACE, MAX_HEAD, MAX_HEADERS, Phase, Phases, Server};
use crate::ingest::refusal::Reason;

/// Serves the connection until it ends; gives the client's fault that ended it, if one did.
pub(super) async fn serve<S>(
    stream: &mut SniffedStream,
    service: S,
    activity: &Activity,
    server: &Server,
) -> Option<Reason>
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error: Into<tower::BoxError>>,
{
    let mut builder = http1::Builder::new();
    builder
        // hyper cannot tell an idle connection from one whose head is arriving: `Activity::expired` can.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD as usize)
        // A client may close its sending side after its request and still wait for the answer.
        .half_close(true);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut expired = pin!(activity.expired(server));
    let mut idle_at_end = pin!(idle_at_end(activity, &server.phases));
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return client_error(&ended),
            fault = expired.as_mut() => return fault,
            () = idle_at_end.as_mut(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Waits until the server stops and the connection has no request. From then on every answer carries
/// `Connection: close`, so a connection with a request ends without further help.
async fn idle_at_end(activity: &Activity, phases: &Phases) {
    phases.reached(Phase::Stopping).await;
    loop {
        sleep(GRACE).await;
        if activity.is_idle() {
            return;
        }
    }
}
