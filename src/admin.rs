//! The admin listener: `/metrics`, `/livez`, `/readyz`, and the status page at `/`.
//!
//! It has a thread and a runtime of its own, because a relay too busy to answer webhooks must still answer its probes,
//! and a scrape must not delay a webhook's answer.

mod answer;
mod status;
mod token;

pub use self::status::{Setup, SourceSetup};
pub use self::token::TokenConfig;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper_util::service::TowerToHyperService;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use self::status::Status;
use self::token::Token;
use crate::readiness::{Check, CheckKind, Readiness};
use crate::secret::SecretError;
use crate::settings::settings;
use crate::telemetry;
use crate::web;

/// A connection carries one request; a client that does not read must not keep probes waiting.
const LIMITS: web::Limits = web::Limits {
    connections: 256,
    head: Duration::from_secs(2),
    one_request: Some(Duration::from_secs(10)),
};
/// A page loads its own stylesheet and script, and the latter the page again. Were markup not escaped, it could do nothing;
/// and no other site's page can frame this one.
const ONLY_ITS_OWN: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
settings! {
    /// `/metrics`, `/livez`, `/readyz` and a status page at `/`. Keep the listener inside the cluster.
    pub struct Config {
        /// Where ringback serves the status page (`/`), `/readyz`, `/livez` and `/metrics`.
        address: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 9464)),
            remedy("write an address and port such as \"0.0.0.0:9464\"");
        /// A token that every request needs but `/livez` and `/readyz` without a query, which probes ask for: as bearer token, or
        /// from a browser as the password beside any name. It is read as signing keys are, and again when its file changes and on
        /// SIGHUP. If unset, no request needs one.
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
pub struct Admin {
    address: SocketAddr,
    status: Arc<Status>,
    token: Option<(Arc<Token>, Check)>,
    _running: web::Running,
}

impl Admin {
    /// The address that the server listens on, with the port that the system chose if it was configured as 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The status page shows this of the configuration from now on.
    pub fn set_up(&self, setup: Setup) {
        self.status.set_up(setup);
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
    setup: Setup,
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
    let address = listener.local_addr()?;
    let status = Arc::new(Status::new(readiness, metrics, setup));
    let (shown, sampled) = (Arc::clone(&status), Arc::clone(&status));
    // No time limit of its own: a connection has one, and carries one request.
    let stack = ServiceBuilder::new()
        .layer(web::headers(ONLY_ITS_OWN))
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new())
        .service_fn(move |request: Request<_>| {
            let refused = required.as_ref().and_then(|token| token.refuse(&request));
            let answer = refused.unwrap_or_else(|| answer::answer(&request, &shown));
            async move { Ok::<_, Infallible>(answer) }
        });
    let service = TowerToHyperService::new(stack);
    let running = web::start("admin", listener, LIMITS, service, async move {
        sampled.sample().await
    })?;
    Ok(Admin {
        address,
        status,
        token,
        _running: running,
    })
}
