//! Why a request is not authenticated.

use std::borrow::Cow;
use std::time::Duration;

/// What is wrong with a request's signature or credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// The scheme's header is missing.
    #[error("signature is missing")]
    Missing(HeaderForm),
    /// The header is repeated, or does not have the scheme's form.
    #[error("signature is malformed")]
    Malformed(HeaderForm),
    /// The signature would not cover the whole body.
    #[error("signature does not cover the body")]
    Uncovered {
        /// What the request must have, as `a form, or …`.
        wanted: &'static str,
    },
    /// The signature's time is outside the scheme's window.
    #[error("signature is stale")]
    Stale {
        /// Between the signature's time and this server's clock.
        difference: Duration,
        /// True if the signature's time is the later one.
        is_ahead: bool,
        /// The largest difference in this direction.
        tolerance: Duration,
    },
    /// No live key gives this signature.
    #[error("signature does not match")]
    Mismatch,
    /// The header holds a token, or a name and a password, but not those of a live key.
    #[error("credentials do not match")]
    WrongCredentials(HeaderForm),
}

impl AuthenticateError {
    /// The value of `WWW-Authenticate`, if the sender uses a scheme of HTTP's own (RFC 9110, section 11.6.1). Some clients
    /// send their password only when they are asked for it.
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Missing(header) | Self::Malformed(header) | Self::WrongCredentials(header) => {
                header.challenge
            }
            Self::Uncovered { .. } | Self::Stale { .. } | Self::Mismatch => None,
        }
    }
}

/// A header as an error describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderForm {
    /// Its name, spelled as the sender documents it.
    pub header: Cow<'static, str>,
    /// Its form, as the sender documents it.
    pub form: Cow<'static, str>,
    /// What is sent as `WWW-Authenticate` with the refusal.
    pub challenge: Option<&'static str>,
}
