//! One connection from its first byte to its end.
//!
//! hyper implements the protocols. What it leaves open is added here and in `http1` and `http2`: time limits for heads
//! and for idle connections, room for new connections, a shutdown that still serves a request whose head is arriving,
//! and a close that does not reset the last answer.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower::Service as _;

use super::activity::{Activity, Wait};
use super::sniff::{SniffedStream, Transport};
use super::{GRACE, HttpService, Phase, Protocol, Server, handshake, http1, http2};
use crate::ingest::refusal::{BodyUnread, Reason};

/// Serves one connection until it ends or has to make room for another.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    server: Arc<Server>,
    activity: Arc<Activity>,
) {
    let wait = tokio::select! {
        // First what has arrived: a connection with a new request does not give way.
        biased;
        () = serve_to_end(stream, peer, &server, &activity) => return,
        // Closes the connection at once, because a client that waits has read its last answer long ago.
        wait = activity.gives_way() => wait,
    };
    match wait {
        Wait::Idle(_) => tracing::debug!(%peer, "idle connection closed to make room"),
        Wait::Head(_) => report(Reason::HeaderTimeout, None, peer, &server),
    }
}

/// Counts and logs a connection that is closed for its client's fault. `error` is the fault in a library's words.
pub(super) fn report(reason: Reason, error: Option<&str>, peer: SocketAddr, server: &Server) {
    tracing::debug!(%peer, reason = reason.label(), error, "connection closed");
    server.metrics.unknown.rejected(reason);
    server.refusal_log.connection(peer.ip(), reason, error);
}

async fn serve_to_end(
    stream: TcpStream,
    peer: SocketAddr,
    server: &Server,
    activity: &Arc<Activity>,
) {
    let deadline = Instant::now() + server.header_timeout;
    let transport = match &server.tls {
        None => Transport::Left(stream),
        Some(tls) => {
            let tls = tls.acceptor();
            let handshake = handshake::accept(tls, stream, peer, deadline, server, activity);
            // In a box, so that a connection without TLS needs no memory for it.
            match Box::pin(handshake).await {
                Some(transport) => transport,
                None => return,
            }
        }
    };
    let mut stream = SniffedStream::new(transport, Arc::clone(activity), server.header_timeout);
    let protocol = sniff(&mut stream, server, deadline).await;
    let fault = match protocol {
        Ok(Some(protocol)) => {
            let service = (server.make_service)(peer, protocol);
            let service = tracked(service, Arc::clone(activity));
            match protocol {
                Protocol::Http1 => http1::serve(&mut stream, service, activity, server).await,
                Protocol::Http2 => http2::serve(&mut stream, service, activity, server).await,
            }
        }
        Ok(None) if server.tls.is_some() && server.phases.current() < Phase::Stopping => {
            Some(Reason::TlsUnused)
        }
        Ok(None) => None,
        Err(fault) => Some(fault),
    };
    // Counted before lingering: a client that keeps its side open may use up all of the lingering time.
    if let Some(reason) = fault {
        report(reason, None, peer, server);
    }
    if matches!(protocol, Ok(Some(_))) {
        activity.no_head();
        stream.linger(server.body_timeout).await;
    }
}

/// Detects the protocol; `None` if the client left before that, or sent nothing until the server stopped.
async fn sniff(
    stream: &mut SniffedStream,
    server: &Server,
    head_deadline: Instant,
) -> Result<Option<Protocol>, Reason> {
    let sniffed = tokio::select! {
        biased;
        sniffed = timeout_at(head_deadline, stream.sniff()) => sniffed,
        () = server.phases.reached(Phase::Stopping) => {
            // A client that connected just before the shutdown may already have sent its request.
            let mut deadline = head_deadline;
            if !stream.has_begun() {
                deadline = deadline.min(Instant::now() + GRACE);
            }
            match timeout_at(deadline, stream.sniff()).await {
                Err(_) if !stream.has_begun() => return Ok(None),
                sniffed => sniffed,
            }
        }
    };
    match sniffed {
        Ok(protocol) => Ok(protocol.unwrap_or(None)),
        Err(_) => Err(Reason::HeaderTimeout),
    }
}

/// The service as hyper calls it; `activity` knows of each request that is running.
fn tracked(
    service: HttpService,
    activity: Arc<Activity>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send + 'static,
> {
    // hyper calls with `&self` but one request at a time, so no two borrows meet. A clone of the service per request
    // would touch reference counts that all connections share.
    let service = RefCell::new(service);
    service_fn(move |request| {
        let in_flight = activity.begin();
        // Every layer is always ready, because overload is refused with an answer.
        let answer = service.borrow_mut().call(request);
        async move {
            let answer = answer.await?;
            if answer.extensions().get::<BodyUnread>().is_some() {
                in_flight.leave_body_unread();
            }
            drop(in_flight);
            Ok(answer)
        }
    })
}
