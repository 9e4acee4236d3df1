//! Why a request is not authenticated.

use std::time::Duration;

/// What is wrong with a request's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// The scheme's header is missing.
    #[error("signature is missing")]
    Missing {
        /// The header, spelled as the sender documents it.
        header: &'static str,
    },
    /// The header is repeated, or does not have the scheme's form.
    #[error("signature is malformed")]
    Malformed {
        /// That form, as the sender documents it.
        form: &'static str,
    },
    /// The signature's time is outside the scheme's window.
    #[error("signature is stale")]
    Stale {
        /// Between the signature's time and this server's clock.
        difference: Duration,
        /// True if the signature's time is the later one.
        is_ahead: bool,
    },
    /// No live key gives this signature.
    #[error("signature does not match")]
    Mismatch,
}
