//! The publisher's state machine: inputs and time in, actions out; no I/O, no clock and no randomness of its own.
//!
//! ```text
//!           a failed report                    none in flight            the wait is over
//!  Sending ─────────────────► DrainingInFlight ──────────────► BackingOff ────────────────► Sending
//!           purge the queue     after drain_timeout:                        a new producer (generation + 1)
//!                               purge what is in flight                     resends from the watermark
//! ```
//!
//! A producer that holds records and reports on none for too long ([`super::stall`]) has the same effect as a failed report.
//! An acknowledgement counts whichever producer it comes from; a failure counts only from the present one. After a failure that
//! blames records, they are sent one at a time, so that no innocent neighbour is blamed. A record that fails alone three times in
//! a row is dead-lettered; after ten dead letters in a row the records are not the cause, and publishing waits. Records that are
//! dead letters already when they are read (their bodies are not JSON) do not count among these.

mod interface;
mod isolation;
mod topic;

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::blame::{Blame, Reason};
use super::stall::StallTimer;
use super::window::{Admitted, Window};
pub use interface::Limits;
pub(crate) use interface::{Action, Offer};
use isolation::Isolation;
use topic::Topic;

/// How many positions may lie above the watermark.
pub const MAX_AHEAD: usize = 65_536;
/// `batch.size` unless the user sets it. A quarter of librdkafka's own default: each batch keeps a core busy here and at the
/// broker, and beside a backlog an answer waits for that (docs/benchmarks.md, row 7).
pub const BATCH_BYTES: u32 = 250_000;
/// The least `batch.size`, even if the cluster refuses larger batches.
const MIN_BATCH_BYTES: u32 = 16_384;
/// How long the reports of a purge may take; the client makes them itself.
const PURGE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Sending,
    DrainingInFlight { until: Instant, purged: bool },
    BackingOff { until: Instant },
}

#[derive(Debug)]
pub(crate) struct Machine {
    generation: u64,
    mode: Mode,
    window: Window,
    topics: Vec<Topic>,
    /// One past the last position that the reader has come to: reading goes on there if nothing is to be sent again.
    read_end: Option<u64>,
    backoff: Backoff,
    stall_timer: StallTimer,
    isolation: Isolation,
    drain_timeout: Duration,
    max_ahead: usize,
    batch_bytes: u32,
    actions: Vec<Action>,
}

impl Machine {
    /// For so many topics, at least one.
    pub(crate) fn new(now: Instant, limits: Limits, topics: usize) -> Self {
        Self {
            generation: 0,
            mode: Mode::BackingOff { until: now },
            window: Window::default(),
            topics: std::iter::repeat_with(Topic::default)
                .take(topics)
                .collect(),
            read_end: None,
            backoff: Backoff::default(),
            stall_timer: StallTimer::new(limits.stall_timeout, now),
            isolation: Isolation::default(),
            drain_timeout: limits.drain_timeout,
            max_ahead: limits.max_ahead,
            batch_bytes: limits.batch_bytes,
            actions: Vec::new(),
        }
    }

    /// What the inputs so far ask for, in order; to be done before the next input.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// True if another record can be offered.
    pub(crate) fn wants_record(&self) -> bool {
        self.mode == Mode::Sending
            && (self.window.len() < self.max_ahead || self.window.unsent() > 0)
            && (!self.isolation.is_active() || self.window.in_flight() == 0)
    }

    /// The reader has come to this position, as [`Machine::wants_record`] asked for; its record goes to this topic.
    pub(crate) fn offer(&mut self, position: u64, topic: usize, now: Instant) -> Offer {
        self.window.skip_to(position);
        self.advance();
        // A record to be sent again has room already, but it may turn out to be damaged: then this one is new.
        let admitted = self.window.admit(position, self.max_ahead);
        if admitted == Admitted::NoRoom {
            return Offer::Hold;
        }
        self.read_end = self.read_end.max(Some(position + 1));
        if admitted == Admitted::Done {
            return Offer::Skip;
        }
        debug_assert!(
            self.wants_record(),
            "read though it is not wanted: nothing would come back to it"
        );
        if self.isolation.ends_before(position) {
            self.end_isolation(now);
            return Offer::NextProducer;
        }
        let (in_flight, topic) = (self.window.in_flight(), &mut self.topics[topic]);
        if in_flight == 0 && !topic.partitions.is_awaited() {
            self.stall_timer.start(now);
        }
        let partitions = topic.partitions.in_force(in_flight);
        partitions.map_or(Offer::Hold, Offer::Send)
    }

    /// The reader has come to the synced tail.
    pub(crate) fn reached_tail(&mut self) {
        self.window.reached_tail();
        self.advance();
    }

    /// The producer has queued the record.
    pub(crate) fn on_queued(&mut self, position: u64) {
        debug_assert_eq!(self.mode, Mode::Sending);
        self.window.mark_sent(position);
        debug_assert!(
            !self.isolation.is_active() || self.window.in_flight() == 1,
            "more than one record is in flight in isolation"
        );
    }

    /// The producer has rejected the record at once, for another reason than a full queue.
    pub(crate) fn on_rejected(&mut self, position: u64, blame: Blame, now: Instant, jitter: f64) {
        self.on_failed(position, blame, now, jitter);
    }

    /// A delivery report; true for a position's first acknowledgement.
    pub(crate) fn on_report(
        &mut self,
        generation: u64,
        position: u64,
        outcome: Result<(), Blame>,
        now: Instant,
        jitter: f64,
    ) -> bool {
        match outcome {
            Ok(()) => {
                let is_first = self.window.mark_done(position);
                self.backoff.reset();
                self.stall_timer.on_report(now);
                self.isolation.on_delivered(position);
                self.advance();
                self.end_drain_if_empty(now, jitter);
                is_first
            }
            Err(_) if generation != self.generation => false,
            Err(blame) => {
                if blame != Blame::Collateral {
                    self.stall_timer.on_report(now);
                }
                self.on_failed(position, blame, now, jitter);
                false
            }
        }
    }

    /// The producer can no longer be relied on, though no record is to blame: another one takes over.
    pub(crate) fn replace_producer(&mut self, now: Instant, jitter: f64) {
        self.stall_timer.reset_timeout();
        self.drain_in_flight(now, jitter);
    }

    /// Acts on deadlines that have passed.
    pub(crate) fn tick(&mut self, now: Instant, jitter: f64) {
        match self.mode {
            Mode::Sending if self.deadline().is_some_and(|at| now >= at) => {
                let stalled_for = now.duration_since(self.stall_timer.since());
                self.actions.push(Action::ReportStall(stalled_for));
                self.stall_timer.extend_timeout();
                self.drain_in_flight(now, jitter);
            }
            Mode::DrainingInFlight { until, purged } if now >= until => {
                if purged {
                    self.window.mark_all_unsent();
                    self.end_drain_if_empty(now, jitter);
                } else {
                    self.actions.push(Action::Purge { in_flight: true });
                    self.mode = Mode::DrainingInFlight {
                        until: now + PURGE_TIMEOUT,
                        purged: true,
                    };
                }
            }
            Mode::BackingOff { until } if now >= until => self.rebuild(),
            _ => {}
        }
    }

    /// The producer could not be built.
    pub(crate) fn build_failed(&mut self, now: Instant, jitter: f64) {
        self.back_off(now, jitter);
    }

    /// The record is a dead letter now, durably.
    pub(crate) fn dead_lettered(&mut self, position: u64, reason: Reason) {
        let is_first = self.window.mark_done(position);
        debug_assert!(is_first, "{position} was done before it was dead-lettered");
        // Any number of bodies in a row may be unparsed: that says nothing about the topic.
        if reason != Reason::Unparsed {
            self.isolation.on_dead_lettered();
            // The record was the cause, and it is out of the way.
            self.backoff.reset();
        }
        self.advance();
    }

    /// False after too many dead letters in a row: then the records are not the cause.
    pub(crate) fn may_dead_letter(&self) -> bool {
        self.isolation.may_dead_letter()
    }

    /// When [`Machine::tick`] is next due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.mode {
            Mode::Sending => self.awaiting_since().map(|_| self.stall_timer.deadline()),
            Mode::DrainingInFlight { until, .. } | Mode::BackingOff { until } => Some(until),
        }
    }

    /// Since when the producer has not reported on anything; `None` if nothing is awaited from it.
    pub(crate) fn awaiting_since(&self) -> Option<Instant> {
        let mut topics = self.topics.iter();
        let is_awaited =
            self.window.in_flight() > 0 || topics.any(|topic| topic.partitions.is_awaited());
        (is_awaited && self.mode == Mode::Sending).then(|| self.stall_timer.since())
    }

    /// Positions given to the producer and not reported on.
    pub(crate) fn in_flight(&self) -> usize {
        self.window.in_flight()
    }

    /// Positions above the watermark that are known.
    pub(crate) fn ahead(&self) -> usize {
        self.window.len()
    }

    /// True if every position read so far is done.
    pub(crate) fn is_empty(&self) -> bool {
        self.window.len() == 0
    }

    fn on_failed(&mut self, position: u64, blame: Blame, now: Instant, jitter: f64) {
        self.window.mark_unsent(position);
        self.isolation.on_failed(position, blame);
        self.drain_in_flight(now, jitter);
    }

    /// Stops sending and gives what is in flight some time to be reported on.
    fn drain_in_flight(&mut self, now: Instant, jitter: f64) {
        if self.mode == Mode::Sending {
            self.actions.push(Action::Purge { in_flight: false });
            self.mode = Mode::DrainingInFlight {
                until: now + self.drain_timeout,
                purged: false,
            };
        }
        self.end_drain_if_empty(now, jitter);
    }

    fn end_drain_if_empty(&mut self, now: Instant, jitter: f64) {
        if !matches!(self.mode, Mode::DrainingInFlight { .. }) || self.window.in_flight() > 0 {
            return;
        }
        if let Some((position, reason)) = self.isolation.on_drained() {
            self.actions.push(Action::DeadLetter { position, reason });
        }
        self.back_off(now, jitter);
    }

    fn back_off(&mut self, now: Instant, jitter: f64) {
        let until = now + self.backoff.next(jitter);
        self.mode = Mode::BackingOff { until };
    }

    fn rebuild(&mut self) {
        debug_assert_eq!(
            self.window.in_flight(),
            0,
            "a producer is replaced while its records are in flight"
        );
        self.generation += 1;
        self.mode = Mode::Sending;
        self.topics.iter_mut().for_each(Topic::on_new_producer);
        self.actions.push(Action::Rebuild {
            generation: self.generation,
            from: self.window.first().or(self.read_end),
            isolate: self.isolation.is_active(),
            batch_bytes: self.batch_bytes,
        });
    }

    /// The next producer, built at once, may send batches again.
    fn end_isolation(&mut self, now: Instant) {
        if self.isolation.end() {
            let half = (self.batch_bytes / 2).max(MIN_BATCH_BYTES);
            self.batch_bytes = half.min(self.batch_bytes);
        }
        self.mode = Mode::BackingOff { until: now };
    }

    fn advance(&mut self) {
        if let Some(passed) = self.window.advance() {
            debug_assert!(self.read_end > Some(passed), "{passed} was never read");
            self.actions.push(Action::Truncate(passed));
        }
    }
}

#[cfg(test)]
mod tests;
