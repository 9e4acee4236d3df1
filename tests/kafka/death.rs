//! The process ends, by `kill -9` at any moment or by SIGTERM.

use std::time::Duration;

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::is_long;
use crate::support::load::Load;
use crate::support::relay::Site;

/// Events a second while the process is killed.
const RATE: u32 = 500;

pub fn kill_9(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("kill", 6, &[]);
    let site = Site::new(cluster, "kill", "segment_size = \"1MiB\"");
    let rounds: u32 = if is_long() { 200 } else { 5 };
    let mut relay = site.start();
    let load = Load::start(&relay, "kill", RATE, 300);
    for round in 0..rounds {
        // At another moment each time, before the first checkpoint or between two.
        load.await_acknowledged(u64::from(300 + round * 337 % 1_200));
        relay.kill();
        relay = site.start();
        load.turn_to(&relay);
    }
    load.await_acknowledged(500);
    let tally = load.end();
    relay.await_drained();
    let name = format!("{rounds} kills at {RATE} events/s");
    let repeated = tally.assert_kept(&name, &cluster.bootstrap, "kill");
    assert_eq!(tally.refused, 0);
    // A checkpoint is at most two seconds old, or three on two busy cores. Nothing older is sent twice.
    let bound = rounds * 3 * RATE;
    assert!(repeated <= bound as usize, "{repeated} repeated");
    Ok(())
}

pub fn sigterm(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("term", 6, &[]);
    let site = Site::new(cluster, "term", "");
    let relay = site.start();
    let load = Load::start(&relay, "term", 0, 3_000);
    load.await_acknowledged(500);
    relay.terminate();
    // readiness_delay 1 s and drain_deadline 20 s, and what starting a thread or two takes.
    let status = relay.wait(Duration::from_secs(23));
    assert_eq!(status.code(), Some(0));
    let tally = load.end();
    tally.assert_all_accepted();
    // What was left at the deadline is in the journal, for the next start.
    let _relay = site.start();
    tally.assert_kept("SIGTERM under full load", &cluster.bootstrap, "term");
    Ok(())
}
