//! The publisher's one worker: carries out the machine's actions, feeds it what happens.
//!
//! It has no thread, clock or chance of its own: whoever calls [`Worker::step`] brings the mail, and
//! [`Outside`] is everything else.

mod health;
mod send;
mod sent;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::journal::{Reader, Record, Truncator};
use crate::readiness::Check;

use self::health::Trouble;
use super::decide::machine::{Action, Limits, Machine};
use super::env::{Client as _, Outside};
use super::inbox::{Inbox, Report};
use super::kafka::cloudevents::blame;
use super::metrics::Metrics;
use crate::log_throttle::LogThrottle;
use sent::SentRecords;

/// Until a full queue or an unreadable record is tried again, should no report come before.
const RETRY: Duration = Duration::from_millis(100);
/// How often the dead letters are counted anew while there are any: a replay removes them beside the running relay.
const RECOUNT: Duration = Duration::from_secs(5);
/// For what is in flight when the time to drain is up.
const LAST_REPORTS: Duration = Duration::from_secs(1);

/// What a worker is made of, beside its [`Outside`].
pub struct Parts<O: Outside> {
    /// The topic of all events.
    pub topic: String,
    /// The journal's id, as the headers tell it.
    pub journal_id: String,
    /// Reads the journal.
    pub reader: Reader<O::Disk>,
    /// Empties it.
    pub truncator: Truncator<O::Disk>,
    /// What is counted.
    pub metrics: Metrics,
    /// Kafka's state in words.
    pub check: Check,
    /// Whether the journal can be read, in words.
    pub reading: Check,
    /// What was said lately.
    pub throttle: Arc<LogThrottle>,
    /// How long what is in flight may take after a failure: two socket time-outs.
    pub settle: Duration,
    /// How long nothing may be heard of what is in flight before the producer is replaced.
    pub stall: Duration,
    /// `batch.size` to begin with.
    pub batch_bytes: u32,
    /// How many positions may lie above the watermark.
    pub ahead: usize,
}

/// Reads, sends, hears of it, empties the journal.
pub struct Worker<O: Outside> {
    outside: O,
    topic: String,
    journal_id: String,
    reader: Reader<O::Disk>,
    truncator: Truncator<O::Disk>,
    metrics: Metrics,
    check: Check,
    reading: Check,
    throttle: Arc<LogThrottle>,
    machine: Machine,
    client: Option<O::Client>,
    /// Read, but not yet taken by the producer, whose queue is full.
    held: Option<Record>,
    sent: SentRecords,
    at_tail: bool,
    retry: bool,
    /// When the journal's reader tries again what it could not read.
    read_again: Option<Instant>,
    /// When the dead letters were last counted.
    counted: Instant,
    trouble: Trouble,
    /// The check's words for it.
    words: String,
    /// Set while a silence lasts for which the producer was replaced: how long it was then.
    stalled: Option<Duration>,
    stall: Duration,
    /// When the cluster was last asked about the topic.
    looked: Instant,
    /// Set once it is drained: until when the last reports may come.
    ending: Option<Instant>,
}

/// When to step again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At this time, or with the next mail or commit.
    At(Option<Instant>),
    /// Never: it is drained. [`Worker::end`] is to be called.
    End,
}

impl<O: Outside> Worker<O> {
    /// Begins at the journal's watermark; builds its first producer in the first step.
    pub fn new(outside: O, parts: Parts<O>) -> Self {
        let limits = Limits {
            settle: parts.settle,
            stall: parts.stall,
            ahead: parts.ahead,
            batch_bytes: parts.batch_bytes,
        };
        Self {
            machine: Machine::new(outside.now(), limits),
            counted: outside.now(),
            looked: outside.now(),
            outside,
            topic: parts.topic,
            journal_id: parts.journal_id,
            reader: parts.reader,
            truncator: parts.truncator,
            metrics: parts.metrics,
            check: parts.check,
            throttle: parts.throttle,
            client: None,
            held: None,
            sent: SentRecords::default(),
            at_tail: false,
            retry: false,
            read_again: None,
            reading: parts.reading,
            trouble: Trouble::Connection,
            words: String::from("no answer from a broker yet"),
            stalled: None,
            stall: parts.stall,
            ending: None,
        }
    }

    /// Does what the mail and the time ask for.
    pub fn step(&mut self, inbox: Inbox) -> Next {
        let now = self.outside.now();
        if let Some(until) = self.ending {
            self.reports(inbox.reports, now);
            return if self.machine.in_flight() > 0 && now < until {
                Next::At(Some(until))
            } else {
                Next::End
            };
        }
        self.hear(inbox.connected, inbox.trouble, inbox.topic);
        self.recount(now);
        self.reports(inbox.reports, now);
        self.look_at_silence(now);
        self.look_at_topic(now);
        self.look_at_ages(now);
        if inbox.renew {
            let jitter = self.outside.jitter();
            self.machine.renew(now, jitter);
            self.act();
        }
        if inbox.drain.is_some_and(|end| now >= end) {
            // Not one more producer, and not one more record.
            return self.begin_end(now);
        }
        let jitter = self.outside.jitter();
        self.machine.tick(now, jitter);
        self.act();
        let more = self.fill();
        self.act();
        self.metrics
            .in_flight
            .set(i64::try_from(self.machine.in_flight()).unwrap_or(i64::MAX));
        let now = self.outside.now();
        if let Some(end) = inbox.drain
            && ((self.at_tail && self.machine.is_empty()) || now >= end)
        {
            return self.begin_end(now);
        }
        if more {
            return Next::At(Some(now));
        }
        let retry = self.retry.then(|| now + RETRY);
        let recount = (self.outside.letter_bytes() > 0).then(|| self.counted + RECOUNT);
        let wakes = [
            self.machine.deadline(),
            retry,
            // While nothing is wanted nothing is read, and what makes the machine want again wakes by itself.
            self.read_again.filter(|_| self.machine.wants()),
            recount,
            inbox.drain,
            self.silent_at(),
            self.look_at(),
            self.too_old_at(now),
        ];
        Next::At(wakes.into_iter().flatten().min())
    }

    /// Lets the client's callbacks put into the mailbox what they have.
    pub(super) fn poll(&self) {
        if let Some(client) = &self.client {
            client.poll();
        }
    }

    /// True where reports are to come.
    pub(super) fn awaits_reports(&self) -> bool {
        self.machine.in_flight() > 0
    }

    /// Positions above the watermark that are known; at most [`Parts::ahead`].
    pub fn ahead(&self) -> usize {
        self.machine.ahead()
    }

    /// What is in flight gets a last chance.
    fn begin_end(&mut self, now: Instant) -> Next {
        if let Some(client) = &self.client {
            client.purge(false);
        }
        let until = now + LAST_REPORTS;
        self.ending = Some(until);
        if self.machine.in_flight() == 0 {
            return Next::End;
        }
        Next::At(Some(until))
    }

    /// Room that a replay has given comes back to the budget.
    fn recount(&mut self, now: Instant) {
        if self.outside.letter_bytes() == 0 || now.duration_since(self.counted) < RECOUNT {
            return;
        }
        self.counted = now;
        match self.outside.recount_letters() {
            Ok(true) => {
                let bytes = self.outside.letter_bytes();
                self.truncator.set_dead_letter_bytes(bytes);
                tracing::info!(bytes, "dead letters were replayed or removed");
            }
            Ok(false) => {}
            Err(error) => {
                if let Some(suppressed) = self.throttle.permit("recount") {
                    tracing::warn!(%error, suppressed, "cannot count the dead letters");
                }
            }
        }
    }

    fn reports(&mut self, reports: Vec<Report>, now: Instant) {
        for report in reports {
            self.learn_from(&report);
            let outcome = report.outcome.map_err(|code| {
                let blame = blame(code, report.has_key);
                self.failed(blame, &code.to_string());
                blame
            });
            let good = outcome.is_ok();
            let jitter = self.outside.jitter();
            let first =
                self.machine
                    .report(report.generation, report.position, outcome, now, jitter);
            if good {
                self.arrived(report.position, first);
            }
            // What a report asks for is done before the next one is looked at.
            self.act();
        }
    }

    fn arrived(&mut self, position: u64, first: bool) {
        if first {
            self.metrics.delivered.inc();
            self.count_times(position);
        }
        self.stalled = None;
        if self.trouble != Trouble::None {
            self.well();
        }
    }

    fn act(&mut self) {
        loop {
            let actions = self.machine.actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Stalled(silence) => self.stalled(silence),
                    Action::Purge { in_flight } => {
                        if let Some(client) = &self.client {
                            client.purge(in_flight);
                        }
                    }
                    Action::Truncate(upto) => {
                        self.truncator.truncate(..=upto);
                        self.sent.remove_upto(upto);
                    }
                    Action::DeadLetter { position, reason } => self.dead_letter(position, reason),
                    Action::Rebuild {
                        generation,
                        from,
                        isolate,
                        batch_bytes,
                    } => {
                        if generation > 1 {
                            self.metrics.rebuilds.inc();
                        }
                        self.rebuild(generation, from, isolate, batch_bytes);
                    }
                }
            }
        }
    }

    fn rebuild(&mut self, generation: u64, from: Option<u64>, isolate: bool, batch_bytes: u32) {
        // The old one first: two at a time would be twice the memory.
        self.client = None;
        self.held = None;
        self.sent.clear();
        if let Some(from) = from {
            self.reader.seek(from);
        }
        match self.outside.build(generation, isolate, batch_bytes) {
            Ok(client) => {
                self.client = Some(client);
                // Building it was a look too.
                self.looked = self.outside.now();
            }
            Err(error) => {
                self.trouble(Trouble::Connection, &error.to_string());
                if let Some(suppressed) = self.throttle.permit("build") {
                    tracing::error!(%error, suppressed, "cannot build a Kafka producer; trying again");
                }
                let (now, jitter) = (self.outside.now(), self.outside.jitter());
                self.machine.not_built(now, jitter);
            }
        }
    }

    /// After [`Next::End`]: gives the producer up and writes the checkpoint; how many records stay in the journal.
    pub fn end(mut self) -> u64 {
        self.act_truncations();
        let left = self.truncator.unpublished();
        // Before the client's end, which may take its time: what it still hears counts no more.
        if let Err(error) = self.truncator.close() {
            tracing::error!(%error, "the last checkpoint could not be written: some events will be sent twice");
        }
        left
    }

    fn act_truncations(&mut self) {
        for action in self.machine.actions() {
            if let Action::Truncate(upto) = action {
                self.truncator.truncate(..=upto);
            }
        }
    }
}
