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
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper_util::service::TowerToHyperService;
use serde::de::DeserializeOwned;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::command::webhook::WebhookUrl;
use crate::web;

pub use self::known::KnownSources;
pub use self::store::{Bounds, Captured, Forwarded, Store};

use self::guard::Guard;
use self::reply::Reply;
use self::stream::Streams;

/// What a page and its stream need, and a few more.
const LIMITS: web::Limits = web::Limits {
    connections: 64,
    head: Duration::from_secs(30),
    one_request: None,
};
/// How long an answer may take to begin: longer than the webhook listener takes for one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest body of a request: an event of the default `max_body` in base64.
const MAX_BODY: usize = 12 * 1024 * 1024;

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

/// Serves on `listener` until the returned handle is dropped.
pub fn start(listener: TcpListener, inspected: Inspected) -> io::Result<web::Running> {
    let guard = Arc::new(Guard::new(listener.local_addr()?.port()));
    let inspected = Arc::new(inspected);
    let stack = ServiceBuilder::new()
        .layer(web::headers(page::CONTENT_SECURITY_POLICY))
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
    let beside = std::future::pending();
    web::start("inspector", listener, LIMITS, service, beside)
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
