//! The worker's surroundings in a history: the simulated client, dead letters, virtual time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult};
use ringback::publish::env::Outside;
use ringback::publish::of_producer;

use crate::coverage::{self, Seen};
use crate::disk::{Operation, SimDisk};
use crate::kafka::Kafka;
use crate::kafka::client::SimClient;
use crate::kafka::lying::LyingClient;
use crate::ledger::Ledger;
use crate::lies::{self, Lie};
use crate::losses;
use crate::random::{Clock, Random, SECOND};

pub struct SimOutside {
    pub clock: Rc<Clock>,
    pub kafka: Rc<RefCell<Kafka>>,
    pub ledger: Rc<RefCell<Ledger>>,
    pub disk: SimDisk,
    pub random: Random,
    pub journal: String,
    /// As ringback would give them to librdkafka.
    pub properties: BTreeMap<String, String>,
    /// Dead letters' bytes; they outlive the process.
    pub letter_bytes: Rc<RefCell<u64>>,
    pub watch: Rc<RefCell<Watch>>,
}

/// What speaks for the next producer's being built.
#[derive(Debug, Default)]
pub struct Watch {
    /// The present one has failed, or none was built.
    pub failed: bool,
    /// The present one sends records one at a time, which ends by itself.
    pub isolating: bool,
    pub generation: u64,
    /// Records that the present one has taken and not reported on.
    pub in_flight: u64,
    /// A look of the present one at the topic has found it.
    pub seen: bool,
    /// Since when nothing was heard of them, or nothing was seen.
    pub silent_since: u64,
    /// For so long it was right to wait: `kafka.stall_timeout`, in microseconds.
    pub stall: u64,
    /// The present one was given up because it had been silent for that long.
    pub stalled: bool,
    /// Until when one that was asked for by name must have been built.
    pub renew_by: Option<u64>,
    /// What the worker has heard to be written: it must not send it again.
    pub written: BTreeSet<u64>,
}

/// For a producer that was asked for: what is in flight settles, the back-off ends, and a slow publisher gets its turns.
const RENEWAL: u64 = 75 * SECOND;

impl Watch {
    /// The present producer is given up: after records in flight without a report for so long, that alone is a reason.
    pub fn given_up(&mut self, now: u64) {
        let unseen = self.in_flight == 0 && !self.seen;
        self.stalled |= (self.in_flight > 0 || unseen) && now >= self.silent_since + self.stall;
    }

    /// Another producer is asked for, whatever the present one does.
    pub fn renew(&mut self, now: u64) {
        self.failed = true;
        self.renew_by.get_or_insert(now + RENEWAL);
    }

    /// The present producer has taken a record.
    pub fn taken(&mut self, now: u64) {
        if self.in_flight == 0 {
            self.silent_since = now;
        }
        self.in_flight += 1;
    }

    /// It has reported on one.
    pub fn heard(&mut self, now: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.silent_since = now;
    }
}

impl Outside for SimOutside {
    type Disk = SimDisk;
    type Client = LyingClient;

    fn build(
        &mut self,
        generation: u64,
        isolate: bool,
        batch_bytes: u32,
    ) -> KafkaResult<LyingClient> {
        let mut kafka = self.kafka.borrow_mut();
        self.clock
            .say(|| format!("build producer {generation}, isolate {isolate}, {batch_bytes}"));
        if kafka.live_clients() > 0 {
            let words = String::from("a producer is built while another lives");
            self.ledger.borrow_mut().violate(words);
        }
        let mut watch = self.watch.borrow_mut();
        let excused = watch.failed || watch.isolating || watch.stalled || losses::take_renewal();
        if watch.generation > 0 && !excused {
            let words = format!("producer {generation} is built though nothing failed");
            self.ledger.borrow_mut().violate(words);
        }
        if watch.generation > 0 && watch.renew_by.is_some() {
            coverage::seen(Seen::ProducerRenewed);
        }
        watch.generation = generation;
        watch.isolating = isolate;
        watch.in_flight = 0;
        watch.seen = false;
        watch.silent_since = self.clock.now();
        watch.stalled = false;
        watch.renew_by = None;
        watch.failed = kafka.no_clients;
        if kafka.no_clients {
            let words = String::from("no producer for now");
            return Err(KafkaError::ClientCreation(words));
        }
        let mut properties = of_producer(&self.properties, isolate, batch_bytes);
        if lies::is_on(Lie::Gaps) {
            properties.insert("enable.gapless.guarantee".into(), "false".into());
        }
        if lies::is_on(Lie::SeveralInFlight) {
            properties.insert("max.in.flight.requests.per.connection".into(), "5".into());
        }
        let id = kafka.build(generation, &properties);
        let honest = SimClient {
            id,
            kafka: self.kafka.clone(),
            watch: self.watch.clone(),
        };
        Ok(LyingClient { honest, generation })
    }

    fn set_aside(&mut self, position: u64, reason: &str, payload: &[u8]) -> io::Result<()> {
        self.clock.say(|| format!("set {position} aside: {reason}"));
        let mut disk = self.disk.lock();
        let writable = if disk.no_letters {
            Err(io::ErrorKind::PermissionDenied.into())
        } else {
            disk.before(Operation::Write, None)
        };
        if let Err(error) = writable {
            self.watch.borrow_mut().failed = true;
            return if lies::is_on(Lie::LetterUnwritten) {
                Ok(())
            } else {
                Err(error)
            };
        }
        // It dies before the letter is durable, or after it and before it hears of it.
        let dies = disk.dies(None);
        if dies && self.random.percent(50) {
            return Err(io::ErrorKind::Other.into());
        }
        drop(disk);
        *self.letter_bytes.borrow_mut() += payload.len() as u64;
        self.ledger
            .borrow_mut()
            .set_aside(&self.journal, position, payload);
        Ok(())
    }

    fn letter_bytes(&self) -> u64 {
        *self.letter_bytes.borrow()
    }

    fn now(&self) -> Instant {
        self.clock.instant()
    }

    fn wall(&self) -> Duration {
        self.clock.wall()
    }

    fn jitter(&mut self) -> f64 {
        self.random.below(1 << 20) as f64 / f64::from(1 << 20)
    }
}
