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
        ":12: source.0.keys.0: ",
        ":13: source.0.colour: unknown key `colour`",
        "environment RINGBACK_KAFKA_TOPIC: ",
    ] {
        assert_eq!(refused.matches(mistake).count(), 1, "{mistake}: {refused}");
    }
    assert_eq!(
        refused.lines().filter(|line| line.contains(": ")).count(),
        5,
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
fn a_table_that_may_be_left_out_needs_its_keys_once_it_is_there() {
    let config = parse(MINIMAL, []).unwrap();
    assert!(config.listen.tls.is_none() && config.admin.token.is_none());
    let text = format!("[listen]\ntls = {{ certificate = \"/a\" }}\n{MINIMAL}");
    let refused = refusal(&text, []);
    assert_eq!(
        refused,
        "test.toml:2: listen.tls.key: is missing; write a path in quotes"
    );
    let variables = [
        ("RINGBACK_LISTEN__TLS__CERTIFICATE", "/a"),
        ("RINGBACK_LISTEN__TLS__KEY", "/b"),
    ];
    let tls = parse(MINIMAL, variables).unwrap().listen.tls.unwrap();
    assert_eq!(tls.key.to_str(), Some("/b"));
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
    let all = "valid keys are `name`, `path`, `preset`, `verify`, `keys`, `hmac`, `twilio`, `bearer`, `event_pointer`";
    assert!(refused.contains(all), "{refused}");
}

#[test]
fn a_required_key_is_named_with_its_source_s_line_and_a_remedy() {
    let refused = refusal(&MINIMAL.replace("verify = \"none\"\n", ""), []);
    let expected = "test.toml:4: source.0.verify: is missing; write how this source's requests are authenticated: \
                    preset = \"github\" or another known sender's name, or verify = \"retell\", or verify = \"none\" to accept events from anybody";
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

#[test]
fn a_value_that_cannot_be_read_hides_no_mistake_of_another_section() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = MINIMAL
        .replace("[[source]]", "acks = \"1\"\n\"message.max.bytes\" = 2000\n[[source]]")
        .replace(
            "verify = \"none\"",
            "verify = \"retell\"\nkeys = [{ env = \"RINGBACK_TEST_NEVER_SET\" }, { env = \"RINGBACK_TEST_NEVER_SET_2\" }]",
        );
    let text = format!(
        "[listen]\nmax_body = \"8 elephants\"\nmax_in_flight = \"1MiB\"\n\
         [kafka]\ntopic = \"a\"\ndead_letter_topic = \"a\"\n{text}"
    );
    std::fs::write(file.path(), text).unwrap();
    let refused = Config::load(file.path(), &Environment::default(), Purpose::Relay)
        .unwrap_err()
        .to_string();
    let name = file.path().display().to_string();
    let places: Vec<_> = refused
        .lines()
        .map(|line| {
            let rest = line.strip_prefix(&name).unwrap_or(line);
            rest.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" ")
        })
        .collect();
    // Nothing follows from the default of max_body, which only stands in for the value that cannot be read.
    let expected = [
        ":2 listen.max_body",
        ":6 kafka.dead_letter_topic",
        ":10 kafka.client.acks",
        ":11 kafka.client.message.max.bytes",
        ":16 source.0.keys.0",
        ":16 source.0.keys.1",
    ];
    assert_eq!(places, expected, "{refused}");
}

#[test]
fn every_bad_property_is_reported_at_once() {
    let text = MINIMAL.replace(
        "[[source]]",
        "acks = \"1\"\n\"linger.mss\" = 5\n\"sasl.password\" = \"x\"\nretries = 3\n\"security.protocol\" = \"sll\"\n\
         \"ssl.ca.location\" = \"/nowhere/ca.pem\"\n[[source]]",
    );
    let refused = refusal(&text, []);
    for (line, mistake) in [
        (4, "acks: acks must be all or -1"),
        (
            5,
            "linger.mss: linger.mss is no property of librdkafka's; did you mean `linger.ms`?",
        ),
        (6, "sasl.password: a secret must not be in this file"),
        (7, "retries: retries cannot be set"),
        (
            8,
            "security.protocol: security.protocol is refused by librdkafka: ",
        ),
        (
            9,
            "ssl.ca.location: ssl.ca.location names a file that cannot be opened, /nowhere/ca.pem: No such file",
        ),
    ] {
        let mistake = format!("test.toml:{line}: kafka.client.{mistake}");
        assert!(refused.contains(&mistake), "{mistake}: {refused}");
    }
    assert_eq!(refused.lines().count(), 6, "{refused}");
    // So is a mechanism that this build cannot use, although another property breaks a rule.
    let text = MINIMAL.replace(
        "[[source]]",
        "acks = \"1\"\n\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanisms\" = \"GSSAPI\"\n[[source]]",
    );
    let refused = self::refusal(&text, []);
    assert_eq!(refused.lines().count(), 2, "{refused}");
    assert!(
        refused.contains(":6: kafka.client.sasl.mechanisms: "),
        "{refused}"
    );
}

#[test]
fn brokers_under_another_name_or_in_a_list_are_not_missing() {
    let refused = refusal(
        &MINIMAL.replace("\"bootstrap.servers\"", "bootstrap_servers"),
        [],
    );
    assert_eq!(
        refused,
        "test.toml:3: kafka.client.bootstrap_servers: bootstrap_servers is no property of librdkafka's; did you mean \
         `bootstrap.servers`?"
    );
    let list = MINIMAL.replace("\"localhost:9092\"", "[\"a:9092\", \"b:9092\"]");
    assert_eq!(
        self::refusal(&list, []),
        "test.toml:3: kafka.client.bootstrap.servers: is a list; write one text, with commas between its parts, such as \
         \"a:9092,b:9092\""
    );
}

#[test]
fn a_table_in_the_place_of_a_list_or_a_value_is_called_a_table() {
    let refused = refusal(&MINIMAL.replace("[[source]]", "[source]"), []);
    assert_eq!(
        refused,
        "test.toml:4: source: is a table; write [[source]] in double brackets, because there may be several"
    );
    let refused = refusal(&format!("[listen]\nmax_body = [1]\n{MINIMAL}"), []);
    assert!(
        refused.contains(":2: listen.max_body: is a list; write a size"),
        "{refused}"
    );
    let misspelt = MINIMAL.replace(
        "[[source]]",
        "\"sasl.username\" = { evn = \"NAME\" }\n[[source]]",
    );
    let refused = self::refusal(&misspelt, []);
    let expected = ":4: kafka.client.sasl.username: is a table; write a text";
    assert!(
        refused.contains(expected) && refused.contains("{ env = \"NAME\" }"),
        "{refused}"
    );
}

#[test]
fn a_variable_that_fits_no_key_hides_no_other_mistake() {
    let refused = refusal(
        &format!("[listen]\nmax_bodi = 1\n{MINIMAL}"),
        [
            ("RINGBACK_KAFKA__TOPIC__X", "1"),
            ("RINGBACK_SOURCE__5__NAME", "x"),
        ],
    );
    for mistake in [
        "environment RINGBACK_SOURCE__5__NAME: ",
        "test.toml:2: listen.max_bodi: ",
    ] {
        assert!(refused.contains(mistake), "{refused}");
    }
    assert!(refused.contains("RINGBACK_KAFKA__TOPIC__X"), "{refused}");
}

#[test]
fn a_misspelt_scheme_gets_the_nearest_one_and_all() {
    let refused = refusal(&MINIMAL.replace("\"none\"", "\"retel\""), []);
    let expected = "test.toml:7: source.0.verify: cannot read \"retel\" (did you mean \"retell\"?); write how this source's \
                    requests are authenticated: preset = \"github\" or another known sender's name, or verify = \"retell\", or verify = \"none\" to accept events from anybody";
    assert_eq!(refused, expected);
    let refused = refusal(&MINIMAL.replace("\"none\"", "7"), []);
    assert!(refused.contains("cannot read 7; write how"), "{refused}");
}

#[test]
fn an_address_s_remedy_is_the_listener_s_own() {
    for (section, port) in [("listen", 8080), ("admin", 9464)] {
        let refused = refusal(
            &format!("[{section}]\naddress = \"localhost\"\n{MINIMAL}"),
            [],
        );
        let remedy = format!("write an address and port such as \"0.0.0.0:{port}\"");
        assert!(refused.ends_with(&remedy), "{refused}");
    }
}

#[test]
fn a_value_that_librdkafka_refuses_is_reported_with_its_property_s_given_name_and_valid_ones() {
    for (given, expected) in [
        (
            "\"linger.ms\" = 9000000",
            "linger.ms must be a number from 0 to 900000",
        ),
        (
            "\"linger.ms\" = \"soon\"",
            "linger.ms must be a number from 0 to 900000",
        ),
        (
            "\"socket.timeout.ms\" = \"\"",
            "socket.timeout.ms must be a number from 10 to 300000",
        ),
        (
            "\"socket.timeout.ms\" = 1",
            "socket.timeout.ms must be a number from 10 to 300000",
        ),
        (
            "\"socket.keepalive.enable\" = \"yes\"",
            "socket.keepalive.enable must be true or false",
        ),
        (
            "\"compression.type\" = \"lz5\"",
            "compression.type is refused by librdkafka: Invalid value \"lz5\" for configuration property \"compression.type\"; \
             its values are at https://",
        ),
    ] {
        let refused = refusal(
            &MINIMAL.replace("[[source]]", &format!("{given}\n[[source]]")),
            [],
        );
        assert!(refused.contains(expected), "{expected}: {refused}");
        assert_eq!(refused.lines().count(), 1, "{refused}");
    }
}

#[test]
fn a_size_is_shown_in_the_unit_in_which_it_was_written() -> Result<(), ConfigError> {
    for size in ["8GB", "8GiB", "1500MB", "5MiB", "4097KiB", "5000001B"] {
        let shown = parse(&format!("[journal]\nsegment_size = \"1MiB\"\nbudget = \"{size}\"\n[listen]\nmax_body = \"1MiB\"\n{MINIMAL}"), [])?.show();
        assert!(shown.contains(&format!("budget = \"{size}\"")), "{shown}");
    }
    Ok(())
}

#[test]
fn a_size_out_of_bounds_is_refused_and_nothing_else_is_reckoned_with_it() {
    let listen = format!("[listen]\nmax_body = \"16777215TiB\"\n{MINIMAL}");
    assert_eq!(
        refusal(&listen, []),
        "test.toml:2: listen.max_body: \"16777215TiB\" is out of range; write a size from \"1KiB\" to \"512MiB\""
    );
    let source = format!("{MINIMAL}max_body = \"16777215TiB\"\n");
    let refused = refusal(&source, []);
    assert!(
        refused.ends_with("max_body: is out of range; write a size from 1KiB to 512MiB"),
        "{refused}"
    );
    assert_eq!(refused.lines().count(), 1, "{refused}");
}
