//! Outages longer than what a topic keeps, or takes, by the records' timestamps.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::load::{Load, Tally};
use crate::support::relay::{Relay, Site};
use crate::support::topic;

/// Events a second, and how many are in flight or in the journal as Kafka goes.
const RATE: u32 = 200;
const EVENTS: u64 = 300;
/// The topic's bound, and an outage longer than it.
const BOUND: Duration = Duration::from_secs(20);
const BOUND_MS: &str = "20000";
const OUTAGE: Duration = Duration::from_secs(26);

/// Some events before the outage, most in it; returns when all are published.
fn outlast(cluster: &Cluster, relay: &Relay, name: &str) -> Tally {
    let load = Load::start(relay, name, RATE, 300);
    load.await_acknowledged(EVENTS / 3);
    cluster.kill_all();
    load.await_acknowledged(EVENTS);
    let tally = load.end();
    tally.assert_all_accepted();
    std::thread::sleep(OUTAGE);
    cluster.start_all();
    relay.await_drained();
    tally
}

pub fn retention(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("kept", 3, &[("retention.ms", BOUND_MS)]);
    let site = Site::new(cluster, "kept", "");
    let relay = site.start();
    let tally = outlast(cluster, &relay, "kept");
    let published = Instant::now();
    let restamped = relay.metric("ringback_publish_restamped_total");
    // What Kafka had before the outage it may have deleted; what was published after it is there for as long as any.
    let late = |records: &[topic::Record]| {
        let bodies: std::collections::HashSet<_> =
            records.iter().map(|record| &record.value).collect();
        bodies.len()
    };
    let mut least = usize::MAX;
    while published.elapsed() < BOUND.mul_f64(0.7) {
        let records = topic::read_until(&cluster.bootstrap, "kept", |records| {
            late(records) as f64 >= restamped
        });
        least = least.min(late(&records));
    }
    let deleted = Instant::now();
    eventually("retention takes them in the end", || {
        topic::count(&cluster.bootstrap, "kept") == 0
    });
    eprintln!(
        "retention.ms {BOUND_MS}, Kafka away for {OUTAGE:?}: {} acknowledged, {restamped} published with the present time, \
         at least {least} readable for {:.1?}, deleted {:.1?} after publishing",
        tally.count(),
        deleted.duration_since(published),
        published.elapsed()
    );
    assert!(restamped >= (tally.count() / 2) as f64);
    Ok(())
}

pub fn before(_: &Cluster) -> Result<(), Failed> {
    let cluster = Cluster::start_guarded();
    let topics = ["described", "hidden"];
    for name in topics {
        for operation in ["Create", "Describe", "Read"] {
            cluster.allow("ANONYMOUS", operation, name);
        }
        cluster.topic(name, 2, &[("message.timestamp.before.max.ms", BOUND_MS)]);
        cluster.allow("relay", "Write", name);
    }
    cluster.allow("relay", "DescribeConfigs", "described");
    let sasl = cluster.bootstrap_sasl.as_deref().ok_or("no SASL")?;
    let client = [
        "\"security.protocol\" = \"SASL_PLAINTEXT\"",
        "\"sasl.mechanisms\" = \"PLAIN\"",
        "\"sasl.username\" = \"relay\"",
        "\"sasl.password\" = { env = \"KAFKA_PASSWORD\" }",
    ];
    let client = client.map(|line| ("kafka.client", line));
    for name in topics {
        let site = Site::of(sasl, name, None, &client);
        let relay = site.start_with(&[("KAFKA_PASSWORD", "relay-secret")]);
        let tally = outlast(&cluster, &relay, name);
        let restamped = relay.metric("ringback_publish_restamped_total");
        let failures = relay.metric("ringback_publish_failures_total{kind=\"cluster\"}");
        let rebuilds = relay.metric("ringback_publish_rebuilds_total");
        eprintln!(
            "message.timestamp.before.max.ms {BOUND_MS}, configuration {name}: {restamped} with the present time, \
             {failures} refused, {rebuilds} more producers"
        );
        tally.assert_kept("an outage longer than that", &cluster.bootstrap, name);
        assert!(restamped >= (tally.count() / 2) as f64);
        assert_eq!(relay.metric("ringback_dead_letters_total"), 0.0);
    }
    Ok(())
}
