//! A producer that would wait for ever: for a leader that a topic no longer has, or with credentials that no longer count.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::relay::{Relay, Site};

/// Events a second.
const RATE: u32 = 100;
/// `kafka.stall_timeout`.
const STALL: Duration = Duration::from_secs(5);

fn start(site: &Site) -> Relay {
    site.start_with(&[("RINGBACK_KAFKA__STALL_TIMEOUT", "5s")])
}

/// Posts until `more` are acknowledged, waits until all is published, and checks that all of it arrived.
fn deliver(relay: &Relay, name: &str, said: &str, bootstrap: &str, topic: &str) {
    let load = Load::start(relay, name, RATE, 300);
    load.await_acknowledged(u64::from(RATE));
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    tally.assert_kept(said, bootstrap, topic);
}

pub fn remade_elsewhere(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic_on("elsewhere", &[1, 2, 3]);
    // Its leaders change, so that those of the next topic of this name look older than what the client knows.
    cluster.node("stop", 1);
    eventually("another leader", || cluster.leaders("elsewhere") != [1]);
    cluster.node("start", 1);
    eventually("the first leader again", || {
        cluster.elect_preferred();
        cluster.leaders("elsewhere") == [1]
    });
    let site = Site::new(cluster, "elsewhere", "");
    let relay = start(&site);
    // What Kafka has acknowledged goes with the topic.
    deliver(&relay, "before", "before", &cluster.bootstrap, "elsewhere");
    assert_eq!(relay.metric("ringback_publish_rebuilds_total"), 0.0);
    cluster.delete_topic("elsewhere");
    cluster.topic_on("elsewhere", &[2, 3, 1]);

    let begun = Instant::now();
    let load = Load::start(&relay, "after", RATE, 300);
    eventually("the producer is replaced", || {
        relay.metric("ringback_publish_rebuilds_total") > 0.0
    });
    let replaced = begun.elapsed();
    let words = relay.admin("/readyz?verbose").1;
    assert!(replaced >= STALL, "replaced after {replaced:?}: {words}");
    load.await_acknowledged(u64::from(RATE));
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    let said = format!(
        "a topic remade on another leader while nothing came: replaced after {replaced:.1?}, drained after {:.1?}",
        begun.elapsed()
    );
    tally.assert_kept(&said, &cluster.bootstrap, "elsewhere");
    assert_eq!(relay.metric("ringback_publish_rebuilds_total"), 1.0);
    Ok(())
}
