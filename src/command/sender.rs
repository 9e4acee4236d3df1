//! Which sender a command acts for: a source of a configuration, or a scheme and a key named on the command line.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use secrecy::{ExposeSecret as _, SecretString};
use toml::{Table, Value};

use super::{CommandError, RETELL_KEY, load};
use crate::config::{Config, Environment, Purpose};
use crate::ingest::{KeyConfig, PRESETS, SignError, Signer, SourceConfig, Verify};
use crate::secret::{SecretError, SecretForm, SecretSource};
use crate::telemetry::chain;

/// The variable that names the configuration for every command.
const CONFIG: &str = "RINGBACK_CONFIG";

/// The name of a known sender as an option has it, in the case and with the blanks and hyphens that people write.
#[derive(Clone)]
pub struct PresetName;

impl PresetName {
    /// The known sender that `text` means.
    pub fn meant(text: &str) -> Option<&'static str> {
        let plain = |text: &str| {
            let letters = text.chars().filter(|c| !" -_".contains(*c));
            letters.collect::<String>().to_ascii_lowercase()
        };
        let text = plain(text);
        let mut names = Self::known().into_iter();
        names.find(|name| plain(name) == text || (*name == "retell" && text == "retellai"))
    }

    pub fn known() -> [&'static str; PRESETS.len()] {
        PRESETS.each_ref().map(|preset| preset.name)
    }
}

impl TypedValueParser for PresetName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let meant = value.to_str().and_then(Self::meant).map(OsStr::new);
        let names = PossibleValuesParser::new(Self::known());
        names.parse_ref(command, argument, meant.unwrap_or(value))
    }

    /// For the help and the completions.
    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Self::known().into_iter().map(PossibleValue::new)))
    }
}

/// Who sends.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The sender")]
pub struct SenderArgs {
    /// Take the path, the scheme and the keys from a source of this configuration file (TOML) [default: `RINGBACK_CONFIG`, if set]
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["verify", "preset", "settings"])]
    config: Option<PathBuf>,
    /// The source in the configuration [default: the only one]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["verify", "preset", "settings"])]
    source: Option<String>,
    /// Without a configuration: the scheme, as in verify = "…" [default: retell]
    #[arg(long, value_name = "SCHEME", conflicts_with = "preset")]
    verify: Option<String>,
    /// Without a configuration: a known sender, as in preset = "…"
    #[arg(long, value_name = "SENDER", value_parser = PresetName)]
    preset: Option<String>,
    /// Without a configuration: what else its source would say, such as 'hmac = { header = "X-Signature" }'; can be repeated
    #[arg(long = "set", value_name = "LINE")]
    settings: Vec<String>,
    /// The environment variable with the key [default: the keys of the source; for retell RETELL_API_KEY]
    #[arg(long, value_name = "NAME", conflicts_with = "key_file")]
    key_env: Option<String>,
    /// The file with the key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Why the command line names no sender. All are errors of usage but the last two.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    #[error("--source needs the configuration that has it: give --config FILE, or set {CONFIG}")]
    NoConfig,
    #[error("the configuration has no source {name:?}; --source takes one of: {known}")]
    NoSource { name: String, known: String },
    #[error("the configuration has several sources; choose one with --source: {known}")]
    WhichSource { known: String },
    #[error("--set {line:?} is not a line of a source: {reason}")]
    Setting { line: String, reason: String },
    #[error("verify = \"{verify}\" needs the key: give --key-env NAME or --key-file FILE")]
    NoKey { verify: Verify },
    #[error(
        "none of the source's keys can be read here: {0}; name one with --key-env or --key-file"
    )]
    Unread(String),
    #[error("the key cannot be used: {0}")]
    Secret(SecretError),
    #[error("a setting of the sender is wrong: {0}; without a configuration, give it with --set")]
    Settings(SignError),
    #[error("{origin} {reason}")]
    Sign { origin: String, reason: String },
}

impl SenderError {
    /// True if the command line is at fault.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Secret(_) | Self::Sign { .. })
    }
}

/// A sender, and the relay that it sends to if that is known.
pub struct Sender {
    pub relay: Option<Config>,
    pub source: SourceConfig,
    /// In the order in which they are tried.
    origins: Vec<SecretSource>,
    /// A key that nobody named may be missing, which means that nothing is signed.
    is_assumed: bool,
}

/// One key, ready to sign.
pub struct SenderKey {
    /// Where it was read.
    pub origin: SecretSource,
    pub secret: SecretString,
    pub signer: Signer,
}

impl SenderArgs {
    /// Reads the configuration, if there is one, but no key.
    pub fn sender(&self) -> Result<Sender, CommandError> {
        let relay = self.config_file();
        let relay = relay.map(|file| load(&file, Purpose::Publish));
        let relay = relay.transpose()?;
        if relay.is_none() && self.source.is_some() {
            return Err(SenderError::NoConfig.into());
        }
        let mut source = match &relay {
            Some(relay) => self.configured(relay)?.clone(),
            None => self.described()?,
        };
        let named = self.key_env.clone().map(SecretSource::Variable);
        let named = named.or_else(|| self.key_file.clone().map(SecretSource::File));
        let mut is_assumed = false;
        let origins = match named {
            Some(origin) => vec![origin],
            None if relay.is_none() && source.verify == Verify::Retell => {
                is_assumed = self.verify.is_none() && self.preset.is_none();
                vec![SecretSource::Variable(String::from(RETELL_KEY))]
            }
            None => source.keys.iter().filter_map(KeyConfig::source).collect(),
        };
        source.fill_in_scheme();
        Ok(Sender {
            relay,
            source,
            origins,
            is_assumed,
        })
    }

    /// False if nothing says who sends, so that Retell is assumed.
    pub fn names_sender(&self) -> bool {
        self.verify.is_some() || self.preset.is_some() || self.config_file().is_some()
    }

    /// The variable is no default of the option, because a sender that the command line describes needs no configuration.
    fn config_file(&self) -> Option<PathBuf> {
        if self.verify.is_some() || self.preset.is_some() || !self.settings.is_empty() {
            return None;
        }
        let variable = || std::env::var_os(CONFIG).filter(|file| !file.is_empty());
        self.config
            .clone()
            .or_else(|| variable().map(PathBuf::from))
    }

    fn configured<'a>(&self, relay: &'a Config) -> Result<&'a SourceConfig, SenderError> {
        let names: Vec<_> = relay.source.iter().map(|source| &*source.name).collect();
        let known = names.join(", ");
        match (&self.source, relay.source.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(SenderError::WhichSource { known }),
            (Some(name), sources) => {
                let found = sources.iter().find(|source| source.name == *name);
                let name = name.clone();
                found.ok_or(SenderError::NoSource { name, known })
            }
        }
    }

    /// The source that the command line describes, read as if it stood in a configuration.
    fn described(&self) -> Result<SourceConfig, CommandError> {
        let mut source = Table::new();
        for line in &self.settings {
            let parsed: Table = line.parse().map_err(|error: toml::de::Error| {
                let (line, reason) = (line.clone(), error.message().to_owned());
                SenderError::Setting { line, reason }
            })?;
            source.extend(parsed);
        }
        let mut write = |key: &str, value: &str| source.insert(key.to_owned(), value.into());
        write("name", "sender");
        write("path", "/webhook");
        match (&self.preset, &self.verify) {
            (Some(preset), _) => write("preset", preset),
            (None, Some(verify)) => write("verify", verify),
            (None, None) => write("verify", "retell"),
        };
        let servers = Table::from_iter([(String::from("bootstrap.servers"), "unused:1".into())]);
        let kafka = Table::from_iter([(String::from("client"), Value::Table(servers))]);
        let whole = Table::from_iter([
            (String::from("kafka"), Value::Table(kafka)),
            (String::from("source"), vec![source].into()),
        ]);
        let config = Config::parse(
            &whole.to_string(),
            "the command line",
            &Environment::default(),
        )?;
        let mut sources = config.source.into_iter();
        Ok(sources.next().unwrap_or_default())
    }
}

impl Sender {
    /// The sender of a source that is known already.
    pub fn of(source: SourceConfig) -> Self {
        Self {
            relay: None,
            origins: source.keys.iter().filter_map(KeyConfig::source).collect(),
            source,
            is_assumed: false,
        }
    }

    /// The variable that would have the key, if nobody named another place for it: without it nothing is signed.
    pub fn missing_variable(&self) -> Option<&'static str> {
        let is_set = || std::env::var(RETELL_KEY).is_ok_and(|key| !key.is_empty());
        (self.is_assumed && !is_set()).then_some(RETELL_KEY)
    }

    /// The keys that can be read here, in their order; empty if nothing is signed.
    pub fn keys(&self) -> Result<Vec<SenderKey>, SenderError> {
        let verify = self.source.verify;
        if verify == Verify::None {
            return Ok(Vec::new());
        }
        if self.origins.is_empty() {
            return Err(SenderError::NoKey { verify });
        }
        let mut keys = Vec::new();
        let mut unread = Vec::new();
        for origin in &self.origins {
            let is_wanted = |value: &String| !self.is_assumed || !value.is_empty();
            let variable = |name: &str| std::env::var(name).ok().filter(is_wanted);
            match origin.read(SecretForm::Line, variable) {
                Ok(secret) => keys.extend(self.key(origin, secret)?),
                Err(error @ (SecretError::Unset(_) | SecretError::Read(..))) => {
                    unread.push(chain(&error));
                }
                Err(error) => return Err(SenderError::Secret(error)),
            }
        }
        if keys.is_empty() && !self.is_assumed {
            return Err(SenderError::Unread(unread.join("; ")));
        }
        Ok(keys)
    }

    fn key(
        &self,
        origin: &SecretSource,
        secret: SecretString,
    ) -> Result<Option<SenderKey>, SenderError> {
        let signer = Signer::new(&self.source.scheme(), secret.expose_secret());
        let signer = signer.map_err(|error| match error {
            SignError::Settings(_) => SenderError::Settings(error),
            _ => SenderError::Sign {
                origin: origin.to_string(),
                reason: chain(&error),
            },
        })?;
        let origin = origin.clone();
        Ok(signer.map(|signer| SenderKey {
            origin,
            secret,
            signer,
        }))
    }
}
