//! Where a configuration value came from, so that an error can name its line or variable.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::{DeTable, DeValue};

use super::ConfigError;

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
            file: file.to_owned(),
        })
    }

    pub(super) fn diagnostic(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            key: key.to_owned(),
            origin: self.origin(key),
            message: message.into(),
        }
    }

    /// The variable that set `key` or something inside or above it, else the line of the innermost part of its path
    /// that is in the file.
    fn origin(&self, key: &str) -> Origin {
        let within = |outer: &str, inner: &str| {
            let rest = inner.strip_prefix(outer);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut variables = self.variables.iter();
        if let Some((_, variable)) =
            variables.find(|(path, _)| within(path, key) || within(key, path))
        {
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
