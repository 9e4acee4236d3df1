//! TLS on the webhook listener: its settings, and how another certificate takes the present one's place while connections
//! run.

mod certificate;

pub use self::certificate::{TlsError, Validity};

pub(super) use self::certificate::inspect;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use prometheus::IntGauge;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use self::certificate::Certificate;
use crate::readiness::{Check, CheckKind, Readiness};
use crate::settings::settings;
use crate::telemetry::chain;

settings! {
    /// The certificate of the webhook listener.
    pub struct TlsConfig {
        /// A file in PEM: the server's own certificate, then those between it and the authority that senders know.
        certificate: PathBuf = PathBuf::new(), required;
        /// A file in PEM: the certificate's private key, without a password.
        key: PathBuf = PathBuf::new(), required;
    }
}

/// The listener's side of TLS. The certificate may be exchanged; handshakes that have begun keep theirs.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    present: Arc<PresentCertificate>,
    state: Mutex<State>,
    expiry: IntGauge,
    check: OnceLock<Check>,
}

struct State {
    /// Of the certificate in use.
    validity: Validity,
    /// Why the files that have changed since are not in use.
    fault: Option<String>,
    /// When the log last had what is wrong with the certificate, in seconds since the Unix epoch.
    logged_at: Option<i64>,
}

#[derive(Debug)]
struct PresentCertificate(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for PresentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// Reads the files. `expiry` is kept at the end of the certificate in use.
    pub(super) fn new(config: &TlsConfig, expiry: IntGauge) -> Result<Self, TlsError> {
        let provider = provider();
        let Certificate {
            certified,
            validity,
        } = certificate::read(config, &provider)?;
        let present = Arc::new(PresentCertificate(ArcSwap::new(certified)));
        let resolver: Arc<dyn ResolvesServerCert> = present.clone();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Setup)?;
        let mut server = server.with_no_client_auth().with_cert_resolver(resolver);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A sender that connects for each event saves the server its most expensive step, the signature.
        server.ticketer = ring::Ticketer::new().map_err(TlsError::Setup)?;
        expiry.set(validity.end);
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            present,
            state: Mutex::new(State {
                validity,
                fault: None,
                logged_at: None,
            }),
            expiry,
            check: OnceLock::new(),
        })
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Reads these files; if they cannot be used, the present certificate stays. Blocks while it reads them.
    pub(super) fn reload(&self, config: &TlsConfig) -> Result<Validity, TlsError> {
        let fresh = certificate::read(config, &provider());
        let mut state = self.state();
        match fresh {
            Ok(Certificate {
                certified,
                validity,
            }) => {
                self.present.0.store(certified);
                self.expiry.set(validity.end);
                *state = State {
                    validity,
                    fault: None,
                    logged_at: None,
                };
                Ok(validity)
            }
            Err(error) => {
                state.fault = Some(chain(&error));
                Err(error)
            }
        }
    }

    /// Adds a check to `readiness`. It informs only: another replica has the same certificate.
    pub(super) fn add_check(&self, readiness: &Readiness) {
        let check = readiness.check("tls", CheckKind::Informational, "");
        // A second check has no effect; there is one readiness.
        let _ = self.check.set(check);
        self.report();
    }

    /// Brings the check up to date, and logs from time to time what is wrong with the certificate in use.
    pub(super) fn report(&self) {
        let Some(check) = self.check.get() else {
            return;
        };
        let now = certificate::now();
        let mut state = self.state();
        let validity = state.validity;
        let fault = validity.fault_at(now);
        if let Some(unused) = &state.fault {
            check.fail(&format!(
                "the changed files of listen.tls are not in use: {unused}; the present certificate is valid until {validity}"
            ));
        } else if let Some(fault) = &fault {
            check.fail(fault);
        } else {
            check.pass(&format!("ok, the certificate is valid until {validity}"));
        }
        if let Some(fault) = fault
            && validity.is_log_due(state.logged_at, now)
        {
            state.logged_at = Some(now);
            drop(state);
            if now > validity.end {
                tracing::error!("{fault}");
            } else {
                tracing::warn!("{fault}");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
