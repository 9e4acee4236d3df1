//! The configuration as text: the keys that matter at first, each with what its declaration says about it.

use std::fmt::{self, Write as _};

use super::answers::{
    Answers, DEFAULT_BROKERS, DEFAULT_MECHANISM, DEFAULT_PASSWORD, DEFAULT_SENDER, DEFAULT_USER,
};
use crate::config::{Config, ConfigError, Environment, sections};
use crate::ingest::{IngestError, source_faults};
use crate::secret::is_variable_name;
use crate::settings::{Setting, Shape};

/// The widest line of a comment, as in config/ringback.toml.
const WIDTH: usize = 120;
/// A comment ends with the sentence that passes this many characters; the reference has the rest.
const ENOUGH: usize = 160;

const HEAD: &str = "ringback's configuration, written by `ringback init`. What is not set here has its default: `ringback check --config FILE` \
    prints every key with its value, and docs/reference/configuration.md explains it. Every key can be set by an environment variable \
    too, such as RINGBACK_KAFKA__TOPIC. A changed file is read again within seconds.";

/// Those of SASL's mechanisms that need nothing but a user and a password.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// For a scheme whose senders have their keys in places of their own.
const KEYLESS: &str = "Where to find an event's Kafka key: JSON pointers (RFC 6901), of which the first that leads to a string wins. Without \
    them (or key_header) records have no key, and Kafka keeps no order among them.";

/// What `ringback check` would refuse.
#[derive(Debug)]
pub struct Fault {
    key: String,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.key, self.message)
    }
}

/// The configuration that the answers make, or the first mistake in what is answered so far. Nothing that the answers name is looked at: files and variables may be on another
/// machine, or come later.
pub fn check(answers: &Answers) -> Result<Config, Fault> {
    let fault = |key: &str, message: String| Fault {
        key: key.to_owned(),
        message,
    };
    let variables = [
        ("--key-env", &answers.key_env),
        ("--sasl-password-env", &answers.sasl_password_env),
    ];
    for (flag, variable) in variables {
        if variable
            .as_deref()
            .is_some_and(|name| !is_variable_name(name))
        {
            let message = "this is not the name of an environment variable, and perhaps the secret itself (not shown); \
                           write a name in capitals such as STRIPE_SECRET, and put the secret into that variable";
            return Err(fault(flag, String::from(message)));
        }
    }
    // A topic that is named after it would be found wrong first.
    if let Some(message) = answers.unknown_sender() {
        return Err(fault("--preset", message));
    }
    let mechanism = answers.sasl_mechanism.as_deref();
    if mechanism.is_some_and(|mechanism| !MECHANISMS.contains(&mechanism)) {
        let message = "init knows those that log in with a user and a password: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; \
                       docs/kafka-security.md has the others";
        return Err(fault("--sasl-mechanism", String::from(message)));
    }
    let unread = Answers {
        kafka_security: answers
            .has_security()
            .then(|| answers.security().to_owned()),
        kafka_ca: None,
        kafka_certificate: None,
        kafka_key: None,
        sasl_password_file: None,
        sasl_password_env: None,
        ..answers.clone()
    };
    let password = Environment::from([(DEFAULT_PASSWORD, "unread")]);
    let config = Config::parse(&text(&unread), "ringback init", &password);
    let config = config.map_err(|error| match error {
        ConfigError::Invalid(mut mistakes) if !mistakes.is_empty() => {
            let first = mistakes.swap_remove(0);
            fault(&first.key, first.message)
        }
        other => fault("configuration", other.to_string()),
    })?;
    let faults = config.source.iter().flat_map(source_faults);
    let mut faults = faults.filter(|fault| match fault {
        IngestError::Key { .. } => false,
        // Asked for after the sender.
        IngestError::Settings { .. } => answers.missing_setting().is_none(),
        _ => true,
    });
    if let Some(found) = faults.next() {
        return Err(fault(&found.key(0), found.to_string()));
    }
    drop(faults);
    Ok(config)
}

/// The file, with defaults for what is not answered.
pub fn text(answers: &Answers) -> String {
    let mut file = File {
        text: String::new(),
        keys: Vec::new(),
    };
    file.comment(HEAD);
    file.section("listen");
    file.key("address", None);
    let tls = answers
        .tls_certificate
        .as_ref()
        .zip(answers.tls_key.as_ref());
    let tls = tls.map(|(certificate, key)| {
        let (certificate, key) = (quoted(certificate), quoted(key));
        format!("{{ certificate = {certificate}, key = {key} }}")
    });
    file.key("tls", tls);
    file.section("admin");
    file.key("address", None);
    file.section("journal");
    file.key("path", Some(quoted(answers.journal())));
    file.key("budget", None);
    file.section("kafka");
    file.key("topic", Some(quoted(&answers.topic())));
    file.key("dead_letter_topic", None);
    file.client(answers);
    file.section("source");
    source(&mut file, answers);
    file.text
}

fn source(file: &mut File, answers: &Answers) {
    if !answers.sets("name") {
        file.key("name", Some(quoted(answers.name())));
    }
    file.key("path", Some(quoted(answers.path())));
    if let Some(verify) = &answers.verify {
        file.key("verify", Some(quoted(verify)));
    } else {
        let preset = answers.preset.as_deref().unwrap_or(DEFAULT_SENDER);
        file.key("preset", Some(quoted(preset)));
    }
    if answers.has_keys() {
        let key = by_reference(answers.key_file.as_deref(), &answers.key_variable());
        file.key("keys", Some(format!("[{key}]")));
    }
    for line in &answers.settings {
        file.line(line);
    }
    if answers.verify.is_some() {
        file.key("event_pointer", None);
        if answers.has_own_keys() {
            file.key("key_pointers", None);
        } else {
            file.comment(KEYLESS);
            file.line("# key_pointers = [\"/data/id\"]");
        }
    }
    file.key("dedup", None);
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Where a secret is read.
fn by_reference(file: Option<&str>, variable: &str) -> String {
    match file {
        Some(file) => format!("{{ file = {} }}", quoted(file)),
        None => format!("{{ env = {} }}", quoted(variable)),
    }
}

struct File {
    text: String,
    /// Of the section that is being written.
    keys: Vec<Setting>,
}

impl File {
    /// Begins the section of this name.
    fn section(&mut self, name: &str) {
        let sections = sections().into_iter();
        for section in sections.filter(|section| section.name == name) {
            self.text.push('\n');
            let (heading, kind) = match &section.kind.shape {
                Shape::List(element) => (format!("[[{name}]]"), element.as_ref()),
                _ => (format!("[{name}]"), &section.kind),
            };
            self.keys = kind.keys().to_vec();
            self.line(&heading);
        }
    }

    /// Writes the key with what its declaration says. Without a value it has its default; a key without one is an example, in a
    /// comment.
    fn key(&mut self, name: &str, value: Option<String>) {
        let Some(setting) = self.keys.iter().find(|setting| setting.name == name) else {
            debug_assert!(false, "{name} is no key of this section");
            return;
        };
        let setting = setting.clone();
        self.comment(&beginning(setting.doc));
        if let Some(value) = value.or(setting.default) {
            self.line(&format!("{name} = {value}"));
        } else {
            let example = setting.example.unwrap_or_default();
            let example = example.lines().next().unwrap_or_default();
            self.line(&format!("# {}", example.trim_start_matches("# ")));
        }
    }

    fn client(&mut self, answers: &Answers) {
        self.text.push('\n');
        self.comment(
            "librdkafka's own properties by their own names; docs/kafka-security.md has each way of logging in.",
        );
        self.line("[kafka.client]");
        let mut property =
            |name: &str, value: &str| self.line(&format!("{} = {value}", quoted(name)));
        let brokers = answers.brokers.as_deref().unwrap_or(DEFAULT_BROKERS);
        property("bootstrap.servers", &quoted(brokers));
        if answers.has_security() {
            property("security.protocol", &quoted(answers.security()));
        }
        for (name, file) in [
            ("ssl.ca.location", &answers.kafka_ca),
            ("ssl.certificate.location", &answers.kafka_certificate),
            ("ssl.key.location", &answers.kafka_key),
        ] {
            if let Some(file) = file {
                property(name, &quoted(file));
            }
        }
        if answers.has_sasl() {
            let mechanism = answers
                .sasl_mechanism
                .as_deref()
                .unwrap_or(DEFAULT_MECHANISM);
            property("sasl.mechanisms", &quoted(mechanism));
            let user = answers.sasl_user.as_deref().unwrap_or(DEFAULT_USER);
            property("sasl.username", &quoted(user));
            let variable = answers
                .sasl_password_env
                .as_deref()
                .unwrap_or(DEFAULT_PASSWORD);
            let password = by_reference(answers.sasl_password_file.as_deref(), variable);
            property("sasl.password", &password);
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn comment(&mut self, words: &str) {
        let mut line = String::from("#");
        for word in words.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line.truncate(1);
            }
            // Writing to a String cannot fail.
            let _ = write!(line, " {word}");
        }
        self.line(&line);
    }
}

/// The first sentences, until they say enough.
fn beginning(doc: &str) -> String {
    let words = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    let ends = words.match_indices(". ").map(|(place, _)| place + 1);
    let end = ends.into_iter().find(|end| *end >= ENOUGH);
    words[..end.unwrap_or(words.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_ends_with_a_sentence() {
        assert_eq!(beginning(" One.\n Two."), "One. Two.");
        let long = format!("{}. And more.", "x".repeat(ENOUGH));
        assert_eq!(beginning(&long), format!("{}.", "x".repeat(ENOUGH)));
    }
}
