//! A live key, ready to verify. Comparisons take the same time whether or not they succeed.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::claim::{Algorithm, Claim, Signatures};

/// Bytes of an Ed25519 public key.
const ED25519_KEY: usize = 32;

/// What a sender's secret becomes. An HMAC is kept as its state: the two blocks that depend on the key alone are already
/// hashed.
pub(crate) enum Key {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
    /// A public key: whoever reads it cannot sign.
    Ed25519([u8; ED25519_KEY]),
    /// SHA-256 of a token, so that the comparison does not depend on the token's length either.
    Token([u8; 32]),
}

impl Key {
    pub(super) fn sha1(secret: &[u8]) -> Option<Self> {
        hmac(secret).map(Self::Sha1)
    }

    pub(super) fn sha256(secret: &[u8]) -> Option<Self> {
        hmac(secret).map(Self::Sha256)
    }

    pub(super) fn sha512(secret: &[u8]) -> Option<Self> {
        hmac(secret).map(Self::Sha512)
    }

    pub(super) fn ed25519(public: &[u8]) -> Option<Self> {
        public.try_into().ok().map(Self::Ed25519)
    }

    pub(super) fn token(token: &[u8]) -> Self {
        Self::Token(Sha256::digest(token).into())
    }

    /// True if this key gives one of the claimed signatures, or is the claimed token.
    pub(super) fn matches(&self, claim: &Claim<'_>) -> bool {
        let signatures = &claim.signatures;
        claim.content.any(|pieces| match self {
            Self::Sha1(mac) => mac_matches(mac, pieces, signatures),
            Self::Sha256(mac) => mac_matches(mac, pieces, signatures),
            Self::Sha512(mac) => mac_matches(mac, pieces, signatures),
            Self::Ed25519(public) => ed25519_matches(public, pieces, signatures),
            Self::Token(digest) => {
                let mut hash = Sha256::new();
                for piece in pieces {
                    hash.update(piece);
                }
                hash.finalize().as_slice().ct_eq(digest).into()
            }
        })
    }
}

/// `None` if HMAC refuses the key: it accepts every length, but a blank key would be everybody's.
fn hmac<M: KeyInit>(secret: &[u8]) -> Option<M> {
    let secret = Some(secret).filter(|secret| !secret.is_empty());
    M::new_from_slice(secret?).ok()
}

fn mac_matches<M: Mac + Clone>(mac: &M, pieces: &[&[u8]], signatures: &Signatures) -> bool {
    let mut mac = mac.clone();
    for piece in pieces {
        mac.update(piece);
    }
    let tag = mac.finalize().into_bytes();
    let mut signatures = signatures.of(Algorithm::Hmac);
    signatures.any(|signature| tag.as_slice().ct_eq(signature).into())
}

/// The signature of a message in pieces takes a copy of the message: Ed25519 reads it twice.
fn ed25519_matches(public: &[u8], pieces: &[&[u8]], signatures: &Signatures) -> bool {
    let mut signatures = signatures.of(Algorithm::Ed25519).peekable();
    if signatures.peek().is_none() {
        return false;
    }
    let message = pieces.concat();
    let public = UnparsedPublicKey::new(&ED25519, public);
    signatures.any(|signature| public.verify(&message, signature).is_ok())
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key([redacted])")
    }
}
