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
    /// True if nothing could be read: an unknown or missing key, or a value of another kind. False if only the value
    /// is unsuitable.
    pub is_parse_error: bool,
}

impl SettingError {
    /// The value can be read, but not used.
    pub(crate) fn invalid(key: String, message: String) -> Self {
        Self {
            key,
            message,
            is_parse_error: false,
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

/// Reads a whole configuration or section. The value is `None` if any key in it could not be read; the errors may have
/// unknown keys and unsuitable values besides. `variables` names the environment variable by which a key was set.
pub fn decode<T: SettingValue>(
    table: Table,
    environment: &BTreeMap<String, String>,
    variables: &BTreeMap<String, String>,
) -> (Option<T>, Vec<SettingError>) {
    let mut decoder = Decoder {
        environment,
        variables,
        errors: Vec::new(),
        path: String::new(),
        remedy: None,
        is_secret: false,
    };
    let value = T::decode(toml::Value::Table(table), &mut decoder);
    (value, decoder.errors)
}

impl<'a> Decoder<'a> {
    /// Reads one key of a section, and removes it from `table`.
    pub(crate) fn key<T: SettingValue>(&mut self, table: &mut Table, row: Row<T>) -> Option<T> {
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
            let value = match table.remove(setting.name) {
                Some(value) => T::decode(value, decoder),
                None if setting.kind.is_table() => T::decode(Table::new().into(), decoder),
                None if setting.is_required => {
                    let remedy = decoder.remedy.unwrap_or(setting.kind.remedy);
                    decoder.parse_error(format!("is missing; {remedy}"))
                }
                None => Some(default),
            }?;
            for message in rules.iter().filter_map(|rule| rule(&value).err()) {
                decoder.invalid(message);
            }
            Some(value)
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
            let distance = |key: &&&str| strsim::damerau_levenshtein(key, name);
            let nearest = keys.iter().min_by_key(distance);
            let message = match nearest.filter(|key| distance(key) <= name.len() / 2) {
                Some(key) => format!("unknown key `{name}`; did you mean `{key}`?"),
                None => format!(
                    "unknown key `{name}`; valid keys are `{}`",
                    keys.join("`, `")
                ),
            };
            self.at(name, |decoder| decoder.parse_error::<()>(message));
        }
    }

    /// Reports that `value` is not a `T`.
    pub(crate) fn mismatch<T: SettingValue>(&mut self, value: &toml::Value) -> Option<T> {
        let remedy = self.remedy.unwrap_or_else(|| T::kind().remedy);
        // The likeliest mistake is a secret in the place of its reference.
        if self.is_secret {
            return self.parse_error(remedy);
        }
        let value = match self.text_of_variable() {
            Some(text) => toml::Value::from(text),
            None => value.clone(),
        };
        self.parse_error(format!("cannot read {value}; {remedy}"))
    }

    /// Reports that the present key cannot be read.
    fn parse_error<T>(&mut self, message: impl Into<String>) -> Option<T> {
        self.errors.push(SettingError {
            key: self.path.clone(),
            message: message.into(),
            is_parse_error: true,
        });
        None
    }

    /// Reports that the present key can be read, but not used.
    pub(crate) fn invalid(&mut self, message: impl Into<String>) {
        let error = SettingError::invalid(self.path.clone(), message.into());
        self.errors.push(error);
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
