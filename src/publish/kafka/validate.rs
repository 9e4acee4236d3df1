//! Has librdkafka check the properties before anything starts; connects to nothing.

use std::fs::File;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use rdkafka::types::RDKafkaConfRes;

use super::mechanism;
use super::oauth::settings::{Settings, is_ours};
use super::properties::{PropertyError, canonical, canonical_names};
use crate::publish::Config;
use crate::publish::property;

const REFUSED: &str = "is refused by librdkafka";
const ALL_PROPERTIES: &str =
    "https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md";

impl Config {
    /// Everything that is wrong with a property for itself: it would break an invariant, librdkafka does not know it or
    /// refuses its value, this build cannot do what it asks for, or the file that it names cannot be opened.
    pub fn check_each_property(&self) -> Vec<PropertyError> {
        let mut errors = self.broken_rules();
        let client = &self.kafka.client;
        errors.extend(mechanism::check(&canonical_names(&client.values)).err());
        errors.extend(Settings::of(client).err().unwrap_or_default());
        for (name, value) in &self.kafka.client.values {
            if errors.iter().any(|error| error.property == *name) {
                continue;
            }
            let known = !is_ours(canonical(name));
            let reason = known.then(|| self.refusal(name, value)).flatten();
            let reason = reason.or_else(|| unreadable_file(name, value));
            errors.extend(reason.map(|reason| PropertyError {
                property: name.clone(),
                reason,
            }));
        }
        errors
    }

    fn refusal(&self, name: &str, value: &str) -> Option<String> {
        let mut one = ClientConfig::new();
        one.set(name, value);
        Some(match one.create_native_config().err()? {
            KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..) => {
                match property::nearest(name) {
                    Some(nearest) => {
                        format!("is no property of librdkafka's; did you mean `{nearest}`?")
                    }
                    None => {
                        format!("is no property of librdkafka's, which are at {ALL_PROPERTIES}")
                    }
                }
            }
            KafkaError::ClientConfig(_, text, ..) => {
                valid_values(name, &text).unwrap_or_else(|| self.quote(&renamed(name, &text)))
            }
            other => self.quote(&other.to_string()),
        })
    }

    /// The error if librdkafka accepts each property, but not all of them together: it checks some only when it builds a
    /// producer. This one knows no broker.
    pub fn check_properties_together(&self) -> Result<(), PropertyError> {
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
        let property = self.kafka.client.values.keys().find(is_named).cloned();
        Err(PropertyError {
            property: property.unwrap_or_else(|| String::from("*")),
            reason: self.quote(&text),
        })
    }

    /// librdkafka's own words, unless they repeat a secret.
    fn quote(&self, text: &str) -> String {
        let client = &self.kafka.client;
        let repeats = |(name, value): (&String, &String)| {
            client.is_secret(name) && !value.is_empty() && text.contains(value)
        };
        if client.values.iter().any(repeats) {
            return REFUSED.to_owned();
        }
        format!("{REFUSED}: {text}")
    }
}

/// Which values librdkafka takes, as far as its error `text` about a value, or the one about another value, shows that.
fn valid_values(name: &str, text: &str) -> Option<String> {
    if text.starts_with("Expected bool value") {
        return Some(String::from("must be true or false"));
    }
    let (from, to) = match range(text) {
        Some(range) => range,
        // A value that is no number gets no range; a number far below gets one, unless the property takes no numbers.
        None => range(&refused_number(name)?)?,
    };
    Some(format!("must be a number from {from} to {to}"))
}

fn refused_number(name: &str) -> Option<String> {
    let mut one = ClientConfig::new();
    one.set(name, i32::MIN.to_string());
    match one.create_native_config() {
        Err(KafkaError::ClientConfig(_, text, ..)) => Some(text),
        _ => None,
    }
}

/// From `… is outside allowed range 0..900000`.
fn range(text: &str) -> Option<(String, String)> {
    let (_, range) = text.split_once("outside allowed range ")?;
    let (from, to) = range.trim_end().split_once("..")?;
    Some((from.to_owned(), to.to_owned()))
}

/// librdkafka's text with the property's name as the user wrote it: librdkafka names what an alias stands for.
fn renamed(name: &str, text: &str) -> String {
    let text = text.trim_end();
    let parts = text.split_once("property \"").and_then(|(before, rest)| {
        let (_, after) = rest.split_once('"')?;
        Some(format!("{before}property \"{name}\"{after}"))
    });
    let text = parts.unwrap_or_else(|| text.to_owned());
    format!("{text}; its values are at {ALL_PROPERTIES}")
}

/// Why the file that a property names cannot be opened; librdkafka reports neither the file nor the reason.
fn unreadable_file(name: &str, path: &str) -> Option<String> {
    if !property::names_file(name, path) {
        return None;
    }
    let opened = std::fs::metadata(path).and_then(|metadata| {
        // Opening anything else might block.
        if metadata.is_file() {
            File::open(path)?;
        }
        Ok(metadata.is_dir() && !property::may_name_folder(name))
    });
    match opened {
        Ok(false) => None,
        Ok(true) => Some(format!("names a folder, {path}; name a file")),
        Err(error) => Some(format!(
            "names a file that cannot be opened, {path}: {error}"
        )),
    }
}
