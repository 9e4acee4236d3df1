//! How the status page and the inspector are served: a listener with a thread of its own, the headers that keep other sites'
//! pages out, and the stylesheet of both.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};
use tower_http::set_header::SetResponseHeaderLayer;

/// The stylesheet that both pages begin with.
pub const LOOK: &str = include_str!("web/look.css");
/// Other sites' pages cannot load what is here (Fetch standard).
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// How long to wait after a connection could not be accepted.
const RETRY: Duration = Duration::from_millis(100);

/// A layer that sets one header of every answer.
type Set = SetResponseHeaderLayer<HeaderValue>;

/// The headers of every answer. They belong outermost, so that the answer to a panic has them as well.
pub fn headers(content_security_policy: &'static str) -> (Set, Set, Set, Set, Set) {
    let set = |name, value| Set::overriding(name, HeaderValue::from_static(value));
    (
        set(CACHE_CONTROL, "no-store"),
        set(CONTENT_SECURITY_POLICY, content_security_policy),
        set(RESOURCE_POLICY, "same-origin"),
        set(REFERRER_POLICY, "no-referrer"),
        set(X_CONTENT_TYPE_OPTIONS, "nosniff"),
    )
}

/// What a client may take of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's backlog.
    pub connections: usize,
    /// How long a client may take to send a request's head.
    pub head: Duration,
    /// If set, a connection carries one request and is closed after this time.
    pub one_request: Option<Duration>,
}

/// A listener that is served; dropping it ends that.
#[derive(Debug)]
pub struct Running {
    _stop: oneshot::Sender<Infallible>,
}

/// Serves HTTP/1.1 on `listener`, and runs `beside`, on a thread called `name`. Fails if the system gives no thread or runtime.
pub fn start<S, B>(
    name: &'static str,
    listener: TcpListener,
    limits: Limits,
    service: S,
    beside: impl Future<Output = Infallible> + Send + 'static,
) -> io::Result<Running>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    S: Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, stopped) = oneshot::channel::<Infallible>();
    let serve = async move {
        tokio::select! {
            _ = stopped => {}
            never = beside => match never {},
            error = accept(name, listener, limits, service) => {
                tracing::error!(%error, "the {name} listener failed");
            }
        }
    };
    thread::Builder::new()
        .name(String::from(name))
        .spawn(move || runtime.block_on(serve))?;
    Ok(Running { _stop: stop })
}

async fn accept<S, B>(
    name: &'static str,
    listener: TcpListener,
    limits: Limits,
    service: S,
) -> io::Error
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    S: Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let permits = Arc::new(Semaphore::new(limits.connections));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return io::Error::other("the connection limit is gone");
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Descriptors have run out, or the client has left. Neither may end the listener.
                tracing::debug!(%error, "cannot accept a connection of the {name} listener");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        // Messages of a stream are small and must not wait for each other.
        let _ = stream.set_nodelay(true);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .keep_alive(limits.one_request.is_none())
            .serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            let ended = match limits.one_request {
                Some(lifetime) => tokio::time::timeout(lifetime, connection).await,
                None => Ok(connection.await),
            };
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a connection of the {name} listener failed");
                }
                Err(_) => tracing::debug!("a connection of the {name} listener took too long"),
            }
            drop(permit);
        });
    }
}
