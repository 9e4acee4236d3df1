//! Has librdkafka check the properties before anything starts; connects to nothing.

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use super::mechanism;
use super::properties::PropertyError;
use crate::publish::Config;

const REFUSED: &str = "is refused by librdkafka";

impl Config {
    /// As [`Config::properties`], and checks each name and value, and all of them together, with librdkafka. Refuses also what
    /// librdkafka would accept although this build cannot do it.
    pub fn validate(&self) -> Result<(), PropertyError> {
        mechanism::check(&self.properties()?)?;
        for (name, value) in self.properties()? {
            let mut one = ClientConfig::new();
            one.set(&name, &value);
            if let Err(KafkaError::ClientConfig(_, text, ..)) = one.create_native_config().map(drop)
            {
                let reason = if is_secret(&name) {
                    REFUSED.to_owned()
                } else {
                    format!("{REFUSED}: {text}")
                };
                return Err(PropertyError {
                    property: name,
                    reason,
                });
            }
        }
        self.build_producer()
    }

    /// librdkafka checks some properties only when it builds a producer; this one knows no broker.
    fn build_producer(&self) -> Result<(), PropertyError> {
        let mut all = ClientConfig::new();
        for (name, value) in self.properties()? {
            if name != "bootstrap.servers" {
                all.set(name, value);
            }
        }
        let built: Result<BaseProducer, _> = all.create();
        let Err(error) = built else {
            return Ok(());
        };
        let text = error.to_string();
        let forms = ["`NAME`", " NAME failed", ": NAME"];
        let is_named = |name: &&String| {
            let mut forms = forms.iter().map(|form| form.replace("NAME", name));
            forms.any(|form| text.contains(&form))
        };
        let given = &self.kafka.client.values;
        let property = given.keys().find(is_named).cloned();
        let shows_secret = given
            .iter()
            .any(|(name, value)| is_secret(name) && !value.is_empty() && text.contains(value));
        Err(PropertyError {
            property: property.unwrap_or_else(|| String::from("*")),
            reason: if shows_secret {
                REFUSED.to_owned()
            } else {
                format!("{REFUSED}: {text}")
            },
        })
    }
}

fn is_secret(name: &str) -> bool {
    ["password", "secret", "pem", "jaas", "oauthbearer"]
        .iter()
        .any(|part| name.contains(part))
}
