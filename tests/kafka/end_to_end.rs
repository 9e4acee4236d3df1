//! From request to topic, without faults.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::prometheus::Prometheus;
use crate::support::relay::{KEY, Relay, Site};
use crate::support::sender::Sender;
use crate::support::{events, eventually, topic};

/// Posts `bodies` on eight connections, a call's events on one of them; returns the answers' codes.
fn post_all(relay: &Relay, key: &str, bodies: &[Vec<u8>]) -> Vec<u16> {
    const CONNECTIONS: usize = 8;
    let mut lanes = vec![Vec::new(); CONNECTIONS];
    let mut lane_of = HashMap::new();
    for body in bodies {
        let next = lane_of.len() % CONNECTIONS;
        let lane = *lane_of.entry(events::key(body)).or_insert(next);
        lanes[lane].push(body.clone());
    }
    let address = relay.address;
    let threads: Vec<_> = lanes
        .into_iter()
        .map(|lane| {
            let key = key.to_owned();
            std::thread::spawn(move || {
                let mut sender = Sender::connect(address, &key).expect("the relay listens");
                let post = |body: &Vec<u8>| sender.post(body).expect("an answer comes").code;
                lane.iter().map(post).collect::<Vec<_>>()
            })
        })
        .collect();
    threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("a sender ends"))
        .collect()
}

pub fn each_event_arrives(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("way", 6, &[]);
    let site = Site::new(cluster, "way", "");
    let relay = site.start();
    let samples = events::samples();
    assert_eq!(post_all(&relay, KEY, &samples), vec![204; 63]);

    let records = topic::read_until(&cluster.bootstrap, "way", |records| records.len() >= 63);
    assert_eq!(records.len(), 63);
    let mut positions = HashSet::new();
    for record in &records {
        let header = |name: &str| record.headers.get(name).map(String::as_str);
        let body: serde_json::Value = serde_json::from_slice(&record.value)?;
        let kind = body["event"].as_str().expect("a sample has an event");
        assert_eq!(record.key, events::key(&record.value));
        assert_eq!(header("ce_specversion"), Some("1.0"));
        assert_eq!(header("ce_source"), Some("urn:ringback:retell"));
        assert_eq!(header("ce_type"), Some(format!("retell.{kind}").as_str()));
        assert_eq!(header("ce_subject"), record.key.as_deref());
        assert_eq!(header("content-type"), Some("application/json"));
        let id = hex::encode(&blake3::hash(&record.value).as_bytes()[..16]);
        assert_eq!(header("ce_id"), Some(id.as_str()));
        let time = header("ce_time").expect("a time");
        assert!(time.ends_with('Z') && humantime::parse_rfc3339(time).is_ok());
        assert_eq!(header("ringback_journal").map(str::len), Some(32));
        let position: u64 = header("ringback_position").expect("a position").parse()?;
        assert!(positions.insert(position));
    }
    // Byte for byte, and in order for each call.
    let of = |key: &Option<String>| -> Vec<&[u8]> {
        let theirs = records.iter().filter(|record| record.key == *key);
        theirs.map(|record| &record.value[..]).collect()
    };
    let keys: HashSet<_> = samples.iter().map(|body| events::key(body)).collect();
    for key in keys {
        let posted = samples.iter().filter(|body| events::key(body) == key);
        let posted: Vec<_> = posted.map(Vec::as_slice).collect();
        // Without a key there is no order to keep.
        if key.is_some() {
            assert_eq!(of(&key), posted, "{key:?}");
        } else {
            let (arrived, posted): (HashSet<_>, HashSet<_>) =
                (of(&key).into_iter().collect(), posted.into_iter().collect());
            assert_eq!(arrived, posted);
        }
    }
    Ok(())
}

pub fn a_wrong_key(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("wrong", 1, &[]);
    let site = Site::new(cluster, "wrong", "");
    let relay = site.start();
    let samples = events::samples();
    assert_eq!(post_all(&relay, "key_of_somebody", &samples), vec![401; 63]);
    assert!(relay.metrics().contains(
        "ringback_http_rejections_total{reason=\"signature_mismatch\",source=\"retell\"} 63"
    ));
    assert_eq!(relay.metric("ringback_events_accepted_total"), 0.0);
    // An event with the right key after them is the first on disk and in the topic.
    let mut sender = Sender::connect(relay.address, KEY)?;
    let good = events::event("good", 0, 0);
    assert_eq!(sender.post(&good)?.code, 204);
    let records = topic::read_until(&cluster.bootstrap, "wrong", |records| !records.is_empty());
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].value, good);
    relay.kill();
    for entry in std::fs::read_dir(site.journal())? {
        let content = std::fs::read(entry?.path())?;
        // The reserved zeros at a segment's end are no event.
        let used = content.iter().rposition(|byte| *byte != 0);
        let used = &content[..used.map_or(0, |last| last + 1)];
        for body in &samples {
            let start = &body[..64.min(body.len())];
            assert!(
                !used.windows(start.len()).any(|window| window == start),
                "a refused body is on disk"
            );
        }
    }
    Ok(())
}

/// The identity of the counters at rest (README.md, Metrics).
fn assert_identity(relay: &Relay) {
    let metric = |name: &str| relay.metric(&format!("ringback_{name}"));
    let unpublished = metric("journal_recovered_events") + metric("events_accepted_total")
        - metric("publish_delivered_total")
        - metric("dead_letters_total")
        - metric("journal_corrupt_records_total");
    assert_eq!(unpublished, metric("journal_unpublished_events"));
}

pub fn metrics(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("metrics", 3, &[]);
    let site = Site::new(cluster, "metrics", "");
    for round in 1..=2 {
        let relay = site.start();
        assert_eq!(post_all(&relay, KEY, &events::samples()), vec![204; 63]);
        eventually("everything is published", || {
            relay.metric("ringback_journal_unpublished_events") == 0.0
                && relay.metric("ringback_publish_delivered_total") >= 63.0
        });
        assert_identity(&relay);
        assert!(
            relay.metric("ringback_events_accepted_total") == 63.0,
            "round {round}"
        );
        check_with_promtool(&relay.metrics())?;
        check_with_prometheus(&relay);
        if round == 1 {
            relay.terminate();
            assert!(relay.wait(crate::support::PATIENCE).success());
        }
    }
    Ok(())
}

/// Debian's package `prometheus` has both tools; without it the check is left out, unless `CI` is set.
fn is_there(tool: &str) -> bool {
    let found = crate::support::is_on_path(tool);
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{tool} must be there where CI is set"
    );
    if !found {
        eprintln!("{tool} is not on the path: its check is left out");
    }
    found
}

/// Checks that a real Prometheus takes the page, and that the identity holds in PromQL in each of several scrapes at rest.
fn check_with_prometheus(relay: &Relay) {
    if !is_there("prometheus") {
        return;
    }
    let prometheus = Prometheus::scraping(relay.admin);
    assert_eq!(
        prometheus.value("sum(ringback_events_accepted_total)"),
        63.0
    );
    let off = "max_over_time((sum(ringback_journal_recovered_events) + sum(ringback_events_accepted_total) \
        - sum(ringback_publish_delivered_total) - sum(ringback_dead_letters_total) \
        - sum(ringback_journal_corrupt_records_total) - sum(ringback_journal_unpublished_events))[10s:1s])";
    eventually("it has scraped three times", || {
        prometheus.value("count_over_time(up[1m])") >= 3.0
    });
    assert_eq!(prometheus.value(off), 0.0);
}

fn check_with_promtool(page: &str) -> Result<(), Failed> {
    if !is_there("promtool") {
        return Ok(());
    }
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    let words = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && words.is_empty(),
        "{}",
        String::from_utf8_lossy(&words)
    );
    Ok(())
}
