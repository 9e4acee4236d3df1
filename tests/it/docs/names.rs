//! Metrics, configuration keys, variables and files that the documentation names exist.

use std::collections::BTreeSet;
use std::fs;

use super::markdown::{Page, pages, root};

/// Names that begin as metrics do: record headers, and the key of `doctor`'s record.
const NO_METRICS: [&str; 4] = [
    "ringback_journal",
    "ringback_position",
    "ringback_dead_letter",
    "ringback_doctor",
];
/// A histogram's series.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];
/// The folders whose files pages name.
const FOLDERS: [&str; 8] = [
    ".ci/",
    "benches/",
    "config/",
    "deploy/",
    "docs/",
    "src/",
    "tests/",
    "examples/",
];
const SECTIONS: [&str; 6] = ["listen", "admin", "journal", "kafka", "shutdown", "source"];

/// Pages of the present version: what CHANGELOG.md says of an earlier one may be gone.
fn present() -> impl Iterator<Item = Page> {
    let pages = pages().into_iter();
    pages.filter(|page| !page.path.ends_with("CHANGELOG.md"))
}

fn reference(name: &str) -> String {
    let path = root()
        .join("docs/reference")
        .join(name)
        .with_extension("md");
    fs::read_to_string(path).expect("a page of the reference")
}

/// Asserts that all names exist that `look` finds in a span or line of code, and that it finds at least `least`.
fn none(least: usize, look: impl Fn(&str) -> Vec<(String, bool)>) {
    let (mut seen, mut faults) = (0, Vec::new());
    for page in present() {
        for code in page.code() {
            for (name, is_known) in look(code.text) {
                seen += 1;
                if !is_known {
                    faults.push(format!("{}:{}: {name}", page.name(), code.line));
                }
            }
        }
    }
    assert!(seen >= least, "only {seen} were found");
    assert!(
        faults.is_empty(),
        "these do not exist:\n{}",
        faults.join("\n")
    );
}

#[test]
fn every_metric_that_is_named_is_served() {
    let page = reference("metrics");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let served: BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
    assert!(served.len() > 30, "only {served:?}");
    none(60, |span| {
        let words = span.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let names = words.filter(|word| word.starts_with("ringback_") && *word != "ringback_");
        let is_known = |name: &str| {
            let mut series = SERIES.iter().filter_map(|suffix| name.strip_suffix(suffix));
            served.contains(name)
                || NO_METRICS.contains(&name)
                || series.any(|family| served.contains(family))
        };
        names
            .map(|name| (name.to_owned(), is_known(name)))
            .collect()
    });
}

/// The headings of the reference that are keys, such as `listen.tls`.
fn keys(page: &str) -> BTreeSet<&str> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("### `"));
    rows.filter_map(|row| row.strip_suffix('`')).collect()
}

#[test]
fn every_key_that_is_named_exists() {
    let page = reference("configuration");
    let keys = keys(&page);
    assert!(keys.len() > 40, "only {keys:?}");
    none(100, |span| {
        // `journal.budget = "8GiB"` names a key too.
        let name = span.split([' ', '=']).next().unwrap_or_default();
        let parts: Vec<_> = name.split('.').collect();
        let is_part = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        // `kafka.rs` is a file.
        let is_key = parts.len() > 1
            && parts.last() != Some(&"rs")
            && SECTIONS.contains(&parts[0])
            && parts.iter().all(is_part);
        // `source.hmac.header` is a setting inside the key `source.hmac`; librdkafka's properties are its own.
        let parent = name.rsplit_once('.').map_or("", |(parent, _)| parent);
        let is_known =
            keys.contains(name) || keys.contains(parent) || name.starts_with("kafka.client");
        if is_key {
            vec![(name.to_owned(), is_known)]
        } else {
            Vec::new()
        }
    });
}

#[test]
fn every_setting_that_is_shown_is_a_key_or_a_part_of_one() {
    let page = reference("configuration");
    let keys = keys(&page);
    none(40, |span| {
        let Some((name, _)) = span.split_once(" = ") else {
            return Vec::new();
        };
        if !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            return Vec::new();
        }
        let is_last = |key: &&str| key.rsplit('.').next() == Some(name);
        let is_known = keys.iter().any(is_last) || page.contains(&format!("\n- `{name}` ("));
        vec![(name.to_owned(), is_known)]
    });
}

#[test]
fn every_variable_of_a_key_that_is_named_exists() {
    let page = reference("configuration");
    let known: BTreeSet<_> = page
        .split('`')
        .filter(|span| span.starts_with("RINGBACK_"))
        .collect();
    none(30, |span| {
        let words =
            span.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        let names = words.filter(|word| word.starts_with("RINGBACK_") && word.contains("__"));
        let is_known = |name: &str| {
            // Sources are numbered; librdkafka's properties are its own.
            let plain = name.replace("SOURCE__0__", "SOURCE__N__");
            known.contains(name)
                || known.contains(plain.as_str())
                || name.starts_with("RINGBACK_KAFKA__CLIENT__")
        };
        names
            .map(|name| (name.to_owned(), is_known(name)))
            .collect()
    });
}

#[test]
fn every_file_that_is_named_exists() {
    none(100, |span| {
        let path = span
            .split(|c: char| c.is_whitespace() || ":`".contains(c))
            .next()
            .unwrap_or_default();
        let is_path = FOLDERS.iter().any(|folder| path.starts_with(folder))
            && !path.contains(['*', '…', '<', '{'])
            && !path.chars().any(|c| c.is_ascii_uppercase());
        // A module is named without its ending.
        let is_known = root().join(path).exists() || root().join(format!("{path}.rs")).exists();
        if is_path {
            vec![(path.to_owned(), is_known)]
        } else {
            Vec::new()
        }
    });
}
