//! Every mistake is reported at once, with its key, its place and a remedy, to the commands that it concerns.

use super::*;

#[test]
fn an_unknown_key_hides_no_other_mistake() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = MINIMAL.replace(
        "verify = \"none\"",
        "verify = \"retell\"\nkeys = [{ env = \"RINGBACK_TEST_THIS_IS_NEVER_SET\" }]\ncolour = \"blue\"",
    );
    let text = format!("[listen]\nmax_bodi = 1\n[journal]\nbudget = \"1KiB\"\n{text}");
    std::fs::write(file.path(), text).unwrap();
    let environment = Environment::from([("RINGBACK_KAFKA_TOPIC", "other")]);
    let refused = Config::load(file.path(), &environment, Purpose::Relay)
        .unwrap_err()
        .to_string();
    for mistake in [
        ":2: listen.max_bodi: unknown key `max_bodi`",
        ":4: journal.budget: \"1KiB\" is out of range; write a size from \"4MiB\" to \"1TiB\"",
        ":12: source.0.keys: ",
        ":13: source.0.colour: unknown key `colour`",
        "environment RINGBACK_KAFKA_TOPIC: ",
    ] {
        assert_eq!(refused.matches(mistake).count(), 1, "{mistake}: {refused}");
    }
    assert_eq!(
        refused.lines().filter(|line| line.contains(": ")).count(),
        6,
        "{refused}"
    );
}

#[test]
fn a_value_that_cannot_be_read_hides_no_other_and_causes_none_of_its_own() {
    let text = MINIMAL.replace("verify = \"none\"", "verify = \"nope\"");
    let text = format!(
        "[listen]\nmax_body = \"8 elephants\"\nmax_in_flight = \"1MiB\"\nbody_timeout = 5\n{text}"
    );
    let refused = refusal(&text, []);
    let lines: Vec<_> = refused.lines().collect();
    assert_eq!(lines.len(), 3, "{refused}");
    assert!(lines.contains(
        &"test.toml:2: listen.max_body: cannot read \"8 elephants\"; write a size such as \"8MiB\" or \"64MiB\""
    ), "{refused}");
    assert!(
        refused.contains("test.toml:4: listen.body_timeout: "),
        "{refused}"
    );
    assert!(
        refused.contains("test.toml:11: source.0.verify: "),
        "{refused}"
    );
}

#[test]
fn a_key_that_is_set_twice_is_named() {
    let refused = refusal("[listen]\nmax_body = \"1MiB\"\nmax_body = \"2MiB\"\n", []);
    assert_eq!(
        refused,
        "test.toml:3: max_body is set twice; remove one of them"
    );
    let refused = refusal("[listen]\n[admin]\n[listen]\n", []);
    assert_eq!(
        refused,
        "test.toml:3: listen is set twice; remove one of them"
    );
}

#[test]
fn the_pointers_that_are_used_are_shown() -> Result<(), ConfigError> {
    let shown = parse(MINIMAL, [])?.show();
    let pointers = "key_pointers = [\"/call/call_id\", \"/data/call_id\", \"/chat/chat_id\", \"/call_inbound/call_id\", \"/chat_inbound/chat_id\"]";
    assert!(shown.contains(pointers), "{shown}");
    Ok(())
}

#[test]
fn a_tool_resolves_what_it_uses_and_nothing_else() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = MINIMAL.replace(
        "verify = \"none\"",
        "verify = \"retell\"\nkeys = [{ env = \"RINGBACK_TEST_THIS_IS_NEVER_SET\" }]",
    );
    let load = |text: &str, purpose| {
        std::fs::write(file.path(), text).unwrap();
        Config::load(file.path(), &Environment::default(), purpose).map(drop)
    };
    assert!(load(&text, Purpose::Relay).is_err());
    assert!(load(&text, Purpose::Publish).is_ok());
    let text = text.replace(
        "[[source]]",
        "\"sasl.password\" = { env = \"RINGBACK_TEST_THIS_IS_NEVER_SET\" }\n[[source]]",
    );
    let refused = load(&text, Purpose::Publish).unwrap_err().to_string();
    assert!(refused.contains("sasl.password"), "{refused}");
    assert!(load(&text, Purpose::Journal).is_ok());
    let refused = load("[journal]\nbudget = \"1KiB\"\n", Purpose::Journal).unwrap_err();
    assert!(
        refused.to_string().contains(":2: journal.budget: "),
        "{refused}"
    );
    assert!(!refused.to_string().contains("source"), "{refused}");
}

#[test]
fn a_variable_that_is_no_text_does_not_leave_the_file_s_value_standing() {
    use std::os::unix::ffi::OsStringExt as _;
    let no_text = || std::ffi::OsString::from_vec(vec![b'a', 0xff]);
    let load = |name: &str| {
        let environment = [(name.to_owned(), no_text())].into_iter().collect();
        Config::parse(MINIMAL, "test.toml", &environment)
    };
    let refused = load("RINGBACK_KAFKA__TOPIC").unwrap_err().to_string();
    let expected = "environment RINGBACK_KAFKA__TOPIC: kafka.topic: the value is not UTF-8";
    assert!(refused.contains(expected), "{refused}");
    load("RINGBACK_SERVICE_HOST").unwrap();
}

#[test]
fn an_unknown_key_names_the_nearest_valid_one_or_all() {
    let refused = refusal(&format!("[kafka]\nstall_timout = \"5s\"\n{MINIMAL}"), []);
    let nearest = "test.toml:2: kafka.stall_timout: unknown key `stall_timout`; did you mean `stall_timeout`?";
    assert_eq!(refused, nearest);
    let refused = refusal(&format!("[lisen]\n{MINIMAL}"), []);
    assert!(refused.contains("did you mean `listen`?"), "{refused}");
    let refused = refusal(&format!("{MINIMAL}colour = \"blue\"\n"), []);
    let all = "valid keys are `name`, `path`, `verify`, `keys`, `key_pointers`";
    assert!(refused.contains(all), "{refused}");
}

#[test]
fn a_required_key_is_named_with_its_source_s_line_and_a_remedy() {
    let refused = refusal(&MINIMAL.replace("verify = \"none\"\n", ""), []);
    let expected = "test.toml:4: source.0.verify: is missing; write how this source's requests are authenticated, \
                    for example verify = \"retell\"";
    assert_eq!(refused, expected);
}

#[test]
fn every_key_s_variable_with_one_underscore_is_refused() {
    let sections = sections();
    let keys = sections.iter().flat_map(|section| {
        let keys = section.kind.keys().iter();
        keys.map(|key| variable_of(&format!("{}.{}", section.name, key.name)))
    });
    let mut tested = 0;
    for right in keys {
        let wrong = right.replace("__", "_");
        let refused = refusal(MINIMAL, [(wrong.as_str(), "1")]);
        assert!(refused.contains(&format!("write {right}")), "{refused}");
        tested += 1;
    }
    assert!(tested > 15, "{tested}");
}
