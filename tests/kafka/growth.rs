//! Topics that get more partitions while a backlog leaves.

use std::collections::{BTreeSet, HashMap, HashSet};

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::load::{Load, Tally};
use crate::support::relay::{Relay, Site};
use crate::support::topic::{self, Record};

/// Bytes a second that a broker takes of a client: the backlog is still leaving when the topic's growth is noticed.
const QUOTA: u64 = 500_000;
/// Events of the backlog, and each one's padding: more than librdkafka's queue holds.
const BACKLOG: u64 = 9_000;
const PADDING: usize = 2_000;
/// librdkafka's own queue is small enough that most of the backlog is still in the journal as the topic grows.
const QUEUE: &str = "\"queue.buffering.max.kbytes\" = 9000";
/// The same metadata is asked for by librdkafka itself, which must not take up the new number either.
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
