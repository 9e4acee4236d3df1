//! `[kafka]` and `[kafka.client]`: librdkafka's properties, with their secrets taken from files or the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

use super::Environment;
use super::diagnostics::{Located, Origin, Problem};
use crate::publish;

/// Where events go.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// The topic of all events. Default `retell-events`; 1 to 249 of `[a-zA-Z0-9._-]` (Kafka's own rule).
    pub topic: String,
    /// Where records go that Kafka refuses for good; unset: a file beside the journal.
    pub dead_letter_topic: Option<String>,
    /// How long Kafka may acknowledge nothing of what was sent before the producer is replaced. Default 60 s; 1 s to 1 h.
    pub stall_timeout: Duration,
    /// librdkafka's properties as set, without ringback's defaults.
    pub client: BTreeMap<String, Property>,
}

/// One librdkafka property. A secret's value is never shown; where it came from is.
#[derive(Clone)]
pub struct Property {
    value: String,
    shown: Option<String>,
    /// Where the value was read, if it was in a file.
    file: Option<PathBuf>,
}

impl Property {
    /// The value where it is no secret, else where the secret was read.
    pub fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.value)
    }

    /// True where [`Property::shown`] is a reference rather than the value.
    pub fn is_secret(&self) -> bool {
        self.shown.is_some()
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl KafkaConfig {
    pub(super) fn plain_client(&self) -> BTreeMap<String, String> {
        self.client
            .iter()
            .map(|(name, property)| (name.clone(), property.value.clone()))
            .collect()
    }

    /// Which properties are secrets read from files, and from which.
    pub(super) fn secret_files(&self) -> BTreeMap<String, PathBuf> {
        let named = self.client.iter();
        named
            .filter_map(|(name, property)| Some((name.clone(), property.file.clone()?)))
            .collect()
    }

    /// Every file that a producer is made of: secrets, and what librdkafka reads itself. A file may be missing, as
    /// `ssl.ca.location = "probe"` is none.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let read_by_librdkafka = |name: &str| {
            [".location", ".keytab", ".file"]
                .iter()
                .any(|end| name.ends_with(end))
        };
        let named = self.client.iter();
        named
            .filter_map(|(name, property)| {
                let path = read_by_librdkafka(name).then(|| PathBuf::from(&property.value));
                property.file.clone().or(path)
            })
            .collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    topic: String,
    dead_letter_topic: Option<String>,
    #[serde(with = "humantime_serde")]
    stall_timeout: Duration,
    client: Table,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            topic: String::from("retell-events"),
            dead_letter_topic: None,
            stall_timeout: Duration::from_mins(1),
            client: Table::new(),
        }
    }
}

impl Raw {
    pub(super) fn resolve(
        self,
        located: &Located,
        environment: &Environment,
        problems: &mut Vec<Problem>,
    ) -> KafkaConfig {
        let mut flat = BTreeMap::new();
        flatten("", self.client, &mut flat);
        let mut client = BTreeMap::new();
        for (name, value) in flat {
            let key = format!("kafka.client.{name}");
            let by_variable = match located.origin(&key) {
                Origin::Variable(variable) => Some(variable),
                _ => None,
            };
            match property(&name, value, by_variable.as_deref(), environment) {
                Ok(property) => {
                    client.insert(name, property);
                }
                Err(text) => problems.push(located.problem(&key, text)),
            }
        }
        KafkaConfig {
            topic: self.topic,
            dead_letter_topic: self.dead_letter_topic,
            stall_timeout: self.stall_timeout,
            client,
        }
    }
}

/// An unquoted `bootstrap.servers = …` is a nested table to TOML; its parts are put together again.
fn flatten(prefix: &str, table: Table, flat: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(inner) if reference(&inner).is_none() => flatten(&name, inner, flat),
            value => {
                flat.insert(name, value);
            }
        }
    }
}

enum Reference<'a> {
    Variable(&'a str),
    File(&'a str),
}

fn reference(table: &Table) -> Option<Reference<'_>> {
    let (name, value) = table.iter().next()?;
    match (name.as_str(), value.as_str(), table.len()) {
        ("env", Some(variable), 1) => Some(Reference::Variable(variable)),
        ("file", Some(file), 1) => Some(Reference::File(file)),
        _ => None,
    }
}

fn property(
    name: &str,
    value: Value,
    by_variable: Option<&str>,
    environment: &Environment,
) -> Result<Property, String> {
    let text = match value {
        Value::String(text) => text,
        Value::Integer(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Table(table) => return secret(&table, environment),
        Value::Array(_) | Value::Datetime(_) => {
            return Err(String::from(
                "a librdkafka property is a text, a number or a boolean",
            ));
        }
    };
    if !is_sensitive(name) {
        return Ok(Property {
            value: text,
            shown: None,
            file: None,
        });
    }
    match by_variable {
        Some(variable) => Ok(Property {
            value: text,
            shown: Some(format!("{{ env = \"{variable}\" }}")),
            file: None,
        }),
        None => Err(String::from(
            "a secret does not belong in this file; write { env = \"NAME\" } or { file = \"/path\" }",
        )),
    }
}

fn secret(table: &Table, environment: &Environment) -> Result<Property, String> {
    match reference(table) {
        Some(Reference::Variable(variable)) => {
            let value = environment
                .get(variable)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| {
                    format!("the environment variable {variable} is not set, or empty")
                })?;
            Ok(Property {
                value: value.to_owned(),
                shown: Some(format!("{{ env = \"{variable}\" }}")),
                file: None,
            })
        }
        Some(Reference::File(file)) => {
            let value = publish::read_secret(Path::new(file)).map_err(|error| error.to_string())?;
            Ok(Property {
                value,
                shown: Some(format!("{{ file = \"{file}\" }}")),
                file: Some(PathBuf::from(file)),
            })
        }
        None => Err(String::from(
            "write { env = \"NAME\" } or { file = \"/path\" }, exactly one of them",
        )),
    }
}

/// librdkafka's properties that hold a secret themselves (those ending in `.location` hold a path).
fn is_sensitive(name: &str) -> bool {
    let location = name.ends_with(".location");
    !location
        && (name.contains("password")
            || name.contains("secret")
            || name.ends_with("key.pem")
            || name == "sasl.jaas.config"
            || name == "sasl.oauthbearer.config"
            || name.ends_with("passphrase"))
}
