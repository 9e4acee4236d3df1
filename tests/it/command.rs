//! The command line as a user sees it: the real binary, its exit codes and its output.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::build_commit;
use crate::support::dev::{Dev, dev, port_in, ringback, run, text};
use crate::support::server::{Server, now_ms, signature, write_config};

fn config_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), text).expect("it can be written");
    file
}

#[test]
fn help_and_version_succeed_and_show_examples() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["dev", "--help"],
        &["check", "--help"],
        &["doctor", "--help"],
        &["prove", "--help"],
        &["send", "--help"],
        &["verify", "--help"],
    ] {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}");
        assert!(text(&output.stdout).contains("Examples:"), "{arguments:?}");
    }
    let version = text(&run(&["--version"]).stdout);
    let release = concat!("ringback ", env!("CARGO_PKG_VERSION"), " (commit ");
    let commit = version.trim().strip_prefix(release);
    let commit = commit.and_then(|rest| rest.strip_suffix(')'));
    assert_eq!(commit, Some(build_commit::of_this_tree().as_str()));
}

#[test]
fn wrong_usage_exits_2() {
    for arguments in [
        &["nonsense"][..],
        &["serve"],
        &["dev", "--require-signature"],
        &["prove"],
        &["prove", "--bootstrap", "a:1", "--url", "https://a/b"],
        &["prove", "--bootstrap", "a:1", "--size", "1"],
        &["prove", "--bootstrap", "a:1", "-X", "no.such.property=1"],
        &[
            "prove",
            "--bootstrap",
            "a:1",
            "--key-env",
            "RINGBACK_NO_KEY",
        ],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn check_prints_the_configuration_and_no_secret() {
    let output = ringback()
        .args([
            "check",
            "--config",
            concat!(env!("CARGO_MANIFEST_DIR"), "/config/ringback.toml"),
        ])
        .env("RETELL_API_KEY", "key_hunter2")
        .env("RINGBACK_KAFKA__CLIENT__SASL_PASSWORD", "hunter2")
        .output()
        .expect("the binary runs");
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let next = "# All is well. `ringback serve` would accept the webhooks of retell on 0.0.0.0:8080, keep their events in \
                /var/lib/ringback and publish them to the topic retell-events at localhost:9092. Kafka was not asked.";
    assert_eq!(stdout.lines().last(), Some(next));
    let again = stdout.parse::<toml::Table>().expect("it is TOML");
    assert_eq!(again["kafka"]["topic"].as_str(), Some("retell-events"));
    assert!(stdout.contains("max_body = \"8MiB\""), "{stdout}");
    assert!(stdout.contains("env = \"RETELL_API_KEY\""), "{stdout}");
    assert!(!stdout.contains("hunter2"), "{stdout}");
}

#[test]
fn a_bad_configuration_exits_78_with_the_remedy() {
    let file = config_file("[listen]\nmax_bodi = \"1MiB\"\n");
    let path = file.path().display().to_string();
    for command in ["check", "serve"] {
        let output = run(&[command, "--config", &path]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command}: {stderr}");
        assert!(
            stderr.contains(&format!("{path}:2: ")) && stderr.contains("max_body"),
            "{stderr}"
        );
    }
}

#[test]
fn a_missing_configuration_file_is_named_by_its_absolute_path_with_the_remedy() {
    for arguments in [
        &["serve", "--config", "no/such.toml"][..],
        &["check", "-c", "no/such.toml"],
        &["dead-letter", "list", "-c", "no/such.toml"],
    ] {
        let output = run(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        let path = std::env::current_dir()
            .expect("there is one")
            .join("no/such.toml");
        let expected = format!(
            "error: cannot read the configuration file {}: No such file or directory (os error 2); with --config, name a \
             file that this user can read, for example a copy of config/ringback.toml\n",
            path.display()
        );
        assert_eq!(stderr, expected);
    }
}

#[test]
fn prove_without_a_kafka_names_both_ways_to_give_one() {
    let stderr = text(&run(&["prove"]).stderr);
    assert!(
        stderr.contains("--config FILE, or only Kafka's brokers with --bootstrap SERVERS"),
        "{stderr}"
    );
}

#[test]
fn a_key_that_is_none_exits_78_and_is_not_repeated() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ringback.toml");
    for (key, fault) in [
        ("\n\n", "is blank"),
        ("\"hunter2\"", "has quotes around it"),
        ("\u{feff}hunter2", "has a byte order mark"),
        ("hunter2_…", "begins or ends with \"…\""),
        ("hunter2\r\nhunter2", "has a line break inside"),
        ("hunter2\u{1b}[A", "has the invisible character U+001B"),
    ] {
        for command in ["check", "serve"] {
            let output = ringback()
                .args([command, "-c", config])
                .env("RETELL_API_KEY", key)
                .output()
                .expect("the binary runs");
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{command}: {stderr}");
            let fault = format!("the environment variable RETELL_API_KEY {fault}");
            assert!(
                stderr.contains(&fault) && !stderr.contains("hunter2"),
                "{stderr}"
            );
        }
        let output = ringback()
            .args(["prove", "--bootstrap", "127.0.0.1:1"])
            .env("RETELL_API_KEY", key)
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
        let output = dev()
            .arg("--require-signature")
            .env("RETELL_API_KEY", key)
            .output()
            .expect("the binary runs");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(
            stderr.contains(fault) && stderr.lines().count() == 1,
            "{stderr}"
        );
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn a_second_signal_skips_the_readiness_delay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), "127.0.0.1:1", "", "");
    let delay = fs::read_to_string(&config).expect("it was written");
    let delay = delay.replace("readiness_delay = \"0s\"", "readiness_delay = \"10m\"");
    fs::write(&config, delay).expect("it can be written");
    let server = Server::start_with(&config);
    server.terminate();
    server.logged("shutting down: not ready any more");
    server.terminate();
    // The test ends only if the delay does.
    server.logged("the listener is closed");
    assert!(server.wait().success());
}

#[test]
fn a_missing_key_exits_78_before_anything_is_created() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let journal = folder.path().join("journal");
    let file = config_file(&format!(
        "[journal]\npath = \"{}\"\n[kafka.client]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n[[source]]\nname = \"retell\"\n\
         path = \"/webhook\"\nverify = \"retell\"\nkeys = [{{ env = \"RETELL_API_KEY\" }}]\n",
        journal.display()
    ));
    let path = file.path().display().to_string();
    for command in ["check", "serve"] {
        let output = run(&[command, "--config", &path]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command}: {stderr}");
        assert!(stderr.contains("RETELL_API_KEY"), "{stderr}");
    }
    assert!(!journal.exists(), "a refused start has created the journal");
}

fn post(address: &str, headers: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("dev listens");
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the head is sent");
    stream.write_all(body).expect("the body is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer comes");
    answer
}

#[test]
fn dev_shows_the_quick_start_event_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dev = Dev::start(&[], None, temporary.path());
    let address = dev.address();
    dev.line_with("partition@offset");
    let body = include_bytes!("../fixtures/quick-start-call-ended.json");
    let answer = post(&address, "", body);
    assert!(
        answer.starts_with("HTTP/1.1 204 No Content\r\n"),
        "{answer}"
    );
    assert!(
        answer.to_lowercase().contains("\r\nringback-id: "),
        "{answer}"
    );
    let line = dev.line_with("call_ended");
    assert!(
        line.contains("Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6")
            && line.contains("@0")
            && line.ends_with(" ms"),
        "{line}"
    );
    assert_eq!(dev.interrupt(), Some(0));
    let left: Vec<_> = fs::read_dir(temporary.path())
        .expect("it can be listed")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn no_line_of_dev_is_longer_than_a_terminal_of_80_columns() {
    for (arguments, key) in [
        (&[][..], None),
        (&[], Some("key_1")),
        (&["--require-signature"], Some("key_1")),
    ] {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let dev = Dev::start_on_terminal(arguments, key, temporary.path(), 80);
        let mut lines = dev.lines_until("  Webhooks ");
        let webhooks = lines.last().expect("the line that was waited for");
        let address = format!("127.0.0.1:{}", port_in(webhooks));
        lines.extend(dev.lines_until("to Kafka"));
        let body = include_bytes!("../fixtures/quick-start-call-ended.json");
        let signature = signature("key_1", now_ms(), body);
        let answer = post(&address, &signature, body);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        lines.extend(dev.lines_until("dAHYHmcq6"));
        let answer = post(&address, "Content-Encoding: gzip\r\n", body);
        assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
        lines.extend(dev.lines_until("  POST /webhook"));
        assert_eq!(dev.interrupt(), Some(0));
        for line in lines {
            let columns = line.trim_end_matches('\r').chars().count();
            assert!(columns <= 80, "{columns}: {line}");
        }
    }
}

#[test]
fn dev_shows_in_each_row_whether_the_signature_is_valid() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dev = Dev::start(&[], Some("key_1"), temporary.path());
    let address = dev.address();
    dev.line_with("partition@offset");
    // Refused, so there is no note on its signature.
    let answer = post(&address, "", b"x");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let line = dev.next_line();
    let expected = "  refused 400  POST /webhook  not_json: The body is not one JSON document: unexpected character at line 1, column 1.";
    assert!(line.ends_with(expected), "{line}");
    let answer = post(&address, &signature("key_1", now_ms(), b"x"), b"x");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let line = dev.next_line();
    let expected = "dead letter  unparsed: a signed body is not one JSON document: unexpected character at line 1, column 1";
    assert!(line.ends_with(expected), "{line}");
    let body = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
    for (headers, verdict) in [
        (
            String::new(),
            "signature is missing: accepted without --require-signature",
        ),
        (
            String::from("X-Retell-Signature: v=1,d=00\r\n"),
            "signature is malformed: accepted without --require-signature",
        ),
        (signature("key_1", now_ms(), body), "signature is valid"),
    ] {
        let answer = post(&address, &headers, body);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        let line = dev.next_line();
        assert!(
            line.contains("  call_ended ") && line.ends_with(verdict),
            "{line}"
        );
    }
    assert_eq!(dev.interrupt(), Some(0));
}

#[test]
fn dev_shows_refused_requests_and_suggests_a_command_that_is_accepted() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dev = Dev::start(&["--require-signature"], Some("key_1"), temporary.path());
    let address = dev.address();
    let tip = dev.line_with("ringback prove");
    assert!(tip.ends_with("/webhook \\"), "{tip}");
    let tip = dev.next_line();
    assert!(tip.contains("--bootstrap 127.0.0.1:"), "{tip}");
    dev.line_with("partition@offset");
    let answer = post(&address, "", br#"{"event":"call_ended"}"#);
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let line = dev.next_line();
    assert!(
        line.contains("  refused 401  POST /webhook  signature_missing: "),
        "{line}"
    );
    let mut stream = TcpStream::connect(&address).expect("dev listens");
    let request = b"GET /webhook?token=secret HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("it is sent");
    let line = dev.next_line();
    assert!(
        line.contains("  refused 405  GET /webhook  method_not_allowed: "),
        "{line}"
    );
    assert_eq!(dev.interrupt(), Some(0));
}
