//! docs/reference/metrics.md is generated from what is registered. `UPDATE=1 cargo test --test it metrics_reference` writes it.

use std::fmt::Write as _;
use std::path::Path;

use ringback::telemetry::Metrics;
use ringback::{config, ingest, journal, publish};

const HEAD: &str = "# Metrics

Generated from the program: `UPDATE=1 cargo test --test it metrics_reference` writes this page.

`[admin]` serves them at `/metrics` in Prometheus' text format. Every label has a bounded number of values; event names outside
the sender's documented list and the source's `topics` count as `other`. The process's own metrics (CPU, memory, descriptors, start
time) have Prometheus' usual names, `process_*`.

At rest, `ringback_journal_recovered_events` + accepted − delivered − dead-lettered − corrupt − unreadable =
`ringback_journal_unpublished_events`.

| name | type | labels | what it measures |
|---|---|---|---|
";

fn page() -> String {
    let metrics = Metrics::new().expect("a fresh registry");
    let registry = metrics.registry();
    let _reloads = config::ReloadMetrics::register(registry).expect("no name twice");
    let _ingest = ingest::Metrics::register(registry).expect("no name twice");
    let _journal = journal::Metrics::register(registry).expect("no name twice");
    let _publish = publish::Metrics::register(registry).expect("no name twice");
    let mut page = String::from(HEAD);
    for family in registry.families() {
        let labels = family.labels.iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let (name, kind) = (&family.name, family.kind);
        let help = family.help.trim_end_matches('.');
        writeln!(page, "| `{name}` | {kind} | {labels} | {help}. |").expect("a string takes all");
    }
    page
}

#[test]
fn the_reference_page_is_what_is_registered() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/metrics.md");
    let page = page();
    assert!(page.lines().count() > 40, "the page has gone blind: {page}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &page).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == page,
        "docs/reference/metrics.md is out of date: run `UPDATE=1 cargo test --test it metrics_reference`"
    );
}
