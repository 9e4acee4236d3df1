//! Sockets and protocols: which connections are accepted, how each begins and how it ends.
//!
//! The server does not know what a request means. It asks [`Server::make_service`] for one tower service per connection
//! and gives it that connection's requests.

mod activity;
mod client_error;
mod connection;
mod handshake;
mod http1;
mod http2;
pub(super) mod listener;
mod phase;
mod sniff;

pub(super) use self::phase::{Phase, Phases};
pub(super) use self::sniff::Protocol;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;
use tower::util::BoxService;

use super::metrics::Metrics;
use super::refusal_log::RefusalLog;
use super::tls::Tls;

/// The longest request head, in bytes; hyper answers 431 to a longer one.
pub(super) const MAX_HEAD: u32 = 64 * 1024;
/// The most headers of one head. hyper's default is 100, which a request through many proxies can exceed.
pub(super) const MAX_HEADERS: usize = 256;
/// How long a stopping server waits for a connection that its client has made, or a request that its client has sent, but
/// that the network has not yet delivered.
const GRACE: Duration = Duration::from_millis(500);

/// Answers the requests of one connection. Boxing costs one allocation per request and keeps the server free of type
/// parameters.
pub(super) type HttpService = BoxService<Request<Incoming>, Response<Full<Bytes>>, Infallible>;

/// What all connections share.
pub(super) struct Server {
    /// `None` if connections begin with HTTP.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) max_connections: usize,
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
    /// How long a refused body is read on.
    pub(super) body_timeout: Duration,
    pub(super) started: Instant,
    pub(super) phases: Phases,
    pub(super) metrics: Arc<Metrics>,
    pub(super) refusal_log: Arc<RefusalLog>,
    /// Makes the service of one connection from its peer's address and its protocol.
    pub(super) make_service: Box<dyn Fn(SocketAddr, Protocol) -> HttpService + Send + Sync>,
    /// Ends the request whose body has stalled for longest, so that its connection comes free; false if none has.
    pub(super) cut_stalled_body: Box<dyn Fn() -> bool + Send + Sync>,
}
