//! Signs requests as a sender does, and says how far one that was captured is authentic: for commands, never while serving.
//!
//! What is signed is read back from the request by the scheme's own [`Scheme::claim`], and digests are made by [`Key`], so
//! that signing and verifying cannot differ.

use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::claim::{Scheme, UnverifiedRequest};
use super::config::SettingsError;
use super::error::AuthenticateError;
use super::from_config::SchemeConfig;
use super::key::Key;
use super::verify::Verify;

/// What a sender writes into the headers of one request.
pub(super) struct Draft<'a> {
    /// Milliseconds since the Unix epoch.
    pub(super) now_ms: u64,
    /// The message's id.
    pub(super) id: &'a str,
    /// As the sender shows it: a token is sent as it is.
    pub(super) secret: &'a str,
    /// The digest; empty if the scheme sends the secret.
    pub(super) tag: &'a [u8],
}

impl Draft<'_> {
    pub(super) fn seconds(&self) -> u64 {
        self.now_ms / 1000
    }
}

/// Headers by name, in the order in which the sender writes them.
pub(super) type Proof = Vec<(HeaderName, String)>;

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A setting of the scheme is missing, left over, or does not fit.
    #[error("{} {}", .0.key, .0.message)]
    Settings(SettingsError),
    /// What was read is not a key of this scheme.
    #[error("is not a key of verify = \"{verify}\": write {form}")]
    Form {
        /// The scheme.
        verify: Verify,
        /// What such a key looks like.
        form: &'static str,
    },
    /// An Ed25519 key.
    #[error(
        "is a public key, which verifies signatures and cannot make them: give a secret, whsec_…"
    )]
    Public,
    /// The scheme has no signature for such a body.
    #[error("cannot be signed")]
    Unsignable(#[source] AuthenticateError),
    /// The key or the id does not fit into a header.
    #[error("holds characters that no header can have")]
    Header(#[from] InvalidHeaderValue),
}

/// One key of one sender.
pub(crate) struct Signer {
    verify: Verify,
    scheme: Box<dyn Scheme>,
    secret: secrecy::SecretString,
    key: Key,
}

/// What a well-formed request says, apart from whether it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Examined {
    /// True if the key gives one of its signatures, or is its token.
    pub(crate) is_match: bool,
    /// When it says that it was signed, in milliseconds since the Unix epoch.
    pub(crate) signed_ms: Option<u64>,
    /// [`AuthenticateError::Stale`] if that is too far from the clock.
    pub(crate) stale: Option<AuthenticateError>,
}

impl Signer {
    /// `None` if the scheme is `none`, for which nothing is signed. `config.keys` are not read.
    pub(crate) fn new(config: &SchemeConfig<'_>, secret: &str) -> Result<Option<Self>, SignError> {
        let scheme = super::from_config::scheme(config)
            .map_err(|mut faults| SignError::Settings(faults.swap_remove(0)))?;
        let Some(scheme) = scheme else {
            return Ok(None);
        };
        let verify = config.verify;
        let key = scheme.key(secret);
        let key = key.map_err(|form| SignError::Form { verify, form })?;
        Ok(Some(Self {
            verify,
            scheme,
            secret: secret.into(),
            key,
        }))
    }

    /// The query that the sender adds to the URL of such a request, without `?`.
    pub(crate) fn query(&self, request: &UnverifiedRequest<'_>) -> Option<String> {
        self.scheme.query(request)
    }

    /// The headers that prove who sends `request`, signed at `now_ms`, milliseconds since the Unix epoch; `id` is the
    /// message's. The request has the others already.
    pub(crate) fn sign(
        &self,
        request: &UnverifiedRequest<'_>,
        now_ms: u64,
        id: &str,
    ) -> Result<HeaderMap, SignError> {
        // A signature of nothing, as long as the real one, so that the request has the form that says what is signed.
        let blank = self.key.tag(&[]).ok_or(SignError::Public)?;
        let drafted = self.write(now_ms, id, &blank)?;
        let mut headers = request.headers.clone();
        headers.extend(drafted);
        let draft = UnverifiedRequest {
            headers: &headers,
            ..*request
        };
        let claim = self.scheme.claim(&draft);
        let claim = claim.map_err(SignError::Unsignable)?;
        let tag = claim.content.last(|pieces| self.key.tag(pieces));
        self.write(now_ms, id, &tag.ok_or(SignError::Public)?)
    }

    pub(crate) fn verify(&self) -> Verify {
        self.verify
    }

    /// What the source's settings would have to say for the signature's header to have their form, if that can be seen in
    /// it. For those who look after the source, never for whoever sends.
    pub(crate) fn other_settings(&self, headers: &HeaderMap) -> Option<String> {
        self.scheme.other_settings(headers)
    }

    /// True if the sender signs when it sends.
    pub(crate) fn signs_time(&self, request: &UnverifiedRequest<'_>) -> bool {
        let claim = self.scheme.claim(request);
        claim.is_ok_and(|claim| claim.time.is_some())
    }

    /// True if the sender signs the body, and does not only show a secret.
    pub(crate) fn signs_body(&self) -> bool {
        !matches!(self.key, Key::Token(_))
    }

    /// Reads what the request claims; fails if its headers do not have the scheme's form.
    pub(crate) fn examine(
        &self,
        request: &UnverifiedRequest<'_>,
        now_ms: u64,
    ) -> Result<Examined, AuthenticateError> {
        let claim = self.scheme.claim(request)?;
        Ok(Examined {
            is_match: self.key.matches(&claim),
            signed_ms: claim.time.map(|time| time.ms),
            stale: claim.time.and_then(|time| time.check(now_ms).err()),
        })
    }

    /// True if a key of these bytes gives the request's signature.
    pub(crate) fn would_match(&self, bytes: &[u8], request: &UnverifiedRequest<'_>) -> bool {
        let key = self.key.with_bytes(bytes);
        let claim = self.scheme.claim(request).ok();
        key.zip(claim)
            .is_some_and(|(key, claim)| key.matches(&claim))
    }

    fn write(&self, now_ms: u64, id: &str, tag: &[u8]) -> Result<HeaderMap, SignError> {
        use secrecy::ExposeSecret as _;
        let draft = Draft {
            now_ms,
            id,
            secret: self.secret.expose_secret(),
            tag,
        };
        let written = self.scheme.write(&draft).into_iter();
        let written = written.map(|(name, value)| Ok((name, HeaderValue::try_from(value)?)));
        written
            .collect::<Result<_, InvalidHeaderValue>>()
            .map_err(SignError::Header)
    }
}
