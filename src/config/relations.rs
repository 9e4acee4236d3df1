//! What must hold between keys; what must hold of one key stands in its row.

mod sources;

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use crate::settings::SettingValue as _;

/// Calls `refuse` with the key and the message of each violation. A relation of a key that could not be read, or whose
/// value is out of bounds, is passed over.
pub(super) fn check(
    config: &Config,
    is_usable: impl Fn(&str) -> bool,
    mut refuse: impl FnMut(String, String),
) {
    let Config {
        listen,
        admin,
        journal,
        kafka,
        source,
        ..
    } = config;
    // The first of the keys is at fault.
    let mut refuse = |keys: &[&str], message: String| {
        if keys.iter().all(|key| is_usable(key)) {
            refuse(keys[0].to_owned(), message);
        }
    };
    let shown = |size: bytesize::ByteSize| {
        size.show()
            .map_or_else(String::new, |size| size.to_string())
    };
    if listen.max_in_flight < listen.max_body {
        let message = format!(
            "{} is less than listen.max_body {}, so the largest event could never be accepted; raise it to at least that",
            shown(listen.max_in_flight),
            shown(listen.max_body)
        );
        refuse(&["listen.max_in_flight", "listen.max_body"], message);
    }
    if journal.budget.as_u64() < listen.max_body.as_u64().saturating_mul(2) {
        let message = format!(
            "{} is less than twice listen.max_body {}, so a single event could fill the journal; raise it",
            shown(journal.budget),
            shown(listen.max_body)
        );
        refuse(&["journal.budget", "listen.max_body"], message);
    }
    if admin.address == listen.address && listen.address.port() != 0 {
        let message = "is the same as listen.address; give the admin listener a port of its own";
        refuse(&["admin.address", "listen.address"], String::from(message));
    }
    if kafka.dead_letter_topic.as_ref() == Some(&kafka.topic) {
        let message = "is the same as kafka.topic; name another topic";
        refuse(
            &["kafka.dead_letter_topic", "kafka.topic"],
            String::from(message),
        );
    }
    self::sources::check(config, &mut refuse);
    let (mut names, mut paths) = (BTreeSet::new(), BTreeMap::new());
    for (index, source) in source.iter().enumerate() {
        let health = listen.health_path.as_ref();
        let taken = health.and_then(|path| Some((path, source.path.matching(path)?)));
        if let Some((path, known)) = taken {
            let same = if known == path {
                ""
            } else {
                " (with or without a slash at its end)"
            };
            let message = format!(
                "source \"{}\" has the path {known:?}{same}, to which events are posted; choose another path for health checks, \
                 such as \"/healthz\"",
                source.name
            );
            let key = format!("source.{index}.path");
            refuse(&["listen.health_path", &key], message);
        }
        let mut taken = |key: &str, value: &str| {
            let message = format!("another source has the {key} {value:?} too; make it unique");
            refuse(&[&format!("source.{index}.{key}")], message);
        };
        if !names.insert(&source.name) {
            taken("name", &source.name);
        }
        for path in source.path.iter() {
            if *paths.entry(path).or_insert(index) != index {
                taken("path", path);
            }
        }
    }
}
