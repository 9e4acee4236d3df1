//! Kafka away: no answer changes until the journal's budget is used up.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::relay::{KEY, Relay, Site};
use crate::support::sender::Sender;
use crate::support::topic::{self, Acknowledged};
use crate::support::{events, eventually, is_long};

/// 50 events a second.
const PACE: Duration = Duration::from_millis(20);

/// Posts at [`PACE`] until `end`; each answer must be 204. Returns the next event's number and the latencies' 99th percentile.
fn post_paced(
    relay: &Relay,
    first: u64,
    end: impl Fn() -> bool,
    acknowledged: &mut Acknowledged,
) -> Result<(u64, Duration), Failed> {
    let mut sender = Sender::connect(relay.address, KEY)?;
    let mut latencies = Vec::new();
    let mut number = first;
    let begun = Instant::now();
    while !end() {
        let due = begun + PACE * u32::try_from(number - first)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let call = format!("call-{}", number % 20);
        let body = events::event(&call, number, 2_000);
        let sent = Instant::now();
        let answer = sender.post(&body)?;
        latencies.push(sent.elapsed());
        assert_eq!(answer.code, 204, "event {number}");
        acknowledged.entry(call).or_default().push(body);
        number += 1;
    }
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    Ok((number, p99))
}

pub fn an_outage(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("outage", 6, &[]);
    let length = Duration::from_secs(if is_long() { 340 } else { 20 });
    cluster.kill_all();
    // The brokers are not up yet when the relay starts.
    let site = Site::new(cluster, "outage", "");
    let relay = site.start();
    let mut acknowledged = Acknowledged::new();
    let begun = Instant::now();
    let short = || begun.elapsed() > Duration::from_secs(3);
    let (number, at_start) = post_paced(&relay, 0, short, &mut acknowledged)?;
    assert_eq!(relay.admin("/readyz").0, 200);
    cluster.start_all();
    eventually("what came before Kafka is published", || {
        relay.metric("ringback_journal_unpublished_events") == 0.0
    });
    eventually("the check reports no problem", || {
        relay.admin("/readyz?verbose").1.contains("[+]kafka")
    });
    let begun = Instant::now();
    let up = || begun.elapsed() > Duration::from_secs(5);
    let (number, with_kafka) = post_paced(&relay, number, up, &mut acknowledged)?;

    cluster.kill_all();
    let begun = Instant::now();
    let down = || begun.elapsed() > length;
    let (number, without) = post_paced(&relay, number, down, &mut acknowledged)?;
    assert_eq!(relay.admin("/readyz").0, 200);
    let words = relay.admin("/readyz?verbose").1;
    assert!(words.contains("[!]kafka"), "{words}");
    assert!(relay.metric("ringback_journal_unpublished_events") > 100.0);
    assert!(relay.metric("ringback_journal_oldest_unpublished_age_seconds") > 1.0);
    cluster.start_all();
    let begun = Instant::now();
    let after = || begun.elapsed() > Duration::from_secs(3);
    let (number, _) = post_paced(&relay, number, after, &mut acknowledged)?;
    eventually("everything is published", || {
        relay.metric("ringback_journal_unpublished_events") == 0.0
    });
    let repeated = topic::holds(&cluster.bootstrap, "outage", &acknowledged);
    eprintln!(
        "{number} events; p99 before Kafka {at_start:?}, with it {with_kafka:?}, in {length:?} without it {without:?}; \
         {repeated} repeated"
    );
    Ok(())
}

/// Fills the journal while Kafka is away; it must refuse, stay small, and accept again without help.
fn fill(cluster: &Cluster, name: &str, journal: &str) -> Result<(), Failed> {
    cluster.topic(name, 6, &[]);
    let site = Site::new(cluster, name, journal);
    let relay = site.start();
    cluster.kill_all();
    let mut acknowledged = Acknowledged::new();
    let mut sender = Sender::connect(relay.address, KEY)?;
    let mut refused = 0;
    let mut number = 0;
    let mut before = 0;
    while refused < 50 {
        let call = format!("call-{}", number % 20);
        let body = events::event(&call, number, 60_000);
        let answer = sender.post(&body)?;
        match answer.code {
            204 => {
                acknowledged.entry(call).or_default().push(body);
            }
            503 => {
                assert!(answer.retry_after.is_some_and(|seconds| seconds >= 1));
                refused += 1;
            }
            other => panic!("answered {other}"),
        }
        number += 1;
        assert!(number < 5_000, "a budget of 64 MiB never filled");
        if number == 10 {
            before = relay.resident_kib();
        }
    }
    assert!(number > 500, "refused after only {number} events");
    let grown = relay.resident_kib().saturating_sub(before);
    // librdkafka's queue takes 16 MiB, the rest is the allocator's; the backlog is four times the queue.
    assert!(grown < 32 * 1024, "memory grew by {grown} KiB");
    assert_eq!(relay.admin("/readyz").0, 200);
    cluster.start_all();
    // The old connection has been idle for as long as the brokers took, which may be longer than the relay allows.
    let mut sender = Sender::connect(relay.address, KEY)?;
    eventually("the relay accepts again", || {
        let body = events::event("after", number, 0);
        number += 1;
        let code = sender.post(&body).expect("an answer comes").code;
        if code == 204 {
            acknowledged
                .entry(String::from("after"))
                .or_default()
                .push(body);
        }
        code == 204
    });
    topic::holds(&cluster.bootstrap, name, &acknowledged);
    Ok(())
}

pub fn a_full_journal(cluster: &Cluster) -> Result<(), Failed> {
    fill(
        cluster,
        "full-small",
        "segment_size = \"8MiB\"\nbudget = \"64MiB\"",
    )?;
    fill(cluster, "full-default", "budget = \"64MiB\"")
}
