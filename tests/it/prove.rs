//! `ringback prove` against relays that break the promise in known ways, and against the real relay.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::bad_relay::{BadRelay, Fault, TOPIC};
use crate::support::dev::{Dev, ringback};
use crate::support::server::PATIENCE;

/// Events small enough for the mock's partitions.
const LOAD: [&str; 7] = [
    "--calls",
    "12",
    "--connections",
    "4",
    "--size",
    "600B",
    "--json",
];
/// Events per second, for one second.
const RATE: u64 = 200;

/// Ends once everything has arrived, or after this bound: a busy machine may be slow.
const SETTLE: &str = "2m";
/// If something never arrives, this is how long the proof takes: long enough for the rest to arrive on a busy machine.
const SETTLE_WITHOUT_HOPE: &str = "20s";
/// How long a command may take.
const END: Duration = Duration::from_mins(4);

fn prove(
    address: &str,
    bootstrap: &str,
    topic: &str,
    key: Option<&str>,
    (rate, settle): (u64, &str),
) -> (Output, Value) {
    let rate = rate.to_string();
    let times = ["--duration", "1s", "--settle", settle, "--rate", &rate];
    prove_with(address, bootstrap, topic, key, &times)
}

/// For relays that end the proof at once; else it would take hours.
fn prove_briefly(
    address: &str,
    bootstrap: &str,
    topic: &str,
    key: Option<&str>,
) -> (Output, Value) {
    let times = ["--duration", "4h", "--settle", "4h", "--rate", "4"];
    prove_with(address, bootstrap, topic, key, &times)
}

fn prove_with(
    address: &str,
    bootstrap: &str,
    topic: &str,
    key: Option<&str>,
    times: &[&str],
) -> (Output, Value) {
    let mut command = ringback();
    command.args(["prove", "--url", &format!("http://{address}/webhook")]);
    command.args(["--bootstrap", bootstrap, "--topic", topic]);
    command.args(times).args(LOAD);
    if let Some(key) = key {
        command.env("RETELL_API_KEY", key);
    }
    let output = bounded(&mut command);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output, report)
}

/// The command's output; it must end.
fn bounded(command: &mut Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let deadline = Instant::now() + END;
    // Its output fits into a pipe, so that it does not block.
    while child.try_wait().expect("it can be waited for").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("it still runs");
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("it has ended")
}

/// Proves a relay with this fault; returns the exit code, the report, and how often the fault was committed.
fn against(fault: Fault) -> (Option<i32>, Value, u64) {
    let settle = match fault {
        Fault::Drop => SETTLE_WITHOUT_HOPE,
        _ => SETTLE,
    };
    let relay = BadRelay::start(fault);
    let (output, report) = prove(
        &relay.address.to_string(),
        &relay.bootstrap,
        TOPIC,
        None,
        (RATE, settle),
    );
    let faults = relay.faults();
    assert!(faults > 0, "the fault was never committed");
    (output.status.code(), report, faults)
}

/// The figures that are 0 with a sound relay, but are not 0 in this report.
fn blemishes(report: &Value) -> Vec<(&str, u64)> {
    const NAMES: [&str; 10] = [
        "lost",
        "out_of_order",
        "changed",
        "wrong_key",
        "duplicated",
        "delivered_unacknowledged",
        "foreign",
        "given_up",
        "unanswered",
        "not_sent",
    ];
    let figure = |name| report[name].as_u64().expect("every figure is a number");
    let figures = NAMES.map(|name| (name, figure(name)));
    figures
        .into_iter()
        .filter(|(_, figure)| *figure > 0)
        .collect()
}

fn assert_broken(fault: Fault, figure: &str) -> Value {
    let (code, report, faults) = against(fault);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(blemishes(&report), [(figure, faults)], "{report}");
    assert_eq!(report["kept"], false);
    assert_eq!(report["sent"], RATE);
    assert_eq!(report["acknowledged"], RATE);
    let violations = report["violations"].as_array().expect("a list");
    assert_eq!(violations.len() as u64, faults.min(10), "{report}");
    report
}

fn assert_kept(fault: Fault, expected: impl Fn(u64) -> Vec<(&'static str, u64)>) -> (Value, u64) {
    let (code, report, faults) = against(fault);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(blemishes(&report), expected(faults), "{report}");
    assert_eq!(report["kept"], true);
    assert_eq!(report["acknowledged"], RATE);
    assert_eq!(report["delivered"], RATE);
    (report, faults)
}

#[test]
fn a_relay_that_drops_is_caught() {
    let report = assert_broken(Fault::Drop, "lost");
    assert_eq!(report["violations"][0]["breach"], "lost");
    assert_eq!(report["violations"][0]["bytes"], 600);
    assert_eq!(
        report["unread"],
        Value::Null,
        "the topic was read to its end"
    );
}

#[test]
fn a_relay_that_reorders_within_a_call_is_caught() {
    let report = assert_broken(Fault::Reorder, "out_of_order");
    assert_eq!(report["delivered"], RATE);
}

#[test]
fn a_relay_that_parses_and_serialises_is_caught() {
    let report = assert_broken(Fault::Reserialise, "changed");
    assert_eq!(report["changed"], RATE);
    assert_eq!(report["delivered"], RATE);
}

#[test]
fn a_relay_that_truncates_is_caught() {
    assert_broken(Fault::Truncate, "changed");
}

#[test]
fn a_relay_that_takes_another_key_is_caught() {
    let (code, report, faults) = against(Fault::WrongKey);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["wrong_key"], faults);
    assert_eq!(
        (&report["lost"], &report["changed"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn a_relay_that_repeats_is_not_blamed() {
    assert_kept(Fault::Duplicate, |faults| vec![("duplicated", faults)]);
}

#[test]
fn a_refused_event_that_was_delivered_is_retried_and_counts_as_a_duplicate() {
    let (report, faults) = assert_kept(Fault::RefuseWhatLanded, |faults| {
        vec![("duplicated", faults)]
    });
    assert_eq!(report["refused"]["503"], faults);
}

#[test]
fn a_broken_connection_is_replaced_and_its_event_retried() {
    let (report, faults) = assert_kept(Fault::HangUp, |faults| {
        vec![("duplicated", faults), ("unanswered", faults)]
    });
    assert!(faults >= 10, "{faults}");
    let words = report["last_fault"].as_str().expect("a reason");
    assert!(words.starts_with("no answer: "), "{words}");
}

#[test]
fn nothing_acknowledged_is_no_proof() {
    let relay = BadRelay::start(Fault::RefuseAll);
    let address = relay.address.to_string();
    // One event on each connection: four tries take their time.
    let (output, report) = prove(&address, &relay.bootstrap, TOPIC, None, (4, SETTLE));
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(
        words.contains("nothing was acknowledged") && words.contains("503"),
        "{words}"
    );
    assert_eq!(report["acknowledged"], 0);
    assert_eq!(report["kept"], false);
    assert_eq!(report["given_up"], report["sent"]);
    assert_eq!(report["refused"]["503"], relay.faults());
}

#[test]
fn the_real_relay_passes_with_signatures_required() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dev = Dev::start(&["--require-signature"], Some("key_1"), temporary.path());
    let (address, bootstrap) = (dev.address(), dev.bootstrap());
    let load = (RATE, SETTLE);
    let (output, report) = prove(
        &address,
        &bootstrap,
        "retell-events",
        Some(" key_1\n"),
        load,
    );
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    let signing = "signed with the key in the environment variable RETELL_API_KEY";
    assert!(words.contains(signing), "{words}");
    assert_eq!(report["signing"], signing);
    assert_eq!(blemishes(&report), [], "{report}");
    assert_eq!(report["delivered"], RATE);
    for times in ["acknowledgement_ms", "arrival_ms"] {
        let time = |name: &str| report[times][name].as_f64().expect("a time");
        assert!(time("p50") > 0.0 && time("p50") <= time("p99") && time("p99") <= time("max"));
    }
    let (output, report) = prove_briefly(&address, &bootstrap, "retell-events", Some("key_2"));
    assert_eq!(report["sent"], 1, "the first 401 ends the proof");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("answered 401"), "{words}");
    assert_eq!(report["acknowledged"], 0);
    assert_eq!(dev.interrupt(), Some(0));
}

#[test]
fn a_missing_relay_is_reported_at_once_with_the_remedy() {
    let relay = BadRelay::start(Fault::RefuseAll);
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = unused.local_addr().expect("it has one").to_string();
    drop(unused);
    let (output, report) = prove_briefly(&address, &relay.bootstrap, TOPIC, None);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(
        words.contains("cannot connect: Connection refused")
            && words.contains("is --url the relay's webhook, and the relay up?"),
        "{words}"
    );
    assert_eq!(
        (&report["sent"], &report["not_sent"]),
        (&1.into(), &0.into())
    );
    assert_eq!(report["interrupted"], false);
}

#[test]
fn a_missing_topic_ends_it_before_anything_is_sent() {
    // This relay counts every request as a fault.
    let relay = BadRelay::start(Fault::RefuseAll);
    let url = format!("http://{}/webhook", relay.address);
    let output = ringback()
        .args(["prove", "--url", &url, "--bootstrap", &relay.bootstrap])
        .args(["--topic", "another", "--duration", "1s"])
        .output()
        .expect("the binary runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("there is no topic another"), "{words}");
    assert_eq!(relay.faults(), 0, "something was sent");
}

#[test]
fn ctrl_c_ends_the_sending_early_and_still_prints_the_ledger() {
    let relay = BadRelay::start(Fault::Duplicate);
    let url = format!("http://{}/webhook", relay.address);
    let child = ringback()
        .args(["prove", "--url", &url, "--bootstrap", &relay.bootstrap])
        .args([
            "--topic",
            TOPIC,
            "--size",
            "600B",
            "--duration",
            "1h",
            "--json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let deadline = Instant::now() + PATIENCE;
    while relay.faults() < 10 {
        assert!(Instant::now() < deadline, "nothing is sent");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it still runs");
    let output = child.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the ledger");
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["delivered"], report["sent"]);
    assert_eq!(report["duplicated"], relay.faults());
}
