//! config/ringback.toml, its JSON schema and docs/reference/configuration.md are generated from the keys' declarations.
//! `UPDATE=1 cargo test --test it configuration_reference` writes them.

use std::fmt::Write as _;
use std::path::Path;

use ringback::config::{sections, variable_of};
use ringback::publish::{Allowed, DefaultValue, PROPERTY_RULES};
use ringback::settings::{Kind, Reload, Setting, Shape};
use serde_json::{Map, Value, json};

const COMMAND: &str = "`UPDATE=1 cargo test --test it configuration_reference`";

const INTRODUCTION: &str = "Every key can be set by environment, which wins over the file: `RINGBACK_<SECTION>__<KEY>`, such as \
    `RINGBACK_KAFKA__TOPIC` or `RINGBACK_SOURCE__0__PATH` (`RINGBACK_ACK` has no section); librdkafka's names with underscores for their dots, such as \
    `RINGBACK_KAFKA__CLIENT__BOOTSTRAP_SERVERS`. Durations are written \"500ms\", \"10s\", \"5m\"; sizes \"64KiB\", \"8MiB\", \
    \"2GiB\". Relative paths begin in the folder in which ringback is started. Unknown keys and values out of bounds are errors. `ringback check --config FILE` reads a file as `serve` would, \
    prints the effective configuration without secrets, and reports every mistake with its line and a remedy. \
    Changes are noticed within seconds. Sources and some limits are taken then; the rest takes a restart. docs/reference/configuration.md says which.";

const FILE: &str = "ringback's configuration: every key, what it means, its default and its bounds. The values written here \
    are the defaults; only the broker's address and the source are yours to fill in.";

/// The widest line of a comment.
const WIDTH: usize = 118;

fn paragraphs(doc: &str) -> Vec<String> {
    let lines = doc.lines().map(str::trim).collect::<Vec<_>>();
    let paragraphs = lines.split(|line| line.is_empty());
    paragraphs.map(|lines| lines.join(" ")).collect()
}

fn comment(text: &mut String, paragraph: &str) {
    let mut line = String::from("#");
    for word in paragraph.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH + 2 {
            let _ = writeln!(text, "{line}");
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

/// What follows from the row apart from its documentation.
fn facts(setting: &Setting, quote: &str) -> Vec<String> {
    let mut facts = Vec::new();
    match &setting.default {
        _ if setting.is_required => facts.push(match setting.set_by {
            Some(key) => format!("required unless there is a {quote}{key}{quote}"),
            None => String::from("required"),
        }),
        None => {}
        Some(none) if none == "[]" => facts.push(String::from("default none")),
        Some(default) => facts.push(format!("default {quote}{default}{quote}")),
    }
    if let Some([start, end]) = &setting.bounds {
        facts.push(format!("{quote}{start}{quote} to {quote}{end}{quote}"));
    }
    facts
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn element(kind: &Kind) -> &Kind {
    match &kind.shape {
        Shape::List(element) => element,
        _ => kind,
    }
}

fn section_doc(kind: &Kind) -> Vec<String> {
    match &element(kind).shape {
        Shape::Section { doc, .. } => paragraphs(doc),
        _ => Vec::new(),
    }
}

fn toml() -> String {
    let mut text = String::from("#:schema ./ringback.schema.json\n");
    comment(&mut text, FILE);
    text.push_str("#\n");
    comment(&mut text, INTRODUCTION);
    text.push_str("#\n");
    comment(
        &mut text,
        &format!("Generated: {COMMAND} writes this file."),
    );
    for section in sections() {
        if matches!(section.kind.shape, Shape::Scalar) {
            text.push('\n');
            toml_key(&mut text, "", &section);
            continue;
        }
        let is_list = matches!(section.kind.shape, Shape::List(_));
        let (open, close) = if is_list { ("[[", "]]") } else { ("[", "]") };
        text.push('\n');
        for paragraph in section_doc(&section.kind) {
            comment(&mut text, &paragraph);
        }
        let _ = writeln!(text, "{open}{}{close}", section.name);
        for key in element(&section.kind).keys() {
            toml_key(&mut text, section.name, key);
        }
    }
    text
}

fn toml_key(text: &mut String, section: &str, key: &Setting) {
    let is_open = matches!(key.kind.shape, Shape::Open);
    if is_open {
        text.push('\n');
    }
    for (index, paragraph) in paragraphs(key.doc).iter().enumerate() {
        if index > 0 {
            text.push_str("#\n");
        }
        comment(text, paragraph);
    }
    let facts = facts(key, "");
    if !facts.is_empty() {
        comment(text, &format!("{}.", capital(&facts.join("; "))));
    }
    if is_open {
        let _ = writeln!(text, "[{section}.{}]", key.name);
    }
    let _ = match (key.example, &key.default) {
        (Some(example), _) => writeln!(text, "{example}"),
        (None, Some(default)) => writeln!(text, "{} = {default}", key.name),
        (None, None) => panic!("{section}.{} needs an example", key.name),
    };
}

fn schema() -> String {
    let mut schema = object(&sections());
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("ringback's configuration");
    schema["$comment"] = json!(format!("Generated: {COMMAND} writes this file."));
    serde_json::to_string_pretty(&schema).expect("JSON") + "\n"
}

fn object(keys: &[Setting]) -> Value {
    let properties: Map<_, _> = keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<_> = keys
        .iter()
        .filter(|key| key.is_required && key.set_by.is_none())
        .map(|key| key.name)
        .collect();
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn property(key: &Setting) -> Value {
    let mut property = kind(&key.kind);
    let doc = if key.doc.is_empty() {
        section_doc(&key.kind)
    } else {
        paragraphs(key.doc)
    };
    let mut description = doc.join("\n\n");
    let facts = facts(key, "");
    if !facts.is_empty() {
        let _ = write!(description, "\n\n{}.", capital(&facts.join("; ")));
    }
    property["description"] = json!(description);
    if let Some(default) = key.default.as_deref().filter(|_| !key.kind.is_table()) {
        property["default"] = json!(parsed(default));
    }
    if let (Some([start, end]), "number") = (&key.bounds, key.kind.name) {
        property["minimum"] = json!(parsed(start));
        property["maximum"] = json!(parsed(end));
    }
    property
}

fn kind(kind: &Kind) -> Value {
    match &kind.shape {
        Shape::Section { keys, .. } => object(keys),
        Shape::List(element) => json!({ "type": "array", "items": self::kind(element) }),
        Shape::Scalar | Shape::Open => serde_json::from_str(kind.schema).expect("a schema is JSON"),
    }
}

fn parsed(value: &str) -> toml::Value {
    let mut table: toml::Table = format!("value = {value}")
        .parse()
        .expect("a default is TOML");
    table.remove("value").expect("it was put there")
}

fn page() -> String {
    let mut page = format!(
        "# Configuration\n\nGenerated from the program: {COMMAND} writes this page.\n\n\
         [config/ringback.toml](../../config/ringback.toml) has the same keys as a file to start from, and\n\
         [config/ringback.schema.json](../../config/ringback.schema.json) is for editors.\n\n{INTRODUCTION}\n"
    );
    for section in sections() {
        if matches!(section.kind.shape, Shape::Scalar) {
            page.push_str("\n## Before all sections\n");
            page_key(&mut page, "", "", &section);
            continue;
        }
        let element = element(&section.kind);
        let (heading, path) = if matches!(section.kind.shape, Shape::List(_)) {
            (
                format!("[[{}]]", section.name),
                format!("{}.0", section.name),
            )
        } else {
            (format!("[{}]", section.name), section.name.to_owned())
        };
        let doc = section_doc(&section.kind).join("\n\n");
        let _ = write!(page, "\n## `{heading}`\n\n{doc}\n");
        if section.reload == Reload::Value {
            page.push_str("\nAll of it is taken without a restart.\n");
        }
        for key in element.keys() {
            page_key(&mut page, section.name, &path, key);
        }
    }
    page
}

fn page_key(page: &mut String, section: &str, path: &str, key: &Setting) {
    let mut facts = facts(key, "`");
    facts.insert(0, kind_name(&key.kind));
    if key.is_secret {
        facts.push(String::from("secrets only by reference"));
    }
    facts.extend(match key.reload {
        Reload::Nothing => None,
        Reload::Files => Some(String::from(
            "files that it names are read again when they change",
        )),
        Reload::Value => Some(String::from("taken without a restart")),
    });
    let facts = capital(&facts.join("; "));
    let (name, key_path) = match section {
        "" => (key.name.to_owned(), key.name.to_owned()),
        _ => (
            format!("{section}.{}", key.name),
            format!("{path}.{}", key.name),
        ),
    };
    let variable = variable_of(&key_path);
    let doc = paragraphs(key.doc).join("\n\n");
    let _ = write!(page, "\n### `{name}`\n\n{facts}. `{variable}`\n\n{doc}\n");
    let parts = element(&key.kind).keys();
    if !parts.is_empty() {
        let is_list = matches!(key.kind.shape, Shape::List(_));
        page.push_str(if is_list {
            "\nEach has:\n\n"
        } else {
            "\nIt has:\n\n"
        });
    }
    for part in parts {
        let doc = paragraphs(part.doc).join(" ");
        let _ = writeln!(page, "- `{}` ({}): {doc}", part.name, kind_name(&part.kind));
    }
    if matches!(key.kind.shape, Shape::Open) {
        page_property_rules(page);
    }
}

fn page_property_rules(page: &mut String) {
    page.push_str(
        "\nWhat ringback sets or restricts; librdkafka's aliases of these names count as the names:\n\n\
         | property | default | you may set | why |\n|---|---|---|---|\n",
    );
    for rule in PROPERTY_RULES {
        let default = match rule.default {
            DefaultValue::Librdkafka => String::from("librdkafka's"),
            DefaultValue::Fixed(value) => format!("`{value}`"),
            DefaultValue::Computed(words) => words.to_owned(),
        };
        let allowed = match rule.allowed {
            Allowed::Any => String::from("anything"),
            Allowed::AtLeast(words) => format!("at least {words}"),
            Allowed::Only(values) => format!("`{}`", values.join("` or `")),
            Allowed::Nothing => String::from("nothing"),
        };
        let _ = writeln!(
            page,
            "| `{}` | {default} | {allowed} | {} |",
            rule.name, rule.reason
        );
    }
}

fn kind_name(kind: &Kind) -> String {
    match &kind.shape {
        Shape::List(element) => format!("list of {}s", element.name),
        Shape::Scalar | Shape::Open | Shape::Section { .. } => kind.name.to_owned(),
    }
}

#[test]
fn the_reference_files_follow_from_the_declarations() {
    for (name, text) in [
        ("config/ringback.toml", toml()),
        ("config/ringback.schema.json", schema()),
        ("docs/reference/configuration.md", page()),
    ] {
        assert!(text.lines().count() > 100, "{name} has gone blind: {text}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().expect("it is in a folder"))
                .expect("a folder can be made");
            std::fs::write(&path, &text).expect("the file can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{name} is out of date: run {COMMAND}");
    }
}
