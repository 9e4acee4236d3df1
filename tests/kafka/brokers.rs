//! Brokers that die, freeze, fall out of sync and hand their partitions over, under load.
//!
//! None of it may show in an answer, and what was accepted meanwhile arrives without help.

use std::time::Instant;

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::load::Load;
use crate::support::relay::Site;
use crate::support::{eventually, is_long};

/// Events a second.
const RATE: u32 = 300;

pub fn killed_and_frozen(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("turns", 6, &[]);
    // Short enough that the client gives a frozen broker up while it is still frozen.
    let client = ("kafka.client", "\"socket.timeout.ms\" = 2000");
    let site = Site::of(&cluster.bootstrap, "turns", None, &[client]);
    let relay = site.start();
    let load = Load::start(&relay, "turns", RATE, 300);
    load.await_acknowledged(100);
    let (rounds, nodes) = if is_long() { (5, 3) } else { (1, 2) };
    for _ in 0..rounds {
        for node in 1..=nodes {
            if node == 2 {
                let id = i32::try_from(node)?;
                let delivered = || relay.metric("ringback_publish_delivered_total");
                let before = delivered();
                cluster.node("pause", node);
                eventually("its partitions are led by others", || {
                    let now = cluster.leaders("turns");
                    !now.is_empty() && !now.contains(&id)
                });
                // The client gives up the requests at that broker, and delivery goes on without it.
                eventually("events are delivered without it", || {
                    delivered() > before + f64::from(RATE)
                });
                cluster.node("cont", node);
            } else {
                cluster.node("kill", node);
                load.await_acknowledged(u64::from(RATE));
                cluster.node("start", node);
            }
        }
    }
    load.await_acknowledged(u64::from(RATE));
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    tally.assert_kept(
        "brokers killed and frozen in turn",
        &cluster.bootstrap,
        "turns",
    );
    Ok(())
}

pub fn not_enough_replicas(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("replicas", 6, &[("min.insync.replicas", "3")]);
    let site = Site::new(cluster, "replicas", "");
    let relay = site.start();
    let load = Load::start(&relay, "replicas", RATE, 300);
    load.await_acknowledged(100);
    cluster.node("kill", 3);
    // Nothing is delivered while a replica is missing, and no answer changes.
    eventually("the backlog grows", || {
        relay.metric("ringback_journal_unpublished_events") > 3.0 * f64::from(RATE)
    });
    // librdkafka retries this without a message; the relay must report it all the same.
    eventually("the readiness check reports it", || {
        let words = relay.admin("/readyz?verbose").1;
        words.contains("[!]kafka Kafka is connected but acknowledges nothing")
    });
    assert_eq!(relay.admin("/readyz").0, 200);
    cluster.node("start", 3);
    let back = Instant::now();
    load.await_acknowledged(u64::from(RATE));
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    let name = format!(
        "one replica of three away, drained {:.1?} after its return",
        back.elapsed()
    );
    tally.assert_kept(&name, &cluster.bootstrap, "replicas");
    Ok(())
}

pub fn leaders_move(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("leaders", 6, &[]);
    let site = Site::new(cluster, "leaders", "");
    let relay = site.start();
    let load = Load::start(&relay, "leaders", RATE, 300);
    load.await_acknowledged(100);
    let before = cluster.leaders("leaders");
    let nodes = if is_long() { 1..=3 } else { 2..=2 };
    for node in nodes {
        // An orderly stop: the broker hands its partitions over before it ends …
        cluster.node("stop", node);
        let id = i32::try_from(node)?;
        eventually("its partitions are led by others", || {
            let now = cluster.leaders("leaders");
            !now.is_empty() && !now.contains(&id)
        });
        load.await_acknowledged(100);
        cluster.node("start", node);
        // … and gets them back while every broker is up.
        eventually("its partitions are its own again", || {
            cluster.elect_preferred();
            cluster.leaders("leaders") == before
        });
        load.await_acknowledged(100);
    }
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    tally.assert_kept("leaders moved away and back", &cluster.bootstrap, "leaders");
    Ok(())
}
