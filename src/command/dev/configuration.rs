//! The configuration of `dev`: its own senders, or those of the user's file.

use std::fmt::Write as _;
use std::fs::{OpenOptions, create_dir};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{DevArgs, SOURCE};
use crate::command::{CommandError, DEFAULT_TOPIC, RETELL_KEY};
use crate::config::{Config, Environment};

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

/// A configuration like a user's own, so that `dev` starts as `serve` does. Keys and journal are below `folder`.
pub fn read(
    arguments: &DevArgs,
    folder: &Path,
    bootstrap: &str,
    key_is_set: bool,
) -> Result<Config, CommandError> {
    let mut text = base(arguments, folder, bootstrap);
    text.push_str(&own_sources(folder, key_is_set)?);
    Ok(Config::parse(
        &text,
        "ringback dev",
        &Environment::default(),
    )?)
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

fn own_sources(folder: &Path, key_is_set: bool) -> io::Result<String> {
    let proof = if key_is_set {
        format!("verify = \"retell\"\nkeys = [{{ env = \"{RETELL_KEY}\" }}]")
    } else {
        String::from("verify = \"none\"")
    };
    let mut text = format!("[[source]]\nname = \"{SOURCE}\"\npath = \"/webhook\"\n{proof}\n");
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
