//! The publisher's one worker: carries out the machine's actions and feeds it what happens.
//!
//! It has no thread, clock or randomness of its own: the caller of [`Worker::step`] brings the mail, and [`Env`] is everything else.

mod health;
mod outage;
mod reading;
mod send;
mod sent;

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntGauge;

use super::Ack;
use super::decide::machine::{Action, Limits, Machine};
use super::env::{Client as _, Env};
use super::inbox::{Inbox, Report};
use super::metrics::Metrics;
use super::topics::{SourceTopics, Topics};
use crate::journal::{Reader, Record, Truncator};
use crate::log_throttle::LogThrottle;
use crate::readiness::Check;
use health::{Health, Problem};
use outage::Outage;
use reading::Reading;
use sent::SentRecords;

/// How long a full queue or a failed read is left alone, unless mail arrives first.
const RETRY: Duration = Duration::from_millis(100);
/// How often existing dead letters are counted again: a replay removes them beside the running relay.
const RECOUNT_INTERVAL: Duration = Duration::from_secs(5);
/// For the reports on records that are in flight at the end.
const LAST_REPORTS_TIMEOUT: Duration = Duration::from_secs(1);

/// What a worker is configured with.
pub struct WorkerConfig {
    /// Where events are while Kafka does not take them.
    pub ack: Ack,
    /// The topics of all events.
    pub topics: Topics,
    /// The journal's id, for the records' headers.
    pub journal_id: String,
    /// The machine's bounds.
    pub limits: Limits,
}

/// What a worker needs beside its [`Env`].
pub struct Deps<E: Env> {
    /// Reads the journal.
    pub reader: Reader<E::Disk>,
    /// Removes published records from it.
    pub truncator: Truncator<E::Disk>,
    /// Publish's own.
    pub metrics: Metrics,
    /// Reports Kafka's state.
    pub kafka_check: Check,
    /// Reports whether the journal can be read, and what of it is lost.
    pub read_check: Check,
    /// Limits repeated log lines.
    pub throttle: Arc<LogThrottle>,
}

/// Reads the journal, sends its records, and truncates it as they are acknowledged.
pub struct Worker<E: Env> {
    env: E,
    config: WorkerConfig,
    reader: Reader<E::Disk>,
    truncator: Truncator<E::Disk>,
    metrics: Metrics,
    health: Health,
    outage: Option<Outage>,
    reading: Reading,
    throttle: Arc<LogThrottle>,
    machine: Machine,
    client: Option<E::Client>,
    /// Read, but not yet taken by the producer.
    held: Option<Record>,
    sent: SentRecords,
    /// The number of each topic's partitions, by the topic's index.
    partitions: Vec<IntGauge>,
    /// Dead letters that are on their way to their topic while everything else goes on.
    dead_letters_underway: usize,
    is_at_tail: bool,
    /// True if something failed that is tried again after [`RETRY`].
    must_retry: bool,
    /// When the journal's reader tries again to read what it could not.
    read_again: Option<Instant>,
    /// When the dead letters were last counted.
    recounted: Instant,
    /// When the cluster was last asked about the topics.
    topics_requested: Instant,
    /// Set once the worker is drained: how long the last reports may take.
    end_by: Option<Instant>,
}

/// When to step again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At this time, or with the next mail or commit.
    At(Option<Instant>),
    /// Never: the worker is drained, and [`Worker::end`] must be called.
    End,
}

impl<E: Env> Worker<E> {
    /// Starts at the journal's watermark; the first step builds the first producer.
    pub fn new(env: E, config: WorkerConfig, deps: Deps<E>) -> Self {
        let now = env.now();
        let names = config.topics.names().iter();
        let partitions: Vec<_> = names.map(|name| deps.metrics.partitions(name)).collect();
        let topics = partitions.len();
        Self {
            machine: Machine::new(now, config.limits, topics),
            env,
            health: Health::new(deps.kafka_check, config.ack),
            config,
            reader: deps.reader,
            truncator: deps.truncator,
            metrics: deps.metrics,
            outage: None,
            reading: Reading::new(deps.read_check),
            throttle: deps.throttle,
            client: None,
            held: None,
            sent: SentRecords::of(topics),
            partitions,
            dead_letters_underway: 0,
            is_at_tail: false,
            must_retry: false,
            read_again: None,
            recounted: now,
            topics_requested: now,
            end_by: None,
        }
    }

    /// Does what the mail and the time ask for.
    pub fn step(&mut self, inbox: Inbox) -> Next {
        let now = self.env.now();
        for sent in inbox.dead_letters {
            self.on_dead_letter(&sent);
        }
        if let Some(end_by) = self.end_by {
            self.on_reports(inbox.reports, now);
            return if self.machine.in_flight() > 0 && now < end_by {
                Next::At(Some(end_by))
            } else {
                Next::End
            };
        }
        self.on_client_event(inbox.connection, inbox.topics);
        self.recount_dead_letters(now);
        self.on_reports(inbox.reports, now);
        self.check_for_stall(now);
        self.refresh_topic_states(now);
        self.check_ages(now);
        let is_rerouted = inbox.routes.is_some_and(|sources| self.route(&sources));
        if inbox.replace_producer || is_rerouted {
            self.replace_producer(now);
        }
        if inbox.drain_deadline.is_some_and(|end| now >= end) {
            // The worker builds no other producer and sends no other record.
            return self.begin_end(now);
        }
        let jitter = self.env.jitter();
        self.machine.tick(now, jitter);
        self.act();
        let has_more = self.fill();
        self.reading.set_losses(self.reader.losses());
        self.act();
        self.metrics
            .in_flight
            .set(i64::try_from(self.machine.in_flight()).unwrap_or(i64::MAX));
        let now = self.env.now();
        if self.is_at_tail && self.machine.is_empty() {
            self.health.mark_empty();
        }
        self.watch_outage(now);
        if let Some(end) = inbox.drain_deadline
            && (self.is_done() || now >= end)
        {
            return self.begin_end(now);
        }
        if has_more {
            return Next::At(Some(now));
        }
        self.next_step(now, inbox.drain_deadline)
    }

    /// Nothing is left to publish.
    fn is_done(&self) -> bool {
        self.is_at_tail && self.machine.is_empty() && self.dead_letters_underway == 0
    }

    fn next_step(&self, now: Instant, drain_deadline: Option<Instant>) -> Next {
        let has_dead_letters = self.env.dead_letter_bytes() > 0;
        let times = [
            self.machine.deadline(),
            self.must_retry.then(|| now + RETRY),
            // While the machine wants no record nothing is read, and what makes it want one again wakes the worker anyway.
            self.read_again.filter(|_| self.machine.wants_record()),
            has_dead_letters.then(|| self.recounted + RECOUNT_INTERVAL),
            drain_deadline,
            self.stall_report_at(),
            self.outage_report_at(),
            self.topic_refresh_at(),
            self.too_old_at(now),
        ];
        Next::At(times.into_iter().flatten().min())
    }

    /// Lets the client's callbacks fill the mailbox.
    pub(super) fn poll(&self) {
        if let Some(client) = &self.client {
            client.poll();
        }
    }

    pub(super) fn awaits_reports(&self) -> bool {
        self.machine.in_flight() > 0
    }

    /// Positions above the watermark that are known; at most [`Limits::max_ahead`].
    pub fn ahead(&self) -> usize {
        self.machine.ahead()
    }

    /// Gives up what the producer has queued, and waits for the last reports on what is in flight.
    fn begin_end(&mut self, now: Instant) -> Next {
        if let Some(client) = &self.client {
            client.purge(false);
        }
        let end_by = now + LAST_REPORTS_TIMEOUT;
        self.end_by = Some(end_by);
        if self.machine.in_flight() == 0 {
            return Next::End;
        }
        Next::At(Some(end_by))
    }

    /// Gives the budget back what a replay has freed.
    fn recount_dead_letters(&mut self, now: Instant) {
        if self.env.dead_letter_bytes() == 0
            || now.duration_since(self.recounted) < RECOUNT_INTERVAL
        {
            return;
        }
        self.recounted = now;
        match self.env.recount_dead_letters() {
            Ok(true) => {
                let bytes = self.env.dead_letter_bytes();
                self.truncator.set_dead_letter_bytes(bytes);
                tracing::info!(bytes, "dead letters were replayed or removed");
            }
            Ok(false) => {}
            Err(error) => {
                if let Some(permit) = self.throttle.permit("recount") {
                    tracing::warn!(%error, suppressed = permit.suppressed(), "cannot count the dead letters");
                }
            }
        }
    }

    fn on_reports(&mut self, reports: Vec<Report>, now: Instant) {
        for report in reports {
            self.learn_from(&report);
            let outcome = report.outcome.map_err(|error| {
                let blame = error.blame();
                self.on_delivery_failure(blame, &error.to_string());
                blame
            });
            let is_acknowledged = outcome.is_ok();
            let jitter = self.env.jitter();
            let is_first =
                self.machine
                    .on_report(report.generation, report.position, outcome, now, jitter);
            if is_acknowledged {
                self.mark_delivering(report.position);
                if is_first {
                    self.metrics.delivered.inc();
                    self.truncator.acknowledge(report.position);
                    self.count_times(report.position);
                }
            }
            // What a report asks for is done before the next one is looked at.
            self.act();
        }
    }

    /// True if some source's events go elsewhere now. Then another producer is due: it knows new topics, and what is in flight is
    /// acknowledged or sent again before newer events of the same key reach the topic of both.
    fn route(&mut self, sources: &[SourceTopics]) -> bool {
        let topics = self.config.topics.rerouted(sources);
        let names = topics.names();
        let added = &names[self.partitions.len()..];
        let is_rerouted = topics.differs_from(&self.config.topics);
        let gauges = added.iter().map(|name| self.metrics.partitions(name));
        self.partitions.extend(gauges);
        self.machine.extend_to(names.len());
        self.sent.extend_to(names.len());
        self.env.set_topics(names);
        self.health.forget_unused(|topic| topics.is_used(topic));
        self.config.topics = topics;
        is_rerouted
    }

    fn replace_producer(&mut self, now: Instant) {
        let jitter = self.env.jitter();
        self.machine.replace_producer(now, jitter);
        self.act();
    }

    fn act(&mut self) {
        loop {
            let actions = self.machine.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::ReportStall(duration) => self.report_stall(duration),
                    Action::Purge { in_flight } => {
                        if let Some(client) = &self.client {
                            client.purge(in_flight);
                        }
                    }
                    Action::Truncate(upto) => {
                        self.truncator.truncate(..=upto);
                        self.sent.remove_upto(upto);
                    }
                    Action::DeadLetter { position, reason } => {
                        self.dead_letter_at(position, reason);
                    }
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
        // The old one is dropped first: two at a time would need twice the memory.
        self.client = None;
        self.held = None;
        self.sent.clear();
        if let Some(from) = from {
            self.reader.seek(from);
        }
        match self.env.build_producer(generation, isolate, batch_bytes) {
            Ok(client) => {
                self.client = Some(client);
                // A new producer asks about the topics itself.
                self.topics_requested = self.env.now();
            }
            Err(error) => {
                let message = error.to_string();
                self.health.mark_unhealthy(Problem::Connection, &message);
                if let Some(permit) = self.throttle.permit("build") {
                    tracing::error!(%error, suppressed = permit.suppressed(), "cannot build a Kafka producer; trying again");
                }
                let (now, jitter) = (self.env.now(), self.env.jitter());
                self.machine.build_failed(now, jitter);
            }
        }
    }

    /// To be called after [`Next::End`]: writes the checkpoint and closes the producer. Returns how many records stay in the
    /// journal.
    pub fn end(mut self) -> u64 {
        for action in self.machine.take_actions() {
            if let Action::Truncate(upto) = action {
                self.truncator.truncate(..=upto);
            }
        }
        let left = self.truncator.unpublished();
        // Before the client is closed, which may take long: its last reports no longer count.
        if let Err(error) = self.truncator.close() {
            tracing::error!(%error, "cannot write the last checkpoint: some events will be sent twice");
        }
        left
    }
}
