//! The publisher's decisions: inputs and time in, actions out, no I/O, no clock and no randomness of its own.
//!
//! ```text
//!            a failed report                  all settled            the wait is over
//!  Sending ──────────────────► Settling ─────────────────► Waiting ──────────────────► Sending
//!            purge the queue     two socket time-outs, then      back off     a new producer (generation + 1),
//!                                purge what is in flight                      resend from the watermark
//! ```
//!
//! Records in flight of which nothing is heard for too long have the same effect as a failed report ([`super::silence`]).
//! An acknowledgement counts whatever producer it comes from; a failure only from the present one. After a failure that
//! speaks against records, they are sent one at a time, so that an innocent neighbour is never blamed. One that fails
//! alone three times in a row is dead-lettered; after ten of these in a row it is not the records, and the pipe waits.

mod interface;
mod topic;

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::silence::Silence;
use super::window::{Read, Window};
use crate::publish::kafka::cloudevents::Blame;
pub(crate) use interface::{Action, Limits, Offer};
use topic::Topic;

/// How many positions may lie above the watermark.
pub const MAX_AHEAD: usize = 65_536;
/// Failures alone, in a row, that make a dead letter.
const STRIKES: u32 = 3;
/// Dead letters in a row after which it is not the records.
const LETTERS_IN_ROW: u32 = 10;
/// `batch.size` where the user gives none. A quarter of librdkafka's own default: each batch keeps a core busy here and at
/// the broker, and beside a backlog an answer waits for that (docs/benchmarks.md, row 7).
pub const BATCH_BYTES: u32 = 250_000;
/// How small it gets where the cluster takes no larger ones.
const LEAST_BATCH_BYTES: u32 = 16_384;
/// For the reports of a purge to come in; they are made by the client itself.
const PURGE_TIME: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Sending,
    Settling { until: Instant, purged: bool },
    Waiting { until: Instant },
}

#[derive(Debug)]
struct Suspect {
    position: u64,
    strikes: u32,
    reason: &'static str,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Machine {
    generation: u64,
    mode: Mode,
    window: Window,
    topic: Topic,
    /// One past the last position that the reader has come to: where it goes on when nothing is to be resent.
    read_upto: Option<u64>,
    backoff: Backoff,
    settle: Duration,
    silence: Silence,
    most_ahead: usize,
    batch_bytes: u32,
    /// The last record that the present producer's failures speak against.
    blamed: Option<u64>,
    /// Up to here records go one at a time.
    isolate: Option<u64>,
    /// One of them has failed alone, so the batch's size was not the matter.
    failed_alone: bool,
    suspect: Option<Suspect>,
    letters_in_row: u32,
    actions: Vec<Action>,
}

impl Machine {
    pub(crate) fn new(now: Instant, limits: Limits) -> Self {
        Self {
            generation: 0,
            mode: Mode::Waiting { until: now },
            window: Window::default(),
            topic: Topic::default(),
            read_upto: None,
            backoff: Backoff::default(),
            settle: limits.settle,
            silence: Silence::new(limits.stall, now),
            most_ahead: limits.ahead,
            batch_bytes: limits.batch_bytes,
            blamed: None,
            isolate: None,
            failed_alone: false,
            suspect: None,
            letters_in_row: 0,
            actions: Vec::new(),
        }
    }

    /// What the inputs so far ask for, in order; to be done before the next input.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// True while another record is of use.
    pub(crate) fn wants(&self) -> bool {
        self.mode == Mode::Sending
            && (self.window.len() < self.most_ahead || self.window.unsent() > 0)
            && (self.isolate.is_none() || self.window.in_flight() == 0)
    }

    /// The reader has come to this position, as [`Machine::wants`] asked for.
    pub(crate) fn offer(&mut self, position: u64, now: Instant) -> Offer {
        self.window.pass(position);
        self.advance();
        // What was to be sent again, and for which there is always room, may turn out to be damaged: this is further on.
        let read = self.window.read(position, self.most_ahead);
        if read == Read::NoRoom {
            return Offer::Hold;
        }
        self.read_upto = self.read_upto.max(Some(position + 1));
        if read == Read::Done {
            return Offer::Skip;
        }
        debug_assert!(
            self.wants(),
            "read though it is not wanted: nothing would come back to it"
        );
        if self.isolate.is_some_and(|last| position > last) {
            self.end_isolation(now);
            return Offer::Later;
        }
        if self.window.in_flight() == 0 && !self.topic.partitions.is_awaited() {
            self.silence.begin(now);
        }
        let partitions = self.topic.partitions.in_force(self.window.in_flight());
        partitions.map_or(Offer::Hold, Offer::Send)
    }

    /// The reader has come to the synced tail.
    pub(crate) fn tail(&mut self) {
        self.window.tail();
        self.advance();
    }

    /// The producer has taken the record.
    pub(crate) fn sent(&mut self, position: u64) {
        self.window.sent(position);
    }

    /// The producer refused the record at once, for another reason than a full queue.
    pub(crate) fn refused(&mut self, position: u64, blame: Blame, now: Instant, jitter: f64) {
        self.failure(position, blame, now, jitter);
    }

    /// A delivery report; true for a position's first acknowledgement.
    pub(crate) fn report(
        &mut self,
        generation: u64,
        position: u64,
        outcome: Result<(), Blame>,
        now: Instant,
        jitter: f64,
    ) -> bool {
        match outcome {
            Ok(()) => {
                let first = self.window.done(position);
                self.backoff.reset();
                self.silence.end(now);
                self.letters_in_row = 0;
                if self
                    .suspect
                    .as_ref()
                    .is_some_and(|suspect| suspect.position == position)
                {
                    self.suspect = None;
                }
                self.advance();
                self.settle(now, jitter);
                first
            }
            Err(_) if generation != self.generation => false,
            Err(blame) => {
                if blame != Blame::Collateral {
                    self.silence.end(now);
                }
                self.failure(position, blame, now, jitter);
                false
            }
        }
    }

    /// The producer cannot be relied on any more, for no fault of a record's: another one takes over.
    pub(crate) fn renew(&mut self, now: Instant, jitter: f64) {
        self.silence.hope();
        self.stop(now, jitter);
    }

    fn stop(&mut self, now: Instant, jitter: f64) {
        if self.mode == Mode::Sending {
            self.actions.push(Action::Purge { in_flight: false });
            self.mode = Mode::Settling {
                until: now + self.settle,
                purged: false,
            };
        }
        self.settle(now, jitter);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant, jitter: f64) {
        match self.mode {
            Mode::Sending if self.deadline().is_some_and(|at| now >= at) => {
                let silence = now.duration_since(self.silence.since());
                self.actions.push(Action::Stalled(silence));
                self.silence.give_up();
                self.stop(now, jitter);
            }
            Mode::Settling { until, purged } if now >= until => {
                if purged {
                    self.window.forget_in_flight();
                    self.settle(now, jitter);
                } else {
                    self.actions.push(Action::Purge { in_flight: true });
                    self.mode = Mode::Settling {
                        until: now + PURGE_TIME,
                        purged: true,
                    };
                }
            }
            Mode::Waiting { until } if now >= until => {
                self.generation += 1;
                self.mode = Mode::Sending;
                self.topic.new_producer();
                self.actions.push(Action::Rebuild {
                    generation: self.generation,
                    from: self.window.first().or(self.read_upto),
                    isolate: self.isolate.is_some(),
                    batch_bytes: self.batch_bytes,
                });
            }
            _ => {}
        }
    }

    /// The producer could not be built.
    pub(crate) fn not_built(&mut self, now: Instant, jitter: f64) {
        self.wait(now, jitter);
    }

    /// The record is set aside, durably.
    pub(crate) fn lettered(&mut self, position: u64) {
        self.window.done(position);
        self.letters_in_row += 1;
        self.suspect = None;
        self.advance();
    }

    /// False after so many dead letters in a row that it is not the records.
    pub(crate) fn may_letter(&self) -> bool {
        self.letters_in_row < LETTERS_IN_ROW
    }

    /// When [`Machine::tick`] is next due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.mode {
            Mode::Sending => self.silent_since().map(|_| self.silence.too_long_at()),
            Mode::Settling { until, .. } | Mode::Waiting { until } => Some(until),
        }
    }

    /// Since when nothing was heard of what is in flight; `None` where nothing is, or the pipe is stopped already.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        let awaited = self.window.in_flight() > 0 || self.topic.partitions.is_awaited();
        (awaited && self.mode == Mode::Sending).then(|| self.silence.since())
    }

    /// Positions given to the producer and without a report.
    pub(crate) fn in_flight(&self) -> usize {
        self.window.in_flight()
    }

    /// Positions above the watermark that are known.
    pub(crate) fn ahead(&self) -> usize {
        self.window.len()
    }

    /// True where every position read so far is done.
    pub(crate) fn is_empty(&self) -> bool {
        self.window.len() == 0
    }

    fn failure(&mut self, position: u64, blame: Blame, now: Instant, jitter: f64) {
        self.window.failed(position);
        if let Blame::Record(reason) = blame {
            if self.isolate.is_some_and(|last| position <= last) {
                self.failed_alone = true;
                let strikes = match &self.suspect {
                    Some(suspect) if suspect.position == position => suspect.strikes + 1,
                    _ => 1,
                };
                self.suspect = Some(Suspect {
                    position,
                    strikes,
                    reason,
                });
            }
            self.blamed = self.blamed.max(Some(position));
        } else if blame == Blame::Cluster {
            // Something else went wrong in between: no longer in a row.
            self.suspect = None;
        }
        self.stop(now, jitter);
    }

    /// Once nothing is in flight any more: what was it, and what now?
    fn settle(&mut self, now: Instant, jitter: f64) {
        if !matches!(self.mode, Mode::Settling { .. }) || self.window.in_flight() > 0 {
            return;
        }
        self.isolate = self.isolate.max(self.blamed.take());
        if let Some(suspect) = &self.suspect
            && suspect.strikes >= STRIKES
            && self.may_letter()
        {
            self.actions.push(Action::DeadLetter {
                position: suspect.position,
                reason: suspect.reason,
            });
        }
        self.wait(now, jitter);
    }

    fn wait(&mut self, now: Instant, jitter: f64) {
        let until = now + self.backoff.next(jitter);
        self.mode = Mode::Waiting { until };
    }

    /// Each record of the failed batch is dealt with; a new producer may send batches again.
    fn end_isolation(&mut self, now: Instant) {
        if !self.failed_alone {
            let half = (self.batch_bytes / 2).max(LEAST_BATCH_BYTES);
            self.batch_bytes = half.min(self.batch_bytes);
        }
        self.isolate = None;
        self.failed_alone = false;
        self.mode = Mode::Waiting { until: now };
    }

    fn advance(&mut self) {
        if let Some(passed) = self.window.advance() {
            self.actions.push(Action::Truncate(passed));
        }
    }
}

#[cfg(test)]
mod tests;
