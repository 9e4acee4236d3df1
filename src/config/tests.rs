//! What a configuration guarantees to the user who writes it.

mod ack;
mod mistakes;
mod presets;
mod secrets;
mod sources;

use super::diagnostics::list;
use super::*;

const MINIMAL: &str = r#"
[kafka.client]
"bootstrap.servers" = "localhost:9092"
[[source]]
name = "retell"
path = "/webhook"
verify = "none"
"#;

fn parse<const N: usize>(text: &str, variables: [(&str, &str); N]) -> Result<Config, ConfigError> {
    Config::parse(text, "test.toml", &Environment::from(variables))
}

/// The error's text, which is what an operator sees.
fn refusal<const N: usize>(text: &str, variables: [(&str, &str); N]) -> String {
    match parse(text, variables) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// Every `key = value` that [`Config::show`] prints, with its section; indexes make sections of sources unique.
fn shown_keys(text: &str) -> Vec<String> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            line.clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.push(format!("{section} {key}"));
        }
    }
    keys
}

const REFERENCE: &str = include_str!("../../config/ringback.toml");

#[test]
fn the_reference_file_holds_every_key_and_its_default() -> Result<(), ConfigError> {
    let pointers = |text| parse(text, []).map(|config| config.source[0].key_pointers.clone());
    assert_eq!(pointers(REFERENCE)?, pointers(MINIMAL)?);
    let reference = parse(REFERENCE, [])?.show();
    let defaults = parse(MINIMAL, [])?.show();
    for (reference, default) in reference
        .lines()
        .zip(defaults.lines())
        .take_while(|(line, _)| *line != "[[source]]")
    {
        assert_eq!(
            reference, default,
            "config/ringback.toml differs from the default"
        );
    }
    // Optional keys have no default to show; setting them here makes the list complete.
    let everything = parse(MINIMAL, [("RINGBACK_KAFKA__DEAD_LETTER_TOPIC", "dead")])?;
    let shown = everything.show();
    let keys = shown_keys(&shown);
    assert!(keys.len() > 20, "{keys:?}");
    let mut section = "";
    let mut present = Vec::new();
    for line in REFERENCE.lines() {
        let line = line
            .strip_prefix("# ")
            .filter(|rest| rest.starts_with("dead_letter_topic"))
            .unwrap_or(line);
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            present.push(format!("{section} {key}"));
        }
    }
    for key in keys {
        assert!(present.contains(&key), "config/ringback.toml lacks {key}");
    }
    Ok(())
}

#[test]
fn the_reference_file_names_each_default_and_bound_beside_the_key() -> Result<(), ConfigError> {
    let show = parse(MINIMAL, [])?.show();
    for section in ["[listen]", "[admin]", "[journal]", "[shutdown]"] {
        let part = show.split(section).nth(1).unwrap_or_default();
        let part = part.split("\n[").next().unwrap_or_default();
        let mut tested = 0;
        for (key, value) in part.lines().filter_map(|line| line.split_once(" = ")) {
            if value == "[]" {
                continue;
            }
            let after = REFERENCE.find(&format!("\n{section}\n")).unwrap_or(0);
            let place = REFERENCE[after..]
                .find(&format!("\n{key} = "))
                .map(|at| &REFERENCE[..after + at]);
            let comment: Vec<_> = place
                .unwrap_or_default()
                .rsplit('\n')
                .take_while(|line| line.starts_with('#'))
                .collect();
            let comment = comment.join("\n");
            let stated = value.replace(' ', "");
            assert!(
                comment.contains(&format!("Default {value}"))
                    || comment.contains(&format!("Default {stated}")),
                "{key}'s comment lacks its default {value}: {comment}"
            );
            tested += 1;
        }
        assert!(tested > 0, "{section} has no keys");
    }
    Ok(())
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let text = format!("[listen]\nmax_bodi = \"1MiB\"\n{MINIMAL}");
    let refusal = refusal(&text, []);
    assert!(refusal.starts_with("test.toml:2: listen"), "{refusal}");
    assert!(
        refusal.contains("unknown key `max_bodi`; did you mean `max_body`?"),
        "{refusal}"
    );
}

#[test]
fn a_path_for_health_checks_is_a_url_s_and_no_source_s() {
    for (path, words) in [
        ("/webhook", "source \"retell\" has the path \"/webhook\""),
        (
            "/webhook/",
            "has the path \"/webhook\" (with or without a slash at its end)",
        ),
        ("healthz", "\"healthz\" is not the path of a URL"),
        ("/a?b", "is not the path of a URL"),
    ] {
        let text = format!("[listen]\nhealth_path = {path:?}\n{MINIMAL}");
        let refused = refusal(&text, []);
        assert!(
            refused.starts_with("test.toml:2: listen.health_path: "),
            "{refused}"
        );
        assert!(refused.contains(words), "{refused}");
    }
    let text = format!("[listen]\nhealth_path = \"/\"\n{MINIMAL}");
    assert!(parse(&text, []).is_ok());
}

#[test]
fn a_wrong_type_is_named_with_its_line_and_a_remedy() {
    let text = format!("[listen]\n\nbody_timeout = \"soon\"\n{MINIMAL}");
    let refusal = refusal(&text, []);
    assert!(
        refusal.starts_with("test.toml:3: listen.body_timeout: "),
        "{refusal}"
    );
    assert!(
        refusal.ends_with("write a duration such as \"10s\" or \"500ms\""),
        "{refusal}"
    );
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    let text = format!("[listen]\nmax_body = \"1GiB\"\n{MINIMAL}");
    let refusal = refusal(&text, []);
    assert!(
        refusal.contains("test.toml:2: listen.max_body: \"1GiB\" is out of range"),
        "{refusal}"
    );
    assert!(
        refusal.contains("write a size from \"1KiB\" to \"512MiB\""),
        "{refusal}"
    );
}

#[test]
fn every_mistake_is_reported_at_once() {
    let text =
        format!("[shutdown]\ndrain_deadline = \"1ms\"\n[journal]\nbudget = \"1KiB\"\n{MINIMAL}");
    let refusal = refusal(&text, []);
    assert!(
        refusal.contains("shutdown.drain_deadline") && refusal.contains("journal.budget"),
        "{refusal}"
    );
}

#[test]
fn broken_toml_is_reported_with_its_line() {
    let refusal = refusal("[listen]\naddress = \n", []);
    assert!(refusal.starts_with("test.toml:2: "), "{refusal}");
}

#[test]
fn the_environment_wins_and_is_named_when_it_is_wrong() -> Result<(), ConfigError> {
    let text = format!("[kafka]\ntopic = \"file\"\n{MINIMAL}");
    let config = parse(
        &text,
        [
            ("RINGBACK_KAFKA__TOPIC", "123"),
            ("RINGBACK_LISTEN__MAX_CONNECTIONS", "7"),
            (
                "RINGBACK_KAFKA__CLIENT__BOOTSTRAP_SERVERS",
                "elsewhere:9092",
            ),
            ("RINGBACK_SOURCE__0__PATH", "/other"),
            ("RINGBACK_SERVICE_HOST", "10.0.0.1"),
        ],
    )?;
    assert_eq!(config.kafka.topic, "123");
    assert_eq!(config.listen.max_connections, 7);
    assert_eq!(
        config.kafka.client.values["bootstrap.servers"],
        "elsewhere:9092"
    );
    assert!(config.source[0].path.iter().eq(["/other"]));
    let refusal = refusal(&text, [("RINGBACK_LISTEN__HEADER_TIMEOUT", "never")]);
    assert!(
        refusal.starts_with("environment RINGBACK_LISTEN__HEADER_TIMEOUT: listen.header_timeout: "),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn an_unknown_variable_with_our_prefix_is_refused() {
    let refusal = refusal(MINIMAL, [("RINGBACK_LISTEN__MAX_BODI", "1MiB")]);
    assert!(refusal.contains("RINGBACK_LISTEN__MAX_BODI"), "{refusal}");
}

#[test]
fn a_property_that_would_break_the_promise_is_refused_by_name() {
    let text = MINIMAL.replace("[[source]]", "acks = \"1\"\n[[source]]");
    let refusal = refusal(&text, []);
    assert!(refusal.contains("kafka.client.acks"), "{refusal}");
}

#[test]
fn a_source_and_a_broker_are_required() {
    let refusal = refusal("", []);
    assert!(refusal.contains("[[source]]"), "{refusal}");
    assert!(
        refusal.contains("kafka.client.bootstrap.servers"),
        "{refusal}"
    );
}

#[test]
fn brokers_that_nobody_could_reach_are_refused() {
    for (servers, words) in [
        (" , ", "is empty; name at least one broker"),
        ("localhost:99999", "write a number from 1 to 65535"),
        (":9092", "\":9092\" has no host"),
        (
            "k:1,http://localhost:9092",
            "\"http\" is not a protocol of Kafka's",
        ),
    ] {
        let refusal = refusal(&MINIMAL.replace("localhost:9092", servers), []);
        assert!(
            refusal.contains("kafka.client.bootstrap.servers: "),
            "{refusal}"
        );
        assert!(refusal.contains(words), "{refusal}");
    }
    let good = MINIMAL.replace(
        "\"localhost:9092\"",
        "\"SSL://k1:1, k2:2\"\n\"security.protocol\" = \"ssl\"",
    );
    let config = parse(&good, []).unwrap();
    assert_eq!(config.kafka.client.brokers(), Some("SSL://k1:1,k2:2"));
}

#[test]
fn an_unquoted_property_name_means_the_same() -> Result<(), ConfigError> {
    let text = MINIMAL.replace("\"bootstrap.servers\"", "bootstrap.servers");
    assert_eq!(
        parse(&text, [])?.kafka.client.values["bootstrap.servers"],
        "localhost:9092"
    );
    Ok(())
}

#[test]
fn diagnostics_are_listed_a_line_each() {
    let diagnostic = |key: &str| Diagnostic {
        key: key.to_owned(),
        origin: Origin::Unset {
            file: String::from("f"),
        },
        message: String::from("t"),
    };
    assert_eq!(
        list(&[diagnostic("a"), diagnostic("b")]),
        "f: a: t\nf: b: t"
    );
}

#[test]
fn a_mistake_inside_a_source_is_reported_with_its_line_or_variable() {
    let text = MINIMAL.replace("verify = \"none\"", "verify = \"nope\"");
    let refused = refusal(&text, []);
    assert!(
        refused.starts_with("test.toml:7: source.0.verify: "),
        "{refused}"
    );
    let refused = refusal(MINIMAL, [("RINGBACK_SOURCE__0__VERIFY", "nope")]);
    let variable = "environment RINGBACK_SOURCE__0__VERIFY: source.0.verify: ";
    assert!(refused.starts_with(variable), "{refused}");
    // A name of digits is a text all the same.
    let config = parse(MINIMAL, [("RINGBACK_SOURCE__0__NAME", "123")]);
    assert_eq!(
        config.map(|config| config.source[0].name.clone()).ok(),
        Some(String::from("123"))
    );
}

#[test]
fn sources_that_cannot_be_used_are_reported_with_their_line_when_a_file_is_loaded() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = MINIMAL.replace(
        "verify = \"none\"",
        "verify = \"retell\"\nkeys = [{ env = \"RINGBACK_TEST_THIS_IS_NEVER_SET\" }]",
    );
    std::fs::write(file.path(), text).unwrap();
    let refused = Config::load(file.path(), &Environment::default(), Purpose::Relay)
        .unwrap_err()
        .to_string();
    assert!(refused.contains(":8: source.0.keys.0: "), "{refused}");
    assert!(
        refused.contains("RINGBACK_TEST_THIS_IS_NEVER_SET"),
        "{refused}"
    );
}

#[test]
fn a_property_s_text_is_taken_as_it_is() -> Result<(), ConfigError> {
    for text in ["0012345", "+5", " 12 ", "[x]", "true"] {
        let config = parse(MINIMAL, [("RINGBACK_KAFKA__CLIENT__SASL_USERNAME", text)])?;
        assert_eq!(config.kafka.client.values["sasl.username"], text);
        let config = parse(MINIMAL, [("RINGBACK_KAFKA__CLIENT__SASL_PASSWORD", text)])?;
        assert_eq!(config.kafka.client.values["sasl.password"], text.trim());
    }
    Ok(())
}

#[test]
fn a_variable_with_one_underscore_after_its_section_is_refused_and_kubernetes_own_are_not() {
    let refused = refusal(MINIMAL, [("RINGBACK_KAFKA_TOPIC", "other")]);
    assert!(refused.contains("RINGBACK_KAFKA__TOPIC"), "{refused}");
    let refused = refusal(
        MINIMAL,
        [("RINGBACK_KAFKA_CLIENT__BOOTSTRAP_SERVERS", "x:1")],
    );
    assert!(
        refused.contains("RINGBACK_KAFKA__CLIENT__BOOTSTRAP_SERVERS"),
        "{refused}"
    );
    for injected in [
        "RINGBACK_PORT",
        "RINGBACK_SERVICE_HOST",
        "RINGBACK_ADMIN_PORT_9464_TCP_ADDR",
        "RINGBACK_KAFKA_BOOTSTRAP_PORT_9092_TCP",
        "RINGBACK_KAFKA_SERVICE_PORT_CLIENT",
        "RINGBACK_LOG",
    ] {
        assert!(parse(MINIMAL, [(injected, "1")]).is_ok(), "{injected}");
    }
}
