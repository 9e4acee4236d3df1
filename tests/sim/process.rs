//! One run of ringback, from its start to its end: the real journal and the real publisher, a step at a time.

mod books;
mod publishing;
pub mod requests;
mod writing;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytesize::ByteSize;
use ringback::journal::commit_loop::CommitLoop;
use ringback::journal::engine::Engine;
use ringback::journal::engine::upkeep::Upkeep;
use ringback::journal::{Metrics, Reader, Truncator, recover_with};
use ringback::journal::{OpenError, Recovery};
use ringback::log_throttle::LogThrottle;
use ringback::publish;
use ringback::publish::inbox::{Inbox, Report, TopicState};
use ringback::publish::worker::{Deps, Worker, WorkerConfig};
use ringback::readiness::{CheckKind, Readiness};

use crate::disk::SimDisk;
use crate::env::{DeadLetterWay, SimEnv, Watch};
use crate::interleave;
use crate::kafka::topics;
use crate::lies::{self, Lie};
use crate::losses::Loss;
use crate::random::{MS, Random, SECOND};
use crate::world::Surroundings;
use publishing::Publishing;
use writing::{Nearby, Writing};

/// The pace of the upkeep's thread.
const PACE: u64 = SECOND;
/// Requests that may arrive while the upkeep of a process is inside a step.
const EXTRA_REQUESTS: u64 = 5;

pub struct Process {
    engine: Arc<Engine<SimDisk>>,
    pub recovery: Recovery,
    upkeep: Upkeep<SimDisk>,
    writing: Rc<RefCell<Writing>>,
    publishing: Rc<RefCell<Publishing>>,
    bell: Arc<AtomicBool>,
    watch: Rc<RefCell<Watch>>,
    /// The journal's number in the ledger.
    journal: usize,
    registry: ringback::telemetry::Registry,
    /// When the upkeep's thread runs next.
    pub upkeep_at: Option<u64>,
    rested_at: u64,
    /// What the journal has logged as lost.
    losses: Vec<Loss>,
    /// Records of missing segments that were counted after the start.
    missing: u64,
    /// A watermark that no checkpoint has yet, and since when.
    unsaved: Option<(u64, u64)>,
    /// The engine's next position after the step before.
    seen_next: u64,
    random: Random,
}

impl Process {
    /// Recovers what the disk holds.
    pub fn start(around: &mut Surroundings) -> Result<Self, OpenError> {
        around.disk.lock().failed = false;
        let registry = ringback::telemetry::Registry::new();
        let metrics = Metrics::register(&registry).expect("fresh metrics can be registered");
        let mut fresh_id = [0; 16];
        fresh_id[..8].copy_from_slice(&around.random.next().to_le_bytes());
        let disk = around.disk.clone();
        let mut config = around.setup.journal.clone();
        if lies::is_on(Lie::BudgetIgnored) {
            config.budget = ByteSize::gib(1);
        }
        around.disk.lock().opening = true;
        let recovered = recover_with(disk, &config, metrics, fresh_id);
        around.disk.lock().opening = false;
        let (engine, mut upkeep, recovery) = recovered?;
        // Copying a torn write may have failed; recovery goes on without the copy.
        let checkpoint_unread = {
            let mut disk = around.disk.lock();
            disk.failed = false;
            std::mem::take(&mut disk.checkpoint_unread)
        };
        around.ledger.borrow_mut().checkpoint_damaged |= checkpoint_unread;
        upkeep.step();
        let bell = Arc::new(AtomicBool::new(false));
        let rung = bell.clone();
        let mut reader = Reader::new(engine.clone());
        reader.on_commit(Box::new(move || {
            rung.store(!lies::is_on(Lie::NoWake), Ordering::Relaxed);
        }));
        let watch = Rc::new(RefCell::new(Watch {
            stall: around.setup.stall.as_micros() as u64,
            topics: around.kafka.borrow().topic_count(),
            ..Watch::default()
        }));
        let env = SimEnv {
            clock: around.clock.clone(),
            kafka: around.kafka.clone(),
            ledger: around.ledger.clone(),
            disk: around.disk.clone(),
            random: around.random.fork(),
            journal: recovery.journal_id.clone(),
            properties: around.setup.properties.clone(),
            dead_letter_bytes: around.dead_letter_bytes.clone(),
            counted: *around.dead_letter_bytes.borrow(),
            dead_letters: DeadLetterWay::Files,
            underway: Rc::default(),
            watch: watch.clone(),
        };
        let truncator = Truncator::without_threads(engine.clone());
        truncator.set_dead_letter_bytes(*around.dead_letter_bytes.borrow());
        let (base, micros) = (around.clock.base(), around.clock.everywhere());
        let config = WorkerConfig {
            ack: publish::Ack::Disk,
            topics: topics::configured(around.kafka.borrow().topic_count()),
            journal_id: recovery.journal_id.clone(),
            limits: publish::Limits {
                drain_timeout: Duration::from_secs(20),
                stall_timeout: around.setup.stall,
                max_ahead: if lies::is_on(Lie::WindowWithoutBound) {
                    publish::MAX_AHEAD
                } else {
                    around.setup.ahead
                },
                batch_bytes: publish::BATCH_BYTES,
            },
        };
        let clock = Box::new(move || base + Duration::from_micros(micros()));
        let deps = Deps {
            reader,
            truncator,
            metrics: around.metrics.clone(),
            kafka_check: Readiness::new().check("kafka", CheckKind::Informational, ""),
            read_check: Readiness::new().check("journal-read", CheckKind::Informational, ""),
            throttle: Arc::new(LogThrottle::with_clock(publish::LOG_INTERVAL, clock)),
        };
        let worker = Worker::new(env, config, deps);
        let (appender, commits) = CommitLoop::new(engine.clone());
        let journal = around.ledger.borrow_mut().journal(&recovery.journal_id);
        let now = around.clock.now();
        let seen_next = engine.lock().next;
        let writing = Writing {
            engine: engine.clone(),
            appender: Some(appender),
            commits: Some(commits),
            pending: Vec::new(),
            journal,
            at: None,
            awaits_segment: false,
            was_poisoned: false,
            extra_requests: EXTRA_REQUESTS,
            random: around.random.fork(),
        };
        let publishing = Publishing {
            worker: Some(worker),
            inbox: Inbox::default(),
            at: Some(now),
            drain: None,
            random: around.random.fork(),
        };
        Ok(Self {
            engine,
            recovery,
            upkeep,
            writing: Rc::new(RefCell::new(writing)),
            publishing: Rc::new(RefCell::new(publishing)),
            bell,
            watch,
            journal,
            registry,
            upkeep_at: None,
            rested_at: now,
            losses: Vec::new(),
            missing: 0,
            unsaved: None,
            seen_next,
            random: around.random.fork(),
        })
    }

    /// Runs a step of the writer's thread.
    pub fn write(&mut self, around: &Surroundings) {
        self.writing.borrow_mut().step(&Nearby::of(around));
    }

    /// When the writer's thread runs next.
    pub fn writer_at(&self) -> Option<u64> {
        self.writing.borrow().at
    }

    /// When the publisher's thread runs next.
    pub fn publisher_at(&self) -> Option<u64> {
        self.publishing.borrow().at
    }

    /// What runs inside a step of the upkeep: requests, the writer and the publisher.
    fn beside(&self, around: &Surroundings) -> impl FnMut() + use<> {
        let (writing, nearby) = (self.writing.clone(), Nearby::of(around));
        let publishing = self.publishing.clone();
        move || {
            writing.borrow_mut().requests_beside(&nearby);
            writing.borrow_mut().step_beside(&nearby);
            publishing.borrow_mut().step_beside(&nearby, &writing);
        }
    }

    /// Runs a step of the upkeep's thread.
    pub fn maintain(&mut self, around: &mut Surroundings) {
        let now = around.clock.now();
        self.upkeep_at = None;
        self.rested_at = now;
        let tail = self.engine.lock().tail();
        let beside = self.beside(around);
        interleave::with(beside, || self.upkeep.step());
        while self.upkeep.reclaim_pause().is_some() {
            self.upkeep.reclaim();
        }
        self.check_budget(around);
        around.note_checkpointed((self.journal, self.upkeep.checkpointed()));
        if around.disk.lock().dead.is_none() && !self.engine.admission.is_poisoned() {
            around.note_synced((self.journal, tail));
        }
        self.segment_made(now);
    }

    fn segment_made(&self, now: u64) {
        let mut writing = self.writing.borrow_mut();
        if std::mem::take(&mut writing.awaits_segment) {
            writing.at = Some(now);
        }
    }

    /// Runs a step of the publisher's thread; true once it has ended.
    pub fn publish(&mut self, around: &Surroundings) -> bool {
        let mut publishing = self.publishing.borrow_mut();
        publishing.step(&Nearby::of(around), &self.writing)
    }

    /// Schedules what a thread's step causes in the others, and checks invariants; called after each step.
    pub fn settle(&mut self, around: &mut Surroundings) {
        let now = around.clock.now();
        let rung = self.bell.swap(false, Ordering::Relaxed);
        self.check_wake(around, rung);
        let mut publishing = self.publishing.borrow_mut();
        if rung || !publishing.inbox.reports.is_empty() {
            let late = self.random.below(around.slow_publisher);
            let at = now + self.random.latency(MS / 10, 20 * MS) + late;
            publishing.wake(at);
        }
        let is_draining = publishing.drain.is_some();
        drop(publishing);
        self.writing.borrow_mut().answers(&Nearby::of(around));
        self.note_losses(around);
        let renew_by = self.watch.borrow().renew_by;
        if !is_draining && renew_by.is_some_and(|by| now > by) {
            let words = String::from("a producer is kept though another was asked for");
            around.ledger.borrow_mut().violate(words);
        }
        let poisoned = self.engine.admission.is_poisoned();
        if poisoned && !self.was_poisoned() {
            around.clock.log(|| String::from("the journal is poisoned"));
            self.drain(around, 20 * SECOND);
            self.segment_made(now);
        }
        self.writing.borrow_mut().was_poisoned = poisoned;
        self.check_age(around);
        let state = self.engine.lock();
        let due = if self.upkeep.is_due(&state) {
            Some(now + self.random.latency(MS / 5, around.slow_sync))
        } else if self.upkeep.is_behind(&state) && !lies::is_on(Lie::CheckpointAtEnd) {
            Some(now.max(self.rested_at + PACE))
        } else {
            None
        };
        drop(state);
        self.upkeep_at = match (self.upkeep_at, due) {
            (Some(before), Some(due)) => Some(before.min(due)),
            (_, due) => due,
        };
    }

    /// After SIGTERM or a poison: takes no more requests and publishes what is in the journal.
    pub fn drain(&mut self, around: &Surroundings, time: u64) {
        let now = around.clock.now();
        let mut publishing = self.publishing.borrow_mut();
        if publishing.drain.is_none() {
            publishing.drain = Some(now + time);
            publishing.at = Some(now);
            if !self.engine.admission.is_poisoned() {
                let mut writing = self.writing.borrow_mut();
                writing.appender = None;
                if !writing.awaits_segment {
                    writing.at = Some(writing.at.unwrap_or(now));
                }
            }
        }
    }

    /// The publisher finds that the wall clock was set back, so it must replace the producer.
    pub fn renew(&mut self, at: u64) {
        self.watch.borrow_mut().renew(at);
        let mut publishing = self.publishing.borrow_mut();
        publishing.inbox.replace_producer = true;
        publishing.wake(at);
    }

    /// The present producer's records have become too old for the topic, so the publisher may replace it.
    pub fn may_renew(&mut self) {
        self.watch.borrow_mut().failed = true;
    }

    /// Passes the answer to a topic query on to the publisher.
    pub fn topic_seen(&mut self, seen: (usize, Result<TopicState, String>)) {
        if seen.1.is_ok() {
            self.watch.borrow_mut().seen.insert(seen.0);
        }
        self.publishing.borrow_mut().inbox.topics.push(seen);
        self.bell.store(true, Ordering::Relaxed);
    }

    pub fn mail(&mut self, report: Report, now: u64) {
        let report = self.watch.borrow_mut().on_report(report, now);
        self.publishing.borrow_mut().inbox.reports.push(report);
    }

    /// Ends in order: the writer finishes its queue, and the upkeep writes the last checkpoint.
    pub fn end(mut self, around: &mut Surroundings) {
        if let Some(worker) = self.publishing.borrow_mut().worker.take() {
            worker.end();
        }
        self.writing.borrow_mut().appender = None;
        let nearby = Nearby::of(around);
        loop {
            let mut writing = self.writing.borrow_mut();
            writing.step(&nearby);
            // Answers count as of this step: a later failure does not make them wrong.
            if around.disk.lock().dead.is_none() {
                writing.answers(&nearby);
            }
            if writing.commits.is_none() {
                break;
            }
            if std::mem::take(&mut writing.awaits_segment) {
                drop(writing);
                self.upkeep.step();
            }
        }
        let tail = self.engine.lock().tail();
        if self.upkeep.close().is_ok() && around.disk.lock().dead.is_none() {
            around.note_checkpointed((self.journal, self.upkeep.checkpointed()));
            around.note_synced((self.journal, tail));
        } else {
            around.ledger.borrow_mut().uncovered_from(around.synced);
        }
        self.gone(around);
    }

    /// Closes the accounts of a process that has ended, in order or not.
    pub fn gone(mut self, around: &mut Surroundings) {
        around.ledger.borrow_mut().torn += self.writing.borrow().pending.len() as u64;
        self.note_losses(around);
        self.report_losses(around);
        around.kafka.borrow_mut().forget_clients();
    }

    fn was_poisoned(&self) -> bool {
        self.writing.borrow().was_poisoned
    }

    pub fn unpublished(&self) -> u64 {
        self.engine.lock().unpublished()
    }

    pub fn is_quiet(&self) -> bool {
        let is_draining = self.publishing.borrow().drain.is_some();
        self.writing.borrow().pending.is_empty() && !is_draining && self.unpublished() == 0
    }

    pub fn engine(&self) -> &Engine<SimDisk> {
        &self.engine
    }
}
