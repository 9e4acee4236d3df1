//! `[kafka]` and `[kafka.client]`: the topics, and librdkafka's properties with the secrets among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value as Toml};

use super::read_secret;
use crate::settings::{Decoder, Kind, SettingValue, Shape, Shown, settings};

/// What the publisher needs.
#[derive(Clone)]
pub struct Config {
    /// `[kafka]`, secrets resolved.
    pub kafka: KafkaConfig,
    /// `listen.max_body`, bytes: decides `message.max.bytes`.
    pub max_body: u64,
    /// The folder of dead letters: `<journal.path>/dead-letters`.
    pub dead_letter_path: PathBuf,
}

settings! {
    /// Where events go.
    pub struct KafkaConfig {
        /// The topic of all events: 1 to 249 of a-z, A-Z, 0-9, ".", "_" and "-" (Kafka's rule). Create it yourself:
        /// ringback never does.
        topic: String = String::from("retell-events"), check(|topic| is_topic(topic));
        /// The topic of events that Kafka refuses permanently (too large, invalid), and of authenticated bodies that are
        /// not JSON. If unset, or while it takes nothing, they are kept as files in `dead-letters/`, beside the journal.
        dead_letter_topic: Option<String> = None, check(|topic| topic.iter().try_for_each(|topic| is_topic(topic))),
            example("# dead_letter_topic = \"retell-events-dead\"");
        /// If Kafka acknowledges nothing of what was sent for this long, for whatever reason, another producer takes over
        /// and sends it again; if that does not help, the next one does so after five minutes. Keep this longer than the
        /// slowest broker's answer: records that the broker took without acknowledging them yet arrive twice.
        stall_timeout: Duration = Duration::from_mins(1),
            bounds(Duration::from_secs(1)..=Duration::from_hours(1));
        /// librdkafka's own properties by their own names, as texts, numbers or booleans; ringback passes on whatever
        /// librdkafka knows. ringback sets what its promise needs (`acks=all`, `enable.idempotence`,
        /// `message.timeout.ms=0` …) and refuses a value that would break it. `bootstrap.servers` is required.
        ///
        /// Secrets are never written here, only where to read them: `{ file = "PATH" }` or `{ env = "NAME" }`. A file that
        /// changes is read again within seconds, and so are the files that librdkafka's own names give
        /// (`ssl.certificate.location` …): another producer takes over, without a restart.
        client: ClientProperties = ClientProperties::default(), reloaded, example(CLIENT_EXAMPLE);
    }
}

const CLIENT_EXAMPLE: &str = r#""bootstrap.servers" = "localhost:9092"
# "security.protocol" = "SASL_SSL"
# "sasl.mechanisms" = "SCRAM-SHA-512"
# "sasl.username" = "relay"
# "sasl.password" = { file = "/etc/ringback/secrets/kafka-password" }     # or { env = "KAFKA_PASSWORD" }
# Raise these two for brokers some milliseconds away, or for many partitions: docs/operations.md. Defaults 250000; and
# 16384, or more if max_body needs it.
# "batch.size" = 1000000
# "queue.buffering.max.kbytes" = 32768"#;

const IN_FILE: &str =
    "a secret must not be in this file; write { env = \"NAME\" } or { file = \"/path\" }";

/// Kafka's own rule for topic names (org.apache.kafka.common.internals.Topic).
fn is_topic(topic: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = (1..=249).contains(&topic.len()) && topic.chars().all(legal);
    if fits && topic != "." && topic != ".." {
        return Ok(());
    }
    Err(format!(
        "{topic:?} is not a topic name; write 1 to 249 of letters, digits, '.', '_' and '-'"
    ))
}

/// librdkafka's properties as the user set them, without ringback's defaults.
#[derive(Clone, Default)]
pub struct ClientProperties {
    /// Each property's value, secrets included.
    pub values: BTreeMap<String, String>,
    /// The files from which secrets were read; each new producer reads them again.
    pub secret_files: BTreeMap<String, PathBuf>,
    /// Where each secret was read, as TOML.
    references: BTreeMap<String, String>,
}

impl ClientProperties {
    /// Every file that a producer is made of: secrets, and what librdkafka reads itself. A file may be missing:
    /// `ssl.ca.location = "probe"` names none.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let read_by_librdkafka = |name: &String| {
            let ends = [".location", ".keytab", ".file"];
            ends.iter().any(|end| name.ends_with(end)) && !self.secret_files.contains_key(name)
        };
        let values = self.values.iter();
        let paths = values.filter(|(name, _)| read_by_librdkafka(name));
        let paths = paths.map(|(_, path)| PathBuf::from(path));
        paths.chain(self.secret_files.values().cloned()).collect()
    }

    fn read_property(
        &mut self,
        name: String,
        value: &Toml,
        decoder: &Decoder<'_>,
    ) -> Result<(), String> {
        let (value, place) = match value.as_table().and_then(reference) {
            Some(("env", variable)) => {
                let value = decoder
                    .environment(variable)
                    .filter(|value| !value.is_empty());
                let unset = || format!("the environment variable {variable} is not set, or empty");
                (value.ok_or_else(unset)?.to_owned(), Some(("env", variable)))
            }
            Some((_, file)) => {
                let value = read_secret(Path::new(file)).map_err(|error| error.to_string())?;
                self.secret_files.insert(name.clone(), file.into());
                (value, Some(("file", file)))
            }
            None => {
                let text = text(value, decoder)?;
                let variable = is_sensitive(&name).then(|| decoder.variable().ok_or(IN_FILE));
                (
                    text,
                    variable.transpose()?.map(|variable| ("env", variable)),
                )
            }
        };
        if let Some((kind, name_or_path)) = place {
            let reference = format!("{{ {kind} = {} }}", Shown::quoted(name_or_path));
            self.references.insert(name.clone(), reference);
        }
        self.values.insert(name, value);
        Ok(())
    }

    /// librdkafka would complain of unusable brokers only in its log, once it connects.
    fn check_brokers(&self, decoder: &mut Decoder<'_>) {
        const SCHEMES: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
        const REMEDY: &str = "name at least one broker, such as \"kafka-0:9092,kafka-1:9092\"";
        let names = ["bootstrap.servers", "metadata.broker.list"];
        if !names.iter().any(|name| self.values.contains_key(*name)) {
            decoder.at(names[0], |decoder| {
                decoder.invalid(format!("is missing; {REMEDY}"));
            });
        }
        for name in names {
            let Some(servers) = self.values.get(name) else {
                continue;
            };
            decoder.at(name, |decoder| {
                if servers.split(',').all(|server| server.trim().is_empty()) {
                    decoder.invalid(format!("is empty; {REMEDY}"));
                }
                let schemes = servers
                    .split(',')
                    .filter_map(|server| server.split_once("://"));
                for scheme in schemes.map(|(scheme, _)| scheme.trim()) {
                    if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) {
                        decoder
                            .invalid(format!("{scheme:?} is not a protocol of Kafka's; {REMEDY}"));
                    }
                }
            });
        }
    }
}

/// Properties by name, none of them from a file.
impl<'a> FromIterator<(&'a str, &'a str)> for ClientProperties {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(properties: I) -> Self {
        let properties = properties.into_iter();
        Self {
            values: properties
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..Self::default()
        }
    }
}

/// Without secrets.
impl fmt::Debug for ClientProperties {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.show().unwrap_or(Shown::List(Vec::new())).to_string())
    }
}

impl SettingValue for ClientProperties {
    fn kind() -> Kind {
        Kind {
            name: "properties",
            remedy: "write a table of librdkafka's properties",
            schema: r#"{"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "object"]}}"#,
            shape: Shape::Open,
        }
    }

    fn decode(value: Toml, decoder: &mut Decoder<'_>) -> Option<Self> {
        let mut flat = Vec::new();
        flatten("", decoder.table::<Self>(value)?, &mut flat);
        let mut client = Self::default();
        for (name, value) in flat {
            decoder.at(&name.clone(), |decoder| {
                if let Err(message) = client.read_property(name, &value, decoder) {
                    decoder.invalid(message);
                }
            });
        }
        client.check_brokers(decoder);
        Some(client)
    }

    fn show(&self) -> Option<Shown> {
        let shown = |(name, value): (&String, &String)| {
            let reference = self.references.get(name).cloned();
            let value = reference.map_or_else(|| Shown::quoted(value), Shown::Scalar);
            (Shown::quoted(name).to_string(), value)
        };
        Some(Shown::Table(self.values.iter().map(shown).collect()))
    }
}

/// To TOML an unquoted `bootstrap.servers = …` is a table in a table: puts such names together again.
fn flatten(prefix: &str, table: Table, flat: &mut Vec<(String, Toml)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Toml::Table(inner) if reference(&inner).is_none() => flatten(&name, inner, flat),
            value => flat.push((name, value)),
        }
    }
}

/// `env` or `file`, and which.
fn reference(table: &Table) -> Option<(&str, &str)> {
    let (place, value) = table.iter().next()?;
    let known = table.len() == 1 && matches!(place.as_str(), "env" | "file");
    Some((place.as_str(), value.as_str()?)).filter(|_| known)
}

/// A property's value, as librdkafka takes it.
fn text(value: &Toml, decoder: &Decoder<'_>) -> Result<String, &'static str> {
    match (decoder.text_of_variable(), value) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Toml::String(text)) => Ok(text.clone()),
        (None, Toml::Integer(number)) => Ok(number.to_string()),
        (None, Toml::Float(number)) => Ok(number.to_string()),
        (None, Toml::Boolean(flag)) => Ok(flag.to_string()),
        _ => Err("write a text, a number or a boolean"),
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
