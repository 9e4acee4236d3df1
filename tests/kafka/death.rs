//! The process ends: by `kill -9` at any moment, or as asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::relay::{KEY, Relay, Site};
use crate::support::sender::Sender;
use crate::support::topic::{self, Acknowledged};
use crate::support::{events, eventually, is_long};

/// Senders that post as fast as they are answered.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Lane>>,
    count: Arc<Mutex<u64>>,
}

/// What one sender has seen.
struct Lane {
    call: String,
    acknowledged: Vec<Vec<u8>>,
    /// Answers other than 204.
    others: Vec<u16>,
    /// It ended without an answer to a request that it had sent.
    cut_off: bool,
}

impl Load {
    fn start(relay: &Relay, round: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(Mutex::new(0));
        let address = relay.address;
        let threads = (0..8)
            .map(|lane| {
                let (stop, count) = (stop.clone(), count.clone());
                std::thread::spawn(move || {
                    let mut lane = Lane {
                        call: format!("call-{round}-{lane}"),
                        acknowledged: Vec::new(),
                        others: Vec::new(),
                        cut_off: false,
                    };
                    let mut connection = None;
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let sender = match connection.take() {
                            Some(sender) => Ok(sender),
                            None => Sender::connect(address, KEY),
                        };
                        // Refused: the listener is closed, which is no broken promise.
                        let Ok(mut sender) = sender else { break };
                        let body = events::event(&lane.call, number, 3_000);
                        let Ok(answer) = sender.post(&body) else {
                            lane.cut_off = true;
                            break;
                        };
                        if answer.code == 204 {
                            lane.acknowledged.push(body);
                            *count.lock().expect("no sender panics") += 1;
                        } else {
                            lane.others.push(answer.code);
                        }
                        connection = (!answer.close).then_some(sender);
                    }
                    lane
                })
            })
            .collect();
        Self {
            stop,
            threads,
            count,
        }
    }

    fn await_acknowledged(&self, number: u64) {
        eventually("the load is acknowledged", || {
            *self.count.lock().expect("no sender panics") >= number
        });
    }

    fn end(self) -> Vec<Lane> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads
            .map(|thread| thread.join().expect("a sender ends"))
            .collect()
    }
}

pub fn kill_9(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("kill", 6);
    let site = Site::new(cluster, "kill", "segment_size = \"1MiB\"");
    let mut acknowledged = Acknowledged::new();
    let rounds = if is_long() { 10 } else { 4 };
    for round in 0..rounds {
        let relay = site.start();
        let load = Load::start(&relay, round);
        // At another moment each time.
        load.await_acknowledged(200 + round * 137);
        relay.kill();
        for lane in load.end() {
            assert_eq!(lane.others, [] as [u16; 0]);
            acknowledged.insert(lane.call, lane.acknowledged);
        }
    }
    let relay = site.start();
    eventually("everything is published", || {
        relay.metric("ringback_journal_unpublished_events") == 0.0
    });
    let repeated = topic::holds(&cluster.bootstrap, "kill", &acknowledged);
    let total: usize = acknowledged.values().map(Vec::len).sum();
    eprintln!("{rounds} kills, {total} events acknowledged, none lost, {repeated} repeated");
    Ok(())
}

pub fn sigterm(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("term", 6);
    let site = Site::new(cluster, "term", "");
    let relay = site.start();
    let load = Load::start(&relay, 0);
    load.await_acknowledged(500);
    relay.terminate();
    // readiness_delay 1 s and drain_deadline 20 s, and what starting a thread or two takes.
    let status = relay.wait(Duration::from_secs(23));
    assert_eq!(status.code(), Some(0));
    let mut acknowledged = Acknowledged::new();
    for lane in load.end() {
        assert!(!lane.cut_off, "{}: a request was cut off", lane.call);
        assert_eq!(lane.others, [] as [u16; 0]);
        acknowledged.insert(lane.call, lane.acknowledged);
    }
    // What was left at the deadline is in the journal, for the next start.
    let _relay = site.start();
    topic::holds(&cluster.bootstrap, "term", &acknowledged);
    Ok(())
}
