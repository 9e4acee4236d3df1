//! Parses [`LOG_VARIABLE`]: a level, or levels of targets in tracing's directive syntax.
//!
//! tracing itself takes every other bare word for a target's name, so a mistyped level would silence everything else,
//! errors included.

use std::str::FromStr as _;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::LOG_VARIABLE;

/// Why [`LOG_VARIABLE`] is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LevelError {
    /// An unknown word stands in place of a level.
    #[error(
        "environment {LOG_VARIABLE}: {0:?} is not a log level; use error, warn, info, debug or trace"
    )]
    NoLevel(String),
    /// It is neither a level nor levels of targets.
    #[error(
        "environment {LOG_VARIABLE}: {0:?} is not a log filter; use a level such as info, or levels of targets such as \
         ringback=debug,info"
    )]
    NoFilter(String),
}

/// Parses `text`, or `default` if it is unset or empty.
///
/// It accepts levels by target only: tracing's filter by span fields would add a regular-expression engine of 1 MB.
pub(super) fn filter(text: Option<&str>, default: &str) -> Result<Targets, LevelError> {
    let parts = text.unwrap_or_default().split(',').map(str::trim);
    let mut parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        parts.push(default);
    }
    for part in &parts {
        let level = part.rsplit(['=', ',']).next().unwrap_or_default();
        if LevelFilter::from_str(level).is_err() {
            return Err(LevelError::NoLevel(level.to_owned()));
        }
    }
    let text = parts.join(",");
    text.parse().map_err(|_| LevelError::NoFilter(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_levels_of_targets_are_accepted() {
        for (text, meant) in [
            ("debug", "debug"),
            ("WARN", "warn"),
            (" info ", "info"),
            ("off", "off"),
            ("ringback=debug,info", "ringback=debug,info"),
            ("librdkafka=off, warn", "librdkafka=off,warn"),
        ] {
            let meant = meant.parse().unwrap();
            assert_eq!(filter(Some(text), "error"), Ok(meant));
        }
    }

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        for text in [None, Some(""), Some(" "), Some(",")] {
            let meant = "warn,librdkafka=off".parse().unwrap();
            assert_eq!(filter(text, "warn,librdkafka=off"), Ok(meant));
        }
    }

    #[test]
    fn a_mistyped_level_is_refused_with_the_valid_ones() {
        for (text, word) in [
            ("verbose", "verbose"),
            ("ringback", "ringback"),
            ("ringback=loud,info", "loud"),
            ("x=y=z", "z"),
            ("6", "6"),
        ] {
            let error = filter(Some(text), "info").unwrap_err();
            assert_eq!(error, LevelError::NoLevel(word.into()), "{text}");
        }
        let error = filter(Some("x=y=info"), "info").unwrap_err();
        assert_eq!(error, LevelError::NoFilter("x=y=info".into()));
        assert_eq!(
            LevelError::NoLevel("verbose".into()).to_string(),
            "environment RINGBACK_LOG: \"verbose\" is not a log level; use error, warn, info, debug or trace"
        );
    }
}
