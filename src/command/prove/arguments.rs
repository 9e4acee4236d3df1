//! The command line of `prove`: where to post, how to sign, and which Kafka to read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::command::webhook::WebhookUrl;
use crate::command::{CommandError, DEFAULT_TOPIC, RETELL_KEY, load};
use crate::config::{Config, Purpose};
use crate::ingest::{KeyConfig, SchemeConfig, SignError, Signer, SourceConfig, Verify};
use crate::secret::{SecretError, SecretForm, SecretSource};
use crate::telemetry::chain;

use super::ProveError;
use super::workload::BodySize;

/// Prefixes of the properties that a consumer takes from a relay's configuration; the others are about producing.
const CONNECTION_PROPERTIES: [&str; 12] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "security.",
    "sasl.",
    "ssl.",
    "enable.ssl.",
    "enable.sasl.",
    "https.",
    "socket.",
    "broker.address.",
    "reconnect.",
    "client.dns.lookup",
];

/// How the events are signed.
pub(super) enum Signing {
    /// With this key, read from there.
    With(SecretString, SecretSource),
    /// Not at all, for this reason.
    Unsigned(String),
}

impl Signing {
    pub(super) fn key(&self) -> Option<&SecretString> {
        match self {
            Self::With(key, _) => Some(key),
            Self::Unsigned(_) => None,
        }
    }

    /// Signs as Retell AI does; `None` if events are not signed.
    pub(super) fn signer(&self) -> Result<Option<Signer>, SignError> {
        let scheme = SchemeConfig {
            verify: Verify::Retell,
            keys: &[],
            hmac: None,
            twilio: None,
            bearer: None,
        };
        let signer = |key: &SecretString| Signer::new(&scheme, key.expose_secret());
        self.key().map_or(Ok(None), signer)
    }
}

/// As `signed with the key in …` or `unsigned (…)`.
impl fmt::Display for Signing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::With(_, source) => write!(formatter, "signed with the key in {source}"),
            Self::Unsigned(why) => write!(formatter, "unsigned ({why})"),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("kafka").args(["bootstrap", "config"]).required(true).multiple(true)), after_help = "Examples:
  ringback prove --bootstrap localhost:9092
  ringback prove --config ringback.toml --rate 500 --duration 60s
  ringback prove --bootstrap k1:9093 -X security.protocol=ssl
  ringback prove --config ringback.toml --size 2KiB --json | jq .lost

With --config it posts to that relay, connects to Kafka as the relay does, and signs with the first of the source's keys \
that can be read here. The ledger names the variable or file of that key; whether the sender signs with the same key only \
the sender's own events can show.
While it runs, kill what you like: brokers, the relay, connections. Ctrl-C stops the sending early and still prints the \
ledger. It stops early on its own only if the first event is refused for good or nothing listens at the URL.
Consumers of the topic see the events as real ones; their call ids start with prove_.
If partitions are added to the topic meanwhile, the ledger reports it, with the number of calls that moved: their order is \
checked only within each partition.

Exit codes: 0 the promise was kept; 1 something acknowledged was lost, out of order, changed or under a wrong key, or \
nothing was acknowledged; 2 wrong usage; 78 bad configuration.")]
pub struct ProveArgs {
    /// The relay's webhook URL, plain http [default: the configuration's address and source, else http://localhost:8080/webhook]
    #[arg(long)]
    url: Option<WebhookUrl>,
    /// The environment variable with the API key to sign with [default: the keys of the configuration's source, else RETELL_API_KEY; if that is unset, events are not signed]
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// The Kafka to read from, as host:port,… (or --config)
    #[arg(long, value_name = "SERVERS")]
    bootstrap: Option<String>,
    /// The topic to read [default: the configuration's for the posted source, else retell-events]
    #[arg(long)]
    topic: Option<String>,
    /// A librdkafka property of the consumer; can be repeated. Secrets are safer in --config
    #[arg(short = 'X', value_name = "NAME=VALUE", value_parser = property)]
    property: Vec<(String, String)>,
    /// The relay's configuration file (TOML): where it listens, and its Kafka with topic and credentials
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Events per second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) rate: u32,
    /// How long to send
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub(super) duration: Duration,
    /// Calls at a time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) calls: u32,
    /// Bytes of a body, for example 2000 or 2KiB; or "mix", like Retell's: some KB mostly, few over 1 MB
    #[arg(long, default_value = "mix")]
    pub(super) size: BodySize,
    /// Connections; a call stays on one, where each event waits for the reply to the event before
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) connections: u32,
    /// How long to wait at the end until the topic holds everything acknowledged
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub(super) settle: Duration,
    /// Print the ledger as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl ProveArgs {
    /// The relay's configuration, if `--config` is given.
    pub(super) fn relay(&self) -> Result<Option<Config>, CommandError> {
        let load = |file| load(file, Purpose::Publish);
        self.config.as_deref().map(load).transpose()
    }

    /// Where to post: `--url`, else the configured relay.
    pub(super) fn webhook_url(&self, relay: Option<&Config>) -> WebhookUrl {
        let configured = || relay.and_then(WebhookUrl::of);
        self.url.clone().or_else(configured).unwrap_or_default()
    }

    /// How to sign what is posted to `url`. A source that does not verify needs no key.
    pub(super) fn signing(
        &self,
        relay: Option<&Config>,
        url: &WebhookUrl,
    ) -> Result<Signing, ProveError> {
        let source = relay.and_then(|relay| source_of(relay, url));
        let unverified = source.filter(|source| source.verify == Verify::None);
        if let (Some(source), None) = (unverified, &self.key_env) {
            let why = format!("source {} does not verify", source.name);
            return Ok(Signing::Unsigned(why));
        }
        if let Some(source) = source
            && !matches!(source.verify, Verify::None | Verify::Retell)
        {
            return Err(ProveError::Scheme {
                source_name: source.name.clone(),
                verify: source.verify,
            });
        }
        let mut origins: Vec<_> = match &self.key_env {
            Some(name) => vec![SecretSource::Variable(name.clone())],
            None => source
                .iter()
                .flat_map(|source| &source.keys)
                .filter_map(KeyConfig::source)
                .collect(),
        };
        let is_named = !origins.is_empty();
        if !is_named {
            origins.push(SecretSource::Variable(String::from(RETELL_KEY)));
        }
        // A variable that nobody named may be empty to say that there is no key.
        let counts = |value: &String| is_named || !value.is_empty();
        let variable = |name: &str| std::env::var(name).ok().filter(counts);
        let mut unread = Vec::new();
        for origin in origins {
            match origin.read(SecretForm::Line, variable) {
                Ok(key) => return Ok(Signing::With(key, origin)),
                // The relay's own machine may have it; this one may have another of its keys.
                Err(error @ (SecretError::Unset(_) | SecretError::Read(..))) => {
                    unread.push(chain(&error));
                }
                Err(error) => return Err(ProveError::Key(error)),
            }
        }
        let reason = unread.join("; ");
        match source {
            _ if self.key_env.is_some() => Err(ProveError::NoKey(reason)),
            Some(source) => Err(ProveError::SourceKey {
                source_name: source.name.clone(),
                path: url.source_path().to_owned(),
                reason,
            }),
            None => Ok(Signing::Unsigned(format!("{RETELL_KEY} is not set"))),
        }
    }

    /// The consumer's properties, and the topic of the source that is posted to: the configuration's, overridden by the command
    /// line.
    pub(super) fn kafka(
        &self,
        relay: Option<&Config>,
        url: &WebhookUrl,
    ) -> (BTreeMap<String, String>, String) {
        let mut properties = BTreeMap::new();
        let mut topic = None;
        if let Some(relay) = relay {
            let client = relay.kafka.client.values.clone().into_iter();
            properties.extend(client.filter(|(name, _)| {
                CONNECTION_PROPERTIES
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
            }));
            let own = source_of(relay, url).and_then(|source| source.topic.as_ref());
            topic = Some(own.unwrap_or(&relay.kafka.topic).clone());
        }
        if let Some(servers) = &self.bootstrap {
            properties.remove("metadata.broker.list");
            properties.insert(String::from("bootstrap.servers"), servers.clone());
        }
        properties.extend(self.property.iter().cloned());
        let topic = self.topic.clone().or(topic);
        (
            properties,
            topic.unwrap_or_else(|| String::from(DEFAULT_TOPIC)),
        )
    }
}

/// The configured source that has the path of `url`.
fn source_of<'a>(relay: &'a Config, url: &WebhookUrl) -> Option<&'a SourceConfig> {
    let mut sources = relay.source.iter();
    sources.find(|source| source.path.contains(url.source_path()))
}

fn property(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("give name=value, for example security.protocol=ssl")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: ProveArgs,
    }

    fn arguments(line: &[&str]) -> ProveArgs {
        let line = Line::try_parse_from([&["prove"], line].concat()).unwrap();
        line.arguments
    }

    fn kafka(line: &[&str]) -> (BTreeMap<String, String>, String) {
        let arguments = arguments(line);
        let relay = arguments.relay().unwrap();
        let url = arguments.webhook_url(relay.as_ref());
        arguments.kafka(relay.as_ref(), &url)
    }

    #[test]
    fn a_key_is_required_only_if_the_posted_source_verifies() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[kafka.client]\n\"bootstrap.servers\" = \"k1:1\"\n[[source]]\nname = \"open\"\n\
                    path = \"/open\"\nverify = \"none\"\n[[source]]\nname = \"retell\"\npath = \"/webhook\"\n\
                    verify = \"retell\"\nkeys = [{ env = \"RINGBACK_TEST_NEVER_SET\" }]\n[[source]]\nname = \"github\"\n\
                    path = \"/github\"\nverify = \"github\"\nkeys = [{ env = \"CARGO\" }]\n";
        std::fs::write(file.path(), text).unwrap();
        let key = |url: &str| {
            let path = file.path().to_str().unwrap();
            let arguments = arguments(&["--config", path, "--url", url]);
            let relay = arguments.relay().unwrap();
            let url = arguments.webhook_url(relay.as_ref());
            let signing = arguments.signing(relay.as_ref(), &url);
            signing.map(|signing| signing.to_string())
        };
        let open = key("http://localhost:1/open?a=b").unwrap();
        assert_eq!(open, "unsigned (source open does not verify)");
        let error = key("http://localhost:1/github").unwrap_err();
        assert!(error.is_usage());
        let text = error.to_string();
        let expected = "source github takes requests with verify = \"github\", and prove signs only as Retell AI does";
        assert!(text.starts_with(expected), "{text}");
        let error = key("http://localhost:1/webhook").unwrap_err();
        assert!(error.is_usage());
        assert_eq!(
            error.to_string(),
            "source retell verifies what is posted to /webhook, and none of its keys can be read here: the environment \
             variable RINGBACK_TEST_NEVER_SET is not set, or its value is not UTF-8 (export NAME=… in this shell, or set it for the service); run prove where one can, or name a variable \
             that holds one with --key-env"
        );
    }

    #[test]
    fn the_first_of_the_source_s_keys_that_can_be_read_signs_also_one_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (config, key) = (folder.path().join("c.toml"), folder.path().join("key"));
        let text = format!(
            "[kafka.client]\n\"bootstrap.servers\" = \"k1:1\"\n[[source]]\nname = \"retell\"\npath = \"/webhook\"\n\
             verify = \"retell\"\nkeys = [{{ file = \"/never/there\" }}, {{ file = {key:?} }}, {{ env = \"CARGO\" }}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let signing = || {
            let arguments = arguments(&["--config", config.to_str().unwrap()]);
            let relay = arguments.relay().unwrap();
            arguments.signing(relay.as_ref(), &WebhookUrl::default())
        };
        // Cargo sets it for every test.
        let of_variable = "signed with the key in the environment variable CARGO";
        assert_eq!(signing().unwrap().to_string(), of_variable);
        std::fs::write(&key, "key_1\n").unwrap();
        let signed = signing().unwrap();
        assert_eq!(signed.key().unwrap().expose_secret(), "key_1");
        let of_file = format!("signed with the key in the file {}", key.display());
        assert_eq!(signed.to_string(), of_file);
        std::fs::write(&key, "\n").unwrap();
        let blank = signing().err().unwrap();
        assert!(
            !blank.is_usage() && blank.to_string().contains("is blank"),
            "{blank}"
        );
    }

    #[test]
    fn the_variable_that_signs_is_named_and_a_key_in_its_place_is_not() {
        let signing = |line: &[&str]| {
            let arguments = arguments(&[&["--bootstrap", "k:1"], line].concat());
            arguments.signing(None, &WebhookUrl::default())
        };
        // Cargo sets it for every test.
        let signed = signing(&["--key-env", "CARGO_MANIFEST_DIR"]).unwrap();
        assert!(signed.key().is_some());
        assert_eq!(
            signed.to_string(),
            "signed with the key in the environment variable CARGO_MANIFEST_DIR"
        );
        let unset = signing(&["--key-env", "RINGBACK_TEST_NEVER_SET"])
            .err()
            .unwrap();
        assert!(
            unset.to_string().contains("RINGBACK_TEST_NEVER_SET"),
            "{unset}"
        );
        let pasted = signing(&["--key-env", "key_hunter2"]).err().unwrap();
        assert!(pasted.is_usage());
        assert!(!pasted.to_string().contains("hunter2"), "{pasted}");
    }

    #[test]
    fn the_command_line_overrides_how_the_configuration_connects_to_kafka() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[kafka]\ntopic = \"calls\"\n[kafka.client]\n\"bootstrap.servers\" = \"k1:1\"\n\
                    \"security.protocol\" = \"ssl\"\n\"linger.ms\" = 5\n[[source]]\nname = \"a\"\n\
                    path = \"/a\"\nverify = \"none\"\n";
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let (properties, topic) = kafka(&["--config", path]);
        let expected = [("bootstrap.servers", "k1:1"), ("security.protocol", "ssl")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((properties, topic.as_str()), (expected.into(), "calls"));
        let (properties, topic) = kafka(&[
            "--config",
            path,
            "--bootstrap",
            "k2:2",
            "--topic",
            "t",
            "-X",
            "security.protocol=plaintext",
        ]);
        assert_eq!(properties["bootstrap.servers"], "k2:2");
        assert_eq!(properties["security.protocol"], "plaintext");
        assert_eq!(topic, "t");
        assert_eq!(kafka(&["--bootstrap", "k:1"]).1, DEFAULT_TOPIC);
        std::fs::write(file.path(), format!("{text}topic = \"own\"\n")).unwrap();
        assert_eq!(kafka(&["--config", path]).1, "own");
    }

    #[test]
    fn a_property_has_a_name_and_its_value_may_contain_equals_signs() {
        let parts = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(property("a=b=c"), parts("a", "b=c"));
        assert_eq!(property("a="), parts("a", ""));
        assert!(property("a").is_err() && property("=b").is_err());
    }
}
