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
mod render;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::ingest;
use crate::publish;
use crate::settings::{self, SettingError};
use crate::telemetry;

use self::diagnostics::Located;

pub use self::diagnostics::{Diagnostic, Origin};
pub use self::environment::{Environment, variable_of};
pub use self::keys::{Config, ShutdownConfig, sections};

/// What a command needs a configuration for. Only that part is checked and its secrets are read; of the rest only the
/// syntax counts, because an operator's machine may lack the relay's keys and certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Everything, the sources' keys included.
    Relay,
    /// Everything but the sources.
    Publish,
    /// `[journal]` alone.
    Journal,
}

impl Purpose {
    fn concerns(self, key: &str) -> bool {
        match self {
            Self::Relay => true,
            Self::Publish => !key.starts_with("source"),
            Self::Journal => key.starts_with("journal."),
        }
    }
}

/// Why a configuration is refused; the process exits with 78 before any port is bound.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read: give an existing, readable path.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// The path as it was given.
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

impl Config {
    /// Reads `path`, lays `environment` over it, and checks what `purpose` needs. Binds no port and creates nothing.
    pub fn load(
        path: &Path,
        environment: &Environment,
        purpose: Purpose,
    ) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: file.clone(),
            source,
        })?;
        Self::read(
            &text,
            &file,
            environment,
            purpose,
            purpose == Purpose::Relay,
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
        environment.overlay(&mut located, &mut diagnostics)?;
        let table = std::mem::take(&mut located.table);
        let (mut config, mut errors) =
            settings::decode::<Self>(table, environment.texts(), &located.variables);
        for source in config.iter_mut().flat_map(|config| &mut config.source) {
            let pointers = source.verify.key_pointers().iter();
            let default = || pointers.map(ToString::to_string).collect();
            source.key_pointers.get_or_insert_with(default);
        }
        let mut refuse =
            |key: String, message: String| errors.push(SettingError::invalid(key, message));
        if let Some(config) = &config {
            self::relations::check(config, &mut refuse);
            if purpose != Purpose::Journal
                && let Err(error) = config.publish().validate()
            {
                refuse(
                    format!("kafka.client.{}", error.property),
                    error.to_string(),
                );
            }
            for (index, source) in config.source.iter().enumerate().filter(|_| with_keys) {
                if let Err(error) = ingest::check_sources(std::slice::from_ref(source)) {
                    refuse(error.key(index), telemetry::chain(&error));
                }
            }
        }
        // Parse errors are always reported, other errors only for keys that this command uses.
        errors.retain(|error| error.is_parse_error || purpose.concerns(&error.key));
        let errors = errors.into_iter();
        diagnostics.extend(errors.map(|error| located.diagnostic(&error.key, error.message)));
        match config {
            Some(config) if diagnostics.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid(diagnostics)),
        }
    }

    /// The publisher's part: `[kafka]`, `listen.max_body` and `journal.path`.
    pub fn publish(&self) -> publish::Config {
        publish::Config {
            kafka: self.kafka.clone(),
            max_body: self.listen.max_body.as_u64(),
            dead_letter_path: self.journal.path.join(publish::DEAD_LETTERS),
        }
    }

    /// The effective configuration as TOML, with every key and without secrets: what `ringback check` prints.
    pub fn show(&self) -> String {
        self::render::show(self)
    }
}
