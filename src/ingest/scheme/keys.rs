//! Reads keys, from files and the environment only. A missing or blank key is an error, never a key.

use std::fmt;
use std::path::PathBuf;

use hmac::{Hmac, KeyInit as _};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

use super::verify::Verify;
use crate::settings::settings;

settings! {
    /// Where a signing key is read: exactly one of `env` and `file`.
    pub struct KeyConfig {
        /// An environment variable.
        env: Option<String> = None;
        /// A file. A line break at its end is not part of the key.
        file: Option<PathBuf> = None;
        /// The key's label in the metrics; by default its index.
        name: Option<String> = None;
    }
}

/// The metric label of each key: its configured name, else its index.
pub(crate) fn labels(keys: &[KeyConfig]) -> impl Iterator<Item = String> {
    let keys = keys.iter().enumerate();
    keys.map(|(index, key)| key.name.clone().unwrap_or_else(|| index.to_string()))
}

/// A live key as an HMAC-SHA256 state: the two blocks that depend on the key alone are already hashed.
pub(crate) struct Key(Hmac<Sha256>);

impl Key {
    /// `None` if HMAC refuses the key's length; it accepts every length.
    pub(crate) fn new(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// A new HMAC under this key, before any message bytes.
    pub(crate) fn mac(&self) -> Hmac<Sha256> {
        self.0.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key([redacted])")
    }
}

/// Why a source's keys cannot be used. `key` is the key's name or index.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// `verify` needs keys and there are none.
    #[error(
        "verify = \"{verify}\" needs keys: give keys = [{{ env = \"NAME\" }}] or [{{ file = \"PATH\" }}]"
    )]
    None {
        /// The scheme.
        verify: Verify,
    },
    /// `verify = "none"` ignores keys, so configured ones would only look like protection.
    #[error("verify = \"none\" does not use keys: remove them, or set verify")]
    Unused,
    /// Neither or both of `env` and `file`.
    #[error("key {key}: give exactly one of env and file")]
    Place {
        /// The key.
        key: String,
    },
    /// The environment variable is not set, or not UTF-8.
    #[error("key {key}: environment variable {variable} is not set")]
    Unset {
        /// The key.
        key: String,
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("key {key}: file {file} cannot be read")]
    Read {
        /// The key.
        key: String,
        /// The file, as configured.
        file: String,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The key is empty, so that anybody could sign with it.
    #[error("key {key}: is empty")]
    Empty {
        /// The key.
        key: String,
    },
    /// Two keys would share a metric label.
    #[error("key {key}: another key of this source has the same name")]
    Duplicate {
        /// The key.
        key: String,
    },
}

/// Reads the keys of one source, in their order.
pub(crate) fn read(verify: Verify, configs: &[KeyConfig]) -> Result<Vec<Key>, KeyError> {
    match (verify, configs.is_empty()) {
        (Verify::None, true) => return Ok(Vec::new()),
        (Verify::None, false) => return Err(KeyError::Unused),
        (verify, true) => return Err(KeyError::None { verify }),
        (_, false) => {}
    }
    let labels: Vec<String> = labels(configs).collect();
    let mut keys = Vec::with_capacity(labels.len());
    for (index, (config, label)) in configs.iter().zip(&labels).enumerate() {
        if labels[..index].contains(label) {
            return Err(KeyError::Duplicate { key: label.clone() });
        }
        let secret = secret(config, label)?;
        let empty = || KeyError::Empty { key: label.clone() };
        if secret.is_empty() {
            return Err(empty());
        }
        keys.push(Key::new(&secret).ok_or_else(empty)?);
    }
    Ok(keys)
}

fn secret(config: &KeyConfig, label: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let key = || label.to_owned();
    match (&config.env, &config.file) {
        (Some(variable), None) => std::env::var(variable)
            .map(|value| Zeroizing::new(value.into_bytes()))
            .map_err(|_| KeyError::Unset {
                key: key(),
                variable: variable.clone(),
            }),
        (None, Some(file)) => {
            let bytes = std::fs::read(file).map_err(|source| KeyError::Read {
                key: key(),
                file: file.display().to_string(),
                source,
            })?;
            let mut bytes = Zeroizing::new(bytes);
            // Editors add a newline, which is never part of a key.
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
                if bytes.last() == Some(&b'\r') {
                    bytes.pop();
                }
            }
            Ok(bytes)
        }
        _ => Err(KeyError::Place { key: key() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(content: &[u8]) -> (tempfile::NamedTempFile, KeyConfig) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let config = KeyConfig {
            env: None,
            file: Some(file.path().to_owned()),
            name: None,
        };
        (file, config)
    }

    fn variable(name: &str) -> KeyConfig {
        KeyConfig {
            env: Some(name.into()),
            file: None,
            name: None,
        }
    }

    #[test]
    fn a_key_file_loses_one_newline_and_nothing_else() {
        for (content, secret) in [
            (&b"abc"[..], &b"abc"[..]),
            (b"abc\n", b"abc"),
            (b"abc\r\n", b"abc"),
            (b"abc\n\n", b"abc\n"),
            (b" abc \n", b" abc "),
        ] {
            let (_file, config) = file(content);
            assert_eq!(*super::secret(&config, "0").unwrap(), secret);
        }
    }

    #[test]
    fn keys_that_are_missing_or_empty_are_refused() {
        let none = read(Verify::Retell, &[]);
        assert!(matches!(none, Err(KeyError::None { .. })));
        for content in [&b""[..], b"\n", b"\r\n"] {
            let (_file, config) = file(content);
            let empty = read(Verify::Retell, &[config]);
            assert!(matches!(empty, Err(KeyError::Empty { .. })));
        }
        let unset = read(
            Verify::Retell,
            &[variable("RINGBACK_TEST_THIS_IS_NEVER_SET")],
        );
        assert!(matches!(unset, Err(KeyError::Unset { .. })));
        let (_file, both) = file(b"abc");
        let both = KeyConfig {
            env: Some("PATH".into()),
            ..both
        };
        let both = read(Verify::Retell, &[both]);
        assert!(matches!(both, Err(KeyError::Place { .. })));
        let unused = read(Verify::None, &[variable("PATH")]);
        assert!(matches!(unused, Err(KeyError::Unused)));
        let same = KeyConfig {
            name: Some("0".into()),
            ..variable("PATH")
        };
        let twice = read(Verify::Retell, &[variable("PATH"), same]);
        assert!(matches!(twice, Err(KeyError::Duplicate { .. })));
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let key = Key::new(b"secret").unwrap();
        assert_eq!(format!("{key:?}"), "Key([redacted])");
    }
}
