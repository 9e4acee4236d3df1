//! docs/durability.md and the tests that it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).expect("a file of the project can be read")
}

/// The text of every Rust file in these folders.
fn sources(folders: &[&str]) -> String {
    let mut text = String::new();
    let mut folders: Vec<PathBuf> = folders
        .iter()
        .map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project can be read") {
            let path = entry.expect("an entry of it too").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += &fs::read_to_string(&path).expect("a source file can be read");
            }
        }
    }
    text
}

/// The long names in quotes: a test's is a sentence.
fn quoted(text: &str, quote: char) -> BTreeSet<String> {
    let is_test = |word: &&str| {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        word.matches('_').count() >= 3 && word.chars().all(letters)
    };
    let words = text.split(quote).skip(1).step_by(2);
    words.filter(is_test).map(str::to_owned).collect()
}

#[test]
fn the_page_names_every_fault_s_test_and_no_other() {
    let page = read("docs/durability.md");
    // Metrics have names as long; they are no tests.
    let named: BTreeSet<_> = quoted(&page, '`')
        .into_iter()
        .filter(|name| !name.starts_with("ringback_"))
        .collect();
    let crash = quoted(&read("tests/crash/main.rs"), '"');
    let kafka = quoted(&read("tests/kafka/main.rs"), '"');
    assert!(crash.len() >= 14 && kafka.len() >= 14, "the check is blind");
    let without_row: Vec<_> = crash.difference(&named).collect();
    assert!(without_row.is_empty(), "without a row: {without_row:?}");
    let functions = sources(&["tests/it", "src"]);
    for name in &named {
        let exists = crash.contains(name)
            || kafka.contains(name)
            || functions.contains(&format!("fn {name}("));
        assert!(exists, "no test {name}");
    }
}
