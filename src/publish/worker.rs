//! The publisher's one thread: carries out the machine's actions, feeds it what happens.

mod sending;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::journal::{Reader, Record, Truncator};
use crate::readiness::Check;

use super::Config;
use super::dead_letter::DeadLetters;
use super::delivery::{Blame, blame};
use super::machine::{Action, Machine};
use super::mailbox::{Mailbox, Report};
use super::metrics::Metrics;
use super::producer::{Factory, Producer, Sayings};

/// Until a full queue or an unreadable record is tried again, should no report come before.
const RETRY: Duration = Duration::from_millis(100);
/// How often the dead letters are counted anew while there are any: a replay removes them beside the running relay.
const RECOUNT: Duration = Duration::from_secs(5);
/// For what is in flight when the time to drain is up.
const LAST_REPORTS: Duration = Duration::from_secs(1);

/// Everything the thread owns.
pub(super) struct Worker {
    config: Config,
    journal_id: String,
    reader: Reader,
    truncator: Truncator,
    metrics: Metrics,
    check: Check,
    letters: DeadLetters,
    mailbox: Arc<Mailbox>,
    sayings: Arc<Sayings>,
    factory: Factory,
    machine: Machine,
    producer: Option<Producer>,
    /// Read, but not yet taken by the producer.
    held: Option<Record>,
    /// When each position in flight had been received; in the order of sending.
    received: VecDeque<(u64, u64)>,
    at_tail: bool,
    retry: bool,
    /// When the dead letters were last counted.
    counted: Instant,
    trouble: Trouble,
}

/// What the check says at present.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// Ends when a broker is connected.
    Connection,
    /// Ends when an event is delivered.
    Delivery,
}

impl Worker {
    #[allow(
        clippy::too_many_arguments,
        reason = "one owner of all parts; a struct of them would only be this one again"
    )]
    pub(super) fn new(
        config: Config,
        properties: BTreeMap<String, String>,
        journal_id: String,
        reader: Reader,
        truncator: Truncator,
        metrics: Metrics,
        check: Check,
        letters: DeadLetters,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        let socket_timeout = properties
            .get("socket.timeout.ms")
            .and_then(|text| text.parse().ok())
            .map_or(Duration::from_secs(10), Duration::from_millis);
        let sayings = Arc::new(Sayings::default());
        let factory = Factory {
            properties,
            topic: config.topic.clone(),
            mailbox: mailbox.clone(),
            metrics: metrics.clone(),
            sayings: sayings.clone(),
        };
        Self {
            config,
            journal_id,
            reader,
            truncator,
            metrics,
            check,
            letters,
            mailbox,
            sayings,
            factory,
            machine: Machine::new(Instant::now(), socket_timeout * 2),
            producer: None,
            held: None,
            received: VecDeque::new(),
            at_tail: false,
            retry: false,
            counted: Instant::now(),
            trouble: Trouble::Connection,
        }
    }

    /// Runs until drained; how many records stay in the journal.
    pub(super) fn run(mut self) -> u64 {
        let mut more = true;
        loop {
            let now = Instant::now();
            let until = if more {
                Some(now)
            } else {
                let retry = self.retry.then(|| now + RETRY);
                let recount = (self.letters.bytes() > 0).then(|| self.counted + RECOUNT);
                let waits = [self.machine.deadline(), retry, recount];
                waits.into_iter().flatten().min()
            };
            let inbox = self.mailbox.take(self.until(until));
            let now = Instant::now();
            if inbox.connected && self.trouble == Trouble::Connection {
                self.well();
            }
            if let Some(words) = inbox.trouble
                && self.trouble != Trouble::Delivery
            {
                self.trouble(Trouble::Connection, &words);
            }
            self.recount(now);
            self.reports(inbox.reports, now);
            self.machine.tick(now, rand::random());
            self.act();
            more = self.fill();
            self.act();
            self.metrics
                .in_flight
                .set(i64::try_from(self.machine.in_flight()).unwrap_or(i64::MAX));
            if let Some(end) = inbox.drain
                && ((self.at_tail && self.machine.is_empty()) || Instant::now() >= end)
            {
                return self.end();
            }
        }
    }

    /// The wait's end: the drain's deadline comes first where there is one.
    fn until(&self, until: Option<Instant>) -> Option<Instant> {
        // A short look at the mail costs nothing next to what it is for; without a drain there is no deadline.
        let drain = self.mailbox.drain();
        [until, drain].into_iter().flatten().min()
    }

    /// Room that a replay has given comes back to the budget.
    fn recount(&mut self, now: Instant) {
        if self.letters.bytes() == 0 || now.duration_since(self.counted) < RECOUNT {
            return;
        }
        self.counted = now;
        match self.letters.recount() {
            Ok(true) => {
                let bytes = self.letters.bytes();
                self.truncator.set_dead_letter_bytes(bytes);
                tracing::info!(bytes, "dead letters were replayed or removed");
            }
            Ok(false) => {}
            Err(error) => {
                if let Some(kept) = self.sayings.may_say("recount") {
                    tracing::warn!(%error, kept_back = kept, "cannot count the dead letters");
                }
            }
        }
    }

    fn reports(&mut self, reports: Vec<Report>, now: Instant) {
        for report in reports {
            let outcome = report.outcome.map_err(|code| {
                let blame = blame(code, report.has_key);
                self.failed(blame, &code.to_string());
                blame
            });
            let good = outcome.is_ok();
            let first = self.machine.report(
                report.generation,
                report.position,
                outcome,
                now,
                rand::random(),
            );
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
            if let Ok(index) = self
                .received
                .binary_search_by_key(&position, |(position, _)| *position)
            {
                let received_ms = self.received[index].1;
                self.metrics.latency.observe(seconds_since(received_ms));
            }
        }
        if self.trouble != Trouble::None {
            self.well();
        }
    }

    fn failed(&mut self, blame: Blame, words: &str) {
        self.metrics
            .failures
            .with_label_values(&[blame.label()])
            .inc();
        if blame == Blame::Collateral {
            return;
        }
        self.trouble(Trouble::Delivery, words);
        if let Some(kept) = self.sayings.may_say(words) {
            tracing::warn!(
                reason = words,
                kept_back = kept,
                "Kafka did not take an event; it stays in the journal and is tried again"
            );
        }
    }

    fn well(&mut self) {
        self.trouble = Trouble::None;
        self.check.pass("ok");
    }

    fn trouble(&mut self, trouble: Trouble, words: &str) {
        self.trouble = trouble;
        self.check
            .fail(&format!("{words}; events stay in the journal"));
    }

    fn act(&mut self) {
        loop {
            let actions = self.machine.actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Purge { in_flight } => {
                        if let Some(producer) = &self.producer {
                            producer.purge(in_flight);
                        }
                    }
                    Action::Truncate(upto) => {
                        self.truncator.truncate(..=upto);
                        while self
                            .received
                            .front()
                            .is_some_and(|(position, _)| *position <= upto)
                        {
                            self.received.pop_front();
                        }
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
        self.producer = None;
        self.held = None;
        self.received.clear();
        if let Some(from) = from {
            self.reader.seek(from);
        }
        match self.factory.build(generation, isolate, batch_bytes) {
            Ok(producer) => self.producer = Some(producer),
            Err(error) => {
                self.trouble(Trouble::Connection, &error.to_string());
                if let Some(kept) = self.sayings.may_say("build") {
                    tracing::error!(%error, kept_back = kept, "cannot build a Kafka producer; trying again");
                }
                self.machine.not_built(Instant::now(), rand::random());
            }
        }
    }

    /// What is in flight gets a last chance, then the checkpoint is written.
    fn end(mut self) -> u64 {
        if let Some(producer) = &self.producer {
            producer.purge(false);
        }
        let until = Instant::now() + LAST_REPORTS;
        while self.machine.in_flight() > 0 && Instant::now() < until {
            let inbox = self.mailbox.take(Some(until));
            self.reports(inbox.reports, Instant::now());
        }
        self.act_truncations();
        self.producer = None;
        let left = self.truncator.unpublished();
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

fn seconds_since(unix_ms: u64) -> f64 {
    let then = Duration::from_millis(unix_ms);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(then).as_secs_f64()
}
