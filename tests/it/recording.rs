//! `ringback dev --record` and `ringback send --file`: what was recorded is sent again as it was.

use std::process::Output;

use serde_json::Value;

use crate::support::dev::{dev, ringback};
use crate::support::page::Inspected;
use crate::support::server::{now_ms, signature};

const JSON: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;

fn replay(inspected: &Inspected, file: &str, more: &[&str]) -> Output {
    let url = format!("http://{}", inspected.webhooks);
    let mut command = ringback();
    command
        .args(["send", "--url", &url, "--file", file])
        .args(more);
    command.output().expect("the binary runs")
}

#[test]
fn a_recording_is_sent_again_with_each_request_s_own_head_in_the_same_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("calls.ndjson");
    let file = file.to_str().expect("UTF-8");
    let arguments = ["--record", file, "--require-signature"];
    let recorded = Inspected::start(&arguments, Some("key_1"));
    let bodies = [JSON, b"\xff\xfe", b"", JSON];
    for (number, body) in bodies.iter().enumerate() {
        let signed = signature("key_1", now_ms(), body);
        recorded.post(&format!("/webhook?n={number}"), &signed, body);
    }
    recorded.post("/webhook", "", JSON);
    recorded.post("/nowhere", "", JSON);
    assert_eq!(recorded.dev.interrupt(), Some(0));
    let text = std::fs::read_to_string(file).expect("the recording");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    // The body of what is refused by its path is not read.
    assert_eq!(lines.len(), 1 + bodies.len() + 1, "{text}");
    assert_eq!(lines[0], serde_json::json!({ "ringback_recording": 1 }));
    assert_eq!(lines[1]["body"].as_str().map(str::as_bytes), Some(JSON));
    assert_eq!(lines[2]["body_base64"], "//4=");
    assert_eq!(
        (&lines[4]["path"], &lines[4]["query"]),
        (&"/webhook".into(), &"n=3".into())
    );

    let again = Inspected::start(&["--require-signature"], Some("key_1"));
    let output = replay(&again, file, &[]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    // The last one had no signature.
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        stdout.contains("5 sent in ") && stdout.contains("204: 4  401: 1"),
        "{stdout}"
    );
    // No key would have changed that.
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("Nothing was signed"), "{stderr}");
    let mut stream = again.page.stream(None);
    stream.until(|row| row["n"] == 5 && row["status"] == 401);
    for (number, body) in bodies.iter().enumerate() {
        let details = again.page.details(number as u64 + 1);
        assert_eq!(details["query"], format!("n={number}"));
        assert_eq!(details["signature"], "valid", "{details}");
        assert_eq!(details["body"], crate::support::page::base64(body));
    }
    let fixture = again.page.get("/api/requests/4/fixture").body;
    std::fs::write(folder.path().join("one"), fixture).expect("it can be written");
    let one = folder.path().join("one");
    let output = replay(
        &again,
        one.to_str().expect("UTF-8"),
        &["--count", "2", "--rate", "50"],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for (more, code) in [(&["--tamper"][..], 2), (&["--stale"], 2)] {
        let output = replay(&again, file, more);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("a recording is sent as it is"), "{stderr}");
    }
}

#[test]
fn a_recording_overwrites_nothing_and_a_broken_one_names_its_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("there.ndjson");
    std::fs::write(&file, "{\"ringback_recording\":1}\n{\"at_ms\":1}\n")
        .expect("it can be written");
    let file = file.to_str().expect("UTF-8");
    let output = dev()
        .args(["--record", file])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("cannot create the recording") && stderr.contains("name a new file"),
        "{stderr}"
    );
    let output = ringback().args(["send", "--file", file]).output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("there.ndjson: line 2: missing field"),
        "{stderr}"
    );
}
