//! What a source configures of its scheme beside `verify` and `keys`.

use std::time::Duration;

use http::HeaderName;

use super::template::Template;
use super::twilio_url::TwilioUrl;
use crate::settings::{Decoder, Kind, SettingValue, Shown, settings};

/// A setting of a scheme that is missing, left over, or does not fit the others.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SettingsError {
    /// The key within the source, as `hmac.content`.
    pub(crate) key: &'static str,
    pub(crate) message: String,
}

settings! {
    /// The signature of `verify = "hmac"`: a digest of the body, and what else the sender signs, in one header.
    pub struct HmacConfig {
        /// The header with the signature.
        header: String = String::new(), required, check(|name| check_header(name));
        /// What stands in the header before the digest, such as `sha256=`.
        prefix: String = String::new();
        /// How the digest is written: `"hex"` (lower case), `"hex-upper"` or `"base64"`.
        encoding: Encoding = Encoding::Hex;
        /// The hash function: `"sha256"`, `"sha512"` or `"sha1"`.
        digest: Digest = Digest::Sha256;
        /// What is signed: text with `{body}` and, if the sender signs them too, `{timestamp}` and `{id}` in it.
        content: String = String::from("{body}"), check(|content| Template::parse(content).map(drop));
        /// The header with the time of the signature in seconds since the Unix epoch (from 100000000000 on: milliseconds).
        /// Only if `content` has `{timestamp}`.
        timestamp_header: Option<String> = None, check(|name| name.iter().try_for_each(|name| check_header(name)));
        /// The header with the message's id, which becomes the event's `ce_id`. Only if `content` has `{id}`.
        /// If only text stands between id and body there, an id with that text in it is refused: where it ends is not signed.
        id_header: Option<String> = None, check(|name| name.iter().try_for_each(|name| check_header(name)));
        /// How far the time may be from this machine's clock, in both directions.
        tolerance: Duration = Duration::from_mins(5), bounds(Duration::from_secs(1)..=Duration::from_hours(24));
        /// How the secret is written: `"text"` (its characters are the key), `"hex"` or `"base64"`.
        key_encoding: KeyEncoding = KeyEncoding::Text;
    }
}

settings! {
    /// What `verify = "twilio"` has to know.
    pub struct TwilioConfig {
        /// The URL that Twilio was given, without its query: Twilio signs it, and behind a proxy no request shows it.
        url: TwilioUrl = TwilioUrl::default(), required, secret;
    }
}

settings! {
    /// Where `verify = "bearer"` finds the token.
    pub struct BearerConfig {
        /// A header that holds the token alone; by default it is `Authorization: Bearer <token>`.
        header: String = String::from("Authorization"), check(|name| check_header(name));
    }
}

fn check_header(name: &str) -> Result<(), String> {
    if name.parse::<HeaderName>().is_ok() {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a header's name; write one such as \"X-Signature\""
    ))
}

impl HmacConfig {
    /// The header's form, in words for the sender.
    pub(super) fn form(&self) -> String {
        let (prefix, length) = (&self.prefix, self.digest.length());
        match self.encoding {
            Encoding::Hex => format!("{prefix}<{} hexadecimal digits in lower case>", 2 * length),
            Encoding::HexUpper => {
                format!("{prefix}<{} hexadecimal digits in upper case>", 2 * length)
            }
            Encoding::Base64 => format!("{prefix}<{length} bytes in base64>"),
        }
    }
}

/// A setting that is one of several names.
macro_rules! choice {
    ($(#[doc = $doc:literal])* $name:ident, $schema:literal, $remedy:literal, $($variant:ident = $text:literal),*) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`\"", $text, "\"`")] $variant,)*
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self { $(Self::$variant => $text,)* })
            }
        }

        impl SettingValue for $name {
            fn kind() -> Kind {
                Kind::scalar("name", $remedy, $schema)
            }

            fn decode(value: toml::Value, decoder: &mut Decoder<'_>) -> Option<Self> {
                decoder.one_of(&value, &[$(Self::$variant),*])
            }

            fn show(&self) -> Option<Shown> {
                Some(Shown::quoted(self))
            }
        }
    };
}

choice!(
    /// How a digest is written.
    Encoding,
    r#"{"enum": ["hex", "hex-upper", "base64"]}"#,
    "write \"hex\", \"hex-upper\" or \"base64\"",
    Hex = "hex",
    HexUpper = "hex-upper",
    Base64 = "base64"
);

choice!(
    /// A hash function.
    Digest,
    r#"{"enum": ["sha256", "sha512", "sha1"]}"#,
    "write \"sha256\", \"sha512\" or \"sha1\"",
    Sha256 = "sha256",
    Sha512 = "sha512",
    Sha1 = "sha1"
);

choice!(
    /// How a secret is written.
    KeyEncoding,
    r#"{"enum": ["text", "hex", "base64"]}"#,
    "write \"text\", \"hex\" or \"base64\"",
    Text = "text",
    Hex = "hex",
    Base64 = "base64"
);

impl Digest {
    /// Bytes of a digest.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}
