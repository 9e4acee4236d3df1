//! Topics whose number of partitions changes while events leave.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::process::Stdio;

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::load::{Load, Tally};
use crate::support::relay::{Relay, Site};
use crate::support::topic::{self, Record};

/// Bytes per second that a broker takes from a client, so that the backlog is still leaving when ringback notices the growth.
const QUOTA: u64 = 500_000;
/// Events of the backlog, and each one's padding: more than librdkafka's queue holds.
const BACKLOG: u64 = 9_000;
const PADDING: usize = 2_000;
/// A queue of librdkafka so small that most of the backlog is still in the journal when the topic grows.
const QUEUE: &str = "\"queue.buffering.max.kbytes\" = 9000";
/// Makes librdkafka refresh its own metadata soon, because it must not use the new number early either.
const METADATA: &str = "\"topic.metadata.refresh.interval.ms\" = 2000";

pub fn grown(cluster: &Cluster) -> Result<(), Failed> {
    cluster.throttle_producers(Some(QUOTA));
    let growths = [("grown-8", 1, 8), ("grown-6", 2, 6)];
    let sites = growths.map(|(name, from, _)| {
        cluster.topic(name, from, &[("message.timestamp.type", "LogAppendTime")]);
        let client = format!("\"client.id\" = \"{name}\"");
        let lines = [QUEUE, METADATA, "\"compression.codec\" = \"none\"", &client];
        let more = lines.map(|line| ("kafka.client", line));
        Site::of(&cluster.bootstrap, name, None, &more)
    });
    cluster.kill_all();
    let relays = sites.each_ref().map(Site::start);
    let tallies = [0, 1].map(|index| {
        let load = Load::start(&relays[index], growths[index].0, 0, PADDING);
        load.await_acknowledged(BACKLOG);
        let tally = load.end();
        tally.assert_all_accepted();
        tally
    });
    cluster.start_all();
    for (relay, (name, _, to)) in relays.iter().zip(growths) {
        eventually("the backlog begins to leave", || {
            relay.metric("ringback_publish_delivered_total") > 0.0
        });
        cluster.grow(name, to);
    }
    relays.iter().for_each(Relay::await_drained);
    cluster.throttle_producers(None);
    for ((name, from, to), tally) in growths.into_iter().zip(tallies) {
        let records = topic::read_until(&cluster.bootstrap, name, |records| {
            missing(&tally, records) == 0
        });
        let moved = keys_of_several_partitions(&records);
        let late = overtaken(&records);
        eprintln!(
            "{name}: {from} to {to} partitions, {} acknowledged, none lost, {moved} of {} keys in several partitions, {late} first \
             deliveries out of order",
            tally.count(),
            tally.acknowledged.len(),
        );
        assert!(moved > 0, "{name} has grown after the backlog had left");
        assert_eq!(late, 0, "{name}");
    }
    Ok(())
}

/// A topic loses partitions only if it is deleted and made again.
pub fn remade_with_fewer(cluster: &Cluster) -> Result<(), Failed> {
    const NAME: &str = "fewer";
    cluster.throttle_producers(Some(QUOTA));
    cluster.topic(NAME, 6, &[]);
    let lines = [QUEUE, METADATA, "\"compression.codec\" = \"none\""];
    let client = lines.map(|line| ("kafka.client", line));
    let site = Site::of(&cluster.bootstrap, NAME, None, &client);
    let relay = site.start();
    let before = Load::start(&relay, "before", 0, PADDING);
    before.await_acknowledged(BACKLOG);
    before.end().assert_all_accepted();
    // The load can be over before the first record is acknowledged.
    eventually("the backlog begins to leave", || {
        relay.metric("ringback_publish_delivered_total") > 0.0
    });
    cluster.delete_topic(NAME);
    // What Kafka has acknowledged is gone with the topic. What is accepted from here on must be in the new one.
    let after = Load::start(&relay, "after", 0, 300);
    after.await_acknowledged(500);
    let tally = after.end();
    tally.assert_all_accepted();
    // Nothing can leave before there is a topic again.
    let left = relay.metric("ringback_journal_unpublished_events");
    cluster.topic(NAME, 2, &[("message.timestamp.type", "LogAppendTime")]);
    cluster.throttle_producers(None);
    relay.await_drained();
    let name = format!("a topic of 6 partitions remade with 2, {left} events still to leave");
    tally.assert_kept(&name, &cluster.bootstrap, NAME);
    let records = topic::read_until(&cluster.bootstrap, NAME, |records| {
        missing(&tally, records) == 0
    });
    let partitions: BTreeSet<i32> = records.iter().map(|record| record.partition).collect();
    assert_eq!(partitions, [0, 1].into());
    assert_eq!(keys_of_several_partitions(&records), 0);
    assert_eq!(overtaken(&records), 0);
    assert!(left > 0.0, "the topic was remade with no backlog");
    assert_eq!(relay.metric("ringback_dead_letters_total"), 0.0);
    Ok(())
}

/// `ringback prove` reads the new partitions too, and does not call a key that moved out of order.
pub fn proved(cluster: &Cluster) -> Result<(), Failed> {
    const NAME: &str = "proved";
    cluster.topic(NAME, 1, &[]);
    let site = Site::of(
        &cluster.bootstrap,
        NAME,
        None,
        &[("kafka.client", METADATA)],
    );
    let relay = site.start();
    let url = format!("http://{}/webhook", relay.address);
    let load = [
        "--rate",
        "200",
        "--duration",
        "10m",
        "--size",
        "600B",
        "--json",
    ];
    let child = site
        .tool(&[&["prove", "--url", &url], &load[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    eventually("some are delivered before the topic grows", || {
        relay.metric("ringback_publish_delivered_total") > 200.0
    });
    cluster.grow(NAME, 8);
    eventually("records are in the new partitions", || {
        let counts = topic::counts(&cluster.bootstrap, NAME);
        counts[1..].iter().sum::<i64>() > 100
    });
    kill_process(Pid::from_child(&child), Signal::INT)?;
    let output = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let figure = |name: &str| report[name].as_u64().expect("a figure");
    eprintln!(
        "prove, 1 to 8 partitions: {} acknowledged, {} lost, {} out of order, {} calls moved",
        figure("acknowledged"),
        figure("lost"),
        figure("out_of_order"),
        figure("calls_moved")
    );
    assert_eq!((figure("lost"), figure("out_of_order")), (0, 0), "{report}");
    assert_eq!((figure("partitions"), figure("partitions_added")), (1, 7));
    assert!(figure("calls_moved") > 0, "{report}");
    Ok(())
}

/// Acknowledged bodies that were not read.
fn missing(tally: &Tally, records: &[Record]) -> usize {
    let read: HashSet<&[u8]> = records.iter().map(|record| &*record.value).collect();
    let bodies = tally.acknowledged.values().flatten();
    bodies.filter(|body| !read.contains(&***body)).count()
}

fn keys_of_several_partitions(records: &[Record]) -> usize {
    let mut partitions: HashMap<_, BTreeSet<i32>> = HashMap::new();
    for record in records {
        let key = record.key.as_deref();
        partitions.entry(key).or_default().insert(record.partition);
    }
    partitions.values().filter(|of| of.len() > 1).count()
}

/// First deliveries that were appended before an earlier one of their key, by the brokers' clock.
fn overtaken(records: &[Record]) -> usize {
    let mut first: HashMap<_, (u64, i64)> = HashMap::new();
    for record in records {
        let position = record.headers["ringback_position"].parse::<u64>();
        let position = position.expect("ringback's own header");
        let entry = (position, record.timestamp);
        first
            .entry((record.key.as_deref(), position))
            .and_modify(|first| first.1 = first.1.min(entry.1))
            .or_insert(entry);
    }
    let mut of_key: HashMap<_, Vec<_>> = HashMap::new();
    for ((key, _), entry) in first {
        of_key.entry(key).or_default().push(entry);
    }
    let mut late = 0;
    for mut entries in of_key.into_values() {
        entries.sort_unstable();
        let mut latest = i64::MIN;
        for (_, appended) in entries {
            late += usize::from(appended < latest);
            latest = latest.max(appended);
        }
    }
    late
}
