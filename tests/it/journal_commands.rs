//! `journal status` and `journal dump`, through the real binary, on journals that run, were killed, or are damaged.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::support::dev::text;
use crate::support::mock_kafka::MockKafka;
use crate::support::server::{PATIENCE, Server};

const SMALL: &str = "segment_size = \"1MiB\"\nbudget = \"16MiB\"";

fn ringback(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringback"));
    command.args(arguments).env_remove("RINGBACK_LOG");
    command
}

fn journal(command: &str, path: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["journal", command, "--path"];
    arguments.push(path.to_str().expect("a path in UTF-8"));
    arguments.extend(more);
    ringback(&arguments).output().expect("the binary runs")
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let text = text(&output.stdout);
    let lines = text.lines().map(serde_json::from_str);
    lines.map(|line| line.expect("a line of JSON")).collect()
}

fn status(path: &Path) -> serde_json::Value {
    let output = journal("status", path, &["--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn body(number: usize) -> String {
    format!(
        "{{\"event\":\"call_ended\",\"call\":{{\"call_id\":\"call-{number}\",\"note\":\"é\\n{}\"}}}}",
        "x".repeat(number * 10)
    )
}

/// Every file with its bytes and the time of its last change.
fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(folder).expect("it can be listed");
    let files = entries.map(|entry| {
        let entry = entry.expect("it can be read");
        let metadata = entry.metadata().expect("it has some");
        let bytes = if metadata.is_dir() {
            Vec::new()
        } else {
            fs::read(entry.path()).expect("it can be read")
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, (bytes, metadata.modified().expect("it has a time")))
    });
    files.collect()
}

/// A relay without a Kafka that has taken ten events, and its journal.
fn relay(folder: &Path) -> Server {
    let server = Server::start_in(folder, "127.0.0.1:1", "", SMALL);
    for number in 0..10 {
        assert_eq!(server.post(body(number).as_bytes()), 204);
    }
    server
}

fn segments(path: &Path) -> Vec<String> {
    let names = files(path).into_keys();
    names.filter(|name| name.ends_with(".segment")).collect()
}

#[test]
fn status_and_dump_read_a_running_and_a_killed_relay_s_journal_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    let server = relay(folder.path());
    let running = status(&path);
    assert_eq!(running["locked"], true);
    assert_eq!(running["unpublished"]["events"], 10);
    assert_eq!(running["segments"][0]["state"], "active");
    assert_eq!(running["segments"][1]["state"], "spare");
    assert_eq!(lines(&journal("dump", &path, &["--json"])).len(), 10);
    // Still sound, and still the relay's own.
    assert_eq!(server.post(body(10).as_bytes()), 204);
    server.kill();

    let before = files(&path);
    let status = status(&path);
    assert_eq!(status["locked"], false);
    assert_eq!(status["unpublished"]["events"], 11);
    assert_eq!(status["unpublished"]["oldest_position"], 0);
    assert!(status["unpublished"]["oldest_age_seconds"].as_u64() < Some(60));
    assert_eq!(status["lost_events"], 0);
    assert_eq!(status["torn_tail_bytes"], 0);
    assert_eq!(status["damage"].as_array().map(Vec::len), Some(0));
    assert_eq!(status["checkpoint"]["watermark"], 0);
    let first = &status["segments"][0];
    assert_eq!(
        (&first["state"], &first["records"]),
        (&"sealed".into(), &11.into())
    );
    assert_eq!((&first["first"], &first["end"]), (&0.into(), &11.into()));

    let words = text(&journal("status", &path, &[]).stdout);
    for part in [
        "Held          by nobody",
        "11 events",
        "none found",
        "spare",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }

    let events = lines(&journal("dump", &path, &["--json"]));
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["position"], number);
        assert_eq!(event["key"], format!("call-{number}"));
        assert_eq!(event["kind"], "call_ended");
        assert_eq!(event["source"], "open");
        assert_eq!(event["published"], false);
        assert_eq!(event["body"].as_str(), Some(body(number).as_str()));
    }
    let some = lines(&journal(
        "dump",
        &path,
        &["--json", "--from", "3", "--to", "5"],
    ));
    let positions: Vec<_> = some
        .iter()
        .map(|event| event["position"].as_u64())
        .collect();
    assert_eq!(positions, [Some(3), Some(4), Some(5)]);
    let keyed = lines(&journal("dump", &path, &["--json", "--key", "call-7"]));
    assert_eq!(keyed.len(), 1);
    assert_eq!(keyed[0]["position"], 7);
    let bodies = journal("dump", &path, &["--body", "--from", "9"]).stdout;
    assert_eq!(text(&bodies), format!("{}\n{}\n", body(9), body(10)));
    let plain = text(&journal("dump", &path, &["--from", "10"]).stdout);
    let columns: Vec<_> = plain.split_whitespace().collect();
    let size = body(10).len().to_string();
    assert_eq!(columns[0], "10");
    assert_eq!(columns[2..], ["open", "call_ended", "call-10", &size]);
    assert!(before == files(&path), "a look has changed the journal");
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_busy_relay_s_journal_never_seems_damaged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    let kafka = MockKafka::start();
    // Room enough that no writer is refused.
    let roomy = "segment_size = \"1MiB\"\nbudget = \"1GiB\"";
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", roomy);
    let done = AtomicBool::new(false);
    // Writers wait for a publisher that busy cores delay, so an inspection always has the same amount to read.
    let is_behind = || server.sample("ringback_journal_unpublished_events") > 200.0;
    std::thread::scope(|scope| {
        // Three writers: batches grow, segments of a megabyte come and go.
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let body = body(5_000);
                    let mut taken = 0;
                    while !done.load(Ordering::Relaxed) {
                        if taken % 20 == 0 && is_behind() {
                            std::thread::sleep(Duration::from_millis(10));
                            continue;
                        }
                        assert_eq!(server.post(body.as_bytes()), 204);
                        taken += 1;
                    }
                    taken
                })
            })
            .collect();
        // Also if an assertion fails: the scope waits for the writers.
        let stop = Stop(&done);
        let mut deadline = Instant::now() + PATIENCE;
        let mut looks = 0;
        let (mut first, mut last) = (None, String::new());
        // Until segments have been removed during an inspection.
        while looks < 20 || first.as_ref() == Some(&last) {
            let status = status(&path);
            assert_eq!(status["locked"], true);
            assert_eq!(status["lost_events"], 0, "{status:#}");
            assert_eq!(status["damage"].as_array().map(Vec::len), Some(0));
            assert_eq!(status["torn_tail_bytes"], 0);
            last = status["segments"][0]["name"].to_string();
            first.get_or_insert_with(|| last.clone());
            let dump = journal("dump", &path, &["--json"]);
            assert_eq!(text(&dump.stderr), "");
            let positions = lines(&dump)
                .into_iter()
                .map(|line| line["position"].as_u64());
            let positions: Vec<_> = positions.collect();
            let whole = positions
                .windows(2)
                .all(|two| two[1] == two[0].map(|it| it + 1));
            assert!(whole, "a position is missing among {positions:?}");
            looks += 1;
            if looks <= 20 {
                deadline = Instant::now() + PATIENCE;
            }
            assert!(Instant::now() < deadline, "no segment was ever removed");
        }
        drop(stop);
        let taken: usize = writers
            .into_iter()
            .map(|it| it.join().expect("it went well"))
            .sum();
        assert!(taken > 20, "only {taken} events: nothing was going on");
    });
}

#[test]
fn a_flipped_bit_is_reported_with_its_place_the_neighbours_are_listed_and_nothing_is_changed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    relay(folder.path()).kill();
    let segment = path.join(&segments(&path)[0]);
    let mut bytes = fs::read(&segment).expect("it can be read");
    let at = bytes
        .windows(6)
        .position(|window| window == b"call-4")
        .expect("the fifth event is there");
    bytes[at] ^= 1;
    fs::write(&segment, bytes).expect("it can be written");

    let before = files(&path);
    let output = journal("dump", &path, &["--json"]);
    let positions: Vec<_> = lines(&output)
        .iter()
        .map(|event| event["position"].as_u64().expect("a number"))
        .collect();
    assert_eq!(positions, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    let stderr = text(&output.stderr);
    let name = segments(&path).remove(0);
    assert!(
        stderr.contains(&format!("damaged: {name} bytes ")),
        "{stderr}"
    );
    assert!(stderr.contains("position 4 is lost"), "{stderr}");

    let status = status(&path);
    assert_eq!(status["lost_events"], 1);
    assert_eq!(status["unpublished"]["events"], 9);
    assert_eq!(status["segments"][0]["state"], "damaged");
    let damage = &status["damage"][0];
    assert_eq!(damage["from_position"], 4);
    assert_eq!(damage["to_position"], 5);
    let range = damage["from_byte"].as_u64()..damage["to_byte"].as_u64();
    assert!(range.contains(&u64::try_from(at).ok()), "{range:?}");
    assert!(before == files(&path), "a look has changed the journal");
}

#[test]
fn a_write_that_was_cut_short_is_reported_as_a_torn_tail() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    relay(folder.path()).kill();
    let segment = path.join(&segments(&path)[0]);
    let mut bytes = fs::read(&segment).expect("it can be read");
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("records");
    bytes[last - 40..].fill(0);
    fs::write(&segment, bytes).expect("it can be written");
    let status = status(&path);
    assert_eq!(status["unpublished"]["events"], 9);
    assert!(status["torn_tail_bytes"].as_u64() > Some(0));
    assert_eq!(status["lost_events"], 0);
}

#[test]
fn a_missing_and_an_empty_folder_exit_1_with_the_reason_and_are_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("it can be made");
    let missing = folder.path().join("missing");
    for command in ["status", "dump"] {
        for (path, reason) in [(&empty, "is empty"), (&missing, "no such folder")] {
            let output = journal(command, path, &[]);
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command}: {stderr}");
            assert!(stderr.contains(reason), "{command}: {stderr}");
        }
    }
    assert!(files(&empty).is_empty() && !missing.exists());
    assert_eq!(
        ringback(&["journal", "status"])
            .env_remove("RINGBACK_CONFIG")
            .output()
            .expect("the binary runs")
            .status
            .code(),
        Some(2),
        "neither --config nor --path"
    );
}

#[test]
fn a_closed_output_is_no_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    let server = Server::start_in(folder.path(), "127.0.0.1:1", "", SMALL);
    for _ in 0..20 {
        assert_eq!(server.post(body(2_000).as_bytes()), 204);
    }
    server.kill();
    let path = path.to_str().expect("a path in UTF-8");
    let mut dump = ringback(&["journal", "dump", "--path", path, "--body"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdout = BufReader::new(dump.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line comes");
    drop(stdout);
    let output = dump.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn without_a_journal_s_path_the_error_names_both_ways_to_give_it() {
    for command in [["journal", "status"], ["dead-letter", "list"]] {
        let output = ringback(&command).output().expect("the binary runs");
        let words = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(
            words.contains("--config") && words.contains("--path"),
            "{words}"
        );
    }
}

#[test]
fn each_command_has_examples() {
    for arguments in [
        &["journal", "--help"][..],
        &["journal", "status", "--help"],
        &["journal", "dump", "--help"],
        &["journal", "drain", "--help"],
        &["dead-letter", "--help"],
        &["dead-letter", "list", "--help"],
        &["dead-letter", "replay", "--help"],
    ] {
        let output = ringback(arguments).output().expect("the binary runs");
        assert!(output.status.success(), "{arguments:?}");
        assert!(text(&output.stdout).contains("Examples:"), "{arguments:?}");
    }
}

#[test]
fn status_shows_the_configured_budget_and_a_dump_of_nothing_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", SMALL);
    assert_eq!(server.post(body(1).as_bytes()), 204);
    kafka.read(1);
    server.terminate();
    assert!(server.wait().success());
    let config = folder.path().join("ringback.toml");
    let config = config.to_str().expect("a path in UTF-8");
    let run = |arguments: &[&str]| {
        let output = ringback(arguments).output().expect("the binary runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    };
    let status = text(&run(&["journal", "status", "--config", config]).stdout);
    let row = "\nBudget        16.0 MiB, or what the volume has room for\n";
    assert!(status.contains(row), "{status}");
    let dump = run(&["journal", "dump", "--config", config, "--unpublished"]);
    assert_eq!(text(&dump.stdout), "");
    assert_eq!(text(&dump.stderr), "The journal holds no such event.\n");
}
