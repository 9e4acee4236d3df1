//! From values to types, each fault on the way: one that is found is taken out, so that the next shows too.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::diagnostics::{Located, Problem};
use super::{ConfigError, Environment};

type Error = serde_path_to_error::Error<toml::de::Error>;

const UNKNOWN: &str = "unknown field";

/// Reads the whole. `problems` are those that stand in no type's way, unknown keys among them; with any other fault
/// there is nothing to go on with, as what is read then would have a default in its place.
pub(super) fn read<T: DeserializeOwned>(
    located: &mut Located,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Result<T, ConfigError> {
    let mut as_text = Vec::new();
    let mut removed = Vec::new();
    let mut is_whole = true;
    loop {
        let merged = Value::Table(located.table.clone());
        let error = match serde_path_to_error::deserialize::<_, T>(merged) {
            Ok(typed) if is_whole => return Ok(typed),
            Ok(_) => break,
            Err(error) => error,
        };
        let key = key_of(&error);
        if !as_text.contains(&key) {
            as_text.push(key.clone());
            if environment.set_as_text(located, &key) {
                continue;
            }
        }
        // What was taken out is missing now, and that has been told.
        let missing = missing(&error).map(|field| format!("{key}.{field}"));
        if missing.is_some_and(|missing| removed.contains(&missing)) {
            break;
        }
        is_whole &= error.inner().message().starts_with(UNKNOWN);
        problems.push(problem(located, &error));
        if !remove(&mut located.table, &key) {
            break;
        }
        removed.push(key);
    }
    Err(ConfigError::Invalid(std::mem::take(problems)))
}

/// Takes a key out of its table. An array's element stays: without it the others would have another's line.
fn remove(table: &mut Table, key: &str) -> bool {
    let mut parts = key.split('.');
    let Some(last) = parts.next_back() else {
        return false;
    };
    let mut place = table;
    while let Some(part) = parts.next() {
        place = match place.get_mut(part) {
            Some(Value::Table(table)) => table,
            Some(Value::Array(array)) => {
                let index = parts.next().and_then(|index| index.parse::<usize>().ok());
                match index.and_then(|index| array.get_mut(index)) {
                    Some(Value::Table(table)) => table,
                    _ => return false,
                }
            }
            _ => return false,
        };
    }
    place.remove(last).is_some()
}

fn problem(located: &Located, error: &Error) -> Problem {
    let key = key_of(error);
    let message = error.inner().message().trim();
    let key = if key == "." {
        String::from("(top level)")
    } else {
        key
    };
    let remedy = remedy(&key);
    Problem {
        origin: located.origin(&key),
        text: if may_hold_secret(&key) && !message.starts_with(UNKNOWN) {
            // serde's own words would repeat the value, and the likeliest mistake is a secret in its place.
            remedy.to_owned()
        } else if remedy.is_empty() || message.starts_with(UNKNOWN) {
            message.to_owned()
        } else {
            format!("{}; {remedy}", plain(message))
        },
        key,
    }
}

/// serde names the type that it expected, where the remedy says what to write: the value is enough.
fn plain(message: &str) -> String {
    let value = message
        .strip_prefix("invalid value: string ")
        .and_then(|rest| rest.rsplit_once(", expected "));
    match value {
        Some((value, _)) => format!("{value} will not do"),
        None => message.to_owned(),
    }
}

fn missing(error: &Error) -> Option<&str> {
    let message = error.inner().message().trim();
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// As everywhere else: `source.0.path`, where serde's path has `source[0].path`.
fn key_of(error: &Error) -> String {
    let path = error.path().to_string();
    path.replace('[', ".").replace(']', "")
}

fn may_hold_secret(key: &str) -> bool {
    key.starts_with("source.") && key.split('.').nth(2) == Some("keys")
}

/// What a value of this key looks like, by the kind of key.
fn remedy(key: &str) -> &'static str {
    if may_hold_secret(key) {
        return "write where each key is to be read, as keys = [{ env = \"RETELL_API_KEY\" }] or [{ file = \"…\", name = \"…\" }]";
    }
    match key.rsplit('.').next().unwrap_or_default() {
        "header_timeout" | "body_timeout" | "commit_timeout" | "readiness_delay"
        | "drain_deadline" | "read_patience" => "write a duration such as \"10s\" or \"500ms\"",
        "max_body" | "max_in_flight" | "segment_size" | "budget" => {
            "write a size such as \"8MiB\" or \"64MiB\""
        }
        "address" => "write an address and port such as \"0.0.0.0:8080\"",
        "max_connections" => "write a whole number such as 10000",
        "verify" => "write how this source's requests are authenticated, as verify = \"retell\"",
        _ => "",
    }
}
