//! Every relative link of every page leads to a file, and to a heading of it; every page of `docs` is in the book.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::markdown::{pages, root};

/// `path` without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                assert!(normal.pop(), "{} leaves the project", path.display());
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// Whether a link leads to another site.
fn is_foreign(link: &str) -> bool {
    ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| link.starts_with(scheme))
}

#[test]
fn every_relative_link_leads_to_a_file_and_its_anchor_to_a_heading() {
    let pages = pages();
    let anchors: BTreeMap<_, _> = pages
        .iter()
        .map(|page| (page.path.clone(), page.anchors()))
        .collect();
    let (mut seen, mut faults) = (0, Vec::new());
    for page in &pages {
        let folder = page.path.parent().expect("a file is in a folder");
        for link in page.links() {
            if is_foreign(link.text) {
                continue;
            }
            seen += 1;
            let (file, anchor) = link.text.split_once('#').unwrap_or((link.text, ""));
            let target = if file.is_empty() {
                page.path.clone()
            } else {
                normal(&folder.join(file))
            };
            let there = root().join(&target);
            let is_heading = || {
                let anchors = anchors.get(&target);
                anchors.is_some_and(|anchors| anchors.iter().any(|name| name == anchor))
            };
            // The site has no page for a folder, so a link names a file.
            if !there.is_file() || !(anchor.is_empty() || is_heading()) {
                faults.push(format!("{}:{}: {}", page.name(), link.line, link.text));
            }
        }
    }
    assert!(seen > 150, "only {seen} links were found");
    assert!(
        faults.is_empty(),
        "these links lead nowhere:\n{}",
        faults.join("\n")
    );
}

#[test]
fn the_book_has_every_page_of_the_project_once() {
    let pages = pages();
    let summary = Path::new("docs/SUMMARY.md");
    let listed: Vec<_> = pages
        .iter()
        .find(|page| page.path == summary)
        .expect("docs/SUMMARY.md")
        .links()
        .iter()
        .map(|link| normal(&Path::new("docs").join(link.text)))
        .collect();
    let once: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "docs/SUMMARY.md names one twice");
    let all = pages.into_iter().map(|page| page.path);
    let all: BTreeSet<_> = all.filter(|path| path != summary).collect();
    let missing: Vec<_> = all.difference(&once).collect();
    assert!(missing.is_empty(), "add {missing:?} to docs/SUMMARY.md");
}
