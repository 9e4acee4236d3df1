//! The effective configuration as TOML, redacted.
//!
//! Each section is taken apart by name without `..`, so a key added to a section and forgotten here does not compile;
//! the test of `config/ringback.toml` rests on that.

use std::fmt::Write as _;
use std::time::Duration;

use crate::admin;
use crate::ingest;
use crate::journal;

use super::{Config, KafkaConfig, ShutdownConfig};

pub(super) fn show(config: &Config) -> String {
    let mut text = String::new();
    let Config {
        listen,
        admin,
        journal,
        kafka,
        shutdown,
        source,
    } = config;
    section(&mut text, "[listen]", &listen_keys(listen));
    section(&mut text, "[admin]", &admin_keys(admin));
    section(&mut text, "[journal]", &journal_keys(journal));
    let KafkaConfig {
        topic,
        dead_letter_topic,
        stall_timeout,
        client,
    } = kafka;
    let mut keys = vec![("topic", quoted(topic))];
    keys.extend(
        dead_letter_topic
            .iter()
            .map(|topic| ("dead_letter_topic", quoted(topic))),
    );
    keys.push(("stall_timeout", duration(*stall_timeout)));
    section(&mut text, "[kafka]", &keys);
    let client: Vec<_> = client
        .iter()
        .map(|(name, property)| {
            let value = if property.is_secret() {
                property.shown().to_owned()
            } else {
                quoted(property.shown())
            };
            (quoted(name), value)
        })
        .collect();
    section(&mut text, "[kafka.client]", &client);
    section(&mut text, "[shutdown]", &shutdown_keys(shutdown));
    for source in source {
        section(&mut text, "[[source]]", &source_keys(source));
    }
    text
}

fn listen_keys(listen: &ingest::ListenConfig) -> Vec<(&'static str, String)> {
    let ingest::ListenConfig {
        address,
        max_connections,
        header_timeout,
        body_timeout,
        max_body,
        commit_timeout,
        max_in_flight,
        trusted_proxies,
    } = listen;
    vec![
        ("address", quoted(address)),
        ("max_connections", max_connections.to_string()),
        ("header_timeout", duration(*header_timeout)),
        ("body_timeout", duration(*body_timeout)),
        ("max_body", quoted(&size(*max_body))),
        ("commit_timeout", duration(*commit_timeout)),
        ("max_in_flight", quoted(&size(*max_in_flight))),
        ("trusted_proxies", array(trusted_proxies)),
    ]
}

fn admin_keys(admin: &admin::Config) -> Vec<(&'static str, String)> {
    let admin::Config { address } = admin;
    vec![("address", quoted(address))]
}

fn journal_keys(journal: &journal::Config) -> Vec<(&'static str, String)> {
    let journal::Config {
        path,
        segment_size,
        budget,
        read_patience,
    } = journal;
    vec![
        ("path", quoted(&path.display())),
        ("segment_size", quoted(&size(*segment_size))),
        ("budget", quoted(&size(*budget))),
        ("read_patience", duration(*read_patience)),
    ]
}

fn shutdown_keys(shutdown: &ShutdownConfig) -> Vec<(&'static str, String)> {
    let ShutdownConfig {
        readiness_delay,
        drain_deadline,
    } = shutdown;
    vec![
        ("readiness_delay", duration(*readiness_delay)),
        ("drain_deadline", duration(*drain_deadline)),
    ]
}

fn source_keys(source: &ingest::SourceConfig) -> Vec<(&'static str, String)> {
    let ingest::SourceConfig {
        name,
        path,
        verify,
        keys,
        key_pointers,
    } = source;
    let references: Vec<_> = keys
        .iter()
        .map(|key| {
            let ingest::KeyConfig { env, file, name } = key;
            let file = file.as_ref().map(|file| file.display().to_string());
            let parts = [("env", env), ("file", &file), ("name", name)];
            let parts: Vec<_> = parts
                .into_iter()
                .filter_map(|(name, value)| Some(format!("{name} = {}", quoted(value.as_ref()?))))
                .collect();
            format!("{{ {} }}", parts.join(", "))
        })
        .collect();
    let pointers = match key_pointers {
        Some(pointers) => array(pointers),
        None => array(verify.key_pointers()),
    };
    vec![
        ("name", quoted(name)),
        ("path", quoted(path)),
        ("verify", quoted(verify)),
        ("keys", format!("[{}]", references.join(", "))),
        ("key_pointers", pointers),
    ]
}

fn section<K: AsRef<str>>(text: &mut String, heading: &str, keys: &[(K, String)]) {
    if !text.is_empty() {
        text.push('\n');
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{heading}");
    for (key, value) in keys {
        let _ = writeln!(text, "{} = {value}", key.as_ref());
    }
}

fn quoted(value: &(impl ToString + ?Sized)) -> String {
    toml::Value::String(value.to_string()).to_string()
}

/// A size as the file would say it, exactly: in the largest unit of 1,024 that divides it.
pub(super) fn size(value: bytesize::ByteSize) -> String {
    let bytes = value.as_u64();
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let exact = |(_, shift): &(&str, u32)| bytes != 0 && bytes.trailing_zeros() >= *shift;
    match units.into_iter().find(exact) {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

fn duration(value: Duration) -> String {
    quoted(&humantime::format_duration(value))
}

fn array<T: ToString>(values: &[T]) -> String {
    let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
    format!("[{}]", values.join(", "))
}
