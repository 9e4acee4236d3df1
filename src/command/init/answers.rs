//! What a first configuration has to say: given by flags, answered on a terminal, or a default.

use std::path::Path;

use clap::ValueHint;
use toml::Table;

use super::{InitError, contradictions};
use crate::command::RETELL_KEY;
use crate::command::sender::PresetName;
use crate::settings::nearest;

/// The sender that ringback was made for.
pub const DEFAULT_SENDER: &str = "retell";
pub const DEFAULT_BROKERS: &str = "localhost:9092";
pub const DEFAULT_PATH: &str = "/webhook";
pub const DEFAULT_SECURITY: &str = "PLAINTEXT";
pub const DEFAULT_MECHANISM: &str = "SCRAM-SHA-512";
pub const DEFAULT_USER: &str = "ringback";
pub const DEFAULT_PASSWORD: &str = "KAFKA_PASSWORD";
/// Only a suggestion: each sender has a name of its own.
pub const DEFAULT_HEADER: &str = "X-Signature";

/// Of senders that are not known.
const SCHEMES: [&str; 4] = ["hmac", "bearer", "basic", "none"];

/// `None` and an empty list are not answered yet. Paths are text, because TOML has no other.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Answers {
    /// A known sender, as in preset = "…"
    #[arg(long, value_name = "SENDER", conflicts_with = "verify", help_heading = "The sender",
        value_parser = PresetName)]
    pub preset: Option<String>,
    /// Any other sender: its scheme, as in verify = "…", such as hmac, bearer, basic or none
    #[arg(long, value_name = "SCHEME", help_heading = "The sender")]
    pub verify: Option<String>,
    /// What else its source says, such as 'hmac = { header = "X-Signature" }'; can be repeated
    #[arg(long = "set", value_name = "LINE", help_heading = "The sender")]
    pub settings: Vec<String>,
    /// The path of the URL that the sender is given [default: /webhook]
    #[arg(long, value_name = "PATH", help_heading = "The sender")]
    pub path: Option<String>,
    /// The environment variable with the signing key [default: by the sender's name, such as STRIPE_SECRET]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "key_file",
        help_heading = "The sender"
    )]
    pub key_env: Option<String>,
    /// The file with the signing key
    #[arg(long, value_name = "FILE", help_heading = "The sender", value_hint = ValueHint::FilePath)]
    pub key_file: Option<String>,

    /// The brokers, as host:port,host:port
    #[arg(long, value_name = "SERVERS", help_heading = "Kafka")]
    pub brokers: Option<String>,
    /// The topic of the events [default: the sender's name and "-events"]
    #[arg(long, value_name = "TOPIC", help_heading = "Kafka")]
    pub topic: Option<String>,
    /// How the brokers are reached, in Kafka's words [default: PLAINTEXT; SASL_SSL if there is a user, SSL if there are certificates]
    #[arg(long, value_name = "PROTOCOL", help_heading = "Kafka",
        value_parser = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])]
    pub kafka_security: Option<String>,
    /// The authority that signed the brokers' certificates [default: those that the system knows]
    #[arg(long, value_name = "FILE", help_heading = "Kafka", value_hint = ValueHint::FilePath)]
    pub kafka_ca: Option<String>,
    /// The client certificate for the brokers
    #[arg(long, value_name = "FILE", requires = "kafka_key", help_heading = "Kafka", value_hint = ValueHint::FilePath)]
    pub kafka_certificate: Option<String>,
    /// The private key of the client certificate
    #[arg(long, value_name = "FILE", requires = "kafka_certificate", help_heading = "Kafka", value_hint = ValueHint::FilePath)]
    pub kafka_key: Option<String>,
    /// SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 [default: SCRAM-SHA-512]
    #[arg(long, value_name = "MECHANISM", help_heading = "Kafka")]
    pub sasl_mechanism: Option<String>,
    /// SASL: the user [default: ringback]
    #[arg(long, value_name = "NAME", help_heading = "Kafka")]
    pub sasl_user: Option<String>,
    /// SASL: the environment variable with the password [default: KAFKA_PASSWORD]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "sasl_password_file",
        help_heading = "Kafka"
    )]
    pub sasl_password_env: Option<String>,
    /// SASL: the file with the password
    #[arg(long, value_name = "FILE", help_heading = "Kafka", value_hint = ValueHint::FilePath)]
    pub sasl_password_file: Option<String>,

    /// The journal's folder, on a disk that outlives the process [default: ./journal; for a file below /etc /var/lib/ringback]
    #[arg(long, value_name = "DIR", help_heading = "This machine", value_hint = ValueHint::DirPath)]
    pub journal: Option<String>,
    /// The certificate for HTTPS on the webhook port [default: none, because TLS is terminated in front]
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "This machine", value_hint = ValueHint::FilePath)]
    pub tls_certificate: Option<String>,
    /// The private key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate", help_heading = "This machine", value_hint = ValueHint::FilePath)]
    pub tls_key: Option<String>,

    /// Where the file is written decides where the journal goes by default.
    #[arg(skip)]
    pub is_system: bool,
}

/// A secret that the user still has to provide, and what it is.
pub enum Secret {
    Variable(String, &'static str),
    File(String, &'static str),
}

impl Answers {
    /// Looks at the flags, before anything is asked.
    pub fn prepare(&mut self, output: &Path) -> Result<(), InitError> {
        self.is_system = output.starts_with("/etc");
        let mut keys = Vec::new();
        for line in &self.settings {
            let wrong = |reason: &str| InitError::Setting {
                line: line.clone(),
                reason: reason.to_owned(),
            };
            // Whatever else begins in it would not belong to the source.
            if line.trim().contains('\n') {
                return Err(wrong("give each line in a --set of its own"));
            }
            if line.trim_start().starts_with('[') {
                return Err(wrong(
                    "a table stands in braces, as in hmac = { header = \"X-Signature\" }",
                ));
            }
            let table = line.parse::<Table>();
            let table = table.map_err(|error| wrong(error.message()))?;
            keys.extend(table.into_iter().map(|(key, _)| key));
        }
        match contradictions::first(self, &keys) {
            Some(contradiction) => Err(InitError::Contradiction(contradiction)),
            None => Ok(()),
        }
    }

    /// Fails if something has no answer that nobody should guess. With `defaults` the sender and the brokers have one.
    pub fn require(&self, defaults: bool) -> Result<(), InitError> {
        let mut missing = Vec::new();
        if !defaults && !self.has_sender() {
            missing.push("--preset SENDER or --verify SCHEME");
        }
        if !defaults && self.brokers.is_none() {
            missing.push("--brokers SERVERS");
        }
        if !missing.is_empty() {
            return Err(InitError::NotAsked(missing.join(" and ")));
        }
        match self.missing_setting() {
            Some(Scheme::Twilio) => Err(InitError::NoDefault(String::from(
                "the URL that Twilio was given: --set 'twilio = { url = \"https://…\" }'",
            ))),
            Some(Scheme::Hmac) => Err(InitError::NoDefault(String::from(
                "where the signature is: --set 'hmac = { header = \"…\" }'",
            ))),
            None => Ok(()),
        }
    }

    pub fn has_sender(&self) -> bool {
        self.preset.is_some() || self.verify.is_some()
    }

    /// Takes the name of a known sender, or of a scheme.
    pub fn set_sender(&mut self, name: String) {
        let scheme = name.to_ascii_lowercase();
        if SCHEMES.contains(&scheme.as_str()) {
            self.verify = Some(scheme);
        } else {
            self.preset = Some(PresetName::meant(&name).map_or(name, str::to_owned));
        }
    }

    /// What is wrong with the sender's name, and those that would do. Flags have a list of their own.
    pub fn unknown_sender(&self) -> Option<String> {
        let name = self.preset.as_deref()?;
        let known = PresetName::known();
        if known.contains(&name) {
            return None;
        }
        let near = nearest(name, known.into_iter().chain(SCHEMES));
        let near = near.map(|near| format!(" (did you mean {near:?}?)"));
        Some(format!(
            "no known sender is called {name:?}{}; known are {}; write the scheme of any other: {}",
            near.unwrap_or_default(),
            known.join(", "),
            SCHEMES.join(", ")
        ))
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        match (&self.preset, self.verify.as_deref()) {
            (Some(preset), _) => preset,
            (None, Some("none" | "hmac" | "bearer" | "basic")) => "webhook",
            (None, Some(verify)) => verify,
            (None, None) => DEFAULT_SENDER,
        }
    }

    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(DEFAULT_PATH)
    }

    pub fn topic(&self) -> String {
        let default = || format!("{}-events", self.name());
        self.topic.clone().unwrap_or_else(default)
    }

    pub fn journal(&self) -> &str {
        let default = if self.is_system {
            "/var/lib/ringback"
        } else {
            "./journal"
        };
        self.journal.as_deref().unwrap_or(default)
    }

    pub fn has_keys(&self) -> bool {
        self.verify.as_deref() != Some("none")
    }

    /// True if it is known where the sender's events have their keys.
    pub fn has_own_keys(&self) -> bool {
        matches!(self.verify.as_deref(), None | Some("none" | "retell"))
    }

    /// As docs/senders.md calls it.
    pub fn key_variable(&self) -> String {
        let default = || match self.name() {
            "retell" => String::from(RETELL_KEY),
            "vapi" => String::from("VAPI_TOKEN"),
            "twilio" => String::from("TWILIO_AUTH_TOKEN"),
            "webhook" => String::from("WEBHOOK_SECRET"),
            name => format!("{}_SECRET", name.to_uppercase().replace('-', "_")),
        };
        self.key_env.clone().unwrap_or_else(default)
    }

    pub fn security(&self) -> &str {
        let security = self.kafka_security.as_deref();
        security.unwrap_or(match (self.has_sasl_flag(), self.has_tls_flag()) {
            // Without TLS anybody on the way could read a password: only on request.
            (true, _) => "SASL_SSL",
            (false, true) => "SSL",
            (false, false) => DEFAULT_SECURITY,
        })
    }

    /// True if a flag says how the brokers are reached, so that it need not be asked.
    pub fn has_security(&self) -> bool {
        self.kafka_security.is_some() || self.has_sasl_flag() || self.has_tls_flag()
    }

    fn has_sasl_flag(&self) -> bool {
        let flags = [
            &self.sasl_mechanism,
            &self.sasl_user,
            &self.sasl_password_env,
            &self.sasl_password_file,
        ];
        flags.into_iter().any(Option::is_some)
    }

    fn has_tls_flag(&self) -> bool {
        self.kafka_ca.is_some() || self.kafka_certificate.is_some()
    }

    pub fn has_sasl(&self) -> bool {
        self.security().starts_with("SASL")
    }

    pub fn has_kafka_tls(&self) -> bool {
        self.security().ends_with("SSL")
    }

    /// The scheme whose setting is missing and cannot be guessed.
    pub fn missing_setting(&self) -> Option<Scheme> {
        let scheme = match (self.preset.as_deref(), self.verify.as_deref()) {
            (Some("twilio"), _) | (_, Some("twilio")) => Scheme::Twilio,
            (_, Some("hmac")) => Scheme::Hmac,
            _ => return None,
        };
        (!self.sets(scheme.key())).then_some(scheme)
    }

    /// True if a line of `--set` has this key.
    pub fn sets(&self, key: &str) -> bool {
        let has_key = |line: &String| {
            let table = line.parse::<Table>();
            table.is_ok_and(|table| table.contains_key(key))
        };
        self.settings.iter().any(has_key)
    }

    /// What the user still has to provide.
    pub fn secrets(&self) -> Vec<Secret> {
        let secret = |file: &Option<String>, variable: String, what| match file {
            Some(file) => Secret::File(file.clone(), what),
            None => Secret::Variable(variable, what),
        };
        let mut secrets = Vec::new();
        if self.has_keys() {
            let what = "the key with which the sender signs";
            secrets.push(secret(&self.key_file, self.key_variable(), what));
        }
        if self.has_sasl() {
            let variable = self
                .sasl_password_env
                .as_deref()
                .unwrap_or(DEFAULT_PASSWORD);
            let what = "the password for Kafka";
            secrets.push(secret(&self.sasl_password_file, variable.to_owned(), what));
        }
        secrets
    }
}

/// A scheme that needs a setting which only the user knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Twilio,
    Hmac,
}

impl Scheme {
    /// The key within the source.
    fn key(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Hmac => "hmac",
        }
    }
}
