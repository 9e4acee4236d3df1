//! Where a configuration value came from, so that an error can name its line or variable.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::{DeTable, DeValue};

use super::ConfigError;
use crate::secret::{has_random_word, looks_like_secret};

/// In an error, in the place of a value that looks like a secret.
const HIDDEN: &str = "[hidden: looks like a secret]";

/// Where a key's value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the file, at this 1-based line.
    Line {
        /// The file's name as given.
        file: String,
        /// 1-based.
        line: usize,
    },
    /// By this environment variable.
    Variable(String),
    /// Nowhere: it is missing, or a default.
    Unset {
        /// The file in which it could be set.
        file: String,
    },
}

/// A mistake in the configuration, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The key with its sections, as `listen.max_body` or `source.0.path`.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong and how to fix it; never a secret's value.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Line { file, line } => write!(formatter, "{file}:{line}"),
            Origin::Variable(name) => write!(formatter, "environment {name}"),
            Origin::Unset { file } => formatter.write_str(file),
        }?;
        write!(formatter, ": {}: {}", self.key, self.message)
    }
}

/// All diagnostics, a line each.
pub(super) fn list(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The values, and where each was set.
pub(super) struct Located {
    pub(super) table: toml::Table,
    /// The environment variable by which a key was set.
    pub(super) variables: BTreeMap<String, String>,
    /// The line of each key of the file.
    lines: BTreeMap<String, usize>,
    /// Values and names that look like secrets, wherever they stand: no diagnostic repeats them.
    hidden: Vec<String>,
    file: String,
}

impl Located {
    pub(super) fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            file: file.to_owned(),
            message: match error.span().and_then(|span| text.get(span)) {
                Some(key) if error.message() == "duplicate key" => {
                    format!("{key} is set twice; remove one of them")
                }
                _ => error.message().to_owned(),
            },
            line: error.span().map_or(1, |span| line_of(text, span.start)),
        };
        let document = DeTable::parse(text).map_err(syntax)?.into_inner();
        let mut lines = BTreeMap::new();
        locate(text, "", &DeValue::Table(document), &mut lines);
        Ok(Self {
            table: text.parse().map_err(syntax)?,
            variables: BTreeMap::new(),
            lines,
            hidden: Vec::new(),
            file: file.to_owned(),
        })
    }

    /// Takes the values out, for reading. Diagnostics still know where each was set.
    pub(super) fn take_table(&mut self) -> toml::Table {
        let table = std::mem::take(&mut self.table);
        hide_within(&table, &mut self.hidden);
        table
    }

    /// A secret may have been pasted into any place, so no message repeats what looks like one.
    pub(super) fn diagnostic(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        let shown = |text: String| {
            let hidden = self.hidden.iter();
            hidden.fold(text, |text, secret| text.replace(secret, HIDDEN))
        };
        Diagnostic {
            key: shown(key.to_owned()),
            origin: self.origin(key),
            message: shown(message.into()),
        }
    }

    /// The variable that set `key` or something inside or above it, else the line of the innermost part of its path
    /// that is in the file.
    fn origin(&self, key: &str) -> Origin {
        let mut variables = self.variables.iter();
        if let Some((_, variable)) = variables.find(|(path, _)| is_related(path, key)) {
            return Origin::Variable(variable.clone());
        }
        let file = self.file.clone();
        let mut paths = std::iter::successors(Some(key), |path| Some(path.rsplit_once('.')?.0));
        match paths.find_map(|path| self.lines.get(path)) {
            Some(&line) => Origin::Line { file, line },
            None => Origin::Unset { file },
        }
    }
}

/// True if one of two keys is the other, or a part of it.
pub(super) fn is_related(one: &str, other: &str) -> bool {
    let within = |outer: &str, inner: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    within(one, other) || within(other, one)
}

/// Collects the names and texts within `table` that look like secrets.
fn hide_within(table: &toml::Table, hidden: &mut Vec<String>) {
    for (name, value) in table {
        if has_random_word(name) {
            hidden.push(name.clone());
        }
        hide(value, hidden);
    }
}

/// Collects the texts within `value` that look like secrets, also as an error would quote them.
fn hide(value: &toml::Value, hidden: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if looks_like_secret(text) => {
            hidden.extend([text.clone(), text.escape_debug().to_string()]);
        }
        toml::Value::Table(table) => hide_within(table, hidden),
        toml::Value::Array(values) => values.iter().for_each(|value| hide(value, hidden)),
        _ => {}
    }
}

/// Notes the line of every key and every element within `value`.
fn locate(text: &str, path: &str, value: &DeValue<'_>, lines: &mut BTreeMap<String, usize>) {
    let mut note = |name: &str, start: usize, value: &DeValue<'_>| {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{name}");
        locate(text, &path, value, lines);
        lines.insert(path, line_of(text, start));
    };
    match value {
        DeValue::Table(table) => {
            for (key, value) in table {
                note(key.get_ref(), key.span().start, value.get_ref());
            }
        }
        DeValue::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                note(&index.to_string(), value.span().start, value.get_ref());
            }
        }
        _ => {}
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text[..offset.min(text.len())].matches('\n').count()
}
