//! The effective configuration as TOML, without secrets.

use std::fmt::Write as _;

use crate::publish::Ack;
use crate::settings::{SettingValue, Shown};

use super::Config;

pub(super) fn show(config: &Config) -> String {
    let mut text = String::new();
    if let Some(Shown::Table(sections)) = SettingValue::show(config) {
        for (name, keys) in sections {
            match keys {
                // Writing to a String cannot fail.
                Shown::Scalar(value) => drop(writeln!(text, "{name} = {value}")),
                // What is shown must be a valid configuration, and there is no journal.
                _ if name == "journal" && config.ack == Ack::Kafka => {}
                Shown::List(tables) => tables
                    .iter()
                    .for_each(|keys| section(&mut text, &format!("[[{name}]]"), "", keys)),
                keys @ Shown::Table(_) => section(&mut text, &format!("[{name}]"), &name, &keys),
            }
        }
    }
    text
}

/// A table within a section has a heading of its own; within `[[source]]`, which has no `path`, it stays on its line.
fn section(text: &mut String, heading: &str, path: &str, keys: &Shown) {
    let Shown::Table(keys) = keys else { return };
    let is_apart = |value: &Shown| !path.is_empty() && matches!(value, Shown::Table(_));
    let blank = if text.is_empty() { "" } else { "\n" };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{blank}{heading}");
    for (key, value) in keys.iter().filter(|(_, value)| !is_apart(value)) {
        let _ = writeln!(text, "{key} = {value}");
    }
    for (key, value) in keys.iter().filter(|(_, value)| is_apart(value)) {
        let path = format!("{path}.{key}");
        section(text, &format!("[{path}]"), &path, value);
    }
}
