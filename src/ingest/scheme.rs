//! Authenticates a request over its raw bytes, before anything is parsed or looked up.
//!
//! Each scheme is a variant of [`Verify`] and a file here. All live keys are tried in turn, so that two
//! can be live while one replaces the other.

mod error;
mod keys;
mod retell;
mod verify;

pub use self::error::AuthenticateError;
pub use self::keys::{KeyConfig, KeyError};
pub use self::verify::Verify;

pub(super) use self::keys::{faults as key_faults, labels};

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;

use self::keys::Key;

/// The scheme and the live keys of one source.
#[derive(Debug)]
pub(super) struct Authenticator {
    scheme: Verify,
    keys: ArcSwap<Vec<Key>>,
}

impl Authenticator {
    /// Reads the keys; fails if the scheme needs keys and there are none.
    pub(super) fn new(scheme: Verify, keys: &[KeyConfig]) -> Result<Self, KeyError> {
        Ok(Self {
            scheme,
            keys: ArcSwap::from_pointee(keys::read(scheme, keys)?),
        })
    }

    /// Reads the keys again, to be put into use by [`Authenticator::replace`].
    pub(super) fn read_again(&self, keys: &[KeyConfig]) -> Result<FreshKeys, KeyError> {
        keys::read(self.scheme, keys).map(FreshKeys)
    }

    /// Puts `fresh` into use. Running requests finish with the old keys.
    pub(super) fn replace(&self, fresh: FreshKeys) {
        self.keys.store(Arc::new(fresh.0));
    }

    /// True if the sender expects an answer with content to an event of this name, or to one without a name.
    pub(super) fn expects_content(&self, event: Option<&str>) -> bool {
        self.scheme.expects_content(event)
    }

    /// The documented names of the sender's events.
    pub(super) fn event_kinds(&self) -> &'static [&'static str] {
        self.scheme.event_kinds()
    }

    /// What an operator should check if no key matches.
    pub(super) fn key_hint(&self) -> Option<&'static str> {
        self.scheme.key_hint()
    }

    /// The index of the key that signed `body`; `None` if the scheme has no keys.
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

/// Valid keys that are not yet in use.
#[derive(Debug)]
pub(super) struct FreshKeys(Vec<Key>);
