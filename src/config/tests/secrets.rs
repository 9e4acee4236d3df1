//! Every secret is read by the same rules, wherever it comes from, and no error repeats one.

use super::*;

/// A fault, and the words that name it.
const FAULTS: [(&str, &str); 6] = [
    (" \n", "is blank"),
    ("\"hunter2\"", "has quotes around it"),
    ("\u{feff}hunter2", "has a byte order mark"),
    ("hun\r\nter2", "has a line break inside"),
    ("hunter2\u{7}x", "has the invisible character U+0007"),
    (
        "'hun\nter2'",
        "has quotes around it, which are not part of a secret: remove them; it has a line break",
    ),
];

/// The refusal of a configuration in a file, with these variables.
fn load<const N: usize>(text: &str, variables: [(&str, &str); N]) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let environment = Environment::from(variables);
    let config = Config::load(file.path(), &environment, Purpose::Relay);
    config.map_err(|error| error.to_string())
}

fn with_property(property: &str) -> String {
    MINIMAL.replace("[[source]]", &format!("{property}\n[[source]]"))
}

#[test]
fn what_is_no_secret_is_refused_with_its_key_and_fault_wherever_it_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let place = file.path().display().to_string();
    let password = "kafka.client.sasl.password: ";
    let keys = format!("verify = \"retell\"\nkeys = [{{ file = {place:?} }}]");
    for (content, fault) in FAULTS {
        std::fs::write(file.path(), content).unwrap();
        let of_file = load(
            &with_property(&format!("\"sasl.password\" = {{ file = {place:?} }}")),
            [],
        );
        let of_variable = load(
            &with_property("\"sasl.password\" = { env = \"PASSWORD\" }"),
            [("PASSWORD", content)],
        );
        let literal = load(
            MINIMAL,
            [("RINGBACK_KAFKA__CLIENT__SASL_PASSWORD", content)],
        );
        let key = load(&MINIMAL.replace("verify = \"none\"", &keys), []);
        for (refused, key, origin) in [
            (of_file, password, &*place),
            (of_variable, password, "variable PASSWORD"),
            (
                literal,
                password,
                "variable RINGBACK_KAFKA__CLIENT__SASL_PASSWORD",
            ),
            (key, "source.0.keys.0: ", &*place),
        ] {
            let refused = refused.expect_err("it is no secret");
            assert!(refused.contains(key), "{refused}");
            assert!(refused.contains(&format!("{origin} {fault}")), "{refused}");
            assert!(!refused.replace(&place, "").contains("hun"), "{refused}");
            assert_eq!(refused.lines().count(), 1, "{refused}");
        }
    }
}

#[test]
fn white_space_around_a_secret_is_trimmed_wherever_it_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "\n hunter2\r\n\n").unwrap();
    let place = file.path().display();
    let of_file = with_property(&format!("\"sasl.password\" = {{ file = \"{place}\" }}"));
    let of_variable = with_property("\"sasl.password\" = { env = \"PASSWORD\" }");
    for (text, variable) in [
        (&*of_file, "UNUSED"),
        (&*of_variable, "PASSWORD"),
        (MINIMAL, "RINGBACK_KAFKA__CLIENT__SASL_PASSWORD"),
    ] {
        let config = load(text, [(variable, "\thunter2\r\n")]).unwrap();
        assert_eq!(config.kafka.client.values["sasl.password"], "hunter2");
    }
}

#[test]
fn a_secret_in_any_wrong_place_is_not_repeated() {
    const PASTED: &str = "key_0f5e9b1c2d3a4f5e6b7c8d9e0f1a";
    let keys = |keys: &str| {
        let verified = format!("verify = \"retell\"\nkeys = {keys}");
        MINIMAL.replace("verify = \"none\"", &verified)
    };
    for text in [
        keys("[{ env = \"SECRET\" }]"),
        keys("[{ file = \"SECRET\" }]"),
        keys("[{ env = \"PATH\", file = \"SECRET\" }]"),
        keys("[{ key = \"SECRET\" }]"),
        keys("[{ SECRET = \"env\" }]"),
        keys("[\"SECRET\"]"),
        keys("\"SECRET\""),
        with_property("\"sasl.password\" = { env = \"SECRET\" }"),
        with_property("\"sasl.password\" = { file = \"SECRET\" }"),
        with_property("\"sasl.password\" = { value = \"SECRET\" }"),
        with_property("\"sasl.password\" = [\"SECRET\"]"),
        with_property("\"sasl.password\" = \"SECRET\""),
        with_property("\"sasl.pasword\" = \"SECRET\""),
        with_property("\"security.protocol\" = \"SECRET\""),
        with_property("\"ssl.key.location\" = \"SECRET\""),
        with_property("\"linger.ms\" = \"SECRET\""),
        MINIMAL.replace("localhost:9092", "SECRET:0"),
        MINIMAL.replace("\"none\"", "\"SECRET\""),
        MINIMAL.replace("\"/webhook\"", "\"SECRET\""),
        format!("[kafka]\ntopic = \"SECRET !\"\n{MINIMAL}"),
        format!("[listen]\nmax_body = \"SECRET\"\n{MINIMAL}"),
    ] {
        let refused = load(&text.replace("SECRET", PASTED), []).unwrap_err();
        assert!(!refused.contains("0f5e"), "{text}: {refused}");
    }
    let refused = refusal(MINIMAL, [("RINGBACK_LISTEN__BODY_TIMEOUT", PASTED)]);
    assert!(
        !refused.contains("0f5e") && refused.contains("[hidden: looks like a secret]"),
        "{refused}"
    );
}

#[test]
fn a_secret_in_the_file_is_refused_without_being_shown() {
    let text = MINIMAL.replace("[[source]]", "\"sasl.password\" = \"hunter2\"\n[[source]]");
    let refusal = refusal(&text, []);
    assert!(
        refusal.contains("kafka.client.sasl.password") && refusal.contains("env = \"NAME\""),
        "{refusal}"
    );
    assert!(!refusal.contains("hunter2"), "{refusal}");
}

#[test]
fn a_secret_by_reference_is_used_and_never_shown() -> Result<(), ConfigError> {
    let text = MINIMAL.replace(
        "[[source]]",
        "\"sasl.password\" = { env = \"PASSWORD\" }\n[[source]]",
    );
    let config = parse(&text, [("PASSWORD", "hunter2")])?;
    assert_eq!(config.kafka.client.values["sasl.password"], "hunter2");
    assert!(!format!("{config:?}{}", config.show()).contains("hunter2"));
    assert!(
        config
            .show()
            .contains("\"sasl.password\" = { env = \"PASSWORD\" }"),
        "{}",
        config.show()
    );
    let direct = parse(
        MINIMAL,
        [("RINGBACK_KAFKA__CLIENT__SASL_PASSWORD", "hunter2")],
    )?;
    assert!(!format!("{direct:?}{}", direct.show()).contains("hunter2"));
    let unset = refusal(&text, []);
    assert!(unset.contains("PASSWORD is not set"), "{unset}");
    Ok(())
}

#[test]
fn a_secret_in_the_place_of_its_reference_is_not_repeated() {
    let refused = refusal(MINIMAL, [("RINGBACK_SOURCE__0__KEYS", "key_hunter2")]);
    assert!(
        !refused.contains("hunter2") && refused.contains("env = "),
        "{refused}"
    );
    for keys in ["\"key_hunter2\"", "[\"key_hunter2\"]"] {
        let refused = refusal(&format!("{MINIMAL}keys = {keys}\n"), []);
        assert!(
            !refused.contains("hunter2") && refused.contains("env = "),
            "{refused}"
        );
    }
}
