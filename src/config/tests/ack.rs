//! `ack`, the one key without a section, and `[journal]` beside it.

use std::ffi::OsString;

use super::*;

fn refusals(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let environment = variables.iter();
    let environment = environment.map(|(name, value)| ((*name).to_owned(), OsString::from(*value)));
    let refused = Config::parse(text, "test.toml", &environment.collect());
    let Err(ConfigError::Invalid(diagnostics)) = refused else {
        panic!("{refused:?}");
    };
    diagnostics.iter().map(ToString::to_string).collect()
}

fn with_ack(ack: &str) -> String {
    format!("ack = {ack}\n{MINIMAL}")
}

#[test]
fn the_default_is_the_disk_and_a_variable_without_a_section_sets_it() -> Result<(), ConfigError> {
    assert_eq!(parse(MINIMAL, [])?.ack, Ack::Disk);
    assert_eq!(parse(&with_ack("\"kafka\""), [])?.ack, Ack::Kafka);
    let config = parse(MINIMAL, [("RINGBACK_ACK", "kafka")])?;
    assert_eq!(config.ack, Ack::Kafka);
    assert_eq!(config.publish().ack, Ack::Kafka);
    // Kubernetes sets the like for a Service named ringback.
    let config = parse(MINIMAL, [("RINGBACK_PORT", "tcp://10.0.0.1:8080")])?;
    assert_eq!(config.ack, Ack::Disk);
    Ok(())
}

#[test]
fn another_value_is_refused_with_both_that_are_valid() {
    let refused = refusals(&with_ack("\"kafak\""), &[]);
    assert_eq!(refused.len(), 1, "{refused:?}");
    let refusal = &refused[0];
    assert!(
        refusal.starts_with("test.toml:1: ack: cannot read \"kafak\""),
        "{refusal}"
    );
    for words in ["did you mean \"kafka\"", "\"disk\""] {
        assert!(refusal.contains(words), "{refusal}");
    }
    let refusals = refusals(MINIMAL, &[("RINGBACK_ACK", "none")]);
    assert!(
        refusals[0].starts_with("environment RINGBACK_ACK: ack: "),
        "{refusals:?}"
    );
}

#[test]
fn a_journal_beside_kafka_is_refused_wherever_it_is_set() {
    let with = |journal: &str| format!("{}\n{journal}", with_ack("\"kafka\""));
    let line = with("").lines().count() + 1;
    let refused = refusals(&with("[journal]\npath = \"j\"\nbudget = \"1GiB\""), &[]);
    let begins = [
        format!(
            "test.toml:{}: journal.budget: with ack = \"kafka\"",
            line + 2
        ),
        format!("test.toml:{}: journal.path: with ack = \"kafka\"", line + 1),
    ];
    let mut sorted = refused.clone();
    sorted.sort_unstable();
    let mut expected = begins.to_vec();
    expected.sort_unstable();
    assert_eq!(sorted.len(), 2, "{refused:?}");
    for (refusal, begin) in sorted.iter().zip(&expected) {
        assert!(refusal.starts_with(begin), "{refused:?}");
        assert!(refusal.contains("ack = \"disk\""), "{refused:?}");
    }
    // Also an empty section, which someone believes to have an effect.
    let refused = refusals(&with("[journal]"), &[]);
    assert!(
        refused[0].starts_with(&format!("test.toml:{line}: journal: with")),
        "{refused:?}"
    );
    let refused = refusals(&with(""), &[("RINGBACK_JOURNAL__PATH", "/j")]);
    let begin = "environment RINGBACK_JOURNAL__PATH: journal.path: with ack = \"kafka\"";
    assert!(refused[0].starts_with(begin), "{refused:?}");
}
