//! The seam of the schemes: what a request claims, before anything is verified.
//!
//! A scheme reads the headers and says what was signed, when, and with which signatures. The rest is the same for all:
//! the age is checked, and each live key tries the signatures in constant time ([`Key::matches`](super::key::Key::matches)).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Uri};

use super::error::{AuthenticateError, HeaderForm};
use super::key::Key;
use super::sign::{Draft, Proof};

/// Signatures of one request. Senders sign once for each of their live keys, of which there are few.
pub(super) const MAX_SIGNATURES: usize = 16;
/// Of these by Ed25519: each costs a hash of the whole body for each key, whereas one HMAC is compared with all.
pub(super) const MAX_ED25519: usize = 4;
/// Pieces of which a signed content is composed.
pub(super) const MAX_PIECES: usize = 8;
/// The longest signature in bytes: Ed25519 and SHA-512.
const MAX_SIGNATURE: usize = 64;
/// What documented senders allow between the signature's time and the clock.
pub(super) const FIVE_MINUTES: Duration = Duration::from_mins(5);

/// How one kind of sender proves who it is.
pub(super) trait Scheme: fmt::Debug + Send + Sync {
    /// Reads what the request claims.
    fn claim<'a>(&'a self, request: &UnverifiedRequest<'a>)
    -> Result<Claim<'a>, AuthenticateError>;

    /// Makes a key of a secret as the sender shows it; an error says what such a secret looks like.
    fn key(&self, secret: &str) -> Result<Key, &'static str>;

    /// The headers with which the sender proves who it is, for commands that send as it does. What they say must be what
    /// [`Scheme::claim`] reads.
    fn write(&self, draft: &Draft<'_>) -> Proof;

    /// What the sender adds to the query of the URL of such a request.
    fn query(&self, _request: &UnverifiedRequest<'_>) -> Option<String> {
        None
    }

    /// The sender's id of the message, which each retry repeats.
    fn message_id<'a>(&self, _headers: &'a HeaderMap) -> Option<&'a str> {
        None
    }

    /// The settings with which a signature that was refused for its form would have it, as a clause. For commands, never
    /// while serving.
    fn other_settings(&self, _headers: &HeaderMap) -> Option<String> {
        None
    }

    /// The refusal if no live key matches.
    fn mismatch(&self) -> AuthenticateError {
        AuthenticateError::Mismatch
    }

    /// The text that the sender expects as the answer, if this authenticated body only asks whether somebody is there.
    fn handshake(&self, _body: &[u8]) -> Option<String> {
        None
    }
}

/// A whole request that anybody may have sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnverifiedRequest<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) uri: &'a Uri,
    pub(crate) body: &'a [u8],
}

/// What a request says of its signature.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) content: Content<'a>,
    pub(super) signatures: Signatures,
    /// `None` if the sender signs no time.
    pub(super) time: Option<SignedTime>,
}

impl<'a> Claim<'a> {
    /// A claim without a time.
    pub(super) fn of(pieces: &[&'a [u8]], signatures: Signatures) -> Self {
        Self {
            content: Content::pieces(pieces),
            signatures,
            time: None,
        }
    }

    /// The same, signed at this time.
    pub(super) fn at(self, time: SignedTime) -> Self {
        Self {
            time: Some(time),
            ..self
        }
    }
}

/// The signed bytes.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// In pieces, so that the body is not copied.
    Pieces([&'a [u8]; MAX_PIECES], usize),
    /// Any one of these: the sender does not say which.
    AnyOf(Vec<Vec<u8>>),
}

impl<'a> Content<'a> {
    /// At most [`MAX_PIECES`].
    pub(super) fn pieces(pieces: &[&'a [u8]]) -> Self {
        debug_assert!(pieces.len() <= MAX_PIECES, "the scheme bounds them");
        let mut array = [&[][..]; MAX_PIECES];
        for (slot, piece) in array.iter_mut().zip(pieces) {
            *slot = piece;
        }
        Self::Pieces(array, pieces.len().min(MAX_PIECES))
    }

    /// True if `matches` holds for the pieces of one content.
    pub(super) fn any(&self, matches: impl Fn(&[&[u8]]) -> bool) -> bool {
        match self {
            Self::Pieces(pieces, count) => matches(&pieces[..*count]),
            Self::AnyOf(contents) => contents.iter().any(|content| matches(&[content])),
        }
    }

    /// `make` of the pieces of the last content, which is the plainest.
    pub(super) fn last<T>(&self, make: impl FnOnce(&[&[u8]]) -> Option<T>) -> Option<T> {
        match self {
            Self::Pieces(pieces, count) => make(&pieces[..*count]),
            Self::AnyOf(contents) => make(&[contents.last()?]),
        }
    }
}

/// What a signature was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// HMAC, with the digest of the key.
    Hmac,
    Ed25519,
}

/// A well-formed signature that is not yet verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signature {
    algorithm: Algorithm,
    bytes: [u8; MAX_SIGNATURE],
    length: usize,
}

impl Signature {
    /// From lower-case hexadecimal digits of `length` bytes, which every documented sender writes.
    pub(super) fn from_hex(text: &str, length: usize) -> Option<Self> {
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        Self::from_any_hex(text, length).filter(|_| is_lower)
    }

    /// From hexadecimal digits of `length` bytes in either case.
    pub(super) fn from_any_hex(text: &str, length: usize) -> Option<Self> {
        let mut bytes = [0; MAX_SIGNATURE];
        hex::decode_to_slice(text, bytes.get_mut(..length)?).ok()?;
        Some(Self {
            algorithm: Algorithm::Hmac,
            bytes,
            length,
        })
    }

    /// From padded base64 (RFC 4648, section 4) of `length` bytes.
    pub(super) fn from_base64(text: &str, length: usize, algorithm: Algorithm) -> Option<Self> {
        // The decoder wants room for whole groups of three.
        let mut decoded = [0; MAX_SIGNATURE + 2];
        let written = STANDARD.decode_slice(text, &mut decoded).ok()?;
        let mut bytes = [0; MAX_SIGNATURE];
        bytes
            .get_mut(..length)
            .filter(|_| written == length)?
            .copy_from_slice(&decoded[..length]);
        Some(Self {
            algorithm,
            bytes,
            length,
        })
    }
}

/// Signatures, any one of which is enough.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    list: [Option<Signature>; MAX_SIGNATURES],
    count: usize,
}

impl Signatures {
    /// `None` if there are too many.
    pub(super) fn push(&mut self, signature: Signature) -> Option<()> {
        let algorithm = signature.algorithm;
        if algorithm == Algorithm::Ed25519 && self.of(algorithm).count() == MAX_ED25519 {
            return None;
        }
        *self.list.get_mut(self.count)? = Some(signature);
        self.count += 1;
        Some(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn of(&self, algorithm: Algorithm) -> impl Iterator<Item = &[u8]> {
        let list = self.list[..self.count].iter().flatten();
        let made_with = list.filter(move |signature| signature.algorithm == algorithm);
        made_with.map(|signature| &signature.bytes[..signature.length])
    }
}

impl From<Signature> for Signatures {
    fn from(signature: Signature) -> Self {
        let mut signatures = Self::default();
        signatures.list[0] = Some(signature);
        signatures.count = 1;
        signatures
    }
}

/// When a request was signed, and how far that may be from this server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignedTime {
    /// Milliseconds since the Unix epoch.
    pub(super) ms: u64,
    /// The largest age.
    pub(super) behind: Duration,
    /// How far the signature's time may be ahead; `None` if the sender's own library does not look at that.
    pub(super) ahead: Option<Duration>,
}

impl SignedTime {
    /// Seconds since the Unix epoch, with five minutes in both directions.
    pub(super) fn of_seconds(seconds: u64) -> Self {
        Self {
            ms: seconds.saturating_mul(1000),
            behind: FIVE_MINUTES,
            ahead: Some(FIVE_MINUTES),
        }
    }

    /// `now_ms` are milliseconds since the Unix epoch.
    pub(super) fn check(&self, now_ms: u64) -> Result<(), AuthenticateError> {
        let is_ahead = self.ms > now_ms;
        let difference = Duration::from_millis(self.ms.abs_diff(now_ms));
        let tolerance = if is_ahead {
            self.ahead
        } else {
            Some(self.behind)
        };
        match tolerance {
            Some(tolerance) if difference > tolerance => Err(AuthenticateError::Stale {
                difference,
                is_ahead,
                tolerance,
            }),
            _ => Ok(()),
        }
    }
}

/// A number of plain digits without a leading zero. `parse` alone would also accept a sign, which no sender writes.
pub(super) fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

/// A header that a scheme reads.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) name: HeaderName,
    /// How errors describe it.
    pub(super) form: HeaderForm,
}

impl Header {
    /// `name` in lower case, and as the sender spells it.
    pub(super) const fn new(name: &'static str, shown: &'static str, form: &'static str) -> Self {
        Self {
            name: HeaderName::from_static(name),
            form: HeaderForm {
                header: Cow::Borrowed(shown),
                form: Cow::Borrowed(form),
                challenge: None,
            },
        }
    }

    /// Its value. A repeated header is malformed, because it is ambiguous.
    pub(super) fn read<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, AuthenticateError> {
        let mut values = headers.get_all(&self.name).iter();
        let value = values
            .next()
            .ok_or_else(|| AuthenticateError::Missing(self.form.clone()))?;
        let text = value.to_str().ok().filter(|text| !text.is_empty());
        let text = text.filter(|_| values.next().is_none());
        text.ok_or_else(|| self.malformed())
    }

    pub(super) fn malformed(&self) -> AuthenticateError {
        AuthenticateError::Malformed(self.form.clone())
    }
}

/// True if the request says that its body is a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = only(headers, &CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The value of a header that is there once, if it is visible ASCII.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok();
    value.filter(|_| values.next().is_none())
}
