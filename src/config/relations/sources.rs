//! What must hold within one source, and between it and the sections.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::ingest::SourceConfig;
use crate::publish::check_topic;
use crate::settings::SettingValue as _;

/// Calls `refuse` with the keys of each violation, the one at fault first, and its message.
pub(super) fn check(config: &Config, refuse: &mut impl FnMut(&[&str], String)) {
    for (index, source) in config.source.iter().enumerate() {
        let key = |name: &str| format!("source.{index}.{name}");
        for (pointer, header) in doubles(source) {
            let message = format!("{pointer} is set as well; remove one of them");
            refuse(&[&key(header), &key(pointer)], message);
        }
        let events = source.topics.0.iter();
        let topics = events.map(|(event, topic)| (format!("topics.{event}"), topic));
        let topic = source
            .topic
            .iter()
            .map(|topic| (String::from("topic"), topic));
        for (name, topic) in topic.chain(topics) {
            if let Err(message) = check_topic(topic) {
                refuse(&[&key(&name)], message);
            }
            if config.kafka.dead_letter_topic.as_ref() == Some(topic) {
                let message = "is the same as kafka.dead_letter_topic; name another topic";
                refuse(
                    &[&key(&name), "kafka.dead_letter_topic"],
                    String::from(message),
                );
            }
        }
        let mut carried = BTreeSet::new();
        for name in &source.carry {
            if !carried.insert(name.name()) {
                let message = format!(
                    "\"http_{}\" would stand for two things; remove one of them",
                    name.name()
                );
                refuse(&[&key("carry")], message);
            }
        }
        check_size(config, source, &key("max_body"), refuse);
    }
}

/// The same thing by a pointer and by a header.
fn doubles(source: &SourceConfig) -> impl Iterator<Item = (&'static str, &'static str)> {
    let pairs = [
        (
            source.event_pointer.is_some() && source.event_header.is_some(),
            ("event_pointer", "event_header"),
        ),
        (
            source.key_pointers.is_some() && source.key_header.is_some(),
            ("key_pointers", "key_header"),
        ),
        (
            source.id_pointer.is_some() && source.id_header.is_some(),
            ("id_pointer", "id_header"),
        ),
    ];
    let doubles = pairs.into_iter().filter(|(is_double, _)| *is_double);
    doubles.map(|(_, keys)| keys)
}

fn check_size(
    config: &Config,
    source: &SourceConfig,
    key: &str,
    refuse: &mut impl FnMut(&[&str], String),
) {
    let (Some(max_body), room) = (source.max_body, config.listen.max_in_flight) else {
        return;
    };
    let shown = |size: bytesize::ByteSize| {
        let size = size.show();
        size.map_or_else(String::new, |size| size.to_string())
    };
    if max_body > room {
        let message = format!(
            "{} is more than listen.max_in_flight {}, so the largest event could never be accepted; write at most that",
            shown(max_body),
            shown(room)
        );
        refuse(&[key, "listen.max_in_flight"], message);
    }
    let budget = config.journal.budget;
    if max_body.as_u64().saturating_mul(2) > budget.as_u64() {
        let message = format!(
            "{} is more than half of journal.budget {}, so a single event could fill the journal; write less",
            shown(max_body),
            shown(budget)
        );
        refuse(&[key, "journal.budget"], message);
    }
}
