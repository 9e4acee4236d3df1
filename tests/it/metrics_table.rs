//! The README's table of metrics is complete and names nothing that does not exist.

use std::collections::BTreeSet;

use prometheus::Registry;
use ringback::ingest;
use ringback::ingest::{KeyConfig, SourceConfig, Verify};
use ringback::journal;
use ringback::publish;

/// Families whose labels come from the brokers: nothing to gather before there is one.
const BROKERS: &str = "ringback_kafka_broker_";

fn documented() -> BTreeSet<String> {
    let readme = include_str!("../../README.md");
    let (_, table) = readme
        .split_once("| name | type | what it tells |")
        .expect("the README has the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| row.split('`').nth(1))
        .map(|name| name.split('{').next().unwrap_or(name).to_owned())
        .filter(|name| name.starts_with("ringback_"))
        .collect()
}

fn registered() -> BTreeSet<String> {
    let metrics = ringback::telemetry::Metrics::new().expect("a fresh registry");
    let registry: &Registry = metrics.registry();
    let source = SourceConfig {
        name: String::from("retell"),
        path: String::from("/webhook"),
        verify: Verify::Retell,
        keys: vec![KeyConfig {
            env: Some(String::from("KEY")),
            file: None,
            name: None,
        }],
        key_pointers: None,
    };
    let _ingest = ingest::Metrics::register(registry, &[source]).expect("no name twice");
    let _journal = journal::Metrics::register(registry).expect("no name twice");
    let _publish = publish::Metrics::register(registry).expect("no name twice");
    let families = registry.gather();
    families
        .iter()
        .map(|family| family.name().to_owned())
        .collect()
}

#[test]
fn the_readme_lists_every_metric_and_no_other() {
    let (documented, registered) = (documented(), registered());
    let missing: Vec<_> = registered.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the README: {missing:?}");
    let unknown: Vec<_> = documented
        .difference(&registered)
        // The journal's gauges are asked of an open journal; without one there are none.
        .filter(|name| !name.starts_with(BROKERS) && !name.starts_with("ringback_journal_"))
        .collect();
    assert!(unknown.is_empty(), "in the README only: {unknown:?}");
    assert!(registered.len() > 25, "the check has gone blind");
}
