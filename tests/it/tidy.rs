//! The tree's own rules: floors, file headers, file lengths, no leftovers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Past this many lines a second idea has moved in.
const LINES: usize = 400;

/// Each module's floor; a module uses only lower ones, never a neighbour.
const FLOORS: [(&str, u8); 14] = [
    ("main", 5),
    ("command", 5),
    ("app", 4),
    ("config", 3),
    ("ingest", 2),
    ("publish", 2),
    ("admin", 2),
    ("journal", 1),
    ("event", 0),
    ("log_throttle", 0),
    ("readiness", 0),
    ("signal", 0),
    ("telemetry", 0),
    ("time", 0),
];

/// What of the journal each neighbour may name: a type, not a custom, keeps ingest from reading.
const FORBIDDEN: [(&str, &[&str]); 2] = [
    ("ingest", &["Reader", "Truncator", "Record"]),
    ("publish", &["Appender"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project can be read") {
            let path = entry.expect("an entry of it too").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

fn all_files() -> Vec<PathBuf> {
    ["src", "tests", "benches"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .collect()
}

fn floor(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

/// The top-level module that a file of `src` belongs to: `src/config/show.rs` → `config`.
fn module_of(file: &Path) -> String {
    let relative = file
        .strip_prefix(root().join("src"))
        .expect("a file of src");
    let first = relative.iter().next().expect("a path has a first part");
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Top-level modules named after `crate::`, alone or in braces.
fn modules_used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let list = rest.strip_prefix('{').map(|list| {
            let mut depth = 1;
            let end = list.find(|c| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth == 0
            });
            &list[..end.unwrap_or(list.len())]
        });
        let mut depth = 0;
        let parts = list.unwrap_or(rest).split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        let parts: Vec<_> = if list.is_some() {
            parts.collect()
        } else {
            parts.take(1).collect()
        };
        for part in parts {
            let name = part
                .trim()
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next();
            used.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    used
}

/// Where a unit test stands beside the code, its imports are bound by the same floors, so the whole text is read.
fn without_comments(text: &str) -> String {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_module_uses_only_lower_floors() {
    let mut uses = 0;
    for file in rust_files(&root().join("src")) {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let own =
            floor(&module).unwrap_or_else(|| panic!("{module} has no floor: add it to FLOORS"));
        let code = without_comments(&fs::read_to_string(&file).expect("a source file can be read"));
        for used in modules_used(&code) {
            if used == module {
                continue;
            }
            let theirs =
                floor(&used).unwrap_or_else(|| panic!("{}: unknown module {used}", file.display()));
            // The command line and its commands share the top floor.
            assert!(
                theirs < own,
                "{}: floor {own} uses {used} of floor {theirs}",
                file.display()
            );
            uses += 1;
        }
        for (who, names) in FORBIDDEN {
            for name in names.iter().filter(|_| module == who) {
                let named = format!("journal::{name}");
                assert!(
                    !code.contains(&named),
                    "{}: {who} names {named}",
                    file.display()
                );
            }
        }
        if module == "journal" {
            for other in ["crate::event", "crate::readiness", "crate::signal"] {
                assert!(
                    !code.contains(other),
                    "{}: the journal knows {other}",
                    file.display()
                );
            }
        }
    }
    assert!(
        uses > 10,
        "only {uses} uses were found: the check has gone blind"
    );
}

#[test]
fn modules_used_reads_every_form_of_import() {
    let text = "use crate::config::{Config, Environment};\nuse crate::{admin, ingest::{self, Ingest}, journal};\ncrate::app::run()";
    let used: Vec<_> = modules_used(text).into_iter().collect();
    assert_eq!(used, ["admin", "app", "config", "ingest", "journal"]);
}

#[test]
fn every_file_opens_with_its_purpose() {
    for file in all_files() {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        assert!(text.starts_with("//! "), "{} has no header", file.display());
    }
}

#[test]
fn no_file_holds_two_ideas() {
    for file in all_files() {
        let lines = fs::read_to_string(&file)
            .expect("a source file can be read")
            .lines()
            .count();
        assert!(
            lines <= LINES,
            "{} has {lines} lines, more than {LINES}",
            file.display()
        );
    }
}

#[test]
fn nothing_is_left_for_later_in_a_comment() {
    // Put together here so that this file does not find itself.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimpl", "emented!("].concat(),
    ];
    for file in all_files() {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        for word in &words {
            assert!(!text.contains(word), "{} holds {word}", file.display());
        }
    }
}
