//! What the Helm chart has from elsewhere: the schema of its `config:` from the program's, the list of values in its README from
//! values.yaml, the alerts and the dashboard from deploy/. `UPDATE=1 cargo test --test it chart_reference` writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

const COMMAND: &str = "`UPDATE=1 cargo test --test it chart_reference`";

/// Everything behind this line of the chart's README is generated.
const MARK: &str =
    "<!-- Generated from values.yaml: `UPDATE=1 cargo test --test it chart_reference` -->";

/// Copies, because Helm reads only files inside a chart, and some of its users' tools skip symbolic links.
const COPIES: [(&str, &str); 2] = [
    ("deploy/prometheus/rules.yaml", "files/rules.yaml"),
    ("deploy/grafana/ringback.json", "files/dashboard.json"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chart(name: &str) -> PathBuf {
    root().join("deploy/helm/ringback").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parsed(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The committed schema with the program's own in the place of `config`.
fn schema() -> String {
    let mut config = parsed(&root().join("config/ringback.schema.json"));
    let properties = config.as_object_mut().expect("a schema is an object");
    for of_a_document in ["$schema", "$comment", "title"] {
        assert!(
            properties.remove(of_a_document).is_some(),
            "no {of_a_document}"
        );
    }
    let description =
        format!("The whole ringback.toml. Generated from config/ringback.schema.json: {COMMAND}.");
    properties.insert(String::from("description"), json!(description));
    let mut schema = parsed(&chart("values.schema.json"));
    schema["properties"]["config"] = config;
    serde_json::to_string_pretty(&schema).expect("JSON") + "\n"
}

/// A value of values.yaml with the comment above it.
struct Documented {
    path: String,
    doc: String,
    /// What stands behind the colon; for a group nothing, for a longer value the lines below.
    shown: Shown,
}

enum Shown {
    Group,
    Inline(String),
    Block(String),
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim_start().split_once(':')?;
    let is_key = !is_comment(line) && !key.is_empty() && !key.contains([' ', '-', '"']);
    is_key.then_some((key, value.trim()))
}

/// The values among `lines`, all of which are below `path` and at least as far indented as the first.
fn documented(path: &str, lines: &[&str], found: &mut Vec<Documented>) {
    let Some(depth) = lines.first().map(|line| indent(line)) else {
        return;
    };
    let mut comment = Vec::new();
    let mut rest = lines;
    while let Some((line, behind)) = rest.split_first() {
        rest = behind;
        if line.is_empty() {
            comment.clear();
            continue;
        }
        assert_eq!(indent(line), depth, "values.yaml: indented oddly: {line}");
        if is_comment(line) {
            comment.push(line.trim_start().trim_start_matches('#').trim());
            continue;
        }
        let (name, value) = key(line).unwrap_or_else(|| panic!("values.yaml: no key: {line}"));
        let path = format!("{path}{name}");
        assert!(
            !comment.is_empty(),
            "values.yaml: {path} has no comment above it"
        );
        let end = rest
            .iter()
            .position(|line| indent(line) <= depth || line.is_empty());
        let (block, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        let is_group = block.first().is_some_and(|line| is_comment(line));
        let shown = match block {
            [] => Shown::Inline(value.to_owned()),
            _ if is_group => Shown::Group,
            [first, ..] => {
                let cut = indent(first);
                Shown::Block(
                    block
                        .iter()
                        .map(|line| format!("{}\n", &line[cut..]))
                        .collect(),
                )
            }
        };
        let doc = std::mem::take(&mut comment).join(" ");
        found.push(Documented {
            path: path.clone(),
            doc,
            shown,
        });
        if is_group {
            documented(&format!("{path}."), block, found);
        }
    }
}

fn values() -> Vec<Documented> {
    let text = read(&chart("values.yaml"));
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    documented("", &lines, &mut found);
    assert!(found.len() > 80, "only {} values were found", found.len());
    found
}

fn readme() -> String {
    let text = read(&chart("README.md"));
    let (prose, _) = text.split_once(MARK).expect("README.md has the mark");
    let mut page = format!("{prose}{MARK}\n");
    for value in values() {
        let Documented { path, doc, shown } = &value;
        let (open, next) = if path.contains('.') {
            (format!("- `{path}`: "), "  ")
        } else {
            (format!("\n### `{path}`\n\n"), "")
        };
        let _ = write!(page, "{open}{doc}");
        let _ = match shown {
            Shown::Group if path.contains('.') => writeln!(page),
            Shown::Group => writeln!(page, "\n"),
            Shown::Inline(value) => writeln!(page, " Default `{value}`."),
            Shown::Block(lines) => {
                let lines = lines.replace('\n', &format!("\n{next}"));
                let lines = lines.trim_end();
                writeln!(page, " Default:\n\n{next}```yaml\n{next}{lines}\n{next}```")
            }
        };
    }
    page
}

fn update(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, text).expect("a file of the chart can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "{} is out of date: run {COMMAND}",
        path.display()
    );
}

#[test]
fn the_chart_has_the_program_s_configuration_and_every_value_in_its_readme() {
    update(&chart("values.schema.json"), &schema());
    update(&chart("README.md"), &readme());
}

#[test]
fn the_chart_has_the_alerts_and_the_dashboard() {
    for (source, copy) in COPIES {
        update(&chart(copy), &read(&root().join(source)));
    }
}

/// The paths of all values that `schema` allows. Maps whose keys the user chooses are values.
fn allowed<'a>(path: &str, schema: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    let properties = schema["properties"].as_object();
    let is_closed = schema["additionalProperties"] == json!(false);
    match properties.filter(|_| is_closed) {
        Some(properties) => {
            for (name, property) in properties {
                let path = format!("{path}{name}");
                found.insert(path.clone(), property);
                allowed(&format!("{path}."), property, found);
            }
        }
        None => assert!(!path.is_empty(), "the values are not closed"),
    }
}

#[test]
fn every_value_that_the_schema_allows_is_documented_and_the_reverse() {
    let schema = parsed(&chart("values.schema.json"));
    let mut allowed_paths = BTreeMap::new();
    allowed("", &schema, &mut allowed_paths);
    let values = values();
    for Documented { path, .. } in &values {
        assert!(
            allowed_paths.contains_key(path),
            "values.schema.json has no {path}"
        );
    }
    let is_documented = |path: &str| {
        values.iter().any(|value| {
            let is_whole = !matches!(value.shown, Shown::Group);
            let below = path.strip_prefix(&value.path);
            value.path == path || is_whole && below.is_some_and(|rest| rest.starts_with('.'))
        })
    };
    for path in allowed_paths.keys() {
        // Helm's own, for charts that include this one.
        let is_helm_s = path == "global";
        assert!(
            is_helm_s || is_documented(path),
            "values.yaml has no {path}"
        );
    }
}

#[test]
fn the_chart_has_the_program_s_version() {
    let text = read(&chart("Chart.yaml"));
    let version = format!("appVersion: {}", env!("CARGO_PKG_VERSION"));
    assert!(
        text.lines().any(|line| line == version),
        "Chart.yaml has no {version}"
    );
}
