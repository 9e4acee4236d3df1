//! The configuration of `dev`: its own senders, or those of the user's file.

use std::fmt::Write as _;
use std::fs::{OpenOptions, create_dir};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytesize::ByteSize;

use super::{DevArgs, SOURCE};
use crate::command::{CommandError, DEFAULT_TOPIC, RETELL_KEY, load};
use crate::config::{Config, Environment, Purpose};

/// The senders beside Retell AI, each by its preset, at `/webhooks/<name>`. Their keys are made at each start, so that the
/// inspector can sign samples, and nobody has to choose any.
pub const SENDERS: [&str; 7] = [
    "stripe",
    "github",
    "slack",
    "shopify",
    "twilio",
    "vapi",
    "standard-webhooks",
];

/// The user's own sources, and the limits of `[listen]`, from the file of `--config`. What is wrong with them is an error as for
/// `serve`; what `dev` has of its own is not looked at.
pub fn own(arguments: &DevArgs) -> Result<Option<Config>, CommandError> {
    let file = arguments.config.as_deref();
    file.map(|file| load(file, Purpose::Sources)).transpose()
}

/// Every topic that events may go to; the first is the one of sources that name none.
pub fn topics(own: Option<&Config>) -> Vec<String> {
    let Some(own) = own else {
        return vec![DEFAULT_TOPIC.to_owned()];
    };
    let of_sources = own.source.iter().flat_map(|source| {
        let by_event = source.topics.0.values();
        by_event.chain(source.topic.as_ref())
    });
    let mut topics = vec![own.kafka.topic.clone()];
    for topic in of_sources {
        if !topics.contains(topic) {
            topics.push(topic.clone());
        }
    }
    topics
}

/// A configuration like a user's own, so that `dev` starts as `serve` does. Keys and journal are below `folder`.
pub fn read(
    arguments: &DevArgs,
    own: Option<Config>,
    folder: &Path,
    bootstrap: &str,
    key_is_set: bool,
) -> Result<Config, CommandError> {
    let mut text = base(arguments, folder, bootstrap);
    text.push_str(&match own {
        Some(_) => own_source(false),
        None => own_sources(folder, key_is_set)?,
    });
    let mut config = Config::parse(&text, "ringback dev", &Environment::default())?;
    if let Some(own) = own {
        let address = config.listen.address;
        config.listen = own.listen;
        (config.listen.address, config.listen.tls) = (address, None);
        config.kafka.topic = own.kafka.topic;
        config.source = own.source;
        // As the relation of the two keys demands.
        let largest = config.publish().max_body;
        let least = ByteSize::b(4 * largest);
        config.journal.budget = config.journal.budget.max(least);
    }
    Ok(config)
}

/// Everything but the sources.
fn base(arguments: &DevArgs, folder: &Path, bootstrap: &str) -> String {
    let folder = toml::Value::String(folder.join("journal").display().to_string());
    let DevArgs {
        port, admin_port, ..
    } = arguments;
    format!(
        r#"[listen]
address = "127.0.0.1:{port}"
[admin]
address = "127.0.0.1:{admin_port}"
[journal]
path = {folder}
segment_size = "16MiB"
budget = "256MiB"
[kafka]
topic = "{DEFAULT_TOPIC}"
[kafka.client]
"bootstrap.servers" = "{bootstrap}"
[shutdown]
readiness_delay = "0s"
drain_deadline = "3s"
"#
    )
}

/// The source of the quick start.
fn own_source(key_is_set: bool) -> String {
    let proof = if key_is_set {
        format!("verify = \"retell\"\nkeys = [{{ env = \"{RETELL_KEY}\" }}]")
    } else {
        String::from("verify = \"none\"")
    };
    format!("[[source]]\nname = \"{SOURCE}\"\npath = \"/webhook\"\n{proof}\n")
}

fn own_sources(folder: &Path, key_is_set: bool) -> io::Result<String> {
    let mut text = own_source(key_is_set);
    let folder = folder.join("keys");
    create_dir(&folder)?;
    for name in SENDERS {
        let file = folder.join(name);
        let key = STANDARD.encode(rand::random::<[u8; 24]>());
        let mut options = OpenOptions::new();
        let mut created = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)?;
        created.write_all(format!("whsec_{key}").as_bytes())?;
        let file = toml::Value::String(file.display().to_string());
        let _ = write!(
            text,
            "[[source]]\nname = \"{name}\"\npath = \"/webhooks/{name}\"\npreset = \"{name}\"\n\
             keys = [{{ file = {file}, name = \"made-at-start\" }}]\n"
        );
        if name == "twilio" {
            // What Twilio would have been given, which it signs.
            text.push_str("twilio = { url = \"https://localhost/webhooks/twilio\" }\n");
        }
    }
    Ok(text)
}
