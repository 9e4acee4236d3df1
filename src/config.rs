//! The configuration: one TOML file, each key of which the environment may override.
//!
//! Every section is a type of the module that uses it; this module only composes them, says where a value came from,
//! and refuses what is unknown or out of bounds, naming the key, the line or variable, and what would do. Nothing is
//! clamped and nothing falls back in silence.
//!
//! ```text
//! file ─► TOML ─┐
//!               ├─► merged table ─► typed sections ─► bounds ─► secrets resolved ─► Config
//! RINGBACK_A__B ┘        (a failing key's path is located in the file or traced to its variable)
//! ```

mod bounds;
mod diagnostics;
mod environment;
mod kafka;
mod read;
mod render;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::admin;
use crate::ingest;
use crate::journal;
use crate::publish;
use crate::telemetry;

pub use self::diagnostics::{Origin, Problem};
pub use environment::Environment;
pub use kafka::{KafkaConfig, Property};

/// A whole configuration, checked; what it holds is safe to start with.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[listen]`: the webhooks' listener and its limits.
    pub listen: ingest::ListenConfig,
    /// `[admin]`: the listener for metrics and probes.
    pub admin: admin::Config,
    /// `[journal]`: where events are kept, and how many.
    pub journal: journal::Config,
    /// `[kafka]` and `[kafka.client]`.
    pub kafka: KafkaConfig,
    /// `[shutdown]`: how the process ends.
    pub shutdown: ShutdownConfig,
    /// `[[source]]`, one for each sender and path; at least one.
    pub source: Vec<ingest::SourceConfig>,
}

/// `[shutdown]`: the orchestrator's grace period must exceed the sum of both, with some seconds to spare.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownConfig {
    /// How long `/readyz` says no before the listener closes, so that load balancers stop sending first.
    /// Default 5 s; 0 s to 10 min.
    #[serde(with = "humantime_serde")]
    pub readiness_delay: Duration,
    /// How long the rest may take: running requests, then publishing what the journal holds. What is left stays on
    /// disk for the next start. Default 20 s; 1 s to 1 h.
    #[serde(with = "humantime_serde")]
    pub drain_deadline: Duration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self {
            readiness_delay: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(20),
        }
    }
}

/// What a command needs of a configuration: of that everything is checked and resolved, of the rest only that it can be
/// read, since the operator's machine may lack the relay's keys and certificates.
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
    /// Not TOML: mend the syntax at the line.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// The file's name as given.
        file: String,
        /// 1-based.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// Keys that are unknown, of a wrong type, or out of bounds; each says what would do.
    #[error("{}", self::diagnostics::list(.0))]
    Invalid(Vec<Problem>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    listen: ingest::ListenConfig,
    #[serde(default)]
    admin: admin::Config,
    #[serde(default)]
    journal: journal::Config,
    #[serde(default)]
    kafka: kafka::Raw,
    #[serde(default)]
    shutdown: ShutdownConfig,
    #[serde(default)]
    source: Vec<ingest::SourceConfig>,
}

impl Config {
    /// Reads `path`, overlays `environment`, checks what `purpose` asks for. No port is bound and nothing is created.
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

    /// As [`Config::load`], from a text and without reading the sources' keys; `file` is only named in errors.
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
        let mut problems = Vec::new();
        let located = self::diagnostics::Located::parse(text, file)?;
        let mut located = environment.overlay(located, &mut problems)?;
        let raw = read::read::<Raw>(&mut located, environment, &mut problems)?;
        let told = problems.len();
        let kafka = raw.kafka.resolve(&located, environment, &mut problems);
        let config = Self {
            listen: raw.listen,
            admin: raw.admin,
            journal: raw.journal,
            kafka,
            shutdown: raw.shutdown,
            source: raw.source,
        };
        bounds::check(&config, &located, &mut problems);
        if purpose != Purpose::Journal
            && let Err(error) = config.publish().validate()
        {
            let key = format!("kafka.client.{}", error.property);
            problems.push(located.problem(&key, error.to_string()));
        }
        if with_keys {
            for (index, source) in config.source.iter().enumerate() {
                if let Err(error) = ingest::check_sources(std::slice::from_ref(source)) {
                    problems.push(located.problem(&error.key(index), telemetry::chain(&error)));
                }
            }
        }
        // What cannot even be read is everybody's fault to mend; the rest is whose it concerns.
        let mut rest = problems.split_off(told);
        rest.retain(|problem| purpose.concerns(&problem.key));
        problems.append(&mut rest);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }

    /// The publisher's part, put together from `[kafka]`, `listen.max_body` and `journal.path`.
    pub fn publish(&self) -> publish::Config {
        publish::Config {
            topic: self.kafka.topic.clone(),
            dead_letter_topic: self.kafka.dead_letter_topic.clone(),
            stall_timeout: self.kafka.stall_timeout,
            client: self.kafka.plain_client(),
            secret_files: self.kafka.secret_files(),
            max_body: self.listen.max_body.as_u64(),
            dead_letter_path: self.journal.path.join(publish::DEAD_LETTERS),
        }
    }

    /// The effective configuration as TOML, every key of it, secrets redacted: what `ringback check` prints.
    pub fn show(&self) -> String {
        self::render::show(self)
    }
}
