//! librdkafka's properties, with each secret as its file holds it at present.
//!
//! A password or certificate that is renewed at the broker is renewed on disk too, and a relay must not need a restart for it.
//! librdkafka reads paths such as `ssl.certificate.location` itself with each producer; secrets are given to it, so they are read
//! again here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::log_throttle::LogThrottle;

/// Why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It does not exist, or this process may not read it.
    #[error("cannot read the secret file {file}: {source}")]
    Read {
        /// As configured.
        file: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The secret would be blank.
    #[error("the secret file {file} is empty")]
    Empty {
        /// As configured.
        file: String,
    },
}

/// The text of `file` without the line break at its end.
pub fn read_secret(file: &Path) -> Result<String, SecretError> {
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|source| SecretError::Read {
        file: name(),
        source,
    })?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    if value.trim().is_empty() {
        return Err(SecretError::Empty { file: name() });
    }
    Ok(value.to_owned())
}

/// The properties of the next producer.
pub(crate) struct Credentials {
    /// The file of each property whose value is a secret.
    files: BTreeMap<String, PathBuf>,
    properties: Mutex<BTreeMap<String, String>>,
    throttle: Arc<LogThrottle>,
}

impl Credentials {
    /// `properties` as they were read at start.
    pub(crate) fn new(
        properties: BTreeMap<String, String>,
        files: BTreeMap<String, PathBuf>,
        throttle: Arc<LogThrottle>,
    ) -> Self {
        Self {
            files,
            properties: Mutex::new(properties),
            throttle,
        }
    }

    /// Reads every secret again; blocks for as long as the disk does. A secret that cannot be read keeps its last value, which may
    /// still be valid.
    pub(crate) fn read(&self) -> BTreeMap<String, String> {
        let read = self.files.iter().map(|(name, file)| {
            let secret = read_secret(file);
            (name, secret)
        });
        // Before the lock, which others may wait for.
        let read: Vec<_> = read.collect();
        let mut properties = self
            .properties
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (property, secret) in read {
            match secret {
                Ok(value) => {
                    let value = Some(value);
                    if properties.get(property) != value.as_ref() {
                        tracing::info!(property, "a secret of [kafka.client] has a new value");
                        properties.extend(value.map(|value| (property.clone(), value)));
                    }
                }
                Err(error) => {
                    if let Some(suppressed) = self.throttle.permit(property) {
                        tracing::error!(property, %error, suppressed, "a secret of [kafka.client] cannot be read again; its last value stays");
                    }
                }
            }
        }
        properties.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_new_secret_is_used_and_an_unreadable_or_blank_one_leaves_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let name = || String::from("sasl.password");
        let given = BTreeMap::from([(name(), String::from("old"))]);
        let files = BTreeMap::from([(name(), file.clone())]);
        let credentials =
            Credentials::new(given, files, Arc::new(LogThrottle::new(Duration::ZERO)));
        let read = || credentials.read()["sasl.password"].clone();
        assert_eq!(read(), "old", "there is no file");
        std::fs::write(&file, "new\n").unwrap();
        assert_eq!(read(), "new");
        for blank in ["", "\n", " \t\r\n"] {
            std::fs::write(&file, blank).unwrap();
            assert_eq!(read(), "new");
        }
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(read(), "new");
        std::fs::write(&file, "newer").unwrap();
        assert_eq!(read(), "newer");
    }
}
