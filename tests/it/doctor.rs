//! `ringback doctor` before librdkafka's mock, which answers only some of its questions, and before nobody.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::thread;

use serde_json::Value;

use crate::support::dev::{ringback, text};
use crate::support::mock_kafka::MockKafka;
use crate::support::server::write_config;

const JOURNAL: &str = "budget = \"64MiB\"\nsegment_size = \"1MiB\"";

fn doctor(config: &Path, words: &[&str]) -> Output {
    let mut command = ringback();
    command
        .arg("doctor")
        .arg("--config")
        .arg(config)
        .args(words);
    let command = command.env("RETELL_API_KEY", "key_of_the_test");
    command.output().expect("the binary runs")
}

#[test]
fn a_cluster_that_answers_only_some_questions_gets_what_is_fine_and_what_is_unknown() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), &kafka.bootstrap, "", JOURNAL);
    let output = doctor(&config, &[]);
    let printed = text(&output.stdout);
    // A pipe gets no colour.
    assert!(!printed.contains('\u{1b}'), "{printed:?}");
    for line in [
        "ok       connected to 1 broker: ",
        "ok       the disk has room for journal.budget, 64.0 MiB",
        "unknown  the configuration of topic \"retell-events\": ",
        "unknown  whether User:ANONYMOUS may write to topic \"retell-events\": not asked: ",
        "warning  too-few-partitions: topic \"retell-events\" has 1 partition on 1 broker\n  why    ",
        "warning  replication: ",
    ] {
        assert!(printed.contains(line), "{line:?} is not in {printed}");
    }
    assert!(printed.contains("\n0 errors, "), "{printed}");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // Neither a folder nor a record is left behind.
    assert!(!folder.path().join("journal").exists());
    let output = doctor(&config, &["--write"]);
    let printed = text(&output.stdout);
    let first = "partition 0, offset 0)";
    assert!(printed.contains(first), "{printed}{}", text(&output.stderr));
    let records = kafka.read(1);
    assert_eq!(records[0].key.as_deref(), Some("ringback_doctor"));
    assert_eq!(records[0].header("ringback_doctor"), Some("1"));
}

#[test]
fn what_would_stop_events_makes_the_exit_code_1() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it has one").to_string();
    drop(free);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), &address, "", JOURNAL);
    // A file where the journal's folder is to be.
    fs::write(folder.path().join("journal"), "").expect("it is written");
    let output = doctor(&config, &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ids: Vec<_> = report["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|finding| finding["level"] == "error")
        .map(|finding| finding["id"].as_str().expect("a text"))
        .collect();
    assert_eq!(
        ids,
        ["journal-unusable", "broker-unreachable"],
        "{report:#}"
    );
    assert_eq!(report["errors"], 2);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("findings that would stop or refuse events: 2"),
        "{said}"
    );
}

#[test]
fn a_web_server_in_the_place_of_a_broker_is_named() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = server.local_addr().expect("it has one").to_string();
    thread::spawn(move || {
        while let Ok((mut client, _)) = server.accept() {
            let mut first = [0; 64];
            let asked = client.read(&mut first);
            // The client may have gone.
            let _ = asked.and_then(|_| client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), &address, "", JOURNAL);
    let printed = text(&doctor(&config, &[]).stdout);
    let found = format!("error    not-kafka: {address} speaks HTTP and not Kafka's\n  why    ");
    assert!(printed.contains(&found), "{printed}");
    assert!(
        printed.contains("\n  do     correct \"bootstrap.servers\"\n"),
        "{printed}"
    );
}

#[test]
fn an_invalid_configuration_is_78_as_for_check() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), "localhost:9092", "max_body = \"no\"", "");
    let output = doctor(&config, &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("listen.max_body"));
    assert_eq!(
        doctor(&config, &["--events-per-second", "0"]).status.code(),
        Some(2)
    );
}
