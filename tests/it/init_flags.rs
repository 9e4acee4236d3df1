//! Flags of `ringback init` that are missing, wrong or contradict each other, and names that a shell or a file could misread.

use std::fs;
use std::process::Command;

use crate::init::{KEY, check, init};
use crate::support::dev::{ringback, text};

#[test]
fn without_a_terminal_what_is_missing_is_named_by_its_flag() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ringback.toml");
    for (arguments, expected) in [
        (
            &[][..],
            "give --preset SENDER or --verify SCHEME and --brokers SERVERS, or --yes",
        ),
        (&["--preset", "stripe"], "give --brokers SERVERS, or --yes"),
        (&["--preset", "twilio", "--yes"], "--set 'twilio = { url = "),
        (&["--verify", "hmac", "--yes"], "--set 'hmac = { header = "),
        (&["--yes", "--topic", "a b"], "kafka.topic: "),
        (&["--yes", "--brokers", "k:99999"], "has no valid port"),
        (&["--yes", "--verify", "strpe"], "\"stripe\""),
        (
            &["--yes", "--set", "x"],
            "--set \"x\" is not a line of a source",
        ),
        (
            &["--yes", "--key-env", "9"],
            "not the name of an environment",
        ),
        (&["--yes", "--tls-key", "a"], "--tls-certificate"),
        (
            &["--yes", "--sasl-mechanism", "OAUTHBEARER"],
            "--sasl-mechanism: init knows",
        ),
    ] {
        let output = init(arguments, &file);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!file.exists(), "{arguments:?}");
    }
}

#[test]
fn a_known_sender_is_found_as_people_write_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (written, preset) in [
        ("GitHub", "github"),
        ("STRIPE", "stripe"),
        ("Retell AI", "retell"),
        ("Standard Webhooks", "standard-webhooks"),
    ] {
        let file = folder.path().join(preset);
        let output = init(&["--preset", written, "--brokers", "k:1"], &file);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let config = check(&file, "whsec_c2VjcmV0");
        assert_eq!(config["source"][0]["preset"].as_str(), Some(preset));
    }
    let output = init(&["--yes", "--preset", "Foo Bar"], &folder.path().join("a"));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("retell, vapi, stripe, github"), "{stderr}");
}

#[test]
fn flags_that_contradict_each_other_are_both_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ringback.toml");
    for (arguments, expected) in [
        (
            &["--verify", "none", "--key-env", "KEY"][..],
            "--key-env contradicts --verify none, which checks no signature",
        ),
        (
            &["--verify", "none", "--key-file", "k"],
            "--key-file contradicts --verify none",
        ),
        (
            &["--kafka-security", "SSL", "--sasl-user", "u"],
            "--sasl-user contradicts --kafka-security SSL, which has no SASL: leave out --sasl-user, or give \
             --kafka-security SASL_SSL",
        ),
        (
            &["--kafka-security", "PLAINTEXT", "--sasl-password-file", "p"],
            "--sasl-password-file contradicts --kafka-security PLAINTEXT",
        ),
        (
            &["--kafka-security", "PLAINTEXT", "--kafka-ca", "c"],
            "--kafka-ca contradicts --kafka-security PLAINTEXT, which has no TLS: leave out --kafka-ca, or give \
             --kafka-security SSL",
        ),
        (
            &[
                "--kafka-security",
                "SASL_PLAINTEXT",
                "--kafka-certificate",
                "c",
                "--kafka-key",
                "k",
            ],
            "give --kafka-security SASL_SSL",
        ),
        (
            &["--path", "/a", "--set", "path = \"/b\""],
            "--set cannot give path: use --path",
        ),
        (
            &["--preset", "retell", "--set", "verify = \"none\""],
            "--set cannot give verify: use --verify",
        ),
        (
            &["--set", "dedup = \"5m\"", "--set", "dedup = \"6m\""],
            "--set gives dedup twice",
        ),
        (
            &["--topic", "a", "--set", "topic = \"b\""],
            "--set cannot give topic: use --topic",
        ),
        (
            &[
                "--set",
                "dedup = \"5m\"\n[[source]]\nname = \"b\"\npath = \"/b\"\nverify = \"none\"",
            ],
            "is not a line of a source: give each line in a --set of its own",
        ),
        (
            &["--set", "dedup = \"5m\"\n[kafka]"],
            "give each line in a --set of its own",
        ),
        (
            &["--set", "[hmac]"],
            "a table stands in braces, as in hmac = { header = ",
        ),
        (&["--preset", "stripe", "--verify", "none"], "--verify"),
        (&["--key-env", "KEY", "--key-file", "k"], "--key-file"),
        (&["--tls-certificate", "c"], "--tls-key"),
        (&["--kafka-key", "k"], "--kafka-certificate"),
        (
            &["--sasl-password-env", "P", "--sasl-password-file", "p"],
            "--sasl-password-file",
        ),
    ] {
        let output = init(&[&["--yes"], arguments].concat(), &file);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!file.exists(), "{arguments:?}");
    }
    let output = init(&["--yes", "--set", "name = \"partner\""], &file);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let name = &check(&file, KEY)["source"][0]["name"];
    assert_eq!(name.as_str(), Some("partner"));
}

/// What a shell makes of the lines that are to be pasted into it.
#[test]
fn whatever_a_file_is_called_the_next_steps_name_it_and_run_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in [
        "a <b> `touch hit`.toml",
        "it's $(touch hit).toml",
        "-x",
        "--force",
        "\u{1b}]0;'\\\u{7}\n\u{202e}7\ntouch hit.toml",
    ] {
        let key = format!("{name}\ntouch hit");
        let mut command = ringback();
        command.current_dir(folder.path());
        let output = command
            .args(["init", "--yes", &format!("--key-file={key}")])
            .args(
                ["tls-certificate", "tls-key", "journal", "output"]
                    .map(|flag| format!("--{flag}={name}")),
            )
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let next = text(&output.stdout);
        let is_raw = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!next.contains(is_raw), "{next:?}");
        let lines: Vec<_> = next.lines().filter(|line| line.starts_with("  ")).collect();
        // Fails if the file is not there.
        let script = format!(
            "ringback() {{ test -f \"$3\" && printf '%s.' \"${{3#./}}\"; }}\n{}",
            lines.join("\n")
        );
        let mut shell = Command::new("bash");
        shell.current_dir(folder.path()).args(["-c", &script]);
        let said = text(&shell.output().expect("bash runs").stdout);
        assert_eq!(said, format!("{name}.").repeat(4), "{script}");
        assert!(!folder.path().join("hit").exists(), "{script}");
        let written = fs::read_to_string(folder.path().join(name)).expect("it was written");
        let config: toml::Table = written.parse().expect("it is TOML");
        assert_eq!(config["listen"]["tls"]["key"].as_str(), Some(name));
        assert_eq!(config["journal"]["path"].as_str(), Some(name));
        let file = &config["source"][0]["keys"][0]["file"];
        assert_eq!(file.as_str(), Some(&*key));
        assert!(!next.contains("--config -"), "{next}");
        let again = ringback()
            .current_dir(folder.path())
            .args(["init", "--yes", &format!("--output={name}")])
            .output()
            .expect("the binary runs");
        let stderr = text(&again.stderr);
        assert!(
            stderr.contains(" exists; ") && !stderr.trim_end().contains(is_raw),
            "{stderr:?}"
        );
    }
}
