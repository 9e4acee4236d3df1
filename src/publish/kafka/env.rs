//! The worker's environment outside the simulator: librdkafka, dead letters beside the journal, the system's clocks.

use std::io;
use std::time::{Duration, Instant};

use super::dead_letter_sender::DeadLetterSender;
use super::producer::{Producer, ProducerFactory};
use crate::journal::Record;
use crate::journal::disk::real::DiskFileSystem;
use crate::publish::dead_letter::DeadLetters;
use crate::publish::decide::blame::Reason;
use crate::publish::env::{BuildError, DeadLetterPlace, Env};
use crate::time;

/// See [`Env`].
pub(crate) struct LibrdkafkaEnv {
    pub(crate) journal_id: String,
    pub(crate) factory: ProducerFactory,
    pub(crate) dead_letters: DeadLetters,
    /// Beside a journal in memory, if there is a topic of dead letters.
    pub(crate) dead_letter_sender: Option<DeadLetterSender>,
}

impl Env for LibrdkafkaEnv {
    type Disk = DiskFileSystem;
    type Client = Producer;

    fn build_producer(
        &mut self,
        generation: u64,
        isolate: bool,
        batch_bytes: u32,
    ) -> Result<Producer, BuildError> {
        self.factory.build(generation, isolate, batch_bytes)
    }

    fn set_topics(&mut self, names: &[String]) {
        self.factory.topics = names.into();
        self.factory.last_readings.extend_to(names.len());
    }

    fn write_dead_letter(
        &mut self,
        position: u64,
        reason: Reason,
        payload: &[u8],
    ) -> io::Result<DeadLetterPlace> {
        self.dead_letters
            .write(&self.journal_id, position, reason, payload)
    }

    fn send_dead_letter(&mut self, record: &Record, reason: Reason, deadline: Instant) -> bool {
        let sender = self.dead_letter_sender.as_ref();
        sender.is_some_and(|sender| sender.send(record.clone(), reason, deadline))
    }

    fn dead_letter_bytes(&self) -> u64 {
        self.dead_letters.bytes()
    }

    fn recount_dead_letters(&mut self) -> io::Result<bool> {
        self.dead_letters.recount()
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn since_epoch(&self) -> Duration {
        time::since_epoch()
    }

    fn jitter(&mut self) -> f64 {
        rand::random()
    }
}
