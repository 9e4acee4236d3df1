//! The worker's real surroundings: librdkafka, dead letters beside the journal, the system's clock; and its thread.

use std::io;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;

use super::Config;
use super::clock::WallClock;
use super::dead_letter::DeadLetters;
use super::mailbox::Mailbox;
use super::outside::Outside;
use super::producer::{Factory, Producer};
use super::worker::{Next, Worker};
use crate::journal::filesystem::DiskFileSystem;

/// Between two looks at the wall clock.
const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// After a step that has left nothing to do: a quarter of the `linger.ms` for which a record waits for company anyway. At
/// a thousand events a second this is one wake-up for five commits and their reports, instead of one for each.
const PACE: Duration = Duration::from_millis(5);

/// How far the publisher's thread, and with it librdkafka's, which it starts, stand back (`nice`): on a machine whose cores
/// are all taken by a backlog that leaves, answers come first, and publishing still gets a quarter.
const NICENESS: i32 = 5;

/// See [`Outside`].
pub(super) struct Real {
    pub(super) config: Config,
    pub(super) journal_id: String,
    pub(super) factory: Factory,
    pub(super) letters: DeadLetters,
}

impl Outside for Real {
    type Disk = DiskFileSystem;
    type Client = Producer;

    fn build(&mut self, generation: u64, isolate: bool, batch_bytes: u32) -> KafkaResult<Producer> {
        self.factory.build(generation, isolate, batch_bytes)
    }

    fn set_aside(&mut self, position: u64, reason: &str, payload: &[u8]) -> io::Result<()> {
        self.letters
            .set_aside(&self.config, &self.journal_id, position, reason, payload)
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

    fn jitter(&mut self) -> f64 {
        rand::random()
    }
}

/// The thread: waits for mail and steps the worker until it is drained; how many records stay in the journal.
pub(super) fn run(mut worker: Worker<Real>, mailbox: &Mailbox) -> u64 {
    // On Linux it is a thread's own. Where it is not allowed, publishing takes its share as any other.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the publisher's thread keeps its priority");
    }
    let mut until = Some(Instant::now());
    let mut clock = WallClock::new();
    loop {
        let look = Instant::now() + CLOCK_LOOK;
        let mut inbox = mailbox.take(until.map_or(Some(look), |until| Some(until.min(look))));
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
                }
            }
            Next::End => return worker.end(),
        }
    }
}
