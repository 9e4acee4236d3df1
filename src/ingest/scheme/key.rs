//! A live key, ready to verify. Comparisons take the same time whether or not they succeed.

use std::fmt;

use hmac::digest::Output;
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

    /// `None` if it is no public key of 32 bytes, or one of small order: a placeholder such as zeros, for which anybody can sign.
    pub(super) fn ed25519(public: &[u8]) -> Option<Self> {
        let public = public.try_into().ok()?;
        (!is_of_small_order(&public)).then_some(Self::Ed25519(public))
    }

    pub(super) fn token(token: &[u8]) -> Self {
        Self::Token(Sha256::digest(token).into())
    }

    /// A key of the same kind, of another secret.
    pub(super) fn with_bytes(&self, secret: &[u8]) -> Option<Self> {
        match self {
            Self::Sha1(_) => Self::sha1(secret),
            Self::Sha256(_) => Self::sha256(secret),
            Self::Sha512(_) => Self::sha512(secret),
            Self::Ed25519(_) => Self::ed25519(secret),
            Self::Token(_) => Some(Self::token(secret)),
        }
    }

    /// The signature of a content in pieces, empty if the sender shows its token instead; `None` for a public key.
    pub(super) fn tag(&self, pieces: &[&[u8]]) -> Option<Vec<u8>> {
        Some(match self {
            Self::Sha1(mac) => tag(mac, pieces).to_vec(),
            Self::Sha256(mac) => tag(mac, pieces).to_vec(),
            Self::Sha512(mac) => tag(mac, pieces).to_vec(),
            Self::Ed25519(_) => return None,
            Self::Token(_) => Vec::new(),
        })
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

/// True for the encodings of the eight points whose order divides 8, and for other encodings of the same points; each with
/// either sign (RFC 8032, section 5.1.2, encodes; the points are in "Taming the Many EdDSAs", table 1).
fn is_of_small_order(public: &[u8; 32]) -> bool {
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *public;
    y[31] &= 0x7f;
    // 0 and 1; and p - 1, p and p + 1, for p = 2^255 - 19.
    let is_tiny = y[0] <= 1 && y[1..].iter().all(|byte| *byte == 0);
    let is_near_p =
        (0xec..=0xee).contains(&y[0]) && y[1..31].iter().all(|byte| *byte == 0xff) && y[31] == 0x7f;
    is_tiny || is_near_p || ORDER_8.contains(&y)
}

/// `None` if HMAC refuses the key: it accepts every length, but a blank key would be everybody's.
fn hmac<M: KeyInit>(secret: &[u8]) -> Option<M> {
    let secret = Some(secret).filter(|secret| !secret.is_empty());
    M::new_from_slice(secret?).ok()
}

fn tag<M: Mac + Clone>(mac: &M, pieces: &[&[u8]]) -> Output<M> {
    let mut mac = mac.clone();
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes()
}

fn mac_matches<M: Mac + Clone>(mac: &M, pieces: &[&[u8]], signatures: &Signatures) -> bool {
    let tag = tag(mac, pieces);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_for_which_anybody_can_sign_is_no_key() {
        let key = |first: u8, middle: u8, last: u8| {
            let mut key = [middle; 32];
            (key[0], key[31]) = (first, last);
            Key::ed25519(&key)
        };
        // 0, 1, -1, p and p + 1, some with the sign; and what is near them.
        for (first, middle, last) in [
            (0, 0, 0),
            (1, 0, 0),
            (1, 0, 0x80),
            (0xec, 0xff, 0x7f),
            (0xed, 0xff, 0xff),
            (0xee, 0xff, 0x7f),
        ] {
            assert!(key(first, middle, last).is_none(), "{first:x}");
        }
        assert!(key(2, 0, 0).is_some() && key(0xeb, 0xff, 0x7f).is_some());
        let mut of_order_8 = [0; 32];
        let digits = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85";
        hex::decode_to_slice(digits, &mut of_order_8).unwrap();
        assert!(Key::ed25519(&of_order_8).is_none());
    }
}
