//! Faults of the topic: it is missing, deleted, forbidden, or takes less than ringback does.

use std::time::Instant;

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::load::{Load, Tally};
use crate::support::relay::{KEY, Relay, Site};
use crate::support::sender::Sender;
use crate::support::topic::{self, Acknowledged};
use crate::support::{events, eventually};

/// Events a second.
const RATE: u32 = 200;
/// For 30 s after it last saw a topic, librdkafka assumes that it exists; shorter here, so that reports fail within the test.
const SHORT_PROPAGATION: (&str, &str) = (
    "kafka.client",
    "\"topic.metadata.propagation.max.ms\" = 2000",
);

/// Waits until the relay's check for Kafka fails with these words.
fn await_words(relay: &Relay, words: &str) {
    eventually(words, || {
        let text = relay.admin("/readyz?verbose").1;
        text.lines()
            .any(|line| line.contains("[!]kafka") && line.contains(words))
    });
    assert_eq!(relay.admin("/readyz").0, 200, "it is ready without Kafka");
}

/// Lets the load go on for a moment, then checks that everything arrives.
fn finish(relay: &Relay, load: Load, fault: &str, bootstrap: &str, topic: &str) -> Tally {
    let over = Instant::now();
    load.await_acknowledged(u64::from(RATE) / 2);
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    let fault = format!("{fault}, drained {:.1?} after it", over.elapsed());
    tally.assert_kept(&fault, bootstrap, topic);
    tally
}

pub fn missing(cluster: &Cluster) -> Result<(), Failed> {
    let site = Site::of(&cluster.bootstrap, "missing", None, &[SHORT_PROPAGATION]);
    let relay = site.start();
    // Nothing is posted yet: a misspelt topic is reported before the first event comes.
    await_words(&relay, "Kafka has no topic \"missing\"");
    let load = Load::start(&relay, "missing", RATE, 300);
    load.await_acknowledged(u64::from(RATE));
    // Nothing is sent before the number of its partitions is known, so nothing can fail either.
    assert!(relay.metric("ringback_journal_unpublished_events") > 0.0);
    assert_eq!(relay.metric("ringback_publish_in_flight"), 0.0);
    assert_eq!(relay.metric("ringback_dead_letters_total"), 0.0);
    cluster.topic("missing", 6, &[]);
    finish(
        &relay,
        load,
        "a topic made late",
        &cluster.bootstrap,
        "missing",
    );
    assert_eq!(relay.metric("ringback_dead_letters_total"), 0.0);
    Ok(())
}

/// The relay notices the topic even if there is no event to deliver.
pub fn made_while_idle(cluster: &Cluster) -> Result<(), Failed> {
    let site = Site::of(&cluster.bootstrap, "idle", None, &[SHORT_PROPAGATION]);
    let relay = site.start();
    await_words(&relay, "Kafka has no topic \"idle\"");
    cluster.topic("idle", 1, &[]);
    eventually("the relay sees the topic", || {
        relay.admin("/readyz?verbose").1.contains("[+]kafka ok")
    });
    Ok(())
}

pub fn recreated(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("again", 6, &[]);
    let site = Site::of(&cluster.bootstrap, "again", None, &[SHORT_PROPAGATION]);
    let relay = site.start();
    // What Kafka has acknowledged is lost with the topic, so this load is not checked for arrival.
    let before = Load::start(&relay, "before", RATE, 300);
    before.await_acknowledged(u64::from(RATE));
    cluster.delete_topic("again");
    // No broker takes a record for the old topic any more, so each of these must be in the new one.
    let after = Load::start(&relay, "after", RATE, 300);
    await_words(&relay, "UnknownTopic");
    cluster.topic("again", 6, &[]);
    before.end().assert_all_accepted();
    let name = "a topic deleted and made again";
    finish(&relay, after, name, &cluster.bootstrap, "again");
    Ok(())
}

pub fn permission(_: &Cluster) -> Result<(), Failed> {
    let cluster = Cluster::start_guarded();
    // The test's own listener has no password; ANONYMOUS may read and make topics, and the relay may do nothing.
    cluster.allow("ANONYMOUS", "All", "guarded");
    cluster.topic("guarded", 3, &[]);
    let sasl = cluster
        .bootstrap_sasl
        .as_deref()
        .ok_or("no SASL listener")?;
    let client = [
        ("kafka.client", "\"security.protocol\" = \"SASL_PLAINTEXT\""),
        ("kafka.client", "\"sasl.mechanisms\" = \"PLAIN\""),
        ("kafka.client", "\"sasl.username\" = \"relay\""),
        (
            "kafka.client",
            "\"sasl.password\" = { env = \"KAFKA_PASSWORD\" }",
        ),
        SHORT_PROPAGATION,
    ];
    let site = Site::of(sasl, "guarded", None, &client);
    let relay = site.start_with(&[("KAFKA_PASSWORD", "relay-secret")]);
    let load = Load::start(&relay, "guarded", RATE, 300);
    await_words(&relay, "TopicAuthorizationFailed");
    cluster.allow("relay", "Write", "guarded");
    relay_catches_up(&relay);
    cluster.forbid("relay", "Write", "guarded");
    await_words(&relay, "TopicAuthorizationFailed");
    cluster.allow("relay", "Write", "guarded");
    let name = "permission refused, granted, taken back, granted";
    finish(&relay, load, name, &cluster.bootstrap, "guarded");
    assert_eq!(relay.metric("ringback_dead_letters_total"), 0.0);
    Ok(())
}

/// A backlog, and batches of the user's own size that are far larger than what the topic takes.
pub fn large_batches(cluster: &Cluster) -> Result<(), Failed> {
    let lines = [
        "\"batch.size\" = 1000000",
        "\"linger.ms\" = 200",
        "\"compression.codec\" = \"none\"",
    ];
    let client = lines.map(|line| ("kafka.client", line));
    let site = Site::of(&cluster.bootstrap, "batches", None, &client);
    let relay = site.start();
    let load = Load::start(&relay, "batches", 0, 10_000);
    load.await_acknowledged(1_000);
    let tally = load.end();
    tally.assert_all_accepted();
    let begun = Instant::now();
    cluster.topic("batches", 1, &[("max.message.bytes", "100000")]);
    relay.await_drained();
    let rebuilds = relay.metric("ringback_publish_rebuilds_total");
    let name = format!(
        "batches of 1 MB, 100 kB taken, records of 10 kB: drained in {:.1?}, {rebuilds} more producers",
        begun.elapsed()
    );
    tally.assert_kept(&name, &cluster.bootstrap, "batches");
    assert_eq!(relay.metric("ringback_dead_letters_total"), 0.0);
    // Each halving takes one producer for single records and one for batches: from 1,000,000 to 62,500 in four.
    assert!(
        (1.0..=10.0).contains(&rebuilds),
        "{rebuilds} more producers"
    );
    Ok(())
}

fn relay_catches_up(relay: &Relay) {
    eventually("the backlog is gone though the load goes on", || {
        relay.metric("ringback_journal_unpublished_events") < f64::from(RATE)
            && relay.admin("/readyz?verbose").1.contains("[+]kafka")
    });
}

pub fn too_large(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("limit", 2, &[("max.message.bytes", "20000")]);
    let site = Site::new(cluster, "limit", "");
    let relay = site.start();
    let mut sender = Sender::connect(relay.address, KEY)?;
    let mut acknowledged = Acknowledged::new();
    let mut large = Vec::new();
    for number in 0..300 {
        let call = format!("limit-{}", number % 3);
        let is_large = [50, 51, 170].contains(&number);
        let body = if is_large {
            events::noisy_event(&call, number, 70_000)
        } else {
            events::event(&call, number, 200)
        };
        assert_eq!(sender.post(&body)?.code, 204, "event {number}");
        if is_large {
            large.push(body);
        } else {
            acknowledged.entry(call).or_default().push(body);
        }
    }
    relay.await_drained();
    assert_eq!(
        relay.metric("ringback_dead_letters_total{reason=\"too_large\"}"),
        3.0
    );
    let repeated = topic::holds(&cluster.bootstrap, "limit", &acknowledged);
    let mut dead_letters = Vec::new();
    for entry in std::fs::read_dir(site.journal().join("dead-letters"))? {
        let content = std::fs::read(entry?.path())?;
        let end = content.iter().position(|byte| *byte == b'\n');
        dead_letters.push(content[end.ok_or("no first line")? + 1..].to_vec());
    }
    dead_letters.sort();
    large.sort();
    assert!(
        dead_letters == large,
        "the dead letters are not the large bodies"
    );
    eprintln!(
        "records over the topic's limit: 3 of 300 dead-lettered, 297 delivered in order, {repeated} repeated, {} producers",
        relay.metric("ringback_publish_rebuilds_total") + 1.0
    );
    Ok(())
}
