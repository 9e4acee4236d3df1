//! The admin listener: `/metrics`, `/livez`, `/readyz`.
//!
//! It has a thread and a runtime of its own, because a relay too busy to answer webhooks must still answer its probes,
//! and a scrape must not delay a webhook's answer.

mod token;

pub use self::token::TokenConfig;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, oneshot};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use self::token::Token;
use crate::readiness::{Check, CheckKind, Readiness};
use crate::secret::SecretError;
use crate::settings::settings;
use crate::telemetry;

/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may last. It carries one request; a client that does not read must not keep probes waiting.
const LIFETIME: Duration = Duration::from_secs(10);
/// The content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
/// Concurrent admin connections; further ones wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 256;

settings! {
    /// `/metrics`, `/livez` and `/readyz`. Keep the listener inside the cluster.
    pub struct Config {
        /// Where ringback serves them.
        address: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 9464)),
            remedy("write an address and port such as \"0.0.0.0:9464\"");
        /// A bearer token that every request needs but `/livez` and `/readyz` without a query, which probes ask for. It is
        /// read as signing keys are, and again when its file changes and on SIGHUP. If unset, no request needs one.
        token: Option<TokenConfig> = None, secret, files_reloaded,
            check(|token| token.iter().try_for_each(TokenConfig::check)),
            remedy("write where to read the token: token = { file = \"/path\" } or { env = \"NAME\" }"),
            example("# token = { file = \"/etc/ringback/secrets/admin-token\" }");
    }
}

/// Why the admin listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The token cannot be read, or what was read is none: the configuration is wrong.
    #[error("admin.token cannot be used")]
    Token(#[source] SecretError),
    /// The port, or the thread.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The running admin server; dropping it ends the server.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    token: Option<(Arc<Token>, Check)>,
    _stop: oneshot::Sender<Infallible>,
}

impl Admin {
    /// The address that the server listens on, with the port that the system chose if it was configured as 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the token again; on an error the present one stays. `None` if there is none. Blocks while it reads a file.
    pub fn reload_token(&self) -> Option<Result<(), SecretError>> {
        let (token, check) = self.token.as_ref()?;
        let read = token.reload();
        match &read {
            Ok(()) => check.pass("ok"),
            Err(error) => check.fail(&format!(
                "the changed token of admin.token is not in use, and the one before it still opens this page: {}",
                telemetry::chain(error)
            )),
        }
        Some(read)
    }
}

/// Serves on `listener` until the returned handle is dropped.
pub fn serve(
    listener: TcpListener,
    token: Option<&TokenConfig>,
    readiness: Readiness,
    metrics: telemetry::Metrics,
) -> Result<Admin, AdminError> {
    let token = token.and_then(Token::new).transpose();
    let token = token.map_err(AdminError::Token)?.map(Arc::new);
    let required = token.clone();
    let token = token.map(|token| {
        // It informs only: whether webhooks are taken does not depend on it.
        let check = readiness.check("admin-token", CheckKind::Informational, "");
        check.pass("ok");
        (token, check)
    });
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, stopped) = oneshot::channel::<Infallible>();
    thread::Builder::new()
        .name(String::from("admin"))
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    error = accept(listener, required, &readiness, &metrics) => {
                        tracing::error!(%error, "the admin listener failed");
                    }
                }
            });
        })?;
    Ok(Admin {
        address,
        token,
        _stop: stop,
    })
}

async fn accept(
    listener: TcpListener,
    token: Option<Arc<Token>>,
    readiness: &Readiness,
    metrics: &telemetry::Metrics,
) -> io::Error {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (readiness, metrics) = (readiness.clone(), metrics.clone());
    let stack = ServiceBuilder::new()
        // No cache may answer a probe or a scrape. Outermost, so that it applies to the answer to a panic as well.
        .layer(SetResponseHeaderLayer::overriding(
            CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(CatchPanicLayer::new())
        .service_fn(move |request: Request<_>| {
            let refused = token.as_ref().and_then(|token| token.refuse(&request));
            let answer = refused.unwrap_or_else(|| answer(&request, &readiness, &metrics));
            async move { Ok::<_, Infallible>(answer) }
        });
    let service = TowerToHyperService::new(stack);
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return io::Error::other("the connection limit is gone");
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Descriptors have run out, or the client has left. Neither may end the probes.
                tracing::debug!(%error, "cannot accept an admin connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = service.clone();
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            match tokio::time::timeout(LIFETIME, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
                Err(_) => tracing::debug!("an admin connection took too long"),
            }
            drop(permit);
        });
    }
}

fn answer<B>(
    request: &Request<B>,
    readiness: &Readiness,
    metrics: &telemetry::Metrics,
) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/livez" | "/readyz") {
        return text(
            StatusCode::NOT_FOUND,
            PLAIN,
            "try /metrics, /livez or /readyz?verbose\n",
        );
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "use GET\n");
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allow);
        return response;
    }
    match path {
        "/livez" => text(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => ready(request.uri().query(), readiness),
        _ => match metrics.encode(readiness.is_ready()) {
            Ok(exposition) => text(StatusCode::OK, TEXT_FORMAT, exposition),
            Err(error) => {
                tracing::error!(%error, "cannot encode the metrics");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    PLAIN,
                    "cannot encode the metrics\n",
                )
            }
        },
    }
}

fn ready(query: Option<&str>, readiness: &Readiness) -> Response<Full<Bytes>> {
    let verbose = query
        .unwrap_or_default()
        .split('&')
        .any(|pair| pair == "verbose" || pair.starts_with("verbose="));
    let (status, word) = if readiness.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    };
    let body = if verbose {
        readiness.verbose() + word
    } else {
        word.to_owned()
    };
    text(status, PLAIN, body)
}

fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::readiness::CheckKind;

    fn status(
        method: Method,
        target: &str,
        readiness: &Readiness,
    ) -> Result<u16, Box<dyn std::error::Error>> {
        let request = Request::builder().method(method).uri(target).body(())?;
        let metrics = telemetry::Metrics::new()?;
        Ok(answer(&request, readiness, &metrics).status().as_u16())
    }

    #[tokio::test]
    async fn the_metrics_say_whether_the_relay_is_ready() -> Result<(), Box<dyn std::error::Error>>
    {
        let (readiness, metrics) = (Readiness::new(), telemetry::Metrics::new()?);
        let check = readiness.check("journal", CheckKind::Gating, "starting");
        for (is_ready, sample) in [
            (false, "\nringback_ready 0\n"),
            (true, "\nringback_ready 1\n"),
        ] {
            if is_ready {
                check.pass("ok");
            }
            let request = Request::builder().uri("/metrics").body(())?;
            let page = answer(&request, &readiness, &metrics).into_body();
            let page = page.collect().await?.to_bytes();
            let page = std::str::from_utf8(&page)?;
            assert!(page.contains(sample), "{page}");
        }
        Ok(())
    }

    #[test]
    fn liveness_stays_while_readiness_goes() -> Result<(), Box<dyn std::error::Error>> {
        let readiness = Readiness::new();
        let check = readiness.check("journal", CheckKind::Gating, "starting");
        assert_eq!(status(Method::GET, "/readyz", &readiness)?, 503);
        assert_eq!(status(Method::GET, "/livez", &readiness)?, 200);
        check.pass("ok");
        assert_eq!(status(Method::GET, "/readyz?verbose", &readiness)?, 200);
        assert_eq!(status(Method::GET, "/metrics", &readiness)?, 200);
        Ok(())
    }

    #[test]
    fn other_paths_and_methods_are_refused() -> Result<(), Box<dyn std::error::Error>> {
        let readiness = Readiness::new();
        assert_eq!(status(Method::GET, "/", &readiness)?, 404);
        assert_eq!(status(Method::POST, "/metrics", &readiness)?, 405);
        Ok(())
    }
}
