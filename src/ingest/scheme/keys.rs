//! Reads the signing keys of a source. A missing or malformed key is an error, never a key.

use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use super::claim::Scheme;
use super::key::Key;
use super::verify::Verify;
use crate::secret::{SecretError, SecretForm, SecretSource};
use crate::settings::settings;

settings! {
    /// Where a signing key is read: exactly one of `env` and `file`.
    pub struct KeyConfig {
        /// An environment variable.
        env: Option<String> = None;
        /// A file.
        file: Option<PathBuf> = None;
        /// The key's label in the metrics; by default its index.
        name: Option<String> = None;
    }
}

impl KeyConfig {
    /// `None` unless exactly one of `env` and `file` is set.
    pub(crate) fn source(&self) -> Option<SecretSource> {
        match (&self.env, &self.file) {
            (Some(variable), None) => Some(SecretSource::Variable(variable.clone())),
            (None, Some(file)) => Some(SecretSource::File(file.clone())),
            _ => None,
        }
    }
}

/// The metric label of each key: its configured name, else its index.
pub(crate) fn labels(keys: &[KeyConfig]) -> impl Iterator<Item = String> {
    let keys = keys.iter().enumerate();
    keys.map(|(index, key)| key.name.clone().unwrap_or_else(|| index.to_string()))
}

/// Why a source's keys cannot be used. `index` is the key's, from 0, and `key` its name, by default the index.
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
        index: usize,
        /// The key.
        key: String,
    },
    /// The key cannot be read, or what was read is no key: anybody could sign with a blank one.
    #[error("key {key}")]
    Secret {
        /// The key.
        index: usize,
        /// The key.
        key: String,
        /// Where it was read, and what is wrong.
        #[source]
        source: SecretError,
    },
    /// What was read is not a key of this scheme.
    #[error("key {key}: is not a key of verify = \"{verify}\": write {form}")]
    Form {
        /// The key.
        index: usize,
        /// The key.
        key: String,
        /// The scheme.
        verify: Verify,
        /// What such a key looks like.
        form: &'static str,
    },
    /// Two keys would share a metric label.
    #[error("key {key}: another key of this source has the same name")]
    Duplicate {
        /// The second of them.
        index: usize,
        /// The name of both.
        key: String,
    },
}

impl KeyError {
    /// The key at fault; `None` if it is the list.
    pub(crate) fn index(&self) -> Option<usize> {
        match self {
            Self::None { .. } | Self::Unused => None,
            Self::Place { index, .. }
            | Self::Secret { index, .. }
            | Self::Form { index, .. }
            | Self::Duplicate { index, .. } => Some(*index),
        }
    }
}

/// Reads the keys of one source, in their order: each one, or why it cannot be used. `scheme` is `None` if `verify` needs
/// no keys.
pub(super) fn read_each(
    verify: Verify,
    scheme: Option<&dyn Scheme>,
    configs: &[KeyConfig],
) -> Vec<Result<Key, KeyError>> {
    read_from(verify, scheme, configs, variable)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read_from(
    verify: Verify,
    scheme: Option<&dyn Scheme>,
    configs: &[KeyConfig],
    variable: impl Fn(&str) -> Option<String>,
) -> Vec<Result<Key, KeyError>> {
    let scheme = match (scheme, configs.is_empty()) {
        (None, true) => return Vec::new(),
        (None, false) => return vec![Err(KeyError::Unused)],
        (Some(_), true) => return vec![Err(KeyError::None { verify })],
        (Some(scheme), false) => scheme,
    };
    let labels: Vec<String> = labels(configs).collect();
    let keys = configs.iter().enumerate().map(|(index, config)| {
        let key = || labels[index].clone();
        if labels[..index].contains(&labels[index]) {
            return Err(KeyError::Duplicate { index, key: key() });
        }
        let origin = config
            .source()
            .ok_or_else(|| KeyError::Place { index, key: key() })?;
        let unusable = |source| KeyError::Secret {
            index,
            key: key(),
            source,
        };
        let secret = origin.read(SecretForm::Line, &variable).map_err(unusable)?;
        let secret = secret.expose_secret();
        scheme.key(secret).map_err(|form| KeyError::Form {
            index,
            key: key(),
            verify,
            form,
        })
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::claim::{Claim, Signature};
    use super::super::retell::Retell;
    use super::*;

    fn read(verify: Verify, configs: &[KeyConfig]) -> Vec<KeyError> {
        let scheme = Some(&Retell as &dyn Scheme).filter(|_| verify == Verify::Retell);
        let keys = read_each(verify, scheme, configs).into_iter();
        keys.filter_map(Result::err).collect()
    }

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

    /// The key in `bytes`, read from a file and from a variable.
    fn both(bytes: &[u8]) -> [Result<Key, KeyError>; 2] {
        let (_file, file) = file(bytes);
        let value = String::from_utf8(bytes.to_vec()).unwrap();
        [file, variable("KEY")].map(|config| {
            let value = |_: &str| Some(value.clone());
            let keys = read_from(Verify::Retell, Some(&Retell), &[config], value);
            keys.into_iter().next().unwrap()
        })
    }

    #[test]
    fn white_space_around_a_key_is_no_part_of_it_wherever_it_is_read() {
        // `openssl dgst -sha256 -hmac abc` of `body`.
        let signature = "17aab2c4c6b0f68839d59506d75ef88096a9accb72c613b86c2d954f37bf1845";
        let signature = Signature::from_hex(signature, 32).unwrap();
        let claim = Claim::of(&[b"body"], signature.into());
        for content in [&b"abc"[..], b"abc\n", b"abc\r\n", b"abc\n\n", b" abc \n"] {
            for key in both(content) {
                assert!(key.unwrap().matches(&claim), "{content:?}");
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_fault_wherever_it_is_read() {
        for (content, fault) in [
            ("", "is blank"),
            ("\n\n", "is blank"),
            ("\"hunter2\"\n", "has quotes around it"),
            ("\u{feff}hunter2", "has a byte order mark"),
            ("hunter2…", "begins or ends with"),
            ("hunter2\nc", "has a line break inside"),
            ("hunter2\u{7}c", "has the invisible character U+0007"),
        ] {
            for refused in both(content.as_bytes()) {
                let Err(KeyError::Secret { source, .. }) = refused else {
                    panic!("{content:?}: {refused:?}");
                };
                let text = source.to_string();
                assert!(text.contains(fault) && !text.contains("hunter2"), "{text}");
            }
        }
    }

    #[test]
    fn keys_that_are_missing_or_ambiguous_are_refused_all_at_once() {
        let none = read(Verify::Retell, &[]);
        assert!(matches!(none[..], [KeyError::None { .. }]));
        let unused = read(Verify::None, &[variable("PATH")]);
        assert!(matches!(unused[..], [KeyError::Unused]));
        let (_file, of_file) = file(b"abc");
        let both = KeyConfig {
            env: Some("PATH".into()),
            ..of_file
        };
        let unset = || variable("RINGBACK_TEST_THIS_IS_NEVER_SET");
        let same = KeyConfig {
            name: Some("1".into()),
            ..unset()
        };
        let faults = read(Verify::Retell, &[both, unset(), variable("PATH"), same]);
        assert!(
            matches!(
                faults[..],
                [
                    KeyError::Place { index: 0, .. },
                    KeyError::Secret { index: 1, .. },
                    KeyError::Duplicate { index: 3, .. },
                ]
            ),
            "{faults:?}"
        );
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let key = Key::sha256(b"secret").unwrap();
        assert_eq!(format!("{key:?}"), "Key([redacted])");
    }
}
