//! What a preset fills in, and what is wrong with a scheme's settings.

use super::*;
use crate::ingest::{PRESETS, Verify};

fn source(rest: &str) -> String {
    MINIMAL.replace("verify = \"none\"", rest)
}

const KEYS: &str = "keys = [{ env = \"RINGBACK_TEST_NEVER_SET\" }]";

#[test]
fn a_preset_fills_in_what_its_source_leaves_out_and_check_prints_it() -> Result<(), ConfigError> {
    for preset in &PRESETS {
        let config = parse(&source(&format!("preset = \"{}\"", preset.name)), [])?;
        assert_eq!(config.source[0].verify, preset.verify, "{preset}");
        let shown = config.show();
        let verify = format!("preset = \"{preset}\"\nverify = \"{}\"\n", preset.verify);
        assert!(shown.contains(&verify), "{shown}");
        // What is printed is a configuration with the same effect.
        assert_eq!(parse(&shown, [])?.show(), shown);
    }
    let shown = parse(&source("preset = \"stripe\""), [])?.show();
    let pointers = "key_pointers = [\"/data/object/id\", \"/related_object/id\"]";
    assert!(shown.contains(pointers), "{shown}");

    let own = source("preset = \"stripe\"\nverify = \"none\"\nkey_pointers = [\"/id\"]");
    let config = parse(&own, [])?;
    assert_eq!(config.source[0].verify, Verify::None);
    assert_eq!(
        config.source[0].key_pointers.as_deref(),
        Some(&["/id".to_owned()][..])
    );
    let by_variable = parse(&source(""), [("RINGBACK_SOURCE__0__PRESET", "github")])?;
    assert_eq!(by_variable.source[0].verify, Verify::Github);
    Ok(())
}

#[test]
fn an_unknown_preset_or_scheme_names_the_nearest_one() {
    let refused = refusal(&source("preset = \"strip\"\nverify = \"none\""), []);
    assert!(
        refused.contains("source.0.preset: ") && refused.contains("did you mean \"stripe\"?"),
        "{refused}"
    );
    let refused = refusal(&source("preset = \"strip\""), []);
    assert!(
        refused.contains("is not known while \"preset\" cannot be read")
            && !refused.contains("retell"),
        "a scheme is not offered in its place: {refused}"
    );
    let refused = refusal(&source("verify = \"guthub\""), []);
    assert!(
        refused.contains("source.0.verify: ") && refused.contains("did you mean \"github\"?"),
        "{refused}"
    );
}

/// The message about `key` when the keys are read too, as `serve` and `check` do.
fn relay_refusal(rest: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), source(rest)).unwrap();
    let loaded = Config::load(file.path(), &Environment::default(), Purpose::Relay);
    loaded.unwrap_err().to_string()
}

#[test]
fn a_scheme_s_settings_are_refused_by_their_key() {
    let hmac = |settings: &str| format!("verify = \"hmac\"\n{KEYS}\nhmac = {{ {settings} }}");
    for (rest, expected) in [
        (format!("verify = \"hmac\"\n{KEYS}"), "source.0.hmac: "),
        (hmac("prefix = \"x\""), "source.0.hmac.header: is missing"),
        (
            hmac("header = \"X Y\""),
            "source.0.hmac.header: \"X Y\" is not a header's name",
        ),
        (
            hmac("header = \"X\", content = \"{bdy}\""),
            "source.0.hmac.content: has {bdy}, which is unknown",
        ),
        (
            hmac("header = \"X\", content = \"{timestamp}\""),
            "source.0.hmac.content: lacks {body}",
        ),
        (
            hmac("header = \"X\", content = \"{id}.{body}\""),
            "source.0.hmac.id_header: ",
        ),
        (
            hmac("header = \"X\", timestamp_header = \"T\""),
            "source.0.hmac.timestamp_header: ",
        ),
        (
            hmac("header = \"X\", digest = \"md5\""),
            "source.0.hmac.digest: cannot read \"md5\"",
        ),
        (
            hmac("header = \"X\", tolerance = \"0s\""),
            "source.0.hmac.tolerance: ",
        ),
        (format!("verify = \"twilio\"\n{KEYS}"), "source.0.twilio: "),
        (
            format!("verify = \"twilio\"\n{KEYS}\ntwilio = {{ url = \"hooks\" }}"),
            "source.0.twilio.url: write the one that Twilio was given",
        ),
        (
            format!("verify = \"github\"\n{KEYS}\nhmac = {{ header = \"X\" }}"),
            "source.0.hmac: ",
        ),
        (String::from("verify = \"github\""), "source.0.keys: "),
        (
            format!("verify = \"github\"\n{KEYS}\nevent_header = \"Authorization\""),
            "event_header authorization holds a credential",
        ),
        (
            format!(
                "verify = \"bearer\"\n{KEYS}\nbearer = {{ header = \"X-Token\" }}\ncarry = [\"X-Token\"]"
            ),
            "carry x-token holds a credential",
        ),
    ] {
        let refused = relay_refusal(&rest);
        assert!(refused.contains(expected), "{rest}: {refused}");
    }
}

#[test]
fn a_secret_that_is_no_key_of_its_scheme_is_refused_without_repeating_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter!2").unwrap();
    let keys = format!("keys = [{{ file = {:?} }}]", file.path());
    for (verify, form) in [
        (
            "\"standard-webhooks\"",
            "write whsec_<base64>, or for Ed25519 the public key, whpk_<base64 of 32 bytes>",
        ),
        ("\"basic\"", "write name:password"),
        (
            "\"hmac\"\nhmac = { header = \"X\", key_encoding = \"hex\" }",
            "write hexadecimal digits",
        ),
    ] {
        let refused = relay_refusal(&format!("verify = {verify}\n{keys}"));
        assert!(
            refused.contains("source.0.keys.0: ") && refused.contains(form),
            "{refused}"
        );
        assert!(!refused.contains("hunter"), "{refused}");
    }
}
