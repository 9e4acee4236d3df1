//! The rules of the source tree: floors, folders, file headers, file lengths, references, no leftovers.

mod folders;
mod references;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A longer file holds more than one idea and must be split.
const MAX_LINES: usize = 400;

/// The floor of each module. A module uses only modules of lower floors.
const FLOORS: [(&str, u8); 19] = [
    ("main", 5),
    ("command", 5),
    ("app", 4),
    ("config", 3),
    ("ingest", 2),
    ("publish", 2),
    ("admin", 2),
    ("journal", 1),
    ("outage", 1),
    ("event", 0),
    ("log_throttle", 0),
    ("readiness", 0),
    ("secret", 0),
    ("settings", 0),
    ("signal", 0),
    ("telemetry", 0),
    ("time", 0),
    ("web", 0),
    ("words", 0),
];

/// Types of the journal that a module may not name, so that ingest cannot read and publish cannot append.
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
            let path = entry.expect("an entry of the folder can be read").path();
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

/// The top-level module of a file of `src`: `src/config/render.rs` → `config`.
fn module_of(file: &Path) -> String {
    let relative = file
        .strip_prefix(root().join("src"))
        .expect("a file of src");
    let first = relative.iter().next().expect("a path has a first part");
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The top-level modules that follow `crate::`, alone or in braces.
fn modules_used(code: &str) -> BTreeSet<String> {
    let paths = folders::crate_paths(code).into_iter();
    paths.filter_map(|path| path.into_iter().next()).collect()
}

/// Unit tests inside the file stay: the floors bind their imports too.
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
        let own = floor(&module).unwrap_or_else(|| panic!("add {module} to FLOORS"));
        let code = without_comments(&fs::read_to_string(&file).expect("a source file can be read"));
        for used in modules_used(&code) {
            if used == module {
                continue;
            }
            let theirs =
                floor(&used).unwrap_or_else(|| panic!("{}: unknown module {used}", file.display()));
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
                    "{}: the journal uses {other}",
                    file.display()
                );
            }
        }
    }
    assert!(
        uses > 10,
        "only {uses} uses were found: the check has stopped working"
    );
}

#[test]
fn the_publisher_s_decisions_know_no_kafka_client_and_only_its_kafka_folder_does() {
    let publish = root().join("src/publish");
    // Record headers, error codes and statistics are librdkafka's types.
    let others = ["env.rs", "error.rs", "metrics/brokers.rs"].map(|file| publish.join(file));
    let mut users = 0;
    for file in rust_files(&publish) {
        let code = without_comments(&fs::read_to_string(&file).expect("a source file can be read"));
        let may_use = file.starts_with(publish.join("kafka")) || others.contains(&file);
        let uses = code.contains("rdkafka::");
        assert!(may_use || !uses, "{}: uses rdkafka", file.display());
        users += usize::from(uses);
        let decides = file.starts_with(publish.join("decide"));
        for impure in ["publish::kafka", "Instant::now", "std::fs", "rand::"] {
            let is_test = file.starts_with(publish.join("decide/machine/tests"))
                || file.ends_with("machine/tests.rs");
            assert!(
                !decides || is_test || !code.contains(impure),
                "{}: names {impure}",
                file.display()
            );
        }
    }
    assert!(
        users > 5,
        "only {users} files use rdkafka: the check has stopped working"
    );
}

#[test]
fn modules_used_reads_every_form_of_import() {
    let text = "use crate::config::{Config, Environment};\nuse crate::{admin, ingest::{self, Ingest}, journal};\ncrate::app::run()";
    let used: Vec<_> = modules_used(text).into_iter().collect();
    assert_eq!(used, ["admin", "app", "config", "ingest", "journal"]);
}

#[test]
fn every_file_begins_with_its_purpose() {
    for file in all_files() {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        assert!(text.starts_with("//! "), "{} has no header", file.display());
    }
}

#[test]
fn no_file_is_too_long() {
    for file in all_files() {
        let lines = fs::read_to_string(&file)
            .expect("a source file can be read")
            .lines()
            .count();
        assert!(
            lines <= MAX_LINES,
            "{} has {lines} lines, more than {MAX_LINES}",
            file.display()
        );
    }
}

#[test]
fn no_comment_leaves_work_for_later() {
    // Assembled here so that this file does not contain them.
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
