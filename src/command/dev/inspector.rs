//! The inspector: a page on this machine that shows each request as it comes, and everything that ringback makes of it.
//!
//! ```text
//! ingest ─ Observation ─► store ─► stream ─► page
//! topic  ─ record ──────► store ─► api ────► page
//! ```
//!
//! It has a thread and a runtime of its own, so that neither a search nor a page delays a webhook's answer.

mod api;
mod guard;
mod known;
mod lines;
mod page;
mod remedies;
mod reply;
mod sending;
mod store;
mod stream;
mod verdict;

use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, oneshot};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use crate::command::webhook::WebhookUrl;

pub use self::known::KnownSources;
pub use self::store::{Bounds, Captured, Forwarded, Store};

use self::guard::Guard;
use self::reply::Reply;
use self::stream::Streams;

/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may take to begin: longer than the webhook listener takes for one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest body of a request: an event of the default `max_body` in base64.
const MAX_BODY: usize = 12 * 1024 * 1024;
/// Connections at once; further ones wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 64;

/// What the page shows.
pub struct Inspected {
    pub store: Arc<Store>,
    pub sources: KnownSources,
    /// The webhook listener of this process.
    pub listener: Arc<WebhookUrl>,
    pub topic: String,
    pub bootstrap: String,
    streams: Streams,
}

impl Inspected {
    pub fn new(
        store: Arc<Store>,
        sources: KnownSources,
        listener: SocketAddr,
        topic: String,
        bootstrap: String,
    ) -> Self {
        Self {
            store,
            sources,
            listener: Arc::new(WebhookUrl::of_listener(listener)),
            topic,
            bootstrap,
            streams: Streams::new(),
        }
    }
}

/// The running inspector; dropping it ends it.
pub struct Inspector {
    _stop: oneshot::Sender<Infallible>,
}

impl Inspector {
    /// Serves on `listener` until it is dropped.
    pub fn start(listener: TcpListener, inspected: Inspected) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<Infallible>();
        thread::Builder::new()
            .name(String::from("inspector"))
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        error = accept(listener, address, inspected) => {
                            tracing::error!(%error, "the inspector's listener failed");
                        }
                    }
                });
            })?;
        Ok(Self { _stop: stop })
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, inspected: Inspected) -> io::Error {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let guard = Arc::new(Guard::new(address.port()));
    let inspected = Arc::new(inspected);
    let header =
        |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    let stack = ServiceBuilder::new()
        // Outermost, so that they apply to every answer.
        .layer(header(CACHE_CONTROL, "no-store"))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(REFERRER_POLICY, "no-referrer"))
        .layer(header(
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ))
        .layer(header(
            CONTENT_SECURITY_POLICY,
            page::CONTENT_SECURITY_POLICY,
        ))
        .layer(CatchPanicLayer::new())
        // Not of streams, whose messages it would hold back.
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            ANSWER_TIMEOUT,
        ))
        .service_fn(move |request: Request<_>| {
            let (guard, inspected) = (Arc::clone(&guard), Arc::clone(&inspected));
            async move {
                let refused = guard.refuse(&request);
                Ok::<_, Infallible>(match refused {
                    Some(refused) => refused,
                    None => answer(request, &inspected).await,
                })
            }
        });
    let service = TowerToHyperService::new(stack);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return io::Error::other("the connection limit is gone");
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Descriptors have run out, or the client has left.
                tracing::debug!(%error, "cannot accept a connection of the inspector");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Messages of a stream are small and must not wait for each other.
        let _ = stream.set_nodelay(true);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the inspector failed");
            }
            drop(permit);
        });
    }
}

async fn answer<B>(request: Request<B>, inspected: &Inspected) -> Reply
where
    B: Body<Data = Bytes, Error: Display> + Send,
{
    let path = request.uri().path();
    let is_post = matches!(path, "/api/send" | "/api/sample");
    let is_allowed = if is_post {
        *request.method() == Method::POST
    } else {
        matches!(*request.method(), Method::GET | Method::HEAD)
    };
    if !is_allowed {
        return reply::not_allowed(if is_post { "POST" } else { "GET, HEAD" });
    }
    if let Some((content_type, bytes)) = page::file(path) {
        return reply::bytes(content_type, bytes);
    }
    match path {
        "/api/info" => api::info(inspected),
        "/api/stream" => {
            let last = request.headers().get("last-event-id");
            let last = last.and_then(|id| id.to_str().ok());
            inspected.streams.open(&inspected.store, last)
        }
        "/api/search" => api::search(inspected, request.uri().query().unwrap_or_default()).await,
        "/api/send" => match read(request).await {
            Ok(send) => sending::send(inspected, send).await,
            Err(refused) => refused,
        },
        "/api/sample" => match read(request).await {
            Ok(sample) => sending::sample(inspected, sample).await,
            Err(refused) => refused,
        },
        _ => {
            let Some((n, is_fixture)) = request_path(path) else {
                return reply::error(StatusCode::NOT_FOUND, "The inspector has no such path.");
            };
            match inspected.store.get(n) {
                Some(entry) if is_fixture => api::fixture(&entry),
                Some(entry) => api::request(&entry, inspected),
                None => reply::error(
                    StatusCode::NOT_FOUND,
                    "This request is not kept any more: newer ones have taken its place.",
                ),
            }
        }
    }
}

/// The body of a request, read from JSON.
async fn read<B, T>(request: Request<B>) -> Result<T, Reply>
where
    B: Body<Data = Bytes, Error: Display>,
    T: DeserializeOwned,
{
    let bad = |reason: &dyn Display| {
        let sentence = format!("The body of the request cannot be read: {reason}.");
        reply::error(StatusCode::BAD_REQUEST, &sentence)
    };
    let body = request.into_body().collect().await;
    let body = body.map_err(|error| bad(&error))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| bad(&error))
}

/// The number in `/api/requests/{n}`; true if the request is wanted as a fixture.
fn request_path(path: &str) -> Option<(u64, bool)> {
    let rest = path.strip_prefix("/api/requests/")?;
    let (n, is_fixture) = match rest.strip_suffix("/fixture") {
        Some(n) => (n, true),
        None => (rest, false),
    };
    Some((n.parse().ok()?, is_fixture))
}

/// A path with its query.
fn target(path: &str, query: Option<&str>) -> String {
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{path}{query}")
}
