//! `ringback doctor` before wrong set-ups of a real Kafka and a real disk: each gets its own finding, with its remedy, and no other.

mod set_ups;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use libtest_mimic::Failed;
use serde_json::Value;

use crate::support::clock::Clock;
use crate::support::cluster::Cluster;
use crate::support::relay::Site;
use crate::support::topic::counts;

use self::set_ups::{SetUp, all, with_user};

/// The smallest budget keeps the room of this machine's disk out of the findings.
const JOURNAL: (&str, &str) = ("journal", "budget = \"64MiB\"\nsegment_size = \"1MiB\"");

/// What may be found on any machine, or is so on a cluster of one broker.
const ALWAYS: [&str; 3] = ["journal-file-system", "slow-sync", "replication"];

/// A site that differs from a good one in these lines.
fn site(bootstrap: &str, topic: &str, journal: Option<PathBuf>, more: &[(&str, String)]) -> Site {
    let lines = more.iter().map(|(section, line)| (*section, line.as_str()));
    let has_journal = more.iter().any(|(section, _)| *section == "journal");
    let own = (!has_journal).then_some(JOURNAL);
    Site::of(
        bootstrap,
        topic,
        journal,
        &own.into_iter().chain(lines).collect::<Vec<_>>(),
    )
}

fn doctor(site: &Site) -> Command {
    let mut command = site.tool(&["doctor", "--json"]);
    let passwords = [("KAFKA_PASSWORD", "relay-secret"), ("WRONG_PASSWORD", "no")];
    command.envs(passwords);
    command
}

/// The findings and the exit code.
fn report(mut command: Command) -> (Value, Option<i32>) {
    let Output {
        stdout,
        stderr,
        status,
    } = command.output().expect("the binary runs");
    let words = String::from_utf8_lossy(&stderr);
    let report = serde_json::from_slice(&stdout);
    (
        report.unwrap_or_else(|error| panic!("{error}: {words}")),
        status.code(),
    )
}

/// Those that are not found everywhere, as `level id`.
fn names(report: &Value, expected: &str) -> Vec<String> {
    let findings = report["findings"].as_array().expect("a list").iter();
    let named = findings.filter(|finding| {
        let id = finding["id"].as_str().expect("a text");
        expected.ends_with(id) || !ALWAYS.contains(&id)
    });
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let names =
        named.map(|finding| format!("{} {}", text(&finding["level"]), text(&finding["id"])));
    names.collect()
}

fn assert_found(set_up: &SetUp, report: &Value, code: Option<i32>) {
    let what = set_up.what;
    assert_eq!(
        names(report, set_up.finding),
        [set_up.finding],
        "{what}: {report:#}"
    );
    let findings = report["findings"].as_array().expect("a list").iter();
    let mut findings = findings.filter(|found| {
        set_up
            .finding
            .ends_with(found["id"].as_str().unwrap_or_default())
    });
    let found = findings.next().expect("it was found");
    let remedy = found["remedy"].as_str().expect("a text");
    for words in &set_up.remedy {
        assert!(remedy.contains(words.as_str()), "{what}: {remedy}");
    }
    assert!(!found["why"].as_str().expect("a text").is_empty());
    let is_error = set_up.finding.starts_with("error");
    assert_eq!(code, Some(i32::from(is_error)), "{what}: {report:#}");
    eprintln!("{what}: {}: {}: {remedy}", set_up.finding, found["what"]);
}

pub fn set_ups(three: &Cluster) -> Result<(), Failed> {
    let one = Cluster::start_mistaken();
    let set_ups = all(&one, three);
    let mut found = BTreeSet::new();
    for set_up in &set_ups {
        let site = site(
            &set_up.bootstrap,
            set_up.topic,
            set_up.journal.clone(),
            &set_up.lines,
        );
        let (report, code) = report(doctor(&site));
        assert_found(set_up, &report, code);
        found.insert(set_up.finding);
    }
    assert!(found.len() >= 15, "{found:?}");
    healthy(&one);
    few_descriptors(&one);
    clocks(&one);
    Ok(())
}

/// All is well, and only `--write` writes.
fn healthy(cluster: &Cluster) {
    let sasl = cluster.bootstrap_sasl.as_deref().expect("a listener");
    for (user, operation) in [("relay", "Write"), ("relay", "DescribeConfigs")] {
        cluster.allow(user, operation, "good");
    }
    let site = site(sasl, "good", None, &with_user("KAFKA_PASSWORD"));
    let records = || counts(&cluster.bootstrap, "good").iter().sum::<i64>();
    let (seen, code) = report(doctor(&site));
    assert_eq!((names(&seen, ""), code), (vec![], Some(0)), "{seen:#}");
    let fine = seen["ok"].to_string();
    assert!(fine.contains("User:relay may write to topic"), "{fine}");
    assert_eq!(records(), 0, "it asked for the permission without a record");
    let mut command = doctor(&site);
    command.arg("--write");
    let (seen, code) = report(command);
    assert_eq!((names(&seen, ""), code), (vec![], Some(0)), "{seen:#}");
    assert!(
        seen["ok"].to_string().contains("acknowledged after"),
        "{seen:#}"
    );
    assert_eq!(records(), 1);
}

fn few_descriptors(cluster: &Cluster) {
    let site = site(&cluster.bootstrap, "good", None, &[]);
    let own = doctor(&site);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 512 && exec \"$0\" \"$@\""]);
    limited.arg(own.get_program()).args(own.get_args());
    for (name, value) in own.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    let (seen, code) = report(limited);
    let expected = "warning descriptor-limit";
    assert_eq!(
        (names(&seen, ""), code),
        (vec![expected.to_owned()], Some(0)),
        "{seen:#}"
    );
}

/// The controller tells its time to whoever has no login; otherwise only a record that the broker stamps, or refuses for its time,
/// shows a difference.
fn clocks(cluster: &Cluster) {
    let stamps = [
        ("message.timestamp.type", "LogAppendTime"),
        ("max.message.bytes", "8454144"),
    ];
    cluster.topic("stamped", 2, &stamps);
    cluster.allow("relay", "Write", "stamped");
    cluster.allow("relay", "DescribeConfigs", "stamped");
    let sasl = cluster.bootstrap_sasl.as_deref().expect("a listener");
    for (topic, has_login, seconds, expected) in [
        ("good", false, -600, "warning clock"),
        ("good", false, 0, ""),
        // Kafka takes nothing from more than an hour ahead.
        ("good", false, 7_200, "error clock"),
        ("stamped", true, 600, "warning clock"),
        ("good", true, 7_200, "error clock"),
    ] {
        let clock = Clock::new();
        clock.set(seconds);
        let (bootstrap, login) = if has_login {
            (sasl, with_user("KAFKA_PASSWORD"))
        } else {
            (cluster.bootstrap.as_str(), vec![])
        };
        let site = site(bootstrap, topic, None, &login);
        let mut command = doctor(&site);
        command.envs(clock.environment());
        if has_login {
            command.arg("--write");
        }
        let (seen, _) = report(command);
        let expected = Some(expected.to_owned()).filter(|name| !name.is_empty());
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(names(&seen, ""), expected, "{seconds}: {seen:#}");
        eprintln!("a clock {seconds} s ahead: {expected:?}");
    }
}
