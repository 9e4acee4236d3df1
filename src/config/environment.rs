//! Environment variables laid over the file: `RINGBACK_KAFKA__TOPIC` sets `kafka.topic`.
//!
//! A name counts only with a double underscore in it: Kubernetes injects `RINGBACK_SERVICE_HOST` and the like into
//! every pod beside a Service of our name, and those are not ours.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::{Table, Value};

use super::ConfigError;
use super::diagnostics::{Located, Origin, Problem};

const PREFIX: &str = "RINGBACK_";
const CLIENT: &str = "kafka.client";
/// Sections and their keys, as they stand in variables' names.
const SECTIONS: [(&str, &[&str]); 5] = [
    (
        "LISTEN",
        &[
            "ADDRESS",
            "MAX_CONNECTIONS",
            "HEADER_TIMEOUT",
            "BODY_TIMEOUT",
            "MAX_BODY",
            "COMMIT_TIMEOUT",
            "MAX_IN_FLIGHT",
            "TRUSTED_PROXIES",
        ],
    ),
    ("ADMIN", &["ADDRESS"]),
    ("JOURNAL", &["PATH", "SEGMENT_SIZE", "BUDGET"]),
    ("KAFKA", &["TOPIC", "DEAD_LETTER_TOPIC"]),
    ("SHUTDOWN", &["READINESS_DELAY", "DRAIN_DEADLINE"]),
];

/// The process's environment, handed in so that tests can give their own.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    texts: BTreeMap<String, String>,
    /// Names of variables whose values are not UTF-8.
    no_texts: Vec<String>,
}

impl Environment {
    /// The real environment.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Lays the variables over the file's values. A misspelt one is only told: without it the rest can be read.
    pub(super) fn overlay(
        &self,
        mut located: Located,
        problems: &mut Vec<Problem>,
    ) -> Result<Located, ConfigError> {
        problems.extend(self.texts.keys().filter_map(|name| misspelt(name)));
        for variable in &self.no_texts {
            if let Some(path) = path_of(variable) {
                let key = path.join(".");
                located.variables.insert(key.clone(), variable.clone());
                problems.push(located.problem(&key, "the value is not UTF-8"));
            }
        }
        for (variable, value) in &self.texts {
            let Some(path) = path_of(variable) else {
                continue;
            };
            let key = path.join(".");
            // A password of digits is a text like any other; only a reference to a secret is more than that.
            let is_property = key.starts_with(CLIENT) && !value.trim_start().starts_with('{');
            let literal = if is_property {
                Value::String(value.clone())
            } else {
                literal(value)
            };
            if set(&mut located.table, &path, literal).is_err() {
                let text =
                    "no such place: a part of the name is a plain value or an index that skips one";
                located.variables.insert(key.clone(), variable.clone());
                problems.push(located.problem(&key, text));
                return Err(ConfigError::Invalid(std::mem::take(problems)));
            }
            located.variables.insert(key, variable.clone());
        }
        Ok(located)
    }

    /// A topic may be called `123`: what looked like a number is put in once more as the text it is. False where no
    /// variable has set `key`.
    pub(super) fn set_as_text(&self, located: &mut Located, key: &str) -> bool {
        let variable = located.variables.get(key);
        let given = variable.and_then(|name| Some((path_of(name)?, self.get(name)?.to_owned())));
        given.is_some_and(|(path, value)| {
            set(&mut located.table, &path, Value::String(value)).is_ok()
        })
    }
}

impl FromIterator<(String, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, OsString)>>(variables: I) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            match value.into_string() {
                Ok(text) => {
                    environment.texts.insert(name, text);
                }
                Err(_) => environment.no_texts.push(name),
            }
        }
        environment
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let pairs = pairs.into_iter();
        pairs
            .map(|(name, value)| (name.to_owned(), OsString::from(value)))
            .collect()
    }
}

/// `RINGBACK_KAFKA__CLIENT__BOOTSTRAP_SERVERS` → `kafka`, `client`, `bootstrap.servers`.
fn path_of(variable: &str) -> Option<Vec<String>> {
    let name = variable.strip_prefix(PREFIX)?;
    if !name.contains("__") {
        return None;
    }
    let mut path: Vec<String> = name.split("__").map(str::to_lowercase).collect();
    if path.len() == 3 && path[..2].join(".") == CLIENT {
        path[2] = path[2].replace('_', ".");
    }
    Some(path)
}

/// One underscore where a section's name ends would set nothing, in silence. Only names that are keys of ours count: what
/// Kubernetes injects beside a Service (`RINGBACK_KAFKA_SERVICE_HOST`, `RINGBACK_ADMIN_PORT_9464_TCP`) is not meant for us.
fn misspelt(variable: &str) -> Option<Problem> {
    let name = variable.strip_prefix(PREFIX)?;
    let (section, key) = SECTIONS.into_iter().find_map(|(section, keys)| {
        let rest = name.strip_prefix(section)?.strip_prefix('_')?;
        let is_key = keys.contains(&rest) || (section == "KAFKA" && rest.starts_with("CLIENT_"));
        is_key.then_some((section, rest))
    })?;
    let right = match key.strip_prefix("CLIENT_") {
        Some(property) => format!("{section}__CLIENT__{}", property.trim_start_matches('_')),
        None => format!("{section}__{key}"),
    };
    Some(Problem {
        key: section.to_lowercase(),
        origin: Origin::Variable(variable.to_owned()),
        text: format!("sections end with two underscores; write {PREFIX}{right}"),
    })
}

fn literal(value: &str) -> Value {
    let trimmed = value.trim();
    if trimmed.starts_with(['[', '{'])
        && let Ok(mut table) = format!("v = {trimmed}").parse::<Table>()
        && let Some(parsed) = table.remove("v")
    {
        return parsed;
    }
    if let Ok(number) = trimmed.parse() {
        return Value::Integer(number);
    }
    match trimmed {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => Value::String(value.to_owned()),
    }
}

struct NoSuchPlace;

fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), NoSuchPlace> {
    let (first, rest) = path.split_first().ok_or(NoSuchPlace)?;
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return Ok(());
    }
    let is_index = rest[0].parse::<usize>().is_ok();
    let inner = table.entry(first.clone()).or_insert_with(|| {
        if is_index {
            Value::Array(Vec::new())
        } else {
            Value::Table(Table::new())
        }
    });
    set_in(inner, rest, value)
}

fn set_in(place: &mut Value, path: &[String], value: Value) -> Result<(), NoSuchPlace> {
    match place {
        Value::Table(table) => set(table, path, value),
        Value::Array(array) => {
            let (first, rest) = path.split_first().ok_or(NoSuchPlace)?;
            let index: usize = first.parse().map_err(|_| NoSuchPlace)?;
            if index > array.len() {
                return Err(NoSuchPlace);
            }
            if index == array.len() {
                array.push(Value::Table(Table::new()));
            }
            let element = array.get_mut(index).ok_or(NoSuchPlace)?;
            if rest.is_empty() {
                *element = value;
                Ok(())
            } else {
                set_in(element, rest, value)
            }
        }
        _ => Err(NoSuchPlace),
    }
}
