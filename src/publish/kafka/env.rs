//! The worker's real surroundings: librdkafka, dead letters beside the journal, the system's clock; and its thread.

use std::io;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;

use super::producer::{Factory, Producer};
use super::wall_clock::WallClock;
use crate::journal::disk::real::DiskFileSystem;
use crate::publish::dead_letter::DeadLetters;
use crate::publish::env::Outside;
use crate::publish::inbox::Mailbox;
use crate::publish::worker::{Next, Worker};

/// Between two looks at the wall clock, and at what the client has to say while nothing is awaited from it.
const LOOK: Duration = Duration::from_secs(1);

/// Between two looks for reports while Kafka says nothing, at most: while it is away there are none.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// So many looks at [`PACE`] come before longer and longer pauses: 0.1 s, in which most reports come.
const PROMPT_LOOKS: u32 = 20;

/// After a step that has left nothing to do: a quarter of the `linger.ms` for which a record waits for company anyway. At
/// a thousand events a second this is one wake-up for five commits and their reports, instead of one for each.
const PACE: Duration = Duration::from_millis(5);

/// How far the publisher's thread, and with it librdkafka's, which it starts, stand back (`nice`): on a machine whose cores
/// are all taken by a backlog that leaves, answers come first, and publishing still gets a quarter against a thread of theirs
/// on its core (335 to 1,024 in the kernel's `sched_prio_to_weight`).
const NICENESS: i32 = 5;

/// When to look for reports: librdkafka cannot ring the mailbox.
#[derive(Debug, Default)]
struct Polls {
    /// Looks at the ordinary pace since the last report.
    silent: u32,
}

impl Polls {
    /// How long to wait for anything else before the next look, on top of the pace of steps.
    fn pause(&self, awaits_reports: bool) -> Duration {
        if !awaits_reports {
            return LOOK;
        }
        match self.silent.saturating_sub(PROMPT_LOOKS) {
            0 => Duration::ZERO,
            late => (PACE * late).min(LONGEST_PAUSE),
        }
    }

    /// A step's pace has passed; steps at full speed are no silence.
    fn paced(&mut self, awaits_reports: bool) {
        self.silent = if awaits_reports {
            self.silent.saturating_add(1)
        } else {
            0
        };
    }

    /// A look has found reports.
    fn heard(&mut self) {
        self.silent = 0;
    }
}

/// See [`Outside`].
pub(crate) struct Real {
    pub(crate) journal_id: String,
    pub(crate) factory: Factory,
    pub(crate) letters: DeadLetters,
}

impl Outside for Real {
    type Disk = DiskFileSystem;
    type Client = Producer;

    fn build(&mut self, generation: u64, isolate: bool, batch_bytes: u32) -> KafkaResult<Producer> {
        self.factory.build(generation, isolate, batch_bytes)
    }

    fn set_aside(&mut self, position: u64, reason: &str, payload: &[u8]) -> io::Result<()> {
        self.letters
            .set_aside(&self.journal_id, position, reason, payload)
    }

    fn letter_bytes(&self) -> u64 {
        self.letters.bytes()
    }

    fn recount_letters(&mut self) -> io::Result<bool> {
        self.letters.recount()
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> Duration {
        crate::time::since_epoch()
    }

    fn jitter(&mut self) -> f64 {
        rand::random()
    }
}

/// The thread: waits for mail and steps the worker until it is drained; how many records stay in the journal.
pub(crate) fn run(mut worker: Worker<Real>, mailbox: &Mailbox) -> u64 {
    // On Linux it is a thread's own. Where it is not allowed, publishing takes its share as any other.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the publisher's thread keeps its priority");
    }
    let mut until = Some(Instant::now());
    let mut clock = WallClock::new();
    let mut polls = Polls::default();
    loop {
        let look = Instant::now() + polls.pause(worker.awaits_reports());
        mailbox.wait(until.map_or(look, |until| until.min(look)));
        worker.poll();
        let mut inbox = mailbox.take();
        if !inbox.reports.is_empty() {
            polls.heard();
        }
        if let Some(step) = clock.set_back() {
            tracing::warn!(
                ?step,
                "the wall clock was set back: another Kafka producer takes over"
            );
            inbox.renew = true;
        }
        match worker.step(inbox) {
            Next::At(at) => {
                until = at;
                if at.is_none_or(|at| at > Instant::now()) {
                    std::thread::sleep(PACE);
                    polls.paced(worker.awaits_reports());
                }
            }
            Next::End => return worker.end(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_looked_for_promptly_then_rarely_and_otherwise_hardly_at_all() {
        let mut polls = Polls::default();
        assert_eq!(polls.pause(false), LOOK);
        let mut pauses = Vec::new();
        for _ in 0..PROMPT_LOOKS + 30 {
            pauses.push(polls.pause(true));
            polls.paced(true);
        }
        let prompt = PROMPT_LOOKS as usize + 1;
        assert!(pauses[..prompt].iter().all(Duration::is_zero));
        assert_eq!((pauses[prompt], polls.pause(true)), (PACE, LONGEST_PAUSE));
        polls.heard();
        assert_eq!(polls.pause(true), Duration::ZERO);
        for _ in 0..=PROMPT_LOOKS {
            polls.paced(true);
        }
        polls.paced(false);
        assert_eq!(polls.pause(true), Duration::ZERO);
    }
}
