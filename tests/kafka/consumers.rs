//! The consumers of docs/consumers, as that page says to run them: among resends, senders' retries and a replayed dead letter, and
//! though they are killed, each keeps exactly the events that were sent, in the order of their calls.

mod example;
mod group;
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libtest_mimic::Failed;

use self::example::{Example, Kept};
use self::group::Group;
use self::history::History;
use crate::support::cluster::Cluster;
use crate::support::eventually;

/// Calls, each with some ten events.
pub const CALLS: u64 = 100;
/// Events, without repetitions.
pub const EVENTS: u64 = 1_000;
/// The event that the topic refuses at first: the fourth of its call.
pub const DEAD_LETTER: u64 = 351;
/// The event that names no call, so its record has no key.
pub const KEYLESS: u64 = 700;

pub fn python(cluster: &Cluster) -> Result<(), Failed> {
    keeps_exactly_what_was_sent(cluster, "Python")
}

pub fn node(cluster: &Cluster) -> Result<(), Failed> {
    keeps_exactly_what_was_sent(cluster, "Node")
}

pub fn java(cluster: &Cluster) -> Result<(), Failed> {
    keeps_exactly_what_was_sent(cluster, "Java")
}

pub fn go(cluster: &Cluster) -> Result<(), Failed> {
    keeps_exactly_what_was_sent(cluster, "Go")
}

pub fn rust(cluster: &Cluster) -> Result<(), Failed> {
    keeps_exactly_what_was_sent(cluster, "Rust")
}

fn keeps_exactly_what_was_sent(cluster: &Cluster, language: &str) -> Result<(), Failed> {
    let topic = format!("consumed-by-{}", language.to_lowercase());
    let example = Example::build(language, &cluster.bootstrap, &topic)?;
    cluster.topic(&topic, 6, &[("max.message.bytes", "20000")]);
    let group = Group::new(&cluster.bootstrap, &topic);

    let mut history = History::begin(cluster, &topic);
    let consumer = example.start();
    history.post(0..400);
    eventually("the consumer commits", || group.committed() >= 200);
    // It has done a part of its work, is likely to be at some of it, and the rest is not there yet.
    history.post(400..500);
    consumer.kill();
    history.post(500..600);
    history.kill_relay();
    // Their sender saw no answer, for all it knows.
    history.post_again(580..600);
    history.post(600..EVENTS);
    history.repeat_records();
    history.replay_dead_letter();
    finish(&example, &group);
    let kept = example.kept()?;
    assert_exactly_once(&history, &kept);
    assert_in_order(&kept);

    // A crash between the work and its commit costs the commit. This one costs all of them.
    group.forget();
    finish(&example, &group);
    assert_eq!(example.kept()?.len(), kept.len(), "read twice, kept once");
    eprintln!(
        "{language}: {} records of {} accepted requests, {} resent by the relay, {} events kept",
        group.end(),
        history.accepted(),
        history.resent(),
        kept.len(),
    );
    Ok(())
}

/// Runs the consumer until it has read everything, and ends it.
fn finish(example: &Example, group: &Group) {
    let consumer = example.start();
    eventually("the consumer reads everything", || {
        group.committed() == group.end()
    });
    let status = consumer.terminate(Duration::from_secs(30));
    // A JVM returns 143 after a SIGTERM, whatever it has done before its end.
    let is_orderly = matches!(status.code(), Some(0 | 143));
    assert!(is_orderly, "after a SIGTERM: {status}");
}

/// Each body that was sent is there once, under the call that it names.
fn assert_exactly_once(history: &History, kept: &[Kept]) {
    let bodies: BTreeSet<_> = kept.iter().map(|event| event.body.as_slice()).collect();
    assert_eq!(bodies.len(), kept.len(), "an event was kept twice");
    assert!(
        bodies == history.bodies(),
        "{} kept, which are others than those that were sent",
        kept.len()
    );
    for event in kept {
        assert_eq!(event.key, event.call);
        assert_eq!(event.kind, "retell.transcript_updated");
    }
}

/// By position, each call's events are in the order in which they were sent. They were also processed in that order, but for the
/// dead letter.
fn assert_in_order(kept: &[Kept]) {
    let mut calls: BTreeMap<Option<&str>, Vec<&Kept>> = BTreeMap::new();
    for event in kept {
        calls.entry(event.call.as_deref()).or_default().push(event);
    }
    let mut late = Vec::new();
    for events in calls.values_mut() {
        let mut newest = None;
        for event in &*events {
            if event.number < newest {
                late.push(event.number);
            }
            newest = newest.max(event.number);
        }
        events.sort_by_key(|event| event.position);
        assert!(events.is_sorted_by_key(|event| event.number));
    }
    // A consumer that keeps only the last position of a key would take it for a repetition, and lose it.
    assert_eq!(late, [Some(DEAD_LETTER)]);
}
