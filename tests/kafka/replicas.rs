//! Three replicas behind a balancer, restarted one after the other under load, as a StatefulSet's rolling update does it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::support::balancer::{Affinity, Balancer};
use crate::support::cluster::Cluster;
use crate::support::relay::{KEY, Relay, Site};
use crate::support::sender::Sender;
use crate::support::topic::{self, Acknowledged};
use crate::support::{PATIENCE, events, eventually, is_long};

const REPLICAS: usize = 3;
/// Events a second, by all clients.
const RATE: u32 = 300;
/// Each has an address of its own and one connection.
const CLIENTS: u8 = 20;
/// Of one client. A call's events are therefore a second apart: long enough for a replica to publish one before the client
/// that it has sent away posts the next one to another replica.
const CALLS: u64 = 15;
/// The sender's patience with an answer, and its tries in all.
const TIMEOUT: Duration = Duration::from_secs(10);
const TRIES: u32 = 4;
/// Between two tries. The sender's own pause is not documented.
const PAUSE: Duration = Duration::from_millis(500);

/// What one client has seen.
#[derive(Default)]
struct Seen {
    acknowledged: Acknowledged,
    /// Tries that were not answered 204, each with what happened instead.
    failures: Vec<String>,
    /// Events for which that happened four times.
    lost: Vec<String>,
    /// The longest time from an event's first try to its 204.
    slowest: Duration,
}

/// What all clients share.
struct Load {
    address: SocketAddr,
    affinity: Affinity,
    acknowledged: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    fn post_all(&self, client: u8) -> Seen {
        let mut seen = Seen::default();
        let mut connection = None;
        let mut due = Instant::now();
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            due += Duration::from_secs(1) * u32::from(CLIENTS) / RATE;
            let call = format!("call-{client}-{}", number % CALLS);
            let body = events::event(&call, number, 300);
            number += 1;
            let begun = Instant::now();
            let mut tries = (0..TRIES).map(|_| self.post(client, &mut connection, &body));
            let is_accepted = tries.any(|answer| {
                answer
                    .inspect_err(|failure| {
                        seen.failures.push(failure.clone());
                        thread::sleep(PAUSE);
                    })
                    .is_ok()
            });
            if is_accepted {
                seen.slowest = seen.slowest.max(begun.elapsed());
                seen.acknowledged.entry(call).or_default().push(body);
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            } else {
                seen.lost.push(call);
            }
        }
        seen
    }

    /// One try; an error is anything but 204. Without affinity each is a connection of its own, or none would be balanced.
    fn post(&self, client: u8, connection: &mut Option<Sender>, body: &[u8]) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let mut sender = match connection.take() {
            Some(sender) => sender,
            None => {
                let local = Ipv4Addr::new(127, 0, 1, client);
                Sender::connect_from(local, self.address, KEY, TIMEOUT).map_err(text)?
            }
        };
        let answer = sender.post(body).map_err(text)?;
        if !answer.close && self.affinity == Affinity::ClientIp {
            *connection = Some(sender);
        }
        match answer.code {
            204 => Ok(()),
            code => Err(code.to_string()),
        }
    }

    fn await_acknowledged(&self, more: u64) {
        let count = || self.acknowledged.load(Ordering::Relaxed);
        let before = count();
        eventually("the load is acknowledged", || count() >= before + more);
    }
}

/// How often all replicas are restarted.
fn rounds() -> usize {
    if is_long() { 10 } else { 1 }
}

/// Restarts all replicas one after the other under load; returns what the clients have seen.
fn roll(cluster: &Cluster, topic: &str, affinity: Affinity) -> Seen {
    cluster.topic(topic, 6, &[]);
    let shutdown = "readiness_delay = \"2s\"\ndrain_deadline = \"20s\"";
    let more = [("shutdown", shutdown)];
    let sites: Vec<_> = (0..REPLICAS)
        .map(|_| Site::of(&cluster.bootstrap, topic, None, &more))
        .collect();
    let mut relays: Vec<_> = sites.iter().map(Site::start).collect();
    let balancer = Balancer::start(affinity, &relays);
    (0..REPLICAS).for_each(|place| balancer.await_ready(place));
    let load = Load {
        address: balancer.address,
        affinity,
        acknowledged: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let load = &load;
        let clients: Vec<_> = (1..=CLIENTS)
            .map(|client| scope.spawn(move || load.post_all(client)))
            .collect();
        load.await_acknowledged(u64::from(RATE));
        for relay in &relays {
            assert!(relay.metric("ringback_events_accepted_total") > 0.0);
        }
        for _ in 0..rounds() {
            for place in 0..REPLICAS {
                let ending = relays.remove(place);
                ending.terminate();
                assert!(ending.wait(PATIENCE).success());
                relays.insert(place, sites[place].start());
                balancer.replace(place, &relays[place]);
                balancer.await_ready(place);
            }
        }
        load.await_acknowledged(u64::from(RATE));
        load.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for client in clients {
            let seen = client.join().expect("a client ends");
            all.acknowledged.extend(seen.acknowledged);
            all.failures.extend(seen.failures);
            all.lost.extend(seen.lost);
            all.slowest = all.slowest.max(seen.slowest);
        }
        relays.iter().for_each(Relay::await_drained);
        all
    })
}

impl Seen {
    /// Checks that each event was accepted within the sender's tries, and that the topic repeats no more than these do.
    fn assert_served(&self, name: &str, repeated: usize) {
        let count: usize = self.acknowledged.values().map(Vec::len).sum();
        eprintln!(
            "three replicas restarted in turn, {name}: {count} acknowledged, {} tries failed {:?}, slowest event {:?}, \
             none lost, {repeated} repeated",
            self.failures.len(),
            self.failures,
            self.slowest
        );
        assert_eq!(self.lost, [] as [String; 0], "{:?}", self.failures);
        assert!(repeated <= self.failures.len(), "{repeated} repeated");
    }
}

/// The largest number of times that a call's records go from one replica to another, in the order of the topic.
fn most_moves(cluster: &Cluster, topic: &str, seen: &Seen) -> usize {
    let count: usize = seen.acknowledged.values().map(Vec::len).sum();
    let records = topic::read_until(&cluster.bootstrap, topic, |records| records.len() >= count);
    let mut journals: HashMap<_, Vec<_>> = HashMap::new();
    for record in &records {
        let of_call = journals.entry(&record.key).or_default();
        of_call.push(&record.headers["ringback_journal"]);
    }
    let moves = |journals: &Vec<_>| {
        journals
            .windows(2)
            .filter(|pair| pair[0] != pair[1])
            .count()
    };
    journals.values().map(moves).max().expect("a call")
}

pub fn with_affinity(cluster: &Cluster) -> Result<(), Failed> {
    let seen = roll(cluster, "replicas-kept", Affinity::ClientIp);
    let repeated = topic::holds(&cluster.bootstrap, "replicas-kept", &seen.acknowledged);
    seen.assert_served("by client address", repeated);
    // A client moves only if its replica is restarted.
    let moves = most_moves(cluster, "replicas-kept", &seen);
    assert!(moves <= REPLICAS * rounds(), "{moves} moves");
    Ok(())
}

pub fn by_round_robin(cluster: &Cluster) -> Result<(), Failed> {
    let seen = roll(cluster, "replicas-spread", Affinity::None);
    let repeated =
        topic::holds_in_any_order(&cluster.bootstrap, "replicas-spread", &seen.acknowledged);
    seen.assert_served("by round robin", repeated);
    // Without affinity a call is everywhere, so only the gaps between its events keep their order.
    let moves = most_moves(cluster, "replicas-spread", &seen);
    assert!(moves > REPLICAS * rounds(), "{moves} moves");
    Ok(())
}
