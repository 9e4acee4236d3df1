//! What a producer is made of: librdkafka's properties, with each secret as its file holds it at present, and a source of tokens.
//!
//! A password or certificate that is renewed at the broker is renewed on disk too, and a relay must not need a restart for it.
//! librdkafka reads paths such as `ssl.certificate.location` itself with each producer; secrets are given to it, so they are read
//! again here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret as _;

use super::oauth::TokenSource;
use super::oauth::settings::{Settings, is_ours};
use super::properties::{PropertyError, canonical_names};
use crate::log_throttle::LogThrottle;
use crate::publish::Config;
use crate::publish::property::secret_form;
use crate::secret::SecretSource;
use crate::telemetry;

/// The properties of the next producer.
pub(crate) struct Credentials {
    /// The file of each property whose value is a secret.
    files: BTreeMap<String, PathBuf>,
    properties: Mutex<BTreeMap<String, String>>,
    tokens: Option<Arc<TokenSource>>,
    throttle: Arc<LogThrottle>,
}

impl Credentials {
    /// The configuration's; the error is its first mistake.
    pub(crate) fn of(config: &Config, throttle: Arc<LogThrottle>) -> Result<Self, PropertyError> {
        let properties = config.properties()?;
        let client = &config.kafka.client;
        let tokens = Settings::of(client).map_err(|mut errors| errors.remove(0))?;
        let tokens = tokens.map(|settings| TokenSource::new(settings, throttle.clone()));
        let mut files = canonical_names(&client.secret_files);
        files.retain(|name, _| !is_ours(name));
        Ok(Self::new(properties, files, tokens.map(Arc::new), throttle))
    }

    /// `properties` as they were read at start; `files` by property, as far as librdkafka gets what they hold.
    pub(crate) fn new(
        properties: BTreeMap<String, String>,
        files: BTreeMap<String, PathBuf>,
        tokens: Option<Arc<TokenSource>>,
        throttle: Arc<LogThrottle>,
    ) -> Self {
        Self {
            files,
            properties: Mutex::new(properties),
            tokens,
            throttle,
        }
    }

    /// `None` if the client needs no token.
    pub(crate) fn tokens(&self) -> Option<Arc<TokenSource>> {
        self.tokens.clone()
    }

    /// Reads every secret again; blocks for as long as the disk does. A secret that cannot be read, or is none, keeps its last
    /// value, which may still be valid.
    pub(crate) fn read(&self) -> BTreeMap<String, String> {
        let read = self.files.iter().map(|(name, file)| {
            let source = SecretSource::File(file.clone());
            (name, source.read(secret_form(name), |_| None))
        });
        // Before the lock, which others may wait for.
        let read: Vec<_> = read.collect();
        let mut properties = self
            .properties
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (property, secret) in read {
            match secret {
                Ok(secret) => {
                    let value = secret.expose_secret();
                    if properties.get(property).map(String::as_str) != Some(value) {
                        tracing::info!(property, "a secret of [kafka.client] has a new value");
                        properties.insert(property.clone(), value.to_owned());
                    }
                }
                Err(error) => {
                    if let Some(permit) = self.throttle.permit(property) {
                        let error = telemetry::chain(&error);
                        tracing::error!(
                            property,
                            error,
                            suppressed = permit.suppressed(),
                            "a secret of [kafka.client] cannot be used; its last value stays"
                        );
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
    fn a_new_secret_is_used_and_what_is_none_leaves_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let name = || String::from("sasl.password");
        let given = BTreeMap::from([(name(), String::from("old"))]);
        let files = BTreeMap::from([(name(), file.clone())]);
        let credentials = Credentials::new(
            given,
            files,
            None,
            Arc::new(LogThrottle::new(Duration::ZERO)),
        );
        let read = || credentials.read()["sasl.password"].clone();
        assert_eq!(read(), "old", "there is no file");
        for new in ["new\n", "new\r\n", "\n new \n\n"] {
            std::fs::write(&file, new).unwrap();
            assert_eq!(read(), "new");
        }
        for unusable in [
            "",
            "\n",
            " \t\r\n",
            "\"newer\"",
            "\u{feff}newer",
            "new\ner",
            "new\0er",
        ] {
            std::fs::write(&file, unusable).unwrap();
            assert_eq!(read(), "new", "{unusable:?}");
        }
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(read(), "new");
        std::fs::write(&file, "newer").unwrap();
        assert_eq!(read(), "newer");
    }
}
