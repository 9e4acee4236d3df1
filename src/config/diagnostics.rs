//! Where a configuration value came from, so that an error can point at it.

use std::collections::BTreeMap;
use std::fmt;

use toml_edit::{Document, Item};

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

/// One key that will not do, and what would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's path, as `listen.max_body` or `source.0.path`.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong and what would do; never a secret's value.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Line { file, line } => write!(f, "{file}:{line}: {}: {}", self.key, self.text),
            Origin::Variable(name) => {
                write!(f, "environment {name}: {}: {}", self.key, self.text)
            }
            Origin::Unset { file } => write!(f, "{file}: {}: {}", self.key, self.text),
        }
    }
}

/// All problems, a line each.
pub(super) fn list(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The file's table together with what is needed to find a key's line or variable again.
pub(super) struct Located {
    pub(super) table: toml::Table,
    pub(super) variables: BTreeMap<String, String>,
    document: Document<String>,
    file: String,
}

impl Located {
    pub(super) fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let syntax = |message: &str, span: Option<std::ops::Range<usize>>| ConfigError::Syntax {
            file: file.to_owned(),
            message: match span.as_ref().and_then(|span| text.get(span.clone())) {
                Some(key) if message == "duplicate key" => {
                    format!("{key} is set twice; remove one of them")
                }
                _ => message.to_owned(),
            },
            line: span.map_or(1, |span| line_of(text, span.start)),
        };
        let document = Document::parse(text.to_owned())
            .map_err(|error| syntax(error.message(), error.span()))?;
        let table = text
            .parse::<toml::Table>()
            .map_err(|error| syntax(error.message(), error.span()))?;
        Ok(Self {
            table,
            variables: BTreeMap::new(),
            document,
            file: file.to_owned(),
        })
    }

    pub(super) fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        Problem {
            key: key.to_owned(),
            origin: self.origin(key),
            text: text.into(),
        }
    }

    /// The variable that set `key` or something inside or above it, else the deepest line that exists on its path.
    pub(super) fn origin(&self, key: &str) -> Origin {
        let within = |outer: &str, inner: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let variable = self
            .variables
            .iter()
            .find(|(path, _)| within(path, key) || within(key, path));
        if let Some((_, variable)) = variable {
            return Origin::Variable(variable.clone());
        }
        match self.line(key) {
            Some(line) => Origin::Line {
                file: self.file.clone(),
                line,
            },
            None => Origin::Unset {
                file: self.file.clone(),
            },
        }
    }

    fn line(&self, key: &str) -> Option<usize> {
        let mut item: &Item = self.document.as_item();
        let mut found = None;
        let mut rest = key;
        while !rest.is_empty() {
            let (span, next, remaining) = step(item, rest)?;
            found = span.or(found);
            item = match next {
                Next::Item(next) => next,
                // A value inside an inline array or table: its own start is as deep as a line can point.
                Next::Leaf => break,
            };
            rest = remaining;
        }
        found.map(|span| line_of(self.document.raw(), span.start))
    }
}

enum Next<'a> {
    Item(&'a Item),
    Leaf,
}

type Step<'a, 'k> = (Option<std::ops::Range<usize>>, Next<'a>, &'k str);

/// One step down; librdkafka's property names hold dots, so the longest matching key is tried first.
fn step<'a, 'k>(item: &'a Item, path: &'k str) -> Option<Step<'a, 'k>> {
    if let Some(tables) = item.as_array_of_tables() {
        let (index, rest) = path.split_once('.').unwrap_or((path, ""));
        let table = tables.get(index.parse().ok()?)?;
        if rest.is_empty() {
            return Some((table.span(), Next::Leaf, ""));
        }
        let (key, rest, next) = longest(rest, |key| table.get_key_value(key))?;
        return Some((key.span().or(next.span()), Next::Item(next), rest));
    }
    let table = item.as_table_like()?;
    let (key, rest, next) = longest(path, |key| table.get_key_value(key))?;
    Some((key.span().or(next.span()), Next::Item(next), rest))
}

fn longest<'k, 'a, T: ?Sized, U: ?Sized>(
    path: &'k str,
    get: impl Fn(&str) -> Option<(&'a T, &'a U)>,
) -> Option<(&'a T, &'k str, &'a U)> {
    let ends = path
        .char_indices()
        .filter(|(_, c)| *c == '.')
        .map(|(index, _)| index)
        .chain([path.len()]);
    let mut ends: Vec<_> = ends.collect();
    ends.reverse();
    ends.into_iter().find_map(|end| {
        let (key, item) = get(&path[..end])?;
        Some((key, path[end..].trim_start_matches('.'), item))
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text[..offset.min(text.len())].matches('\n').count()
}
