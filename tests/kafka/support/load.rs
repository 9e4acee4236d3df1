//! Senders that post at a pace while faults happen, over restarts, and remember what was acknowledged.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::relay::{KEY, Relay};
use super::sender::Sender;
use super::topic::{self, Acknowledged};
use super::{events, eventually};

/// Connections, each with calls of its own.
const LANES: u32 = 8;
/// Calls of one connection: enough keys for a topic of many partitions.
const CALLS: u64 = 4;
/// A sender that was held up catches up with at most this much.
const CATCH_UP: Duration = Duration::from_secs(1);
/// Between two attempts to connect to a relay that is not there.
const RECONNECT: Duration = Duration::from_millis(10);

/// The running senders.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Acknowledged>>,
    begun: Instant,
}

struct Shared {
    name: String,
    rate: u32,
    padding: usize,
    address: Mutex<SocketAddr>,
    stop: AtomicBool,
    /// The relay's clock less the senders', in milliseconds.
    skew_ms: AtomicI64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    slowest_ms: AtomicU64,
    others: Mutex<Vec<u16>>,
}

/// What the senders have seen.
pub struct Tally {
    /// Bodies that were answered 204, in the order of their posts.
    pub acknowledged: Acknowledged,
    /// Answers of 503, each with its `Retry-After`.
    pub refused: u64,
    /// Requests to which no answer came.
    pub unanswered: u64,
    /// Other answers, none of which should have come.
    pub others: Vec<u16>,
    /// The longest time to an answer.
    pub slowest: Duration,
    time: Duration,
}

impl Load {
    /// Begins to post: `rate` events a second, 0 for as fast as they are answered, each `padding` bytes longer than it
    /// need be.
    pub fn start(relay: &Relay, name: &str, rate: u32, padding: usize) -> Self {
        Self::start_skewed(relay, name, rate, padding, 0)
    }

    /// As [`Load::start`], signed by a clock that differs by so many milliseconds.
    pub fn start_skewed(
        relay: &Relay,
        name: &str,
        rate: u32,
        padding: usize,
        skew_ms: i64,
    ) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            rate,
            padding,
            address: Mutex::new(relay.address),
            stop: AtomicBool::new(false),
            skew_ms: AtomicI64::new(skew_ms),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            slowest_ms: AtomicU64::new(0),
            others: Mutex::new(Vec::new()),
        });
        let lane = |lane| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.post(lane))
        };
        Self {
            threads: (0..LANES).map(lane).collect(),
            shared,
            begun: Instant::now(),
        }
    }

    /// Posts to this relay from now on, which was started again and has another port.
    pub fn turn_to(&self, relay: &Relay) {
        *self.shared.address.lock().expect("no sender panics") = relay.address;
    }

    /// Signs by a clock that differs by so much from now on.
    pub fn skew(&self, milliseconds: i64) {
        self.shared.skew_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Events answered 204 so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits for so many further 204s: the relay goes on accepting, or accepts again.
    pub fn await_acknowledged(&self, more: u64) {
        let before = self.acknowledged();
        eventually("the load is acknowledged", || {
            self.acknowledged() >= before + more
        });
    }

    /// Events answered 503 so far.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Waits for so many further 503s.
    pub fn await_refused(&self, more: u64) {
        self.await_refused_since(self.refused(), more);
    }

    /// Waits for so many 503s more than there had been at an earlier [`Load::refused`].
    pub fn await_refused_since(&self, before: u64, more: u64) {
        eventually("the load is refused", || self.refused() >= before + more);
    }

    /// Ends the senders, each after its last answer.
    pub fn end(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = Acknowledged::new();
        for thread in self.threads {
            acknowledged.extend(thread.join().expect("a sender ends"));
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            acknowledged,
            refused: count(&self.shared.refused),
            unanswered: count(&self.shared.unanswered),
            others: self.shared.others.lock().expect("no sender panics").clone(),
            slowest: Duration::from_millis(count(&self.shared.slowest_ms)),
            time: self.begun.elapsed(),
        }
    }
}

impl Shared {
    fn post(&self, lane: u32) -> Acknowledged {
        let mut acknowledged = Acknowledged::new();
        let mut connection: Option<Sender> = None;
        let mut due = Instant::now();
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let sender = match connection.take() {
                Some(sender) => Ok(sender),
                None => Sender::connect(*self.address.lock().expect("no sender panics"), KEY),
            };
            let Ok(mut sender) = sender else {
                std::thread::sleep(RECONNECT);
                continue;
            };
            self.wait(&mut due);
            let call = format!("{}-{lane}-{}", self.name, number % CALLS);
            let body = events::event(&call, number, self.padding);
            number += 1;
            let sent = Instant::now();
            let now = events::now_ms() + self.skew_ms.load(Ordering::Relaxed);
            let Ok(answer) = sender.post_at(&body, now) else {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let took = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.slowest_ms.fetch_max(took, Ordering::Relaxed);
            match answer.code {
                204 => {
                    acknowledged.entry(call).or_default().push(body);
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                503 if answer.retry_after.is_some_and(|seconds| seconds >= 1) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                code => self.others.lock().expect("no sender panics").push(code),
            }
            connection = (!answer.close).then_some(sender);
        }
        acknowledged
    }

    fn wait(&self, due: &mut Instant) {
        if self.rate == 0 {
            return;
        }
        let now = Instant::now();
        *due = (*due).max(now.checked_sub(CATCH_UP).unwrap_or(now));
        std::thread::sleep(due.saturating_duration_since(now));
        *due += Duration::from_secs(1) * LANES / self.rate;
    }
}

impl Tally {
    /// Checks that every request was answered, and with 204.
    pub fn assert_all_accepted(&self) {
        assert_eq!(self.others, [] as [u16; 0], "{self}");
        assert_eq!((self.refused, self.unanswered), (0, 0), "{self}");
    }

    /// How many events were acknowledged.
    pub fn count(&self) -> usize {
        self.acknowledged.values().map(Vec::len).sum()
    }

    /// Adds what another load has seen.
    pub fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.others.extend(other.others);
        self.slowest = self.slowest.max(other.slowest);
        self.time += other.time;
    }

    /// Checks that all of it is in the topic and in order; prints the figures under the fault's name.
    ///
    /// Returns how many records are repetitions.
    pub fn assert_kept(&self, fault: &str, bootstrap: &str, topic: &str) -> usize {
        assert_eq!(self.others, [] as [u16; 0], "{fault}: {self}");
        let repeated = topic::holds(bootstrap, topic, &self.acknowledged);
        eprintln!("{fault}: {self}, none lost, {repeated} repeated");
        repeated
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} refused, {} unanswered in {:.1?}, slowest answer {:?}",
            self.count(),
            self.refused,
            self.unanswered,
            self.time,
            self.slowest
        )
    }
}
