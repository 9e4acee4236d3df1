//! Why a request is not authenticated.

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
    Malformed,
    /// The signature's time is outside the scheme's window.
    #[error("signature is stale")]
    Stale,
    /// No live key gives this signature.
    #[error("signature does not match")]
    Mismatch,
}
