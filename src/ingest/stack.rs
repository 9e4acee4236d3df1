//! The tower stack of one connection, the only place that states its order.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, HeaderValue};
use http_body_util::Full;
use tower::ServiceBuilder;
use tower_http::set_header::SetResponseHeaderLayer;

use super::ingress::{Append, Ingress};
use super::refusal::BodyUnread;
use super::request::respond;
use super::server::{HttpService, Phases, Protocol};

/// Builds the stack for a connection from `peer`. A request passes it from top to bottom, its answer from bottom to
/// top.
///
/// Panics are caught in [`respond`] rather than by tower-http's `CatchPanic`, which would box the body of every answer
/// and could not count a panic under its source.
pub(super) fn stack<A: Append>(
    ingress: &Arc<Ingress<A>>,
    phases: Phases,
    peer: SocketAddr,
    protocol: Protocol,
) -> HttpService {
    let ingress = Arc::clone(ingress);
    let close = move |answer: &Response<Full<Bytes>>| {
        // HTTP/2 forbids the header: it resets a stream and sends GOAWAY on a connection instead.
        let is_last = protocol == Protocol::Http1
            && (answer.extensions().get::<BodyUnread>().is_some() || !phases.keeps_alive());
        is_last.then(|| HeaderValue::from_static("close"))
    };
    let stack = ServiceBuilder::new()
        // Says that no request can follow on this connection. Above `respond`, so that it applies to every answer.
        .layer(SetResponseHeaderLayer::overriding(CONNECTION, close))
        // The event itself: counted, authenticated, validated, appended.
        .service_fn(move |request| respond(Arc::clone(&ingress), peer, request));
    HttpService::new(stack)
}
