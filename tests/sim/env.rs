//! The worker's environment in a history: the simulated client, dead letters, virtual time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode as Code;
use ringback::journal::Record;
use ringback::publish::env::{BuildError, DeadLetterPlace, Env};
use ringback::publish::inbox::{Report, SentDeadLetter};
use ringback::publish::{DeliveryError, Reason, producer_properties};

use crate::coverage::{self, Seen};
use crate::disk::{Operation, SimDisk};
use crate::kafka::Kafka;
use crate::kafka::client::SimClient;
use crate::kafka::lying::LyingClient;
use crate::ledger::Ledger;
use crate::lies::{self, Lie};
use crate::losses;
use crate::random::{Clock, MS, Random, SECOND};

pub struct SimEnv {
    pub clock: Rc<Clock>,
    pub kafka: Rc<RefCell<Kafka>>,
    pub ledger: Rc<RefCell<Ledger>>,
    pub disk: SimDisk,
    pub random: Random,
    pub journal: String,
    /// The properties that ringback gives to librdkafka.
    pub properties: BTreeMap<String, String>,
    /// Bytes of the dead letters, which outlive the process.
    pub dead_letter_bytes: Rc<RefCell<u64>>,
    /// As they were when this process last counted them.
    pub counted: u64,
    pub dead_letters: DeadLetterWay,
    pub underway: Underway,
    pub watch: Rc<RefCell<Watch>>,
}

/// Dead letters on their way to their topic, each with when it arrives there or is given up.
pub type Underway = Rc<RefCell<Vec<(u64, SentDeadLetter)>>>;

/// Where dead letters go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterWay {
    /// Beside a journal on disk.
    Files,
    /// To a topic, and nowhere while that takes none.
    Topic,
    /// There is no topic, and no disk either.
    Nowhere,
}

/// The reasons for which the worker may build the next producer.
#[derive(Debug, Default)]
pub struct Watch {
    /// The present one has failed, or none was built.
    pub failed: bool,
    /// The present one sends records one at a time: once that is over, another one follows although nothing failed.
    pub isolating: bool,
    pub generation: u64,
    /// Records that the present one has taken and not reported on.
    pub in_flight: u64,
    /// How many topics there are.
    pub topics: usize,
    /// The topics that a query of the present one has found.
    pub seen: BTreeSet<usize>,
    /// Since when it has reported on no record, or not found a topic.
    pub silent_since: u64,
    /// How long the worker must wait for a silent one: `kafka.stall_timeout`, in microseconds.
    pub stall: u64,
    /// The present one was given up because it had been silent for that long.
    pub stalled: bool,
    /// By when a producer that was asked for must have been built.
    pub renew_by: Option<u64>,
    /// Positions that the worker knows to be written: it must not send them again.
    pub written: BTreeSet<u64>,
    /// Dead letters since the last event was delivered; unparsed ones do not count.
    pub dead_letters: u32,
}

/// After this many dead letters in a row, a record that cannot be decoded stays, and its producer is replaced.
const MOST_DEAD_LETTERS: u32 = 10;

/// The time to build a producer that was asked for: the records in flight drain, the back-off ends, and a slow publisher
/// gets its turns.
const RENEWAL: u64 = 75 * SECOND;

impl Watch {
    /// The worker gives the present producer up: if that was silent for long enough, nothing need have failed.
    pub fn given_up(&mut self, now: u64) {
        let unseen = self.in_flight == 0 && self.seen.len() < self.topics;
        self.stalled |= (self.in_flight > 0 || unseen) && now >= self.silent_since + self.stall;
    }

    /// The worker is asked for another producer, whatever the present one does.
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

    /// The report as the worker gets it; the present lie may have changed it.
    pub fn on_report(&mut self, report: Report, now: u64) -> Report {
        // The publisher purges a producer that it has given up, so such a failure does not justify giving it up.
        let purged = [Code::PurgeQueue, Code::PurgeInflight];
        let code = report.outcome.err().map(DeliveryError::code);
        let failed = code.is_some_and(|code| !purged.contains(&code));
        let is_present = report.generation == self.generation;
        self.failed |= failed && is_present;
        if report.outcome.is_ok() {
            self.dead_letters = 0;
        }
        if is_present {
            self.reported(now);
        }
        // An old producer's report may come late, after the worker has given the record to the new one.
        if report.outcome.is_ok() && is_present {
            self.written.insert(report.position);
        }
        lies::about_report(report, self.generation)
    }

    /// The present producer has reported on a record.
    pub fn reported(&mut self, now: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.silent_since = now;
    }
}

impl Env for SimEnv {
    type Disk = SimDisk;
    type Client = LyingClient;

    fn build_producer(
        &mut self,
        generation: u64,
        isolate: bool,
        batch_bytes: u32,
    ) -> Result<LyingClient, BuildError> {
        let mut kafka = self.kafka.borrow_mut();
        self.clock
            .log(|| format!("build producer {generation}, isolate {isolate}, {batch_bytes}"));
        if kafka.live_clients() > 0 {
            let words = String::from("a producer is built while another lives");
            self.ledger.borrow_mut().violate(words);
        }
        let mut watch = self.watch.borrow_mut();
        let excused = watch.failed
            || watch.isolating
            || watch.stalled
            || watch.dead_letters >= MOST_DEAD_LETTERS
            || losses::take_renewal();
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
        watch.seen.clear();
        watch.silent_since = self.clock.now();
        watch.stalled = false;
        watch.renew_by = None;
        watch.failed = kafka.no_clients;
        if kafka.no_clients {
            return Err(BuildError(String::from("no producer for now")));
        }
        let mut properties = producer_properties(&self.properties, isolate, batch_bytes);
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

    fn write_dead_letter(
        &mut self,
        position: u64,
        reason: Reason,
        payload: &[u8],
    ) -> io::Result<DeadLetterPlace> {
        let written = || Ok(DeadLetterPlace::File(format!("{position}.event").into()));
        self.watch.borrow_mut().dead_letters += u32::from(reason != Reason::Unparsed);
        self.clock
            .log(|| format!("dead-letter {position}: {}", reason.label()));
        if self.dead_letters != DeadLetterWay::Files {
            let takes_none = self.disk.lock().no_dead_letters;
            let mut ledger = self.ledger.borrow_mut();
            if self.dead_letters == DeadLetterWay::Nowhere || takes_none {
                ledger.give_up(&self.journal, position);
                return Ok(DeadLetterPlace::Nowhere);
            }
            ledger.dead_letter(&self.journal, position, reason, payload);
            return Ok(DeadLetterPlace::Topic(String::from("dead")));
        }
        if reason == Reason::Unparsed && lies::is_on(Lie::UnparsedLost) {
            return written();
        }
        let mut disk = self.disk.lock();
        let writable = if disk.no_dead_letters {
            Err(io::ErrorKind::PermissionDenied.into())
        } else {
            disk.before(Operation::Write, None)
        };
        if let Err(error) = writable {
            self.watch.borrow_mut().failed = true;
            return if lies::is_on(Lie::LetterUnwritten) {
                written()
            } else {
                Err(error)
            };
        }
        // The process dies before the dead letter is durable, or after that and before the call returns.
        let dies = disk.dies(None);
        if dies && self.random.percent(50) {
            return Err(io::ErrorKind::Other.into());
        }
        drop(disk);
        let mut ledger = self.ledger.borrow_mut();
        if ledger.dead_letter(&self.journal, position, reason, payload) {
            *self.dead_letter_bytes.borrow_mut() += payload.len() as u64;
            self.counted += payload.len() as u64;
        }
        written()
    }

    /// Of every other position, for up to 3 s. Nothing is drawn for it, so that other histories stay as they are.
    fn send_dead_letter(&mut self, record: &Record, reason: Reason, deadline: Instant) -> bool {
        let position = record.position;
        if self.dead_letters != DeadLetterWay::Topic || position.is_multiple_of(2) {
            return false;
        }
        self.watch.borrow_mut().dead_letters += u32::from(reason != Reason::Unparsed);
        let arrives = self.clock.now() + position * 7919 % 3000 * MS;
        let at = arrives.min(self.clock.of(deadline));
        let place = if self.disk.lock().no_dead_letters || at < arrives {
            self.ledger.borrow_mut().give_up(&self.journal, position);
            DeadLetterPlace::NotTaken(String::from("it is not taken"))
        } else {
            DeadLetterPlace::Topic(String::from("dead"))
        };
        let imagined = lies::is_on(Lie::DeadLetterImagined);
        let at = if imagined { self.clock.now() } else { at };
        self.clock
            .log(|| format!("dead-letter {position}: {}, until {at}", reason.label()));
        let record = record.clone();
        let sent = SentDeadLetter {
            record,
            reason,
            place,
        };
        self.underway.borrow_mut().push((at, sent));
        true
    }

    fn dead_letter_bytes(&self) -> u64 {
        self.counted
    }

    fn recount_dead_letters(&mut self) -> io::Result<bool> {
        let bytes = *self.dead_letter_bytes.borrow();
        Ok(std::mem::replace(&mut self.counted, bytes) != bytes)
    }

    fn now(&self) -> Instant {
        self.clock.instant()
    }

    fn since_epoch(&self) -> Duration {
        self.clock.wall()
    }

    fn jitter(&mut self) -> f64 {
        self.random.below(1 << 20) as f64 / f64::from(1 << 20)
    }
}
