//! Inside a wing, too, modules use each other in one direction only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{root, rust_files, without_comments};

/// A module directly below a wing, and the modules of the same wing that it may use. Every module may use what the wing's
/// own file declares (its configuration and its interface), and that file may use every module.
type Row = (&'static str, &'static [&'static str]);

const JOURNAL: &[Row] = &[
    ("disk", &[]),
    ("metrics", &[]),
    ("format", &["disk"]),
    ("error", &["disk", "format"]),
    ("engine", &["disk", "error", "format", "metrics"]),
    ("recovery", &["disk", "engine", "error", "format"]),
    (
        "inspect",
        &["disk", "engine", "error", "format", "recovery"],
    ),
    ("probe", &["disk", "engine"]),
    ("set_aside", &["disk", "engine", "format", "recovery"]),
    ("memory", &["engine", "error", "metrics"]),
    ("reader", &["disk", "engine", "error", "memory", "metrics"]),
    ("appender", &["engine", "error", "memory"]),
    ("commit_loop", &["appender", "disk", "engine", "error"]),
    ("threads", &["appender", "commit_loop", "disk", "engine"]),
    ("truncator", &["disk", "engine", "memory", "threads"]),
];

const INGEST: &[Row] = &[
    ("memory", &[]),
    ("payload", &[]),
    ("provenance", &[]),
    ("rate_limit", &[]),
    ("scheme", &[]),
    ("tls", &[]),
    ("config", &["rate_limit", "scheme", "tls"]),
    ("health", &["config"]),
    ("carry", &["config", "provenance"]),
    ("refusal", &["payload", "rate_limit", "scheme"]),
    ("metrics", &["config", "payload", "refusal"]),
    ("dedup", &["config", "metrics"]),
    ("body", &["memory", "refusal"]),
    (
        "source",
        &[
            "body",
            "config",
            "metrics",
            "payload",
            "provenance",
            "scheme",
            "tls",
        ],
    ),
    ("checks", &["metrics", "refusal"]),
    ("refusal_log", &["refusal"]),
    ("observer", &["payload", "scheme"]),
    ("content_log", &["payload", "refusal_log", "source"]),
    ("server", &["metrics", "refusal", "refusal_log", "tls"]),
    (
        "table",
        &[
            "body",
            "config",
            "content_log",
            "dedup",
            "health",
            "memory",
            "metrics",
            "rate_limit",
            "refusal_log",
            "source",
        ],
    ),
    (
        "ingress",
        &[
            "memory",
            "metrics",
            "observer",
            "provenance",
            "refusal",
            "refusal_log",
            "table",
        ],
    ),
    ("untrusted", &["payload", "scheme"]),
    ("commit", &["dedup", "ingress", "metrics"]),
    (
        "request",
        &[
            "body",
            "carry",
            "commit",
            "dedup",
            "ingress",
            "memory",
            "metrics",
            "observer",
            "payload",
            "provenance",
            "refusal",
            "scheme",
            "server",
            "source",
            "table",
        ],
    ),
    ("stack", &["ingress", "refusal", "request", "server"]),
];

const PUBLISH: &[Row] = &[
    ("property", &[]),
    ("topics", &[]),
    ("config", &["property", "topics"]),
    ("decide", &[]),
    ("error", &["decide"]),
    ("metrics", &["decide"]),
    ("env", &["decide", "error"]),
    ("inbox", &["decide", "env", "error", "topics"]),
    (
        "kafka",
        &["decide", "env", "error", "inbox", "metrics", "property"],
    ),
    (
        "worker",
        &[
            "decide", "env", "error", "inbox", "kafka", "metrics", "topics",
        ],
    ),
    ("dead_letter", &["decide", "env", "error", "kafka"]),
    ("thread", &["inbox", "kafka", "worker"]),
];

const CONFIG: &[Row] = &[
    ("diagnostics", &[]),
    ("keys", &[]),
    ("environment", &["diagnostics", "keys"]),
    ("relations", &[]),
    ("render", &[]),
    ("reload", &["relations"]),
];

const WINGS: [(&str, &[Row]); 4] = [
    ("journal", JOURNAL),
    ("ingest", INGEST),
    ("publish", PUBLISH),
    ("config", CONFIG),
];

/// Uses against the direction of the tables: wing, user, used, and the reason.
const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    (
        "journal",
        "engine",
        "recovery",
        "the reader settles the extent of a segment that recovery could not read",
    ),
    (
        "journal",
        "format",
        "engine",
        "a segment's header carries the synced end that the checkpoint carries too",
    ),
    (
        "publish",
        "kafka",
        "dead_letter",
        "the environment of the worker writes its dead letters",
    ),
];

/// All paths of a use that `text` begins with: `a::{b::C, d}` gives `a::b::C` and `a::d`.
fn expand(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    let (head, rest) = text.split_at(end.unwrap_or(text.len()));
    if !(head.ends_with("::") && rest.starts_with('{')) {
        return vec![head.trim_end_matches(':').to_owned()];
    }
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for c in rest.chars() {
        depth += i32::from(c == '{');
        depth -= i32::from(c == '}');
        match (c, depth) {
            (_, 0) => break,
            ('{', 1) => {}
            (',', 1) => parts.push(String::new()),
            _ => parts.last_mut().expect("it begins with one").push(c),
        }
    }
    let parts = parts.iter().flat_map(|part| expand(part.trim()));
    parts.map(|part| format!("{head}{part}")).collect()
}

/// Where a path begins with `start` in `code`: neither the second `super::` of `super::super::`, nor `some_crate::`.
fn starts<'a>(code: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(start).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back();
        let inside = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        (!inside).then_some(&code[at..])
    })
}

/// The paths of modules and items that `code` names by `crate::`.
pub(super) fn crate_paths(code: &str) -> Vec<Vec<String>> {
    let paths = starts(code, "crate::").flat_map(expand);
    let paths = paths.map(|path| path.split("::").skip(1).map(str::to_owned).collect());
    paths.collect()
}

/// The paths of modules and items that `code`, of the module `own`, names by `super::`.
fn super_paths(own: &[String], code: &str) -> Vec<Vec<String>> {
    let paths = starts(code, "super::").flat_map(expand);
    let paths = paths.map(|path| {
        let segments: Vec<_> = path.split("::").map(str::to_owned).collect();
        let levels = segments.iter().take_while(|name| *name == "super").count();
        let base = &own[..own.len().saturating_sub(levels)];
        [base, &segments[levels..]].concat()
    });
    paths.collect()
}

/// `src/journal/engine/state.rs` → `journal`, `engine`, `state`.
fn module(file: &Path) -> Vec<String> {
    let relative = file.strip_prefix(root().join("src")).expect("in src");
    let relative = relative.with_extension("");
    let parts = relative.iter().map(|part| part.to_string_lossy());
    parts.map(std::borrow::Cow::into_owned).collect()
}

/// The modules directly below `wing`, and every use of one by another, as user and used.
fn uses(wing: &str) -> (BTreeSet<String>, BTreeSet<(String, String)>) {
    let files = rust_files(&root().join("src").join(wing));
    let files: Vec<_> = files.iter().map(|file| (file, module(file))).collect();
    let below: BTreeSet<_> = files.iter().map(|(_, module)| module[1].clone()).collect();
    let mut uses = BTreeSet::new();
    // A test may look at anything.
    let is_test = |module: &[String]| module.iter().any(|name| name == "tests");
    for (file, own) in files.iter().filter(|(_, module)| !is_test(module)) {
        let code = fs::read_to_string(file).expect("a source file can be read");
        let code = without_comments(&code);
        let code = code.split("#[cfg(test)]\nmod tests {").next();
        let code = code.unwrap_or_default();
        for path in [crate_paths(code), super_paths(own, code)].concat() {
            if path.len() > 1 && path[0] == wing && below.contains(&path[1]) && path[1] != own[1] {
                uses.insert((own[1].clone(), path[1].clone()));
            }
        }
    }
    (below, uses)
}

#[test]
fn the_modules_of_a_wing_use_each_other_in_one_direction() {
    let mut wrong = Vec::new();
    let mut exceptions: Vec<_> = EXCEPTIONS.iter().collect();
    for (wing, rows) in WINGS {
        let (below, uses) = uses(wing);
        assert!(
            uses.len() >= 2,
            "{wing}: only {} uses were found",
            uses.len()
        );
        for (name, _) in rows.iter().filter(|(name, _)| !below.contains(*name)) {
            wrong.push(format!("{wing}: there is no {name}: remove its row"));
        }
        for (user, used) in &uses {
            let exception = exceptions
                .iter()
                .position(|(in_wing, from, to, _)| (*in_wing, *from, *to) == (wing, user, used));
            let row = rows.iter().find(|(name, _)| name == user);
            match (row, exception) {
                (_, Some(index)) => drop(exceptions.remove(index)),
                (Some((_, may_use)), None) if may_use.contains(&used.as_str()) => {}
                (Some(_), None) => wrong.push(format!("{wing}: {user} may not use {used}")),
                (None, None) => wrong.push(format!("{wing}: give {user} a row; it uses {used}")),
            }
        }
    }
    for (wing, from, to, _) in exceptions {
        wrong.push(format!(
            "{wing}: {from} uses {to} no longer: remove the exception"
        ));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_tables_have_no_circles() {
    for (wing, rows) in WINGS {
        let mut left: Vec<_> = rows.iter().collect();
        while !left.is_empty() {
            let names: Vec<_> = left.iter().map(|(name, _)| *name).collect();
            let before = left.len();
            left.retain(|(_, may_use)| may_use.iter().any(|used| names.contains(used)));
            assert!(left.len() < before, "{wing}: a circle among {names:?}");
        }
    }
}

#[test]
fn every_form_of_path_is_read() {
    let own = ["journal", "engine", "state"].map(str::to_owned);
    let code = "use crate::journal::{disk::{A, B}, format};\nuse super::writer;\nfn f() { super::super::error::E }";
    let paths = [crate_paths(code), super_paths(&own, code)].concat();
    let paths: Vec<_> = paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(
        paths,
        [
            "journal::disk::A",
            "journal::disk::B",
            "journal::format",
            "journal::engine::writer",
            "journal::error::E"
        ]
    );
}
