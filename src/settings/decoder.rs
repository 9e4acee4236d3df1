//! From TOML to types, with every mistake on the way.

use std::collections::BTreeMap;

use toml::Table;

use super::{Row, SettingValue};

/// A mistake in the value of a key.
#[derive(Debug, Clone)]
pub struct SettingError {
    /// The key with its sections, as `source.0.path`.
    pub key: String,
    /// What is wrong and how to fix it; never a secret.
    pub message: String,
    /// What is known of the key in spite of it.
    pub fault: SettingFault,
}

/// How far a key could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingFault {
    /// There is no such key.
    Unknown,
    /// The key is missing, or its value is of another kind: the default stands in for it, and what follows from that
    /// must not be reported.
    Unread,
    /// The value can be read, but not used.
    Unsuitable,
}

impl SettingError {
    /// The value can be read, but not used.
    pub(crate) fn invalid(key: String, message: String) -> Self {
        Self {
            key,
            message,
            fault: SettingFault::Unsuitable,
        }
    }
}

/// The key that is being read, and the mistakes so far.
pub struct Decoder<'a> {
    /// Values of environment variables: of secrets by reference, and of keys as they were given.
    environment: &'a BTreeMap<String, String>,
    /// The environment variable by which a key was set.
    variables: &'a BTreeMap<String, String>,
    errors: Vec<SettingError>,
    path: String,
    remedy: Option<&'static str>,
    is_secret: bool,
}

/// Reads a whole configuration or section, with every mistake in it. A key that could not be read has its default, so
/// that the others can still be checked; the value may be used only if there is no error. `variables` names the
/// environment variable by which a key was set.
pub fn decode<T: SettingValue + Default>(
    table: Table,
    environment: &BTreeMap<String, String>,
    variables: &BTreeMap<String, String>,
) -> (T, Vec<SettingError>) {
    let mut decoder = Decoder {
        environment,
        variables,
        errors: Vec::new(),
        path: String::new(),
        remedy: None,
        is_secret: false,
    };
    let value = T::decode(toml::Value::Table(table), &mut decoder);
    (value.unwrap_or_default(), decoder.errors)
}

impl<'a> Decoder<'a> {
    /// Reads one key of a section, and removes it from `table`. If it cannot be read, reports that and returns the default.
    pub(crate) fn key<T: SettingValue>(&mut self, table: &mut Table, row: Row<T>) -> T {
        let Row {
            setting,
            default,
            remedy,
            rules,
        } = row;
        let outer = (self.remedy, self.is_secret);
        // Within a secret the outer remedy applies, because the user may have written the secret itself in place of any
        // part of its reference.
        if !self.is_secret {
            self.remedy = remedy;
            self.is_secret = setting.is_secret;
        }
        let value = self.at(setting.name, |decoder| {
            // An error has the default that stands in for what cannot be read; no rule is applied to that.
            let value = match table.remove(setting.name) {
                Some(value) => T::decode(value, decoder).ok_or(default),
                // An optional table is left out whole.
                None if setting.kind.is_table() && default.show().is_some() => {
                    T::decode(Table::new().into(), decoder).ok_or(default)
                }
                None if setting.is_required => {
                    if let Some(other) = setting.set_by.filter(|key| decoder.is_wrong(key)) {
                        let message = format!("is not known while {other:?} cannot be read");
                        return decoder.unread(message).unwrap_or(default);
                    }
                    let remedy = decoder.remedy.unwrap_or(setting.kind.remedy);
                    decoder
                        .unread(format!("is missing; {remedy}"))
                        .ok_or(default)
                }
                None => Ok(default),
            };
            if let Ok(value) = &value {
                for message in rules.iter().filter_map(|rule| rule(value).err()) {
                    decoder.invalid(message);
                }
            }
            let (Ok(value) | Err(value)) = value;
            value
        });
        (self.remedy, self.is_secret) = outer;
        value
    }

    /// Reads a part of the present value: a key of a table, or an element of a list by its index.
    pub(crate) fn at<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        let value = read(self);
        self.path.truncate(length);
        value
    }

    /// Reads a value that is written as a text.
    pub(crate) fn parse<T: SettingValue>(
        &mut self,
        value: &toml::Value,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text_of_variable().or(value.as_str());
        text.and_then(parse).or_else(|| self.mismatch(value))
    }

    /// Reads a value that is the name of one of `valid`.
    pub(crate) fn one_of<T: SettingValue + Copy + ToString>(
        &mut self,
        value: &toml::Value,
        valid: &[T],
    ) -> Option<T> {
        let text = self.text_of_variable().or(value.as_str());
        let names: Vec<_> = valid.iter().map(T::to_string).collect();
        if let Some(index) = names.iter().position(|name| text == Some(name)) {
            return Some(valid[index]);
        }
        let near = text.and_then(|text| nearest(text, names.iter().map(String::as_str)));
        self.mismatch_near(value, near)
    }

    pub(crate) fn table<T: SettingValue>(&mut self, value: toml::Value) -> Option<Table> {
        match value {
            toml::Value::Table(table) => Some(table),
            other => {
                self.mismatch::<T>(&other);
                None
            }
        }
    }

    /// What is left in `table` when every key of the section is read is unknown.
    pub(crate) fn refuse_unknown(&mut self, table: &Table, keys: &[&str]) {
        for name in table.keys() {
            let message = match nearest(name, keys.iter().copied()) {
                Some(key) => format!("unknown key `{name}`; did you mean `{key}`?"),
                None => format!(
                    "unknown key `{name}`; valid keys are `{}`",
                    keys.join("`, `")
                ),
            };
            self.at(name, |decoder| {
                decoder.error(message, SettingFault::Unknown);
            });
        }
    }

    /// Reports that `value` is not a `T`.
    pub(crate) fn mismatch<T: SettingValue>(&mut self, value: &toml::Value) -> Option<T> {
        self.mismatch_near(value, None)
    }

    /// As [`Decoder::mismatch`]; `near` is the valid value that was probably meant.
    fn mismatch_near<T: SettingValue>(
        &mut self,
        value: &toml::Value,
        near: Option<&str>,
    ) -> Option<T> {
        let remedy = self.remedy.unwrap_or_else(|| T::kind().remedy);
        // The likeliest mistake is a secret in the place of its reference.
        if self.is_secret {
            return self.unread(remedy);
        }
        let found = match (self.text_of_variable(), value) {
            (Some(text), _) => format!("cannot read {}", toml::Value::from(text)),
            (None, toml::Value::Table(_)) => String::from("is a table"),
            (None, toml::Value::Array(_)) => String::from("is a list"),
            (None, value) => format!("cannot read {value}"),
        };
        let meant = near.map(|near| format!(" (did you mean {near:?}?)"));
        self.unread(format!("{found}{}; {remedy}", meant.unwrap_or_default()))
    }

    fn error(&mut self, message: impl Into<String>, fault: SettingFault) {
        self.errors.push(SettingError {
            key: self.path.clone(),
            message: message.into(),
            fault,
        });
    }

    /// Reports that the present key cannot be read.
    fn unread<T>(&mut self, message: impl Into<String>) -> Option<T> {
        self.error(message, SettingFault::Unread);
        None
    }

    /// True if a mistake in this neighbour of the present key was reported.
    fn is_wrong(&self, neighbour: &str) -> bool {
        let section = self
            .path
            .rsplit_once('.')
            .map_or("", |(section, _)| section);
        let has = |key: &str| {
            key.strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('.'))
                == Some(neighbour)
        };
        self.errors.iter().any(|error| has(&error.key))
    }

    /// Reports that the present key can be read, but not used.
    pub(crate) fn invalid(&mut self, message: impl Into<String>) {
        self.error(message, SettingFault::Unsuitable);
    }

    /// The variable that has set the present key or a table around it.
    pub(crate) fn variable(&self) -> Option<&'a str> {
        let mut path = self.path.as_str();
        loop {
            if let Some(variable) = self.variables.get(path) {
                return Some(variable);
            }
            path = path.rsplit_once('.')?.0;
        }
    }

    /// The text of the variable that has set the present key itself. A topic may be called `123`, a password `true`:
    /// the value's type does not count then.
    pub(crate) fn text_of_variable(&self) -> Option<&'a str> {
        self.environment(self.variables.get(&self.path)?)
    }

    /// An environment variable's value.
    pub(crate) fn environment(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name).map(String::as_str)
    }
}

/// The one of `valid` that `name` is probably meant to be, if one is near enough.
pub(crate) fn nearest<'a>(name: &str, valid: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distances = valid.map(|key| (strsim::damerau_levenshtein(key, name), key));
    let (distance, key) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= name.len() / 2).then_some(key)
}
