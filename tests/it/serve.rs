//! What `ringback serve` says of itself: without a configuration, at its start and at its end.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::dev::ringback;
use crate::support::server::{KEY, Server, post, write_config};
use crate::support::terminal;

#[test]
fn without_a_configuration_it_says_what_to_do_next() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |words: &[&str]| {
        let mut command = ringback();
        command
            .args(words)
            .current_dir(folder.path())
            .env_remove("RINGBACK_CONFIG");
        let output = command.output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert_eq!(
        run(&["serve"]),
        "error: no configuration is given: name the file with --config FILE or RINGBACK_CONFIG; ringback init writes one, ringback \
         dev needs none, and config/ringback.toml shows every key\n"
    );
    let status = run(&["journal", "status"]);
    assert!(
        status.contains("or the journal's folder with --path DIR"),
        "{status}"
    );
    let prove = run(&["prove"]);
    assert!(
        prove.contains("or only Kafka's brokers with --bootstrap"),
        "{prove}"
    );
    fs::write(folder.path().join("ringback.toml"), "").expect("it can be written");
    for words in [
        &["serve"][..],
        &["check"],
        &["doctor"],
        &["journal", "drain"],
    ] {
        assert_eq!(
            run(words),
            "error: no configuration is given: to use the one that is here, add --config ringback.toml\n",
            "{words:?}"
        );
    }
    // Something else is missing, too.
    let replay = run(&["dead-letter", "replay"]);
    assert!(replay.contains("--all"), "{replay}");
}

#[test]
fn the_log_says_once_what_is_served_and_at_the_end_what_has_become_of_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), "127.0.0.1:1", "", "budget = \"1GiB\"");
    let line: Value = serde_json::from_str(&server.logged("\"serving\"")).expect("JSON");
    assert_eq!(line["webhooks"], format!("http://{}", server.address));
    server.logged("made a new, empty journal");
    assert_eq!(line["brokers"], "127.0.0.1:1");
    assert_eq!(line["topics"], "topic retell-events");
    assert_eq!(line["budget"], 1 << 30);
    assert_eq!(line["unpublished"], 0);
    assert_eq!(
        line["sources"],
        "open /open not verified: accepts events from anybody; retell /webhook verify = retell, key from the environment variable \
         RETELL_API_KEY"
    );
    // 1 GiB / 8 KiB = 131,072 events.
    assert_eq!(
        line["holds"],
        "3h 38m at 10 events/s of 8 KiB, 21m at 100 events/s of 8 KiB"
    );
    assert!(!server.log().join("").contains(KEY));

    let event = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
    for (path, body, status) in [
        ("/open", &event[..], "204"),
        ("/open", event, "204"),
        ("/open", b"x", "400"),
        ("/webhook", event, "401"),
        ("/nowhere", event, "404"),
        ("/nowhere", event, "404"),
    ] {
        let answer = server.exchange(&post(path, "Connection: close\r\n", body));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    server.terminate();
    let line: Value = serde_json::from_str(&server.logged("\"summary\"")).expect("JSON");
    assert_eq!(line["accepted"], 2);
    assert_eq!(line["delivered"], 0);
    assert_eq!(line["left"], 2);
    assert_eq!(line["refused"], 4);
    let reasons = line["reasons"].as_str().expect("text");
    assert!(reasons.starts_with("unknown_path 2, "), "{reasons}");
    assert!(reasons.contains("signature_missing 1"), "{reasons}");
    assert!(
        line["uptime"]
            .as_str()
            .is_some_and(|text| text.ends_with('s')),
        "{line}"
    );
    assert!(server.wait().success());
}

/// Killed when it is dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs it on a terminal of this width until Ctrl-C; what the terminal has shown.
fn on_terminal(columns: u16, level: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), "kafka-0:9092", "", "");
    let (terminal, user) = terminal::open(columns);
    let mut command = ringback();
    command.args(["serve", "--config"]).arg(&config);
    command.env("RETELL_API_KEY", KEY).env("NO_COLOR", "1");
    command.env("RINGBACK_LOG", level);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(user);
    let mut child = Serving(command.spawn().expect("the binary runs"));
    command.stderr(Stdio::null());
    // A terminal ends with an error when its last user has gone.
    let lines = BufReader::new(File::from(terminal)).lines();
    let mut lines = lines.map_while(Result::ok);
    let mut shown = Vec::new();
    while !shown
        .last()
        .is_some_and(|line: &String| line.contains("  Admin "))
    {
        shown.push(lines.next().expect("the screen is complete"));
    }
    let pid = rustix::process::Pid::from_child(&child.0);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it still runs");
    shown.extend(lines);
    assert!(child.0.wait().expect("it ends").success());
    shown
}

#[test]
fn a_terminal_shows_one_screen_at_the_start_and_the_summary_after_ctrl_c() {
    let shown = on_terminal(100, "info").join("\n").replace('\r', "");
    for expected in [
        "ringback is ready. Ctrl-C stops it.",
        "  Webhooks  http://127.0.0.1:",
        "  Sources   open    /open     not verified: accepts events from anybody",
        "            retell  /webhook  verify = retell, key from the environment variable RETELL_API_KEY",
        "  Kafka     kafka-0:9092, topic retell-events",
        "; 0 events in it",
        "  Outage    Kafka may be away for ",
        " at 10 events/s, ",
        "\nringback has stopped, after ",
        "\n  Accepted  0 events\n  Delivered 0 events\n  Left      nothing\n  Refused   nothing\n",
    ] {
        assert!(shown.contains(expected), "no {expected:?} in {shown}");
    }
}

#[test]
fn both_screens_fit_the_terminal_and_are_shown_whatever_the_log_leaves_out() {
    let shown = on_terminal(60, "off");
    for line in &shown {
        assert!(line.trim_end().chars().count() <= 60, "{line:?}");
    }
    let words = shown.join(" ");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "key from the environment variable RETELL_API_KEY",
        "events/s (8 KiB each)",
        "ringback has stopped, after ",
        "Refused nothing",
    ] {
        assert!(words.contains(expected), "no {expected:?} in {words}");
    }
}
