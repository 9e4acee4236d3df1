//! Outages longer than a topic keeps records, or than it allows their timestamps to be late.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::load::{Load, Tally};
use crate::support::relay::{Relay, Site};
use crate::support::topic;

/// Events per second, and how many are accepted in the outage.
const RATE: u32 = 200;
const EVENTS: u64 = 300;
/// The topic's bound, and an outage longer than it.
const BOUND: Duration = Duration::from_secs(40);
const BOUND_MS: &str = "40000";
const OUTAGE: Duration = Duration::from_secs(46);

/// Some events before the outage, most in it; returns when all are published, and when Kafka came back.
fn outlast<const N: usize>(cluster: &Cluster, relays: [&Relay; N]) -> ([Tally; N], Instant) {
    let loads = relays.map(|relay| Load::start(relay, "outlast", RATE, 300));
    let await_all = |more| loads.iter().for_each(|load| load.await_acknowledged(more));
    await_all(EVENTS / 3);
    cluster.kill_all();
    await_all(EVENTS);
    let tallies = loads.map(Load::end);
    tallies.iter().for_each(Tally::assert_all_accepted);
    std::thread::sleep(OUTAGE);
    let back = Instant::now();
    cluster.start_all();
    relays.iter().for_each(|relay| relay.await_drained());
    (tallies, back)
}

pub fn retention(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("kept", 3, &[("retention.ms", BOUND_MS)]);
    let site = Site::new(cluster, "kept", "");
    let relay = site.start();
    let ([tally], back) = outlast(cluster, [&relay]);
    let published = Instant::now();
    let restamped = relay.metric("ringback_publish_restamped_total");
    // Kafka may have deleted what it had before the outage, but must keep what was published after it for the whole time.
    let late = |records: &[topic::Record]| {
        let bodies: std::collections::HashSet<_> =
            records.iter().map(|record| &record.value).collect();
        bodies.len()
    };
    let mut least = usize::MAX;
    // Their timestamps are later than Kafka's return, so each stays readable for this whole loop.
    loop {
        let records = topic::read_until(&cluster.bootstrap, "kept", |records| {
            late(records) as f64 >= restamped
        });
        least = least.min(late(&records));
        if back.elapsed() >= BOUND / 2 {
            break;
        }
    }
    let deleted = Instant::now();
    eventually("retention takes them in the end", || {
        topic::counts(&cluster.bootstrap, "kept") == [0; 3]
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
    cluster.allow("ANONYMOUS", "All", "*");
    cluster.allow("relay", "Write", "*");
    for name in topics {
        cluster.topic(name, 2, &[("message.timestamp.before.max.ms", BOUND_MS)]);
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
    let sites = topics.map(|name| Site::of(sasl, name, None, &client));
    let relays = sites
        .each_ref()
        .map(|site| site.start_with(&[("KAFKA_PASSWORD", "relay-secret")]));
    let (tallies, _) = outlast(&cluster, [&relays[0], &relays[1]]);
    for ((name, relay), tally) in topics.into_iter().zip(&relays).zip(tallies) {
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
