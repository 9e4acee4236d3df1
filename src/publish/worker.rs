//! The publisher's one thread: carries out the machine's actions, feeds it what happens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::journal::{Reader, Record, Truncator};
use crate::readiness::Check;

use super::Config;
use super::dead_letter::DeadLetters;
use super::delivery::{Blame, blame, headers};
use super::machine::{Action, Machine, Offer};
use super::mailbox::{Mailbox, Report};
use super::metrics::Metrics;
use super::producer::{Factory, Handed, Outgoing, Producer, Sayings};

/// Records handed over between two looks at the mail.
const ROUND: usize = 256;
/// Until a full queue or an unreadable record is tried again, should no report come before.
const RETRY: Duration = Duration::from_millis(100);
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
                [self.machine.deadline(), retry].into_iter().flatten().min()
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

    /// Hands records over; true if there may be more at once.
    fn fill(&mut self) -> bool {
        self.retry = false;
        for _ in 0..ROUND {
            if !self.machine.wants() {
                // Not known as long as nothing is read.
                self.at_tail = false;
                return false;
            }
            let Some(record) = self.held.take().or_else(|| self.next()) else {
                return false;
            };
            if !self.hand_over(record) {
                return false;
            }
        }
        true
    }

    fn next(&mut self) -> Option<Record> {
        match self.reader.next_record() {
            Ok(Some(record)) => {
                self.at_tail = false;
                Some(record)
            }
            Ok(None) => {
                self.at_tail = true;
                self.machine.tail();
                None
            }
            Err(error) => {
                self.at_tail = false;
                self.retry = true;
                if let Some(kept) = self.sayings.may_say("read") {
                    tracing::error!(%error, kept_back = kept, "cannot read the journal; trying again");
                }
                None
            }
        }
    }

    /// False where nothing more can be handed over for now.
    fn hand_over(&mut self, record: Record) -> bool {
        let position = record.position;
        match self.machine.offer(position, Instant::now()) {
            Offer::Skip => return true,
            Offer::Hold => {
                self.held = Some(record);
                return false;
            }
            Offer::Send => {}
        }
        let Some(producer) = &self.producer else {
            self.held = Some(record);
            return false;
        };
        let event = match Event::decode(&record.payload) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(position, %error, "a record of the journal is no event; setting it aside");
                return self.set_aside(position, "undecodable", &record.payload);
            }
        };
        let handed = producer.send(Outgoing {
            topic: &self.config.topic,
            position,
            key: event.key,
            value: event.body,
            timestamp_ms: event.received_ms,
            headers: headers(&event, &self.journal_id, position),
        });
        match handed {
            Handed::Taken => {
                self.received.push_back((position, event.received_ms));
                self.machine.sent(position);
                true
            }
            Handed::QueueFull => {
                self.held = Some(record);
                self.retry = true;
                false
            }
            Handed::Refused(code) => {
                let blame = blame(code, event.key.is_some());
                self.failed(blame, &code.to_string());
                self.machine
                    .refused(position, blame, Instant::now(), rand::random());
                false
            }
        }
    }

    fn dead_letter(&mut self, position: u64, reason: &'static str) {
        // Read again: memory holds nothing back for the rare case.
        self.reader.seek(position);
        match self.reader.next_record() {
            Ok(Some(record)) if record.position == position => {
                self.set_aside(position, reason, &record.payload);
            }
            // Damaged meanwhile: the next reading passes over it and says so.
            Ok(_) => {}
            Err(error) => tracing::error!(position, %error, "cannot read a record to set it aside"),
        }
    }

    fn set_aside(&mut self, position: u64, reason: &'static str, payload: &[u8]) -> bool {
        let outcome =
            self.letters
                .set_aside(&self.config, &self.journal_id, position, reason, payload);
        match outcome {
            Ok(()) => {
                self.metrics.dead_letters.with_label_values(&[reason]).inc();
                self.truncator.set_dead_letter_bytes(self.letters.bytes());
                self.machine.lettered(position);
                tracing::error!(
                    position,
                    reason,
                    "an event was set aside as a dead letter: Kafka refuses it for good"
                );
                true
            }
            Err(error) => {
                self.retry = true;
                if let Some(kept) = self.sayings.may_say("letter") {
                    tracing::error!(position, %error, kept_back = kept, "cannot set an event aside; trying again");
                }
                // Nothing may pass it: it is read again from the watermark.
                self.machine
                    .refused(position, Blame::Cluster, Instant::now(), rand::random());
                false
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
