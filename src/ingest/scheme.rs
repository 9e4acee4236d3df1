//! Who sent this? Decided over the raw bytes, before anything is parsed or looked up.
//!
//! Each scheme is a variant of [`Verify`](super::Verify) and a file here with one function: headers, body, one key and
//! the time in, a verdict out. Keys are tried in turn, so that two can be live while one replaces the other.

mod keys;
mod retell;

use super::config::{SourceConfig, Verify};
use arc_swap::ArcSwap;
use http::HeaderMap;
use keys::Key;
pub use keys::KeyError;
use std::sync::Arc;

/// Why a request is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// No signature in the scheme's header.
    #[error("signature is missing")]
    Missing {
        /// As the sender writes its name.
        header: &'static str,
    },
    /// Not of the scheme's form, or repeated.
    #[error("signature is malformed")]
    Malformed,
    /// Its time is outside the scheme's window.
    #[error("signature is stale")]
    Stale,
    /// No live key gives it.
    #[error("signature does not match")]
    Mismatch,
}

/// One source's scheme and live keys.
#[derive(Debug)]
pub(super) struct Authenticator {
    scheme: Verify,
    keys: ArcSwap<Vec<Key>>,
}

impl Authenticator {
    /// Reads the keys; fails where a scheme that needs keys has none.
    pub(super) fn new(source: &SourceConfig) -> Result<Self, KeyError> {
        Ok(Self {
            scheme: source.verify,
            keys: ArcSwap::from_pointee(keys::read(source)?),
        })
    }

    /// The keys as they are now outside, to be put in by [`Authenticator::replace`].
    pub(super) fn read_again(source: &SourceConfig) -> Result<FreshKeys, KeyError> {
        keys::read(source).map(FreshKeys)
    }

    /// Running requests finish with the keys they began with.
    pub(super) fn replace(&self, fresh: FreshKeys) {
        self.keys.store(Arc::new(fresh.0));
    }

    /// The index of the key that signed `body`; `None` where the scheme has no keys.
    pub(super) fn authenticate(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now_ms: u64,
    ) -> Result<Option<usize>, AuthenticateError> {
        match self.scheme {
            Verify::None => Ok(None),
            Verify::Retell => {
                let signature = retell::Signature::from_headers(headers)?;
                signature.check_age(now_ms)?;
                let keys = self.keys.load();
                keys.iter()
                    .position(|key| signature.matches(key, body))
                    .map(Some)
                    .ok_or(AuthenticateError::Mismatch)
            }
        }
    }
}

/// Keys that were read and found good, but are not yet in use.
#[derive(Debug)]
pub(super) struct FreshKeys(Vec<Key>);
