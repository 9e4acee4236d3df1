//! One run of ringback with a journal in memory: the real publisher, a step at a time, and the requests that wait.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use ringback::journal::memory::Limits;
use ringback::journal::{AppendError, Appender, Metrics, in_memory_with};
use ringback::log_throttle::LogThrottle;
use ringback::publish::env::DeadLetterPlace;
use ringback::publish::inbox::{Inbox, Report, TopicState};
use ringback::publish::worker::{Deps, Next, Worker, WorkerConfig};
use ringback::publish::{self, Ack};
use ringback::readiness::{CheckKind, Readiness};

use crate::disk::SimDisk;
use crate::env::{DeadLetterWay, SimEnv, Underway, Watch};
use crate::kafka::topics;
use crate::ledger::Poison;
use crate::lies::{self, Lie};
use crate::process::requests::{PATIENCE, Pending, record_of};
use crate::random::{MS, Random};
use crate::senders::Inlet;
use crate::world::Surroundings;

/// A body whose bytes are counted for as long as anybody holds them.
struct Counted {
    bytes: Vec<u8>,
    held: Arc<AtomicU64>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let bytes = self.bytes.len() as u64;
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

pub struct MemoryProcess {
    appender: Appender,
    worker: Option<Worker<SimEnv>>,
    metrics: Metrics,
    inbox: Inbox,
    /// When the publisher's thread runs next.
    at: Option<u64>,
    /// Until when it may drain.
    drain: Option<u64>,
    bell: Arc<AtomicBool>,
    watch: Rc<RefCell<Watch>>,
    pending: Vec<Pending>,
    underway: Underway,
    journal_id: String,
    /// The journal's number in the ledger.
    journal: usize,
    budget: u64,
    /// Bytes of bodies in memory.
    held: Arc<AtomicU64>,
    /// Of one body so far.
    largest: u64,
    random: Random,
}

impl MemoryProcess {
    pub fn start(around: &mut Surroundings, budget: u64, has_dead_letter_topic: bool) -> Self {
        let registry = ringback::telemetry::Registry::new();
        let metrics = Metrics::register(&registry).expect("fresh metrics can be registered");
        let mut id = [0; 16];
        id[..8].copy_from_slice(&around.random.next().to_le_bytes());
        let (base, micros) = (around.clock.base(), around.clock.everywhere());
        let clock = move || base + Duration::from_micros(micros());
        let limits = Limits {
            budget: if lies::is_on(Lie::BudgetIgnored) {
                u64::MAX
            } else {
                budget
            },
            patience: Duration::from_micros(PATIENCE),
        };
        let opened = in_memory_with::<SimDisk>(limits, &metrics, id, Box::new(clock));
        let mut reader = opened.reader;
        let bell = Arc::new(AtomicBool::new(false));
        let rung = bell.clone();
        reader.on_commit(Box::new(move || {
            rung.store(true, Ordering::Relaxed);
        }));
        let watch = Rc::new(RefCell::new(Watch {
            stall: around.setup.stall.as_micros() as u64,
            topics: around.kafka.borrow().topic_count(),
            ..Watch::default()
        }));
        let journal_id = opened.recovery.journal_id;
        let underway = Underway::default();
        let env = SimEnv {
            clock: around.clock.clone(),
            kafka: around.kafka.clone(),
            ledger: around.ledger.clone(),
            disk: around.disk.clone(),
            random: around.random.fork(),
            journal: journal_id.clone(),
            properties: around.setup.properties.clone(),
            dead_letter_bytes: around.dead_letter_bytes.clone(),
            counted: 0,
            dead_letters: if has_dead_letter_topic {
                DeadLetterWay::Topic
            } else {
                DeadLetterWay::Nowhere
            },
            underway: underway.clone(),
            watch: watch.clone(),
        };
        let config = WorkerConfig {
            ack: Ack::Kafka,
            topics: topics::configured(around.kafka.borrow().topic_count()),
            journal_id: journal_id.clone(),
            limits: publish::Limits {
                drain_timeout: Duration::from_secs(20),
                stall_timeout: around.setup.stall,
                max_ahead: around.setup.ahead,
                batch_bytes: publish::BATCH_BYTES,
            },
        };
        let (base, micros) = (around.clock.base(), around.clock.everywhere());
        let clock = Box::new(move || base + Duration::from_micros(micros()));
        let deps = Deps {
            reader,
            truncator: opened.truncator,
            metrics: around.metrics.clone(),
            kafka_check: Readiness::new().check("kafka", CheckKind::Informational, ""),
            read_check: Readiness::new().check("journal-read", CheckKind::Informational, ""),
            throttle: Arc::new(LogThrottle::with_clock(publish::LOG_INTERVAL, clock)),
        };
        let journal = around.ledger.borrow_mut().journal(&journal_id);
        Self {
            appender: opened.appender,
            worker: Some(Worker::new(env, config, deps)),
            metrics,
            inbox: Inbox::default(),
            at: Some(around.clock.now()),
            drain: None,
            bell,
            watch,
            pending: Vec::new(),
            underway,
            journal_id,
            journal,
            budget,
            held: Arc::default(),
            largest: 0,
            random: around.random.fork(),
        }
    }

    pub fn publisher_at(&self) -> Option<u64> {
        self.at
    }

    /// When the next waiting request gives up.
    pub fn patience(&self) -> Option<u64> {
        self.pending.iter().map(|pending| pending.until).min()
    }

    pub fn unpublished(&self) -> u64 {
        let unpublished = self.metrics.figures().unpublished;
        unpublished.expect("the journal is open")
    }

    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.drain.is_none() && self.unpublished() == 0
    }

    /// Runs a step of the publisher's thread; true once it has ended.
    pub fn publish(&mut self, around: &Surroundings) -> bool {
        let now = around.clock.now();
        self.at = None;
        let Some(worker) = &mut self.worker else {
            return true;
        };
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.drain_deadline = self.drain.map(|until| around.clock.at(until));
        let next = worker.step(inbox);
        if worker.ahead() > around.setup.ahead {
            let words = format!("{} positions are ahead of the watermark", worker.ahead());
            around.ledger.borrow_mut().violate(words);
        }
        match next {
            Next::At(at) => {
                let at = at.map(|at| around.clock.of(at).max(now + 10));
                self.at = at.map(|at| at + self.random.below(around.slow_publisher));
                false
            }
            Next::End => true,
        }
    }

    /// Wakes the publisher if there is something for it, answers requests, and checks invariants; called after each turn.
    pub fn settle(&mut self, around: &Surroundings) {
        let now = around.clock.now();
        self.take_dead_letters(around);
        if self.bell.swap(false, Ordering::Relaxed) || !self.inbox.reports.is_empty() {
            let late = self.random.below(around.slow_publisher);
            let at = now + self.random.latency(MS / 10, 20 * MS) + late;
            self.at = Some(self.at.map_or(at, |before| before.min(at)));
        }
        self.answers(around);
        // One more body is in the publisher's hand while it is answered.
        let (held, budget) = (self.held.load(Ordering::Relaxed), self.budget);
        if held > budget + self.largest {
            let words = format!("{held} bytes of bodies are in memory, {budget} may be");
            around.ledger.borrow_mut().violate(words);
        }
    }

    /// Brings the publisher what became of the dead letters that were on their way until now.
    fn take_dead_letters(&mut self, around: &Surroundings) {
        let now = around.clock.now();
        let mut underway = self.underway.borrow_mut();
        for (_, sent) in underway.extract_if(.., |(at, _)| *at <= now) {
            let arrived = matches!(sent.place, DeadLetterPlace::Topic(_));
            if arrived && !lies::is_on(Lie::DeadLetterImagined) {
                let (position, payload) = (sent.record.position, sent.record.whole());
                let mut ledger = around.ledger.borrow_mut();
                ledger.dead_letter(&self.journal_id, position, sent.reason, &payload);
            }
            self.inbox.dead_letters.push(sent);
        }
        let arrives = underway.iter().map(|(at, _)| *at).min();
        let next = (!self.inbox.dead_letters.is_empty()).then_some(now + MS);
        let next = next.or(arrives).into_iter().chain(self.at).min();
        self.at = next;
    }

    fn answers(&mut self, around: &Surroundings) {
        let now = around.clock.now();
        let mut context = Context::from_waker(Waker::noop());
        let (journal, is_ending) = (self.journal, self.drain.is_some());
        let mut ledger = around.ledger.borrow_mut();
        self.pending.retain_mut(|pending| {
            let number = pending.number;
            let Poll::Ready(outcome) = Pin::new(&mut pending.commit).poll(&mut context) else {
                return pending.until > now;
            };
            around.clock.log(|| format!("event {number}: {outcome:?}"));
            let sent = &ledger.events[number];
            let is_kept = sent.delivered > 0 || sent.dead_lettered;
            match outcome {
                Ok(position) => {
                    if !is_kept {
                        let words = format!("event {number} was acknowledged before Kafka had it");
                        ledger.violate(words);
                    }
                    ledger.acknowledge(number, (journal, position));
                }
                Err(AppendError::Refused) if sent.poison != Poison::No => {}
                Err(AppendError::Closed) if is_ending => {}
                Err(error) => ledger.violate(format!("event {number} got {error}")),
            }
            false
        });
    }

    /// After SIGTERM: takes no more requests, and publishes what is in memory.
    pub fn drain(&mut self, around: &Surroundings, time: u64) {
        if self.drain.is_none() {
            let now = around.clock.now();
            self.drain = Some(now + time);
            self.at = Some(now);
        }
    }

    /// Ends in order: everyone who still waits is answered.
    pub fn end(mut self, around: &Surroundings) {
        if let Some(worker) = self.worker.take() {
            worker.end();
        }
        self.underway.borrow_mut().clear();
        self.inbox.dead_letters.clear();
        self.answers(around);
        if !self.pending.is_empty() {
            let words = format!("{} requests wait for nobody", self.pending.len());
            around.ledger.borrow_mut().violate(words);
        }
        let held = self.held.load(Ordering::Relaxed);
        if held > 0 {
            let words = format!("{held} bytes of bodies outlive their journal");
            around.ledger.borrow_mut().violate(words);
        }
    }

    /// Passes the answer to a topic query on to the publisher.
    pub fn topic_seen(&mut self, seen: (usize, Result<TopicState, String>)) {
        if seen.1.is_ok() {
            self.watch.borrow_mut().seen.insert(seen.0);
        }
        self.inbox.topics.push(seen);
        self.bell.store(true, Ordering::Relaxed);
    }

    pub fn mail(&mut self, report: Report, now: u64) {
        let report = self.watch.borrow_mut().on_report(report, now);
        self.inbox.reports.push(report);
    }
}

impl Inlet for MemoryProcess {
    fn append(&mut self, around: &Surroundings, number: usize) -> Result<(), AppendError> {
        if self.drain.is_some() {
            return Err(AppendError::Closed);
        }
        let (head, bytes) = record_of(&around.clock, &around.ledger.borrow(), number);
        self.largest = self.largest.max(bytes.len() as u64);
        self.held.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let held = self.held.clone();
        let body = Bytes::from_owner(Counted { bytes, held });
        let commit = self.appender.append(head, body)?;
        let until = around.clock.now() + PATIENCE;
        self.pending.push(Pending {
            number,
            commit,
            until,
        });
        Ok(())
    }
}
