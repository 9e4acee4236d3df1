//! A reader of the repository can look up everything that it refers to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// Folders and files with text that people read. What tools have built below them is left out.
const ROOTS: [&str; 13] = [
    ".ci",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "README.md",
    "SECURITY.md",
    "benches",
    "config",
    "deploy",
    "docs",
    "src",
    "tests",
];
const BUILT: [&str; 3] = ["target", "node_modules", "mutants"];

/// Every text file below [`ROOTS`].
fn texts() -> Vec<(PathBuf, String)> {
    let mut texts = Vec::new();
    let mut paths: Vec<_> = ROOTS.iter().map(|name| root().join(name)).collect();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of the project can be read");
            let entries = entries.map(|entry| entry.expect("an entry can be read").path());
            paths.extend(entries.filter(|path| !BUILT.iter().any(|name| path.ends_with(name))));
        } else if let Ok(text) = fs::read_to_string(&path) {
            texts.push((path, text));
        }
    }
    assert!(texts.len() > 200, "only {} files were found", texts.len());
    texts
}

/// The names of documents in `text`, with their paths as written. Documents of other sites are left out.
fn documents(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |c: char| c.is_alphanumeric() || "_-./:".contains(c);
    text.split(move |c| !is_path(c))
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(|word| word.ends_with(".md") && word.len() > ".md".len() && !word.contains("//"))
}

/// Numbers of issues in `text`. `project#12` names another project's issue and is left out.
fn issues(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('#') {
        let digits = digits(&text[at + 1..]);
        let before = text[..at].chars().next_back();
        if !digits.is_empty() && before.is_none_or(|c| c.is_whitespace() || "([".contains(c)) {
            found.push(&text[at..=at + digits.len()]);
        }
    }
    for word in ["issue ", "issues ", "Issue ", "Issues "] {
        for (at, _) in text.match_indices(word) {
            let digits = digits(&text[at + word.len()..]);
            if !digits.is_empty() {
                found.push(&text[at..at + word.len() + digits.len()]);
            }
        }
    }
    found
}

fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit());
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn every_document_that_is_named_is_in_the_repository() {
    let mut seen = 0;
    for (path, text) in texts() {
        // Its own test names documents that do not exist.
        if path.ends_with("tidy/references.rs") {
            continue;
        }
        let beside = path.parent().unwrap_or(Path::new(""));
        for document in documents(&text) {
            let exists = [root(), &root().join("docs"), beside]
                .iter()
                .any(|folder| folder.join(document).is_file());
            assert!(exists, "{}: there is no {document}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} documents were found");
}

#[test]
fn no_issue_of_this_project_is_named_by_its_number() {
    for (path, text) in texts() {
        // A colour in a stylesheet looks like one.
        let is_style = path.extension().is_some_and(|extension| extension == "css");
        if !path.ends_with("tidy/references.rs") && !is_style {
            let found = issues(&text);
            assert!(found.is_empty(), "{}: {found:?}", path.display());
        }
    }
}

/// The anchor that a renderer of Markdown gives to a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("a file of the project")
}

/// The values of this key, as the rules have it once for each alert.
fn values<'a>(rules: &'a str, key: &'a str) -> Vec<&'a str> {
    let lines = rules
        .lines()
        .map(|line| line.trim_start_matches([' ', '-']));
    lines.filter_map(|line| line.strip_prefix(key)).collect()
}

#[test]
fn every_alert_links_to_its_section_of_the_runbook_and_every_section_is_an_alert_s() {
    let (rules, page) = (
        read("deploy/prometheus/rules.yaml"),
        read("docs/runbook.md"),
    );
    let alerts = values(&rules, "alert: ");
    assert!(alerts.len() >= 15, "only {alerts:?}");
    let links: Vec<_> = alerts
        .iter()
        .map(|alert| format!("docs/runbook.md#{}", anchor(alert)))
        .collect();
    assert_eq!(values(&rules, "runbook_url: "), links);
    let sections: Vec<_> = page
        .split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').expect("a heading has a line"))
        .collect();
    let headings: Vec<_> = sections.iter().map(|(heading, _)| *heading).collect();
    assert_eq!(headings, alerts);
    for (heading, text) in sections {
        for part in ["**It means:**", "**Look first**", "**Do"] {
            assert!(text.contains(part), "{heading} lacks {part}");
        }
    }
    let files = ["rules", "presence", "objective", "days"];
    let cases = files
        .map(|name| read(&format!("deploy/prometheus/{name}.test.yaml")))
        .concat();
    for alert in &alerts {
        let silent = format!("- {{ alertname: {alert}, eval_time: ");
        assert!(cases.contains(&silent), "{alert} has no silent case");
        let firing = format!("- alertname: {alert}\n");
        assert!(cases.contains(&firing), "{alert} has no case that fires");
    }
    for (key, least) in [
        ("summary: ", 20),
        ("description: ", 20),
        ("labels: { severity: ", 1),
    ] {
        let values = values(&rules, key);
        assert_eq!(values.len(), alerts.len(), "{key}");
        assert!(
            values.iter().all(|value| value.len() >= least),
            "{values:?}"
        );
    }
}

/// The names of ringback's metrics in `text`, histograms without their suffix.
fn metrics<'a>(text: &'a str, histograms: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_name(c));
    let names = words.filter(|word| word.starts_with("ringback_"));
    let whole = names.map(|name| {
        let suffixes = ["_bucket", "_sum", "_count"].iter();
        let mut families = suffixes.filter_map(|suffix| name.strip_suffix(suffix));
        families
            .find(|family| histograms.contains(family))
            .unwrap_or(name)
    });
    whole.collect()
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_are_served_and_the_dashboard_all_of_them() {
    let page = read("docs/reference/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((name, rest.split(' ').next()?))
    });
    let rows: Vec<_> = rows.collect();
    let served: BTreeSet<_> = rows.iter().map(|(name, _)| *name).collect();
    assert!(served.len() > 30, "only {served:?}");
    let histograms = rows.iter().filter(|(_, kind)| *kind == "histogram");
    let histograms: BTreeSet<_> = histograms.map(|(name, _)| *name).collect();
    // An alert on a metric that was renamed would be silent for ever.
    let rules = read("deploy/prometheus/rules.yaml");
    let unserved: Vec<_> = metrics(&rules, &histograms)
        .difference(&served)
        .copied()
        .collect();
    assert!(unserved.is_empty(), "the rules name {unserved:?}");
    let dashboard = read("deploy/grafana/ringback.json");
    assert_eq!(metrics(&dashboard, &histograms), served);
}

#[test]
fn the_dashboard_s_faults_of_ringback_are_the_reasons_of_503() {
    let page = read("docs/operations.md");
    let rows = page.lines().filter(|line| line.contains(" | 503 | "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let documented: BTreeSet<_> = names.collect();
    assert!(documented.len() >= 5, "only {documented:?}");
    let dashboard = read("deploy/grafana/ringback.json");
    let lists: Vec<_> = ["reason=~", "reason!~"]
        .iter()
        .flat_map(|operator| dashboard.split(operator).skip(1))
        .map(|rest| rest.split("\\\"").nth(1).expect("a list in quotes"))
        .collect();
    assert_eq!(lists.len(), 2, "{lists:?}");
    for list in lists {
        assert_eq!(list.split('|').collect::<BTreeSet<_>>(), documented);
    }
}

#[test]
fn documents_and_issues_are_found_as_people_write_them() {
    let text = "see docs/a.md, [b](../b.md#part) and `c.md`: not https://example.com/d.md or .md";
    let found: Vec<_> = documents(text).collect();
    assert_eq!(found, ["docs/a.md", "../b.md", "c.md"]);
    let text = "as in #12, (#3) and issue 4; not librdkafka#5, x#6, #[cfg] or # 7";
    assert_eq!(issues(text), ["#12", "#3", "issue 4"]);
}
