//! A reader of the repository can look up everything that it refers to.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// Folders and files with text that people read. What tools have built below them is left out.
const ROOTS: [&str; 12] = [
    ".ci",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "README.md",
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
        if !path.ends_with("tidy/references.rs") {
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

#[test]
fn every_alert_has_its_procedure() {
    let read = |name| fs::read_to_string(root().join(name)).expect("a file of the project");
    let (rules, page) = (
        read("deploy/prometheus/rules.yaml"),
        read("docs/operations.md"),
    );
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchors: Vec<_> = headings.map(anchor).collect();
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let mut seen = 0;
    for alert in alerts {
        let name = format!("`{alert}`");
        let mut rows = page.lines().filter(|line| line.starts_with('|'));
        let row = rows.find(|row| row.contains(&name));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row for {alert}"));
        let link = row
            .split_once("(#")
            .and_then(|(_, rest)| rest.split_once(')'));
        let (link, _) = link.unwrap_or_else(|| panic!("no link: {row}"));
        assert!(
            anchors.iter().any(|anchor| anchor == link),
            "no heading: {row}"
        );
        seen += 1;
    }
    assert!(seen >= 9, "only {seen} alerts were found");
}

#[test]
fn documents_and_issues_are_found_as_people_write_them() {
    let text = "see docs/a.md, [b](../b.md#part) and `c.md`: not https://example.com/d.md or .md";
    let found: Vec<_> = documents(text).collect();
    assert_eq!(found, ["docs/a.md", "../b.md", "c.md"]);
    let text = "as in #12, (#3) and issue 4; not librdkafka#5, x#6, #[cfg] or # 7";
    assert_eq!(issues(text), ["#12", "#3", "issue 4"]);
}
