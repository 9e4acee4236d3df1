//! The configuration: one TOML file, each key of which the environment may override.
//!
//! Every section is declared by the module that uses it (`settings!`). This module composes the sections, reports where
//! a value came from, and refuses what is unknown or out of bounds with the key, its line or variable, and a remedy.
//! Nothing is clamped, and no default silently replaces a bad value.
//!
//! ```text
//! file ─► TOML ─┐
//!               ├─► merged table ─► typed, checked sections ─► relations between keys ─► Config
//! RINGBACK_A__B ┘        (an error's key is located in the file or traced to its variable)
//! ```

mod diagnostics;
mod environment;
mod keys;
mod relations;
mod reload;
mod render;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::admin;
use crate::ingest;
use crate::publish::{self, Ack};
use crate::settings::{self, SettingError, SettingFault};
use crate::telemetry;

use self::diagnostics::{Located, is_related};

pub use self::diagnostics::{Diagnostic, Origin};
pub use self::environment::{Environment, variable_of};
pub use self::keys::{Config, ShutdownConfig, sections};
pub use self::reload::{ReloadMetrics, Reloaded};

/// Of what begins so, the rest is a property of librdkafka's, with dots of its own.
const CLIENT: &str = "kafka.client.";

const NO_JOURNAL: &str = "with ack = \"kafka\" events are not kept on disk; remove this, or set ack = \"disk\" to have a journal";

/// What a command needs a configuration for. Only that part is checked and its secrets are read; of the rest only the
/// syntax counts, because an operator's machine may lack the relay's keys and certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Everything, the sources' keys included.
    Relay,
    /// Everything but the sources; of these the topics.
    Publish,
    /// The sources, their keys included, and the limits of `[listen]`: for a relay that has everything else of its own.
    Sources,
    /// `[journal]` alone.
    Journal,
}

impl Purpose {
    fn concerns(self, key: &str) -> bool {
        match self {
            Self::Relay => true,
            Self::Publish => !key.starts_with("source") || key.contains(".topic"),
            Self::Sources => key.starts_with("source") || key.starts_with("listen."),
            Self::Journal => key.starts_with("journal."),
        }
    }
}

/// Why a configuration is refused; the process exits with 78 before any port is bound.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read: give an existing, readable path.
    #[error(
        "cannot read the configuration file {path}: {source}; with --config, name a file that this user can read, for example a \
         copy of config/ringback.toml"
    )]
    Read {
        /// The absolute path.
        path: String,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML: fix the syntax at the line.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// The file's name as given.
        file: String,
        /// 1-based.
        line: usize,
        /// The parser's message.
        message: String,
    },
    /// Keys that are unknown, missing, of a wrong type, or out of bounds; each message says how to fix it.
    #[error("{}", self::diagnostics::list(.0))]
    Invalid(Vec<Diagnostic>),
}

/// The keys of `[journal]` that are set, in the file or by a variable.
fn journal_keys(table: &toml::Table) -> Vec<String> {
    let Some(journal) = table.get("journal") else {
        return Vec::new();
    };
    let keys = journal.as_table().into_iter().flat_map(toml::Table::keys);
    let keys: Vec<_> = keys.map(|key| format!("journal.{key}")).collect();
    if keys.is_empty() {
        return vec![String::from("journal")];
    }
    keys
}

impl Config {
    /// Reads `path`, lays `environment` over it, and checks what `purpose` needs. Binds no port and creates nothing.
    pub fn load(
        path: &Path,
        environment: &Environment,
        purpose: Purpose,
    ) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| {
            // It shows which folder a relative path was looked for in.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            ConfigError::Read {
                path: path.display().to_string(),
                source,
            }
        })?;
        Self::read(
            &text,
            &file,
            environment,
            purpose,
            matches!(purpose, Purpose::Relay | Purpose::Sources),
        )
    }

    /// As [`Config::load`], from a text and without reading the sources' keys. Errors name `file`.
    pub fn parse(text: &str, file: &str, environment: &Environment) -> Result<Self, ConfigError> {
        Self::read(text, file, environment, Purpose::Relay, false)
    }

    fn read(
        text: &str,
        file: &str,
        environment: &Environment,
        purpose: Purpose,
        with_keys: bool,
    ) -> Result<Self, ConfigError> {
        let mut diagnostics = Vec::new();
        let mut located = Located::parse(text, file)?;
        environment.overlay(&mut located, &mut diagnostics);
        let journal_keys = journal_keys(&located.table);
        let sources = located.table.get_mut("source");
        let sources = sources
            .and_then(toml::Value::as_array_mut)
            .into_iter()
            .flatten();
        for source in sources.filter_map(toml::Value::as_table_mut) {
            ingest::fill_preset(source);
        }
        let (mut config, mut errors) = settings::decode::<Self>(
            located.take_table(),
            environment.texts(),
            &located.variables,
        );
        for source in &mut config.source {
            source.fill_in_scheme();
        }
        let unread = errors
            .iter()
            .filter(|error| error.fault == SettingFault::Unread);
        let unread: Vec<_> = unread.map(|error| error.key.clone()).collect();
        let is_read = |key: &str| !unread.iter().any(|unread| is_related(unread, key));
        // What is out of bounds is not reckoned with.
        let unusable = errors
            .iter()
            .filter(|error| error.fault != SettingFault::Unknown);
        let unusable: Vec<_> = unusable.map(|error| error.key.clone()).collect();
        let is_usable = |key: &str| !unusable.iter().any(|unusable| is_related(unusable, key));
        let is_complete = !errors.iter().any(|error| error.key.starts_with(CLIENT));
        let mut refuse =
            |key: String, message: String| errors.push(SettingError::invalid(key, message));
        self::relations::check(&config, is_usable, &mut refuse);
        if config.ack == Ack::Kafka {
            for key in journal_keys {
                refuse(key, String::from(NO_JOURNAL));
            }
        }
        if matches!(purpose, Purpose::Relay | Purpose::Publish) {
            config.check_properties(is_usable, is_complete, &mut refuse);
        }
        if with_keys {
            config.check_sources(is_read, &mut refuse);
        }
        if with_keys && purpose == Purpose::Relay {
            config.check_listeners(is_read, &mut refuse);
        }
        // Parse errors are always reported, other errors only for keys that this command uses.
        errors.retain(|error| {
            error.fault != SettingFault::Unsuitable || purpose.concerns(&error.key)
        });
        let errors = errors.into_iter();
        diagnostics.extend(errors.map(|error| located.diagnostic(&error.key, error.message)));
        if diagnostics.is_empty() {
            return Ok(config);
        }
        Err(ConfigError::Invalid(diagnostics))
    }

    /// `is_complete` if every property could be read: only then do they show whether they fit together.
    fn check_properties(
        &self,
        is_usable: impl Fn(&str) -> bool,
        is_complete: bool,
        mut refuse: impl FnMut(String, String),
    ) {
        let mut publish = self.publish();
        let sources = 0..self.source.len();
        let mut keys = sources.map(|index| format!("source.{index}.max_body"));
        if !is_usable("listen.max_body") || !keys.all(|key| is_usable(&key)) {
            // What depends on it is not known. With none, the bounds are at their widest.
            publish.max_body = 0;
        }
        let mut errors = publish.check_each_property();
        if errors.is_empty() && is_complete {
            errors.extend(publish.check_properties_together().err());
        }
        for error in errors {
            refuse(format!("{CLIENT}{}", error.property), error.to_string());
        }
    }

    fn check_sources(
        &self,
        is_read: impl Fn(&str) -> bool,
        mut refuse: impl FnMut(String, String),
    ) {
        for (index, source) in self.source.iter().enumerate() {
            for fault in ingest::source_faults(source) {
                let key = fault.key(index);
                // Which keys and settings a source must have depends on how it verifies.
                let within = key.strip_prefix(&format!("source.{index}."));
                let depends_on_verify = within.is_some_and(|key| {
                    let section = key.split('.').next();
                    matches!(section, Some("keys" | "hmac" | "twilio" | "bearer"))
                });
                let verify = format!("source.{index}.verify");
                if is_read(&key) && (!depends_on_verify || is_read(&verify)) {
                    refuse(key, telemetry::chain(&fault));
                }
            }
        }
    }

    /// The certificate of one listener and the token of the other.
    fn check_listeners(
        &self,
        is_read: impl Fn(&str) -> bool,
        mut refuse: impl FnMut(String, String),
    ) {
        let tls = self.listen.tls.as_ref().filter(|_| is_read("listen.tls"));
        let faults = tls.and_then(|tls| ingest::inspect_certificate(tls).err());
        for fault in faults.into_iter().flatten() {
            refuse(fault.key().to_owned(), telemetry::chain(&fault));
        }
        let token = self.admin.token.as_ref();
        if let Some(fault) = token.and_then(admin::TokenConfig::fault) {
            refuse(String::from("admin.token"), telemetry::chain(&fault));
        }
    }

    /// The publisher's part: `[kafka]`, `journal.path`, the sources' topics, and the largest `max_body`.
    pub fn publish(&self) -> publish::Config {
        let sources = self.source.iter().map(|source| publish::SourceTopics {
            source: source.name.clone(),
            topic: source.topic.clone(),
            by_event: source.topics.0.clone(),
        });
        let bodies = self.source.iter().filter_map(|source| source.max_body);
        let max_body = bodies.fold(self.listen.max_body, Ord::max);
        publish::Config {
            ack: self.ack,
            commit_timeout: self.listen.commit_timeout,
            kafka: self.kafka.clone(),
            sources: sources.collect(),
            max_body: max_body.as_u64(),
            dead_letter_path: self.journal.path.join(publish::DEAD_LETTERS),
        }
    }

    /// The effective configuration as TOML, with every key and without secrets: what `ringback check` prints.
    pub fn show(&self) -> String {
        self::render::show(self)
    }
}
