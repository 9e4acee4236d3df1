//! Authenticates a request over its raw bytes, before anything is parsed or looked up.
//!
//! Each scheme is a variant of [`Verify`] and a file here, behind the seam in `claim`. All live keys are tried in turn, so
//! that two can be live while one replaces the other.

mod basic;
mod bearer;
mod claim;
mod config;
mod error;
mod from_config;
mod github;
mod hmac;
mod key;
mod keys;
mod presets;
mod retell;
mod shopify;
mod sign;
mod slack;
mod standard_webhooks;
mod stripe;
mod template;
mod twilio;
mod twilio_url;
mod verify;

pub use self::config::{BearerConfig, HmacConfig, SettingsError, TwilioConfig};
pub use self::error::{AuthenticateError, HeaderForm};
pub use self::keys::{KeyConfig, KeyError};
pub use self::presets::{PRESETS, Place, Preset};
pub use self::sign::SignError;
pub use self::verify::Verify;

pub(crate) use self::claim::UnverifiedRequest;
pub(crate) use self::from_config::SchemeConfig;
pub(super) use self::keys::labels;
pub(crate) use self::presets::fill;
pub(crate) use self::sign::{Examined, Signer};

use http::HeaderMap;

use self::claim::Scheme;
use self::key::Key;

/// The longest message id in bytes; a longer one is not used. Documented ones have at most 40.
const MAX_MESSAGE_ID: usize = 128;

/// The scheme and the live keys of one source.
#[derive(Debug)]
pub(super) struct Authenticator {
    verify: Verify,
    /// `None` if anybody may send.
    scheme: Option<Box<dyn Scheme>>,
    keys: Vec<Key>,
}

/// Why a source's senders cannot be authenticated.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemeError {
    #[error(transparent)]
    Settings(SettingsError),
    #[error(transparent)]
    Key(KeyError),
}

impl Authenticator {
    /// Reads the keys; fails if the scheme needs keys or settings and there are none.
    pub(super) fn new(config: &SchemeConfig<'_>) -> Result<Self, SchemeError> {
        let scheme = self::from_config::scheme(config)
            .map_err(|mut faults| SchemeError::Settings(faults.swap_remove(0)))?;
        let keys = self::keys::read_each(config.verify, scheme.as_deref(), config.keys);
        let keys = keys.into_iter().collect::<Result<_, _>>();
        Ok(Self {
            verify: config.verify,
            scheme,
            keys: keys.map_err(SchemeError::Key)?,
        })
    }

    /// Everything that [`Authenticator::new`] would find wrong.
    pub(super) fn faults(config: &SchemeConfig<'_>) -> Vec<SchemeError> {
        match self::from_config::scheme(config) {
            // What a key must look like depends on the settings.
            Err(faults) => faults.into_iter().map(SchemeError::Settings).collect(),
            Ok(scheme) => {
                let keys = self::keys::read_each(config.verify, scheme.as_deref(), config.keys);
                let faults = keys.into_iter().filter_map(Result::err);
                faults.map(SchemeError::Key).collect()
            }
        }
    }

    /// True if the sender expects an answer with content to an event of this name, or to one without a name.
    pub(super) fn expects_content(&self, event: Option<&str>) -> bool {
        self.verify.expects_content(event)
    }

    /// The documented names of the sender's events.
    pub(super) fn event_kinds(&self) -> &'static [&'static str] {
        self.verify.event_kinds()
    }

    /// What an operator should check if no key matches.
    pub(super) fn key_hint(&self) -> Option<&'static str> {
        self.verify.key_hint()
    }

    /// The index of the key that authenticates the request; `None` if the scheme has no keys.
    pub(super) fn authenticate(
        &self,
        request: &UnverifiedRequest<'_>,
        now_ms: u64,
    ) -> Result<Option<usize>, AuthenticateError> {
        let Some(scheme) = &self.scheme else {
            return Ok(None);
        };
        let claim = scheme.claim(request)?;
        if let Some(time) = claim.time {
            time.check(now_ms)?;
        }
        let matching = self.keys.iter().position(|key| key.matches(&claim));
        matching.map(Some).ok_or_else(|| scheme.mismatch())
    }

    /// The sender's id of an authenticated message, if its scheme has one, at most [`MAX_MESSAGE_ID`] bytes of visible
    /// ASCII. Some senders do not sign it.
    pub(super) fn message_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let id = self.scheme.as_ref()?.message_id(headers)?;
        let is_usable = (1..=MAX_MESSAGE_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_usable.then_some(id)
    }

    /// The text that the sender expects as the answer, if the authenticated `body` only asks whether somebody is there.
    pub(super) fn handshake(&self, body: &[u8]) -> Option<String> {
        self.scheme.as_ref()?.handshake(body)
    }
}

#[cfg(test)]
mod tests;
