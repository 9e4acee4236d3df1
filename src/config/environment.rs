//! Environment variables laid over the file: `RINGBACK_KAFKA__TOPIC` sets `kafka.topic`.
//!
//! Beside the keys that stand in no section (`RINGBACK_ACK`), only names with a double underscore count: Kubernetes sets `RINGBACK_SERVICE_HOST` and the like in every pod beside a
//! Service named ringback, and those are no configuration.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::{Table, Value};

use super::diagnostics::{Diagnostic, Located, Origin};
use super::{CLIENT, keys};
use crate::settings::Shape;

const PREFIX: &str = "RINGBACK_";

/// The process's environment. A parameter of everything that reads it, so that tests can pass their own.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    texts: BTreeMap<String, String>,
    /// Names of variables whose values are not UTF-8.
    not_utf8: Vec<String>,
}

impl Environment {
    /// The real environment.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// Every variable that is UTF-8.
    pub(super) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// Lays the variables over the file's values. A misspelt variable is only reported: the rest can be read without it.
    pub(super) fn overlay(&self, located: &mut Located, diagnostics: &mut Vec<Diagnostic>) {
        diagnostics.extend(self.texts.keys().filter_map(|name| misspelt(name)));
        for variable in &self.not_utf8 {
            if let Some(path) = path_of(variable) {
                let key = path.join(".");
                located.variables.insert(key.clone(), variable.clone());
                diagnostics.push(located.diagnostic(&key, "the value is not UTF-8"));
            }
        }
        for (variable, value) in &self.texts {
            let Some(path) = path_of(variable) else {
                continue;
            };
            let key = path.join(".");
            located.variables.insert(key.clone(), variable.clone());
            if set(&mut located.table, &path, literal(value)).is_err() {
                let message = "there is no such key: a part of the name is a plain value, or an index that skips one";
                diagnostics.push(located.diagnostic(&key, message));
            }
        }
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
                Err(_) => environment.not_utf8.push(name),
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
        let key = name.to_lowercase();
        let mut keys = keys::sections().into_iter();
        let is_key = keys.any(|top| top.name == key && matches!(top.kind.shape, Shape::Scalar));
        return is_key.then(|| vec![key]);
    }
    let mut path: Vec<String> = name.split("__").map(str::to_lowercase).collect();
    if path.len() == 3 && path.join(".").starts_with(CLIENT) {
        path[2] = path[2].replace('_', ".");
    }
    Some(path)
}

/// `kafka.client.bootstrap.servers` → `RINGBACK_KAFKA__CLIENT__BOOTSTRAP_SERVERS`.
pub fn variable_of(key: &str) -> String {
    let name = match key.strip_prefix(CLIENT) {
        Some(property) => format!("{}__{}", "kafka__client", property.replace('.', "_")),
        None => key.replace('.', "__"),
    };
    format!("{PREFIX}{}", name.to_uppercase())
}

/// A variable with one underscore after its section's name would be ignored silently. Only the names of ringback's keys
/// are refused: Kubernetes sets others beside a Service (`RINGBACK_KAFKA_SERVICE_HOST`).
fn misspelt(variable: &str) -> Option<Diagnostic> {
    let name = variable.strip_prefix(PREFIX)?.to_lowercase();
    let (section, key) = keys::sections().into_iter().find_map(|section| {
        let rest = name.strip_prefix(section.name)?.strip_prefix('_')?;
        if let Some(property) = rest
            .strip_prefix("client_")
            .filter(|_| section.name == "kafka")
        {
            let property = property.trim_start_matches('_');
            return Some((section.name, format!("{CLIENT}{property}")));
        }
        let mut keys = section.kind.keys().iter();
        let is_key = keys.any(|key| key.name == rest);
        is_key.then(|| (section.name, format!("{}.{rest}", section.name)))
    })?;
    Some(Diagnostic {
        key: section.to_owned(),
        origin: Origin::Variable(variable.to_owned()),
        message: format!(
            "sections end with two underscores; write {}",
            variable_of(&key)
        ),
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
