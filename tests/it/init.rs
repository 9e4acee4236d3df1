//! `ringback init`: what it writes is accepted by `ringback check`, and it overwrites and guesses nothing.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ringback::ingest::PRESETS;

use crate::support::dev::{ringback, text};
use crate::support::terminal;

const TWILIO: &str = "twilio = { url = \"https://hooks.example.com/twilio\" }";
/// One that suits every sender: Standard Webhooks wants the prefix, basic the colon.
pub const KEY: &str = "whsec_c2VjcmV0:a";
const STANDARD_KEY: &str = "whsec_c2VjcmV0";

fn command(arguments: &[&str], file: &Path) -> Command {
    let mut command = ringback();
    command
        .arg("init")
        .args(arguments)
        .arg("--output")
        .arg(file);
    command
}

/// Runs it without a terminal.
pub fn init(arguments: &[&str], file: &Path) -> Output {
    command(arguments, file)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

/// What `ringback check` prints, with the key in every variable that the file names.
pub fn check(file: &Path, key: &str) -> toml::Table {
    let written = fs::read_to_string(file).expect("it was written");
    let mut command = ringback();
    command.args(["check", "--config"]).arg(file);
    let lines = written.lines().filter(|line| !line.starts_with('#'));
    for variable in lines.filter_map(|line| line.split("env = \"").nth(1)) {
        let name = variable
            .split('"')
            .next()
            .expect("a split has a first part");
        command.env(name, key);
    }
    let output = command.output().expect("the binary runs");
    assert!(
        output.status.success(),
        "{}\n{written}",
        text(&output.stderr)
    );
    text(&output.stdout).parse().expect("it is TOML")
}

#[test]
fn what_it_writes_for_every_sender_is_accepted_by_check() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for preset in &PRESETS {
        let file = folder.path().join(preset.name);
        let mut arguments = vec!["--preset", preset.name, "--brokers", "kafka-0:9092"];
        if preset.name == "twilio" {
            arguments.extend(["--set", TWILIO]);
        }
        let output = init(&arguments, &file);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let config = check(&file, STANDARD_KEY);
        let source = &config["source"][0];
        assert_eq!(source["preset"].as_str(), Some(preset.name));
        let topic = format!("{}-events", preset.name);
        assert_eq!(config["kafka"]["topic"].as_str(), Some(&*topic));
        // Every line that follows is a command that exists.
        let next = text(&output.stdout);
        let commands = next
            .lines()
            .filter_map(|line| line.strip_prefix("  ringback "));
        let commands: Vec<_> = commands.filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(commands, ["check", "doctor", "serve", "send"], "{next}");
        assert!(next.contains("\n  export "), "{next}");
    }
}

#[test]
fn every_scheme_and_every_way_to_kafka_can_be_given_by_flags() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let senders: [&[&str]; 4] = [
        &["--verify", "none"],
        &["--verify", "basic", "--key-env", "LOGIN"],
        &[
            "--verify",
            "bearer",
            "--set",
            "bearer = { header = \"X-Token\" }",
        ],
        &[
            "--verify",
            "hmac",
            "--set",
            "hmac = { header = \"X-Sign\" }",
            "--path",
            "/a'b",
        ],
    ];
    let ways: [(&[&str], &str); 4] = [
        (&[], "PLAINTEXT"),
        (&["--kafka-security", "SSL"], "SSL"),
        (
            &["--sasl-user", "relay", "--sasl-mechanism", "PLAIN"],
            "SASL_SSL",
        ),
        (&["--kafka-security", "SASL_PLAINTEXT"], "SASL_PLAINTEXT"),
    ];
    for (index, (sender, (way, protocol))) in senders.into_iter().zip(ways).enumerate() {
        let file = folder.path().join(index.to_string());
        let brokers = ["--brokers", "kafka-0:9092", "--topic", "calls"];
        let output = init(&[sender, way, &brokers].concat(), &file);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let config = check(&file, KEY);
        assert_eq!(config["source"][0]["verify"].as_str(), Some(sender[1]));
        // Only Retell AI's places are known, which `none` has too.
        let next = text(&output.stdout);
        assert_eq!(
            next.contains("The records will have no key"),
            sender[1] != "none",
            "{next}"
        );
        assert_eq!(config["kafka"]["topic"].as_str(), Some("calls"));
        let client = &config["kafka"]["client"];
        let found = client
            .get("security.protocol")
            .and_then(toml::Value::as_str);
        assert_eq!(found.unwrap_or("PLAINTEXT"), protocol);
        let mechanism = client.get("sasl.mechanisms").and_then(toml::Value::as_str);
        let expected = [None, None, Some("PLAIN"), Some("SCRAM-SHA-512")][index];
        assert_eq!(mechanism, expected);
    }
}

#[test]
fn files_on_another_machine_can_be_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ringback.toml");
    let flags = [
        ["--kafka-ca", "/no/ca.pem"],
        ["--kafka-certificate", "/no/client.pem"],
        ["--kafka-key", "/no/client.key"],
        ["--key-file", "/no/stripe"],
        ["--sasl-password-file", "/no/password"],
        ["--tls-certificate", "/no/tls.crt"],
        ["--tls-key", "/no/tls.key"],
    ];
    let output = init(&[&["--yes"], flags.as_flattened()].concat(), &file);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = fs::read_to_string(&file).expect("it was written");
    for [_, named] in flags {
        assert!(written.contains(named), "{named}: {written}");
    }
    let next = text(&output.stdout);
    assert!(
        next.contains("goes into /no/stripe") && next.contains("/no/password"),
        "{next}"
    );
}

#[test]
fn a_file_for_the_system_has_its_journal_where_the_system_keeps_data() {
    let output = ringback()
        .args(["init", "--yes", "--output", "-"])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let config: toml::Table = text(&output.stdout).parse().expect("it is TOML");
    assert_eq!(config["journal"]["path"].as_str(), Some("./journal"));
    assert_eq!(config["source"][0]["preset"].as_str(), Some("retell"));
    let file = tempfile::tempdir().expect("a temporary folder");
    let output = init(&["--yes", "--journal", "/srv/j"], &file.path().join("a"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let config = check(&file.path().join("a"), "key");
    assert_eq!(config["journal"]["path"].as_str(), Some("/srv/j"));
}

#[test]
fn an_existing_file_is_replaced_only_on_request() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ringback.toml");
    fs::write(&file, "mine").expect("it can be written");
    let output = init(&["--yes"], &file);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--force"));
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "mine");
    assert!(init(&["--yes", "--force"], &file).status.success());
    check(&file, "key");
    let output = init(&["--yes"], &folder.path().join("no/such/folder"));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

/// Answers the questions on a terminal; returns what the terminal showed, and the exit code.
fn on_terminal(arguments: &[&str], file: &Path, answers: &str) -> (String, Option<i32>) {
    let (terminal, user) = terminal::open(80);
    let input = user.try_clone().expect("another descriptor");
    let output = user.try_clone().expect("another descriptor");
    let mut command = command(arguments, file);
    let command = command.stdin(input).stdout(output).stderr(user);
    let mut child = command.spawn().expect("the binary runs");
    // The last copies on this side: reading ends when the program does.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut terminal = File::from(terminal);
    // The terminal keeps it until it is asked for.
    terminal.write_all(answers.as_bytes()).expect("it is typed");
    let mut shown = Vec::new();
    // A terminal ends with an error when its last user has gone.
    let _ = terminal.read_to_end(&mut shown);
    (text(&shown), child.wait().expect("it ends").code())
}

#[test]
fn on_a_terminal_it_asks_and_asks_again_after_a_mistake() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ringback.toml");
    let answers = [
        "strip",
        "Foo Bar",
        "STRIPE",
        "hooks",
        "/hooks",
        "whsec_c2VjcmV0",
        "",
        "kafka-0:99999",
        "kafka-0:9093",
        "a topic",
        "",
        "sasl_ssl",
        "",
        "",
        "",
        "",
        "/srv/journal",
        "",
    ];
    let (shown, code) = on_terminal(&[], &file, &(answers.join("\n") + "\n"));
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("export whsec"), "{shown}");
    for expected in [
        // Between words, at the terminal's width.
        "accepts events from\r\n  anybody.",
        "SASL_SSL or SASL_PLAINTEXT?\r\n[PLAINTEXT] ",
        "Who sends the webhooks? [retell]",
        "called \"strip\" (did you mean \"stripe\"?)",
        "no known sender is called \"Foo Bar\"; known are retell, vapi, stripe,",
        "must start with \"/\"",
        "has no valid port",
        "[STRIPE_SECRET]",
        "perhaps the secret itself",
        "[stripe-events]",
        "[SCRAM-SHA-512]",
        "Wrote ",
        "export KAFKA_PASSWORD=",
    ] {
        assert!(shown.contains(expected), "no {expected:?} in {shown}");
    }
    let config = check(&file, "secret");
    let source = &config["source"][0];
    assert_eq!(source["path"].as_str(), Some("/hooks"));
    assert_eq!(source["keys"][0]["env"].as_str(), Some("STRIPE_SECRET"));
    let client = &config["kafka"]["client"];
    assert_eq!(client["bootstrap.servers"].as_str(), Some("kafka-0:9093"));
    assert_eq!(client["sasl.username"].as_str(), Some("ringback"));
    assert_eq!(config["journal"]["path"].as_str(), Some("/srv/journal"));
}

#[test]
fn on_a_terminal_flags_are_not_asked_for_and_an_end_of_input_writes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ringback.toml");
    // Ctrl-D.
    let (shown, code) = on_terminal(&["--verify", "hmac", "--brokers", "k:1"], &file, "\n\u{4}");
    assert_eq!(code, Some(2), "{shown}");
    assert!(!shown.contains("Who sends"), "{shown}");
    assert!(
        shown.contains("The header with the signature? [X-Signature]"),
        "{shown}"
    );
    assert!(shown.contains("nothing was written"), "{shown}");
    assert!(!file.exists());
}

#[test]
fn what_cannot_be_written_whole_leaves_the_folder_as_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ringback.toml");
    let names = || {
        let names = fs::read_dir(folder.path()).expect("a folder");
        names.map(|entry| entry.expect("it can be listed").file_name())
    };
    for more in ["", "--force"] {
        // A file of 1 KiB at most, as on a disk that is nearly full.
        let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" init --yes $2 --output \"$1\"";
        let mut command = Command::new("bash");
        command.args(["-c", script, env!("CARGO_BIN_EXE_ringback")]);
        let output = command.arg(&file).arg(more).output().expect("bash runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        match more {
            "" => assert_eq!(names().count(), 0, "{output:?}"),
            _ => assert_eq!(fs::read_to_string(&file).expect("it is there"), "before"),
        }
        fs::write(&file, "before").expect("it can be written");
    }
    assert_eq!(names().count(), 1);
}
