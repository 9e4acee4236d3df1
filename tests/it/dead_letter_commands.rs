//! `dead-letter list` and `replay`, through the real binary, beside the relay that has dead-lettered the events.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::dev::{ringback, text};
use crate::support::mock_kafka::MockKafka;
use crate::support::server::Server;
use crate::support::terminal;

/// Two events of 1.9 MB use it up.
const TIGHT: &str = "segment_size = \"4MiB\"\nbudget = \"4MiB\"";
const LISTEN: &str = "max_body = \"2MiB\"\nmax_in_flight = \"8MiB\"";
const PATIENCE: Duration = Duration::from_secs(60);

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let (name, more) = arguments.split_first().expect("a command");
    // This machine has none of the keys that sign webhooks.
    let mut command = ringback();
    command
        .args(["dead-letter", name, "--config"])
        .arg(folder.join("ringback.toml"))
        .args(more);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let output = command(folder, arguments).output();
    output.expect("the binary runs")
}

fn body(call: &str, size: usize) -> String {
    let padding = "x".repeat(size);
    format!(
        "{{\"event\":\"call_ended\",\"call\":{{\"call_id\":\"{call}\"}},\"padding\":\"{padding}\"}}"
    )
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn dead_letter_count(server: &Server) -> f64 {
    server.sample("ringback_dead_letters_total{reason=\"too_large\"}")
}

#[test]
fn a_relative_journal_is_named_as_it_was_looked_for() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let config = tempfile::tempdir().expect("a temporary folder");
    let source = "[journal]\npath = \"./kept\"\n[kafka.client]\n\"bootstrap.servers\" = \"k:1\"\n\
                  [[source]]\nname = \"a\"\npath = \"/a\"\nverify = \"none\"\n";
    fs::write(config.path().join("ringback.toml"), source).expect("it can be written");
    let here = elsewhere.path().canonicalize().expect("it is there");
    let expected = format!(
        "cannot look into the journal at {} (a relative path, ./kept, counts from the folder in which the command runs)",
        here.join("kept").display()
    );
    for arguments in [["dead-letter", "list"], ["journal", "status"]] {
        let mut command = ringback();
        command.args(arguments).current_dir(&here);
        let command = command
            .arg("--config")
            .arg(config.path().join("ringback.toml"));
        let output = command.output().expect("the binary runs");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("there is no such folder"), "{said}");
    }
}

/// Posts an event that the cluster refuses until it is dead-lettered: once in a batch, then three times alone.
fn set_aside(kafka: &MockKafka, server: &Server, body: &str) {
    let before = dead_letter_count(server);
    kafka.refuse(4);
    assert_eq!(server.post(body.as_bytes()), 204);
    until("the dead letter", || dead_letter_count(server) > before);
}

#[test]
fn dead_letters_are_listed_and_replayed_beside_a_running_relay_and_free_its_budget() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, LISTEN, TIGHT);
    let big = [body("a", 1_900_000), body("b", 1_900_000)];
    for body in &big {
        set_aside(&kafka, &server, body);
    }
    let dead_letters = folder.path().join("journal/dead-letters");
    let files = || fs::read_dir(&dead_letters).expect("it is there").count();
    assert_eq!(files(), 2);
    let full = body("c", 1_900_000);
    assert_eq!(
        server.post(full.as_bytes()),
        503,
        "the dead letters use up the budget"
    );

    let listed = text(&run(folder.path(), &["list"]).stdout);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    let size = big[0].len().to_string();
    for part in [
        " too_large ",
        " open ",
        " call_ended ",
        " a ",
        &size,
        ".event",
    ] {
        assert!(lines[0].contains(part), "{part}: {listed}");
    }
    let (on_terminal, _) = terminal::shown(80, &mut command(folder.path(), &["list"]));
    let (headings, rows) = on_terminal.split_once("\r\n").expect("a first line");
    assert_eq!(rows.replace('\r', ""), listed, "{on_terminal}");
    for (heading, value) in [
        ("received (UTC)", "20"),
        ("reason", "too_large"),
        ("source", "open"),
        ("kind", "call_ended"),
        ("key", "a "),
        ("file", "/"),
    ] {
        let place = headings.find(heading).expect(heading);
        assert!(lines[0][place..].starts_with(value), "{on_terminal}");
    }
    for (heading, value) in [("position", "  20"), ("bytes", "  /")] {
        let end = headings.find(heading).expect(heading) + heading.len();
        assert!(lines[0][end..].starts_with(value), "{on_terminal}");
    }
    let json = text(&run(folder.path(), &["list", "--json"]).stdout);
    let letters: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert_eq!(letters[1]["body"].as_str(), Some(big[1].as_str()));
    assert_eq!(letters[1]["reason"], "too_large");
    assert_eq!(letters[1]["key"], "b");

    // The cause is not fixed yet, so the dead letter stays, with the reason.
    kafka.refuse(1);
    let position = letters[0]["position"].to_string();
    let refused = run(folder.path(), &["replay", "--position", &position]);
    let stderr = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("stays: Kafka refuses it: MessageSizeTooLarge"),
        "{stderr}"
    );
    assert_eq!(files(), 2);

    kafka.refuse(0);
    let replayed = run(folder.path(), &["replay", "--all"]);
    let stdout = text(&replayed.stdout);
    assert_eq!(
        replayed.status.code(),
        Some(0),
        "{}",
        text(&replayed.stderr)
    );
    assert!(stdout.contains("2 replayed, 0 not"), "{stdout}");
    assert_eq!(files(), 0);
    until("the budget is free", || {
        server.sample("ringback_journal_bytes ") == 0.0
    });
    assert_eq!(server.post(full.as_bytes()), 204);

    let arrived = kafka.read(3);
    for (index, letter) in letters.iter().enumerate() {
        let record = &arrived[index];
        assert!(record.value == big[index].as_bytes(), "byte for byte");
        assert_eq!(record.key.as_deref(), letter["key"].as_str());
        assert_eq!(record.timestamp_ms, letter["received_ms"].as_i64());
        assert_eq!(record.header("ce_id"), letter["id"].as_str());
        assert_eq!(
            record.header("ringback_journal"),
            letter["journal_id"].as_str()
        );
        let position = letter["position"].to_string();
        assert_eq!(record.header("ringback_position"), Some(position.as_str()));
        assert_eq!(record.header("ringback_dead_letter"), Some("replayed"));
    }
    assert_eq!(arrived[2].header("ringback_dead_letter"), None);

    let none = run(folder.path(), &["replay", "--all"]);
    assert_eq!(none.status.code(), Some(0));
    assert!(text(&none.stdout).contains("no dead letters"));
    assert_eq!(
        text(&run(folder.path(), &["list"]).stdout),
        "There are no dead letters.\n"
    );
    assert_eq!(text(&run(folder.path(), &["list", "--json"]).stdout), "");
}

#[test]
fn a_damaged_dead_letter_is_named_and_stays_and_the_others_are_replayed_without_a_relay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    for call in ["a", "b", "c"] {
        set_aside(&kafka, &server, &body(call, 10));
    }
    server.kill();
    kafka.refuse(0);
    let dead_letters = folder.path().join("journal/dead-letters");
    let mut files: Vec<_> = fs::read_dir(&dead_letters)
        .expect("it is there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    files.sort();
    let mut bytes = fs::read(&files[1]).expect("it can be read");
    *bytes.last_mut().expect("it has a body") ^= 1;
    fs::write(&files[1], bytes).expect("it can be written");
    // As the first release wrote it: without the journal's id and a checksum.
    let old = fs::read_to_string(&files[2]).expect("it is text");
    let (line, rest) = old.split_once('\n').expect("a line and a body");
    let mut head: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let fields = head.as_object_mut().expect("an object");
    let id = fields.remove("journal").expect("the journal's id");
    fields.remove("crc32c").expect("a checksum");
    fs::write(&files[2], format!("{head}\n{rest}")).expect("it can be written");

    let list = run(folder.path(), &["list"]);
    assert_eq!(list.status.code(), Some(1));
    assert_eq!(text(&list.stdout).lines().count(), 2);
    let named = files[1].display().to_string();
    assert!(
        text(&list.stderr).contains(&named),
        "{}",
        text(&list.stderr)
    );

    let replay = run(folder.path(), &["replay", "--all"]);
    let stderr = text(&replay.stderr);
    assert_eq!(replay.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("{named} stays: ")), "{stderr}");
    assert!(text(&replay.stdout).contains("2 replayed, 1 not"));
    let arrived = kafka.read(2);
    assert_eq!(text(&arrived[0].value), body("a", 10));
    assert_eq!(text(&arrived[1].value), body("c", 10));
    assert_eq!(arrived[1].header("ringback_journal"), id.as_str());
    let left: Vec<_> = fs::read_dir(&dead_letters).expect("it is there").collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn what_is_no_file_is_named_and_never_opened_and_the_dead_letters_beside_it_are_replayed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    set_aside(&kafka, &server, &body("a", 10));
    server.kill();
    kafka.refuse(0);
    let dead_letters = folder.path().join("journal/dead-letters");
    let names = ["7-\u{1b}[2J\u{202e}.event", "8.event"];
    let [pipe, inner] = names.map(|name| dead_letters.join(name));
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).expect("a pipe can be made");
    fs::create_dir(&inner).expect("a folder can be made");
    // Whoever opens the pipe finds it empty, instead of waiting for ever.
    let writer = pipe.clone();
    std::thread::spawn(move || while fs::write(&writer, "").is_ok() {});

    // A file's name is no order to the terminal either.
    let shown = [r"7-\u001b[2J\u202e.event", "8.event"].map(|name| dead_letters.join(name));
    let why = "it cannot be read: it is not a regular file; move it out of this folder";
    let list = run(folder.path(), &["list"]);
    assert_eq!(list.status.code(), Some(1), "{list:?}");
    assert_eq!(text(&list.stdout).lines().count(), 1);
    for path in &shown {
        let named = format!("{}: {why}\n", path.display());
        assert!(text(&list.stderr).contains(&named), "{list:?}");
    }
    for selection in [
        &["--position", "7", "8"][..],
        &["--reason", "too_large"],
        &["--all"],
    ] {
        let replay = run(folder.path(), &[&["replay"], selection].concat());
        assert_eq!(replay.status.code(), Some(1), "{replay:?}");
        for path in &shown {
            let named = format!("{} stays: {why}\n", path.display());
            assert!(text(&replay.stderr).contains(&named), "{replay:?}");
        }
    }
    assert_eq!(text(&kafka.read(1)[0].value), body("a", 10));
    let left = fs::read_dir(&dead_letters).expect("it is there").count();
    assert_eq!(left, 2);
}

#[test]
fn when_nobody_reads_what_it_prints_a_replay_goes_on_to_its_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    for call in ["a", "b"] {
        set_aside(&kafka, &server, &body(call, 10));
    }
    server.kill();
    kafka.refuse(0);
    let dead_letters = folder.path().join("journal/dead-letters");
    // It comes first, and is named on standard error.
    fs::create_dir(dead_letters.join("0.event")).expect("a folder can be made");

    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    let mut replay = command(folder.path(), &["replay", "--all"]);
    replay.stdout(writer.try_clone().expect("a second end"));
    let status = replay.stderr(writer).status().expect("the binary runs");
    assert_eq!(status.code(), Some(1));
    let arrived = kafka.read(2);
    assert_eq!(text(&arrived[0].value), body("a", 10));
    assert_eq!(text(&arrived[1].value), body("b", 10));
    let left = fs::read_dir(&dead_letters).expect("it is there").count();
    assert_eq!(left, 1);
}

#[test]
fn without_a_kafka_a_dead_letter_stays_and_an_unknown_position_is_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    set_aside(&kafka, &server, &body("a", 10));
    server.kill();
    drop(kafka);
    let replay = run(folder.path(), &["replay", "--all", "--timeout", "1s"]);
    let stderr = text(&replay.stderr);
    assert_eq!(replay.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no acknowledgement within 1s"), "{stderr}");
    let unknown = run(folder.path(), &["replay", "--position", "999"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("999: there is no dead letter"));
    assert_eq!(
        text(&run(folder.path(), &["list"]).stdout).lines().count(),
        1
    );
    assert_eq!(
        run(folder.path(), &["replay"]).status.code(),
        Some(2),
        "neither --position nor --all"
    );
}
