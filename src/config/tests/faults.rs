//! Every fault at once, each in words that say which, where and what would do; and whose fault it is.

use super::*;

#[test]
fn an_unknown_key_hides_no_other_fault() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = MINIMAL.replace(
        "verify = \"none\"",
        "verify = \"retell\"\nkeys = [{ env = \"RINGBACK_TEST_THIS_IS_NEVER_SET\" }]\ncolour = \"blue\"",
    );
    let text = format!("[listen]\nmax_bodi = 1\n[journal]\nbudget = \"1KiB\"\n{text}");
    std::fs::write(file.path(), text).unwrap();
    let environment = Environment::from([("RINGBACK_KAFKA_TOPIC", "other")]);
    let told = Config::load(file.path(), &environment, Purpose::Relay)
        .unwrap_err()
        .to_string();
    for fault in [
        ":2: listen.max_bodi: unknown field `max_bodi`",
        ":4: journal.budget: \"1KiB\" is out of range; \"4MiB\" to \"1TiB\" will do",
        ":12: source.0.keys: ",
        ":13: source.0.colour: unknown field `colour`",
        "environment RINGBACK_KAFKA_TOPIC: ",
    ] {
        assert_eq!(told.matches(fault).count(), 1, "{fault}: {told}");
    }
    assert_eq!(
        told.lines().filter(|line| line.contains(": ")).count(),
        6,
        "{told}"
    );
}

#[test]
fn a_value_that_cannot_be_read_hides_no_other_and_brings_no_fault_of_its_own() {
    let text = MINIMAL.replace("verify = \"none\"", "verify = \"nope\"");
    let text = format!(
        "[listen]\nmax_body = \"8 elephants\"\nmax_in_flight = \"1MiB\"\nbody_timeout = 5\n{text}"
    );
    let told = refusal(&text, []);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(lines.contains(
        &"test.toml:2: listen.max_body: \"8 elephants\" will not do; write a size such as \"8MiB\" or \"64MiB\""
    ), "{told}");
    assert!(
        told.contains("test.toml:4: listen.body_timeout: "),
        "{told}"
    );
    assert!(told.contains("test.toml:11: source.0.verify: "), "{told}");
}

#[test]
fn a_key_that_is_set_twice_is_named() {
    let told = refusal("[listen]\nmax_body = \"1MiB\"\nmax_body = \"2MiB\"\n", []);
    assert_eq!(
        told,
        "test.toml:3: max_body is set twice; remove one of them"
    );
    let told = refusal("[listen]\n[admin]\n[listen]\n", []);
    assert_eq!(told, "test.toml:3: listen is set twice; remove one of them");
}

#[test]
fn the_pointers_that_are_used_are_shown() -> Result<(), ConfigError> {
    let shown = parse(MINIMAL, [])?.show();
    let pointers = "key_pointers = [\"/call/call_id\", \"/data/call_id\", \"/chat/chat_id\"]";
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
    let told = load(&text, Purpose::Publish).unwrap_err().to_string();
    assert!(told.contains("sasl.password"), "{told}");
    assert!(load(&text, Purpose::Journal).is_ok());
    let told = load("[journal]\nbudget = \"1KiB\"\n", Purpose::Journal).unwrap_err();
    assert!(told.to_string().contains(":2: journal.budget: "), "{told}");
    assert!(!told.to_string().contains("source"), "{told}");
}

#[test]
fn a_variable_that_is_no_text_does_not_leave_the_file_s_value_standing() {
    use std::os::unix::ffi::OsStringExt as _;
    let no_text = || std::ffi::OsString::from_vec(vec![b'a', 0xff]);
    let load = |name: &str| {
        let environment = [(name.to_owned(), no_text())].into_iter().collect();
        Config::parse(MINIMAL, "test.toml", &environment)
    };
    let told = load("RINGBACK_KAFKA__TOPIC").unwrap_err().to_string();
    let expected = "environment RINGBACK_KAFKA__TOPIC: kafka.topic: the value is not UTF-8";
    assert!(told.contains(expected), "{told}");
    load("RINGBACK_SERVICE_HOST").unwrap();
}
