//! `ack = "kafka"`: what Kafka's faults cost whoever has no journal. Answers of 503, never a 2xx that is not true.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::load::{Load, Tally};
use crate::support::relay::{Relay, Site};

/// Events a second.
const RATE: u32 = 200;
/// `listen.commit_timeout` of these relays.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(3);
const IN_LISTEN: &str = "commit_timeout = \"3s\"";
/// How much later an answer may be on a busy machine.
const MARGIN: Duration = Duration::from_secs(2);

/// A relay without a journal; `listen` has the lines of `[listen]`.
fn site(cluster: &Cluster, topic: &str, listen: &str) -> Site {
    // Short enough that the client gives a frozen broker up while it is still frozen.
    let more = [
        ("kafka.client", "\"socket.timeout.ms\" = 2000"),
        ("listen", listen),
    ];
    Site::in_memory(&cluster.bootstrap, topic, &more)
}

/// Ends the load, and checks that every 2xx was true, in order, and no answer late; then that the relay holds nothing any more.
fn conclude(cluster: &Cluster, relay: &Relay, load: Load, fault: &str, topic: &str) -> Tally {
    let tally = load.end();
    relay.await_drained();
    assert_eq!(tally.unanswered, 0, "{fault}: {tally}");
    assert!(tally.slowest < COMMIT_TIMEOUT + MARGIN, "{fault}: {tally}");
    tally.assert_kept(fault, &cluster.bootstrap, topic);
    eventually("what was accepted is what was delivered", || {
        let delivered = relay.metric("ringback_publish_delivered_total");
        relay.metric("ringback_events_accepted_total") == delivered
    });
    tally
}

fn leaders_without(cluster: &Cluster, topic: &str, id: i32) -> bool {
    let leaders = cluster.leaders(topic);
    !leaders.is_empty() && !leaders.contains(&id) && !leaders.contains(&-1)
}

pub fn brokers(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("unjournaled", 6, &[("min.insync.replicas", "2")]);
    cluster.topic("unjournaled-small", 1, &[]);
    let relay = site(cluster, "unjournaled", IN_LISTEN).start();
    let load = Load::start(&relay, "unjournaled", RATE, 300);
    load.await_acknowledged(5 * u64::from(RATE));
    let commits = |what: &str| {
        relay.metric(&format!(
            "ringback_stage_duration_seconds_{what}{{stage=\"commit\"}}"
        ))
    };
    let mean_ms = 1_000.0 * commits("sum") / commits("count");
    eprintln!("a commit takes {mean_ms:.1} ms on average at {RATE} events/s");

    // One broker is killed: others take its partitions over, and nobody has to help.
    cluster.node("kill", 1);
    eventually("its partitions are led by others", || {
        leaders_without(cluster, "unjournaled", 1)
    });
    load.await_acknowledged(u64::from(RATE));
    cluster.node("start", 1);
    load.await_acknowledged(u64::from(RATE));

    // All are frozen: there is no acknowledgement, and no 2xx.
    let small = site(
        cluster,
        "unjournaled-small",
        "commit_timeout = \"1s\"\nmax_body = \"1MiB\"\nmax_in_flight = \"4MiB\"",
    );
    let small = small.start();
    let large = Load::start(&small, "unjournaled-small", 40, 64_000);
    large.await_acknowledged(20);
    let before = small.resident_kib();
    (1..=3).for_each(|node| cluster.node("pause", node));
    load.await_refused(16);
    let (acknowledged, refused) = (load.acknowledged(), load.refused());
    let full = "ringback_http_rejections_total{reason=\"journal_full\",source=\"retell\"}";
    let exhausted = "ringback_http_rejections_total{reason=\"memory_exhausted\",source=\"retell\"}";
    eventually("memory is used up", || {
        small.metric(full) + small.metric(exhausted) > 8.0
    });
    let grown = small.resident_kib().saturating_sub(before);
    // Its 4 MiB, the client's copy of them, and what the allocator keeps.
    assert!(grown < 24 * 1024, "memory grew by {grown} KiB");
    load.await_refused_since(refused, 8);
    assert_eq!(load.acknowledged(), acknowledged, "a 2xx without Kafka");
    assert_eq!(relay.admin("/readyz").0, 200);
    (1..=3).for_each(|node| cluster.node("cont", node));
    let thawed = Instant::now();
    load.await_acknowledged(u64::from(RATE));
    large.await_acknowledged(20);
    eprintln!("acknowledged again {:.1?} after the thaw", thawed.elapsed());
    let fault = "without a journal: a broker killed, then all frozen";
    let tally = conclude(cluster, &relay, load, fault, "unjournaled");
    assert!(tally.refused > 0, "{tally}");
    let fault = "the same, with 4 MiB of memory";
    conclude(cluster, &small, large, fault, "unjournaled-small");
    let io = std::fs::read_to_string(format!("/proc/{}/io", relay.id()))?;
    let written = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    let written: u64 = written.ok_or("Linux counts it")?.parse()?;
    // A page or two for the times at which its files were read. The events are megabytes.
    assert!(
        written < 64 * 1024,
        "{written} bytes were written to a disk"
    );
    Ok(())
}

pub fn replicas(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("all-replicas", 6, &[("min.insync.replicas", "3")]);
    let relay = site(cluster, "all-replicas", IN_LISTEN).start();
    let load = Load::start(&relay, "all-replicas", RATE, 300);
    load.await_acknowledged(100);
    cluster.node("kill", 3);
    load.await_refused(8);
    let (acknowledged, refused) = (load.acknowledged(), load.refused());
    load.await_refused_since(refused, 16);
    assert_eq!(
        load.acknowledged(),
        acknowledged,
        "a 2xx without all replicas"
    );
    assert_eq!(relay.admin("/readyz").0, 200);
    cluster.node("start", 3);
    let back = Instant::now();
    load.await_acknowledged(u64::from(RATE));
    let fault = format!(
        "without a journal: one replica of three away, {:.1?} after its return",
        back.elapsed()
    );
    conclude(cluster, &relay, load, &fault, "all-replicas");
    Ok(())
}

pub fn kill_9(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("unjournaled-kills", 6, &[]);
    let site = site(cluster, "unjournaled-kills", IN_LISTEN);
    let mut relay = site.start();
    let load = Load::start(&relay, "unjournaled-kills", RATE, 300);
    for _ in 0..5 {
        load.await_acknowledged(u64::from(RATE) / 2);
        relay.kill();
        relay = site.start();
        load.turn_to(&relay);
    }
    load.await_acknowledged(u64::from(RATE));
    let tally = load.end();
    relay.await_drained();
    let fault = "without a journal: kill -9 five times";
    tally.assert_kept(fault, &cluster.bootstrap, "unjournaled-kills");
    Ok(())
}
