//! `[kafka]` and `[kafka.client]`: the topics, and librdkafka's properties with the secrets among them.

mod brokers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use toml::{Table, Value as Toml};

use super::property;
use super::topics::{SourceTopics, Topics};
use crate::secret::SecretSource;
use crate::settings::{Decoder, Kind, SettingValue, Shape, Shown, settings};
use crate::telemetry::chain;

/// What a 2xx means, and so where events are kept until Kafka has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// Synced to the journal on disk.
    Disk,
    /// Acknowledged by Kafka with all replicas in sync; the journal is in memory.
    Kafka,
}

impl SettingValue for Ack {
    fn kind() -> Kind {
        Kind::scalar(
            "acknowledgement",
            "write \"disk\" if the event must be synced to disk before its 2xx, or \"kafka\" if Kafka must have acknowledged it",
            r#"{"enum": ["disk", "kafka"]}"#,
        )
    }

    fn decode(value: Toml, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.one_of(&value, &[Self::Disk, Self::Kafka])
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::quoted(self))
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Disk => "disk",
            Self::Kafka => "kafka",
        })
    }
}

/// What the publisher needs.
#[derive(Clone)]
pub struct Config {
    /// When an event is answered.
    pub ack: Ack,
    /// `listen.commit_timeout`: with [`Ack::Kafka`] a dead letter is tried for so long.
    pub commit_timeout: Duration,
    /// `[kafka]`, secrets resolved.
    pub kafka: KafkaConfig,
    /// What the sources say about their topics.
    pub sources: Vec<SourceTopics>,
    /// The largest `max_body`, of `[listen]` or of a source, in bytes: decides `message.max.bytes`.
    pub max_body: u64,
    /// The folder of dead letters: `<journal.path>/dead-letters`. Not used with [`Ack::Kafka`].
    pub dead_letter_path: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ack: Ack::Disk,
            commit_timeout: Duration::from_secs(8),
            kafka: KafkaConfig::default(),
            sources: Vec::new(),
            max_body: 8 << 20,
            dead_letter_path: PathBuf::from("dead-letters"),
        }
    }
}

impl Config {
    /// Which topic each event goes to.
    pub fn topics(&self) -> Topics {
        Topics::new(&self.kafka.topic, &self.sources)
    }
}

settings! {
    /// Where events go.
    pub struct KafkaConfig {
        /// The topic of all events whose source names no other: 1 to 249 of a-z, A-Z, 0-9, ".", "_" and "-" (Kafka's
        /// rule). Create it yourself: ringback never does.
        topic: String = String::from("retell-events"), check(|topic| check_topic(topic));
        /// The topic of events that Kafka refuses permanently (too large, invalid), and of authenticated bodies that are
        /// not JSON. If unset, or while it takes nothing, they are kept as files in `dead-letters/`, beside the journal; with
        /// `ack = "kafka"` they are answered 503.
        dead_letter_topic: Option<String> = None, check(|topic| topic.iter().try_for_each(|topic| check_topic(topic))),
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
        /// Secrets are never written here, only where to read them: `{ file = "PATH" }` or `{ env = "NAME" }`. They are read as
        /// signing keys are; only those of properties that end in `.pem` have line breaks. A file that
        /// changes is read again within seconds, and so are the files that librdkafka's own names give
        /// (`ssl.certificate.location` …): another producer takes over, without a restart.
        client: ClientProperties = ClientProperties::default(), files_reloaded, example(CLIENT_EXAMPLE);
    }
}

const CLIENT_EXAMPLE: &str = r#""bootstrap.servers" = "localhost:9092"
# "security.protocol" = "SASL_SSL"
# "sasl.mechanisms" = "SCRAM-SHA-512"
# "sasl.username" = "relay"
# "sasl.password" = { file = "/etc/ringback/secrets/kafka-password" }     # or { env = "KAFKA_PASSWORD" }
# Client certificates and tokens (OAUTHBEARER): docs/kafka-security.md.
# Raise these two for brokers some milliseconds away, or for many partitions: docs/operations.md. Defaults 250000; and
# 16384, or more if max_body needs it.
# "batch.size" = 1000000
# "queue.buffering.max.kbytes" = 32768"#;

const IN_FILE: &str =
    "a secret must not be in this file; write { env = \"NAME\" } or { file = \"/path\" }";

/// Checks a topic's name by Kafka's own rule (org.apache.kafka.common.internals.Topic).
pub fn check_topic(topic: &str) -> Result<(), String> {
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
    /// Every file that a producer is made of: secrets, and what librdkafka reads itself.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let read_by_librdkafka = |(name, value): &(&String, &String)| {
            property::names_file(name, value) && !self.secret_files.contains_key(*name)
        };
        let paths = self.values.iter().filter(read_by_librdkafka);
        let paths = paths.map(|(_, path)| PathBuf::from(path));
        paths.chain(self.secret_files.values().cloned()).collect()
    }

    /// `bootstrap.servers`, by whichever name it is set.
    pub fn brokers(&self) -> Option<&str> {
        let mut names = brokers::NAMES.iter();
        names.find_map(|name| self.values.get(*name).map(String::as_str))
    }

    /// True if no error may repeat the value: it is a secret by its property's name, or was read as one.
    pub(crate) fn is_secret(&self, name: &str) -> bool {
        self.references.contains_key(name) || property::is_secret(name)
    }

    fn read_property(
        &mut self,
        name: String,
        value: &Toml,
        decoder: &Decoder<'_>,
    ) -> Result<(), String> {
        let form = property::secret_form(&name);
        let (read, source) = if let Some(source) = value.as_table().and_then(reference) {
            let variable = |name: &str| decoder.environment(name).map(str::to_owned);
            (source.read(form, variable), source)
        } else {
            let text = text(value, decoder)?;
            if !property::is_secret(&name) {
                self.values.insert(name, text);
                return Ok(());
            }
            let variable = decoder.variable().ok_or(IN_FILE)?;
            let source = SecretSource::Variable(variable.to_owned());
            (source.read(form, |_| Some(text)), source)
        };
        let secret = read.map_err(|error| chain(&error))?;
        let (kind, place) = match &source {
            SecretSource::Variable(variable) => ("env", Shown::quoted(variable)),
            SecretSource::File(file) => ("file", Shown::quoted(&file.display())),
        };
        self.references
            .insert(name.clone(), format!("{{ {kind} = {place} }}"));
        if let SecretSource::File(file) = source {
            self.secret_files.insert(name.clone(), file);
        }
        self.values.insert(name, secret.expose_secret().to_owned());
        Ok(())
    }

    /// librdkafka would complain of unusable brokers only in its log, once it connects, or not at all.
    fn check_brokers(&mut self, is_given: bool, decoder: &mut Decoder<'_>) {
        if !is_given {
            decoder.at(brokers::NAMES[0], |decoder| {
                decoder.invalid(format!("is missing; {}", brokers::REMEDY));
            });
        }
        let protocol = self.values.get("security.protocol").cloned();
        for name in brokers::NAMES {
            let Some(list) = self.values.get_mut(name) else {
                continue;
            };
            *list = brokers::without_spaces(list);
            decoder.at(name, |decoder| {
                for fault in brokers::faults(list, protocol.as_deref()) {
                    decoder.invalid(fault);
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
        let is_given = flat.iter().any(|(name, _)| brokers::is_meant(name));
        for (name, value) in flat {
            decoder.at(&name.clone(), |decoder| {
                if let Err(message) = client.read_property(name, &value, decoder) {
                    decoder.invalid(message);
                }
            });
        }
        client.check_brokers(is_given, decoder);
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
            Toml::Table(inner) if reference(&inner).is_none() && !property::is_whole(&name) => {
                flatten(&name, inner, flat);
            }
            value => flat.push((name, value)),
        }
    }
}

/// Where to read a secret: exactly one of `env` and `file`.
fn reference(table: &Table) -> Option<SecretSource> {
    let (place, value) = table.iter().next().filter(|_| table.len() == 1)?;
    let value = value.as_str()?;
    match place.as_str() {
        "env" => Some(SecretSource::Variable(value.to_owned())),
        "file" => Some(SecretSource::File(value.into())),
        _ => None,
    }
}

/// A property's value, as librdkafka takes it.
fn text(value: &Toml, decoder: &Decoder<'_>) -> Result<String, &'static str> {
    match (decoder.text_of_variable(), value) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Toml::String(text)) => Ok(text.clone()),
        (None, Toml::Integer(number)) => Ok(number.to_string()),
        (None, Toml::Float(number)) => Ok(number.to_string()),
        (None, Toml::Boolean(flag)) => Ok(flag.to_string()),
        (None, Toml::Array(_)) => Err(
            "is a list; write one text, with commas between its parts, such as \"a:9092,b:9092\"",
        ),
        (None, Toml::Table(_)) => Err(
            "is a table; write a text, a number or a boolean, or where to read it: { env = \"NAME\" } or { file = \"/path\" }",
        ),
        (None, Toml::Datetime(_)) => Err("is a date; write a text, a number or a boolean"),
    }
}
