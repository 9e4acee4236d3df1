//! A history: actors take turns, the one that is due next, until everything has come to rest.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use ringback::journal::OpenError;
use ringback::publish;

use crate::beside::EarlierFiles;
use crate::chaos::Chaos;
use crate::coverage::{self, Seen};
use crate::disk::{Crash, SimDisk, Trouble};
use crate::kafka::Kafka;
use crate::kafka::topics::SecondTopic;
use crate::ledger::Ledger;
use crate::losses;
use crate::process::Process;
use crate::random::{Clock, MS, Random, SECOND};
use crate::senders::Senders;
use crate::setup::Setup;

/// How long everything may take to come to rest once the faults have stopped.
pub const REST: u64 = 900 * SECOND;
/// How long the history waits for the late reports of a producer that is gone.
pub const LATE_MAIL: u64 = 100 * SECOND;
/// How long nothing may happen then: longer than the publisher's longest wait before it builds another producer.
pub const QUIET: u64 = 12 * SECOND;
/// A history that takes more turns than this counts as endless.
pub const TURNS: u64 = 200_000;

/// What outlives each process.
pub struct Surroundings {
    pub clock: Rc<Clock>,
    pub random: Random,
    pub disk: SimDisk,
    pub kafka: Rc<RefCell<Kafka>>,
    pub ledger: Rc<RefCell<Ledger>>,
    pub metrics: publish::Metrics,
    pub setup: Setup,
    pub dead_letter_bytes: Rc<RefCell<u64>>,
    /// The longest time that a sync takes.
    pub slow_sync: u64,
    /// How late the publisher's thread may be.
    pub slow_publisher: u64,
    /// What goes wrong in the next starts, one entry each.
    pub at_starts: VecDeque<Trouble>,
    /// The journal, and one past the last position that the last checkpoint but one recorded as synced.
    pub synced: (usize, u64),
    /// The same for the last checkpoint.
    pub synced_next: (usize, u64),
    /// The journal and the watermark of the last checkpoint that was synced.
    pub checkpointed: (usize, u64),
    /// The furthest that any checkpoint has been.
    pub furthest: (usize, u64),
}

/// The figures of a history.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub events: u64,
    pub acknowledged: u64,
    pub duplicates: u64,
    pub starts: u64,
    pub turns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Actor {
    Start,
    Sender,
    Chaos,
    Kafka,
    Writer,
    Upkeep,
    Publisher,
    Patience,
}

pub struct World {
    around: Surroundings,
    process: Option<Process>,
    start_at: Option<u64>,
    senders: Senders,
    chaos: Chaos,
    calm_since: Option<u64>,
    quiet_since: Option<u64>,
    tally: Tally,
}

/// Runs one history; fails with its violation, if there is one.
pub fn run(seed: u64, metrics: &publish::Metrics) -> Result<Tally, String> {
    let mut world = World::new(seed, metrics);
    while world.turn()? {}
    Ok(world.tally)
}

impl World {
    fn new(seed: u64, metrics: &publish::Metrics) -> Self {
        let mut random = Random::new(seed);
        let clock = Rc::new(Clock::new());
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let mut kafka = Kafka::new(random.fork(), clock.clone(), ledger.clone());
        if random.percent(20) {
            kafka.queue_bytes = random.range(9_500, 20_000) as usize;
        }
        if random.percent(20) {
            kafka.largest_batch = random.range(9_500, 20_000) as usize;
        }
        let mut second_topic = SecondTopic::of(seed);
        if let Some(second) = &mut second_topic {
            kafka.add_topic(second.fork());
        }
        ledger.borrow_mut().second_topic = second_topic;
        let setup = Setup::new(&mut random);
        let senders = Senders::new(&mut random, seed);
        let chaos = Chaos::new(&mut random);
        let disk = SimDisk::new(random.fork(), &clock, EarlierFiles::of(seed));
        disk.lock().capacity = setup.disk;
        Self {
            around: Surroundings {
                clock,
                disk,
                kafka: Rc::new(RefCell::new(kafka)),
                ledger,
                metrics: metrics.clone(),
                dead_letter_bytes: Rc::default(),
                slow_sync: 5 * MS,
                slow_publisher: setup.throttled,
                at_starts: VecDeque::new(),
                synced: (0, 0),
                synced_next: (0, 0),
                checkpointed: (0, 0),
                furthest: (0, 0),
                random,
                setup,
            },
            process: None,
            start_at: Some(0),
            senders,
            chaos,
            calm_since: None,
            quiet_since: None,
            tally: Tally::default(),
        }
    }

    /// One actor's turn; false once everything has come to rest.
    fn turn(&mut self) -> Result<bool, String> {
        self.tally.turns += 1;
        let Some((at, actor)) = self.next() else {
            return Err(String::from("nobody will ever do anything again"));
        };
        self.around.clock.set(at);
        self.act(actor);
        self.afterwards();
        if let Some(words) = self.around.ledger.borrow_mut().violation.take() {
            return Err(words);
        }
        if self.tally.turns > TURNS {
            return Err(String::from("the history does not end"));
        }
        self.rest()
    }

    fn next(&mut self) -> Option<(u64, Actor)> {
        let process = self.process.as_ref();
        let of = |at: fn(&Process) -> Option<u64>| process.and_then(at);
        let all = [
            (self.start_at, Actor::Start),
            (self.senders.at, Actor::Sender),
            (self.chaos.next_at(), Actor::Chaos),
            (self.around.kafka.borrow().next_at(), Actor::Kafka),
            (of(Process::writer_at), Actor::Writer),
            (of(|process| process.upkeep_at), Actor::Upkeep),
            (of(Process::publisher_at), Actor::Publisher),
            (of(Process::patience), Actor::Patience),
        ];
        let soonest = all.iter().filter_map(|(at, _)| *at).min()?;
        let mut due = [Actor::Start; 8];
        let mut count = 0;
        for (_, actor) in all.iter().filter(|(at, _)| *at == Some(soonest)) {
            due[count] = *actor;
            count += 1;
        }
        // Chance decides between actors that are due at the same time.
        Some((soonest, due[self.around.random.index(count)]))
    }

    fn act(&mut self, actor: Actor) {
        let around = &mut self.around;
        match (actor, self.process.as_mut()) {
            (Actor::Start, _) => self.start(),
            (Actor::Sender, process) => self.senders.send(around, process),
            (Actor::Chaos, process) => {
                let orders = self.chaos.act(around, process);
                if let Some(crash) = orders.crash {
                    self.crash(crash);
                }
            }
            (Actor::Kafka, _) => around.kafka.borrow_mut().step(),
            (Actor::Writer, Some(process)) => process.write(around),
            (Actor::Upkeep, Some(process)) => process.maintain(around),
            (Actor::Publisher, Some(process)) => {
                if process.publish(around) && around.disk.lock().dead.is_none() {
                    self.end();
                }
            }
            (Actor::Writer | Actor::Upkeep | Actor::Publisher | Actor::Patience, _) => {}
        }
    }

    fn start(&mut self) {
        self.start_at = None;
        self.tally.starts += 1;
        if let Some(trouble) = self.around.at_starts.pop_front() {
            self.around.clock.log(|| format!("*** {trouble:?}"));
            let mut disk = self.around.disk.lock();
            match trouble {
                Trouble::Death(death) => disk.death = Some(death),
                Trouble::Failure(failure) => disk.fail = Some(failure),
            }
        }
        losses::take();
        let started = Process::start(&mut self.around);
        // The result has what a start has logged of missing segments.
        losses::take_missing();
        match started {
            Ok(process) if self.around.disk.lock().dead.is_none() => {
                self.around
                    .clock
                    .log(|| format!("started: {:?}", process.recovery));
                if process.engine().lock().set_aside_bytes > 0 {
                    coverage::seen(Seen::AsideAtStart);
                }
                let now = (process.journal(), process.recovery.resume_at);
                let (journal, watermark) = self.around.checkpointed;
                // No checkpoint has recorded anything of a journal that is new.
                for synced in [&mut self.around.synced, &mut self.around.synced_next] {
                    if synced.0 != now.0 {
                        *synced = (now.0, 0);
                    }
                }
                // Until a checkpoint has come as far again, published segments that are gone may seem to be missing.
                let behind = self.around.checkpointed < self.around.furthest;
                self.around
                    .note_checkpointed((now.0, process.checkpointed()));
                let mut ledger = self.around.ledger.borrow_mut();
                ledger.header_damaged |= process.has_headless_segment();
                for seam in process.seams(&ledger) {
                    ledger.seam(now.0, seam);
                }
                // A start writes both slots again.
                let damaged = std::mem::take(&mut ledger.checkpoint_damaged);
                if damaged {
                    // The older slot records less of what was synced; without a slot nothing is known of that.
                    ledger.uncovered_from((now.0, 0));
                }
                ledger.went_back = damaged || behind;
                ledger.slot_lost |= damaged;
                let missing = process.recovery.missing_events;
                ledger.missing(missing, now, (journal, watermark));
                if now.0 == journal && now.1 < watermark && !damaged {
                    ledger.violate(format!(
                        "resumes at {} though {watermark} was checkpointed",
                        now.1
                    ));
                }
                self.process = Some(process);
            }
            Ok(process) => process.gone(&mut self.around),
            Err(OpenError::Io { operation, source }) => {
                self.around
                    .clock
                    .log(|| format!("cannot start: {operation}: {source}"));
                self.start_soon();
            }
            Err(error) => self.around.ledger.borrow_mut().violate(error.to_string()),
        }
    }

    fn start_soon(&mut self) {
        let delay = self.around.random.latency(500 * MS, 3 * SECOND);
        self.start_at = Some(self.around.clock.now() + delay);
    }

    fn end(&mut self) {
        self.around.clock.log(|| String::from("ends in order"));
        if let Some(process) = self.process.take() {
            process.end(&mut self.around);
        }
        self.start_soon();
    }

    /// Crashes the process; whatever it did since its death on the disk has not happened.
    fn crash(&mut self, crash: Crash) {
        let disk = &self.around.disk;
        self.around
            .clock
            .log(|| format!("{crash:?}, the disk holds {:016x}", disk.lock().hash()));
        if let Some(process) = self.process.take() {
            let mut ledger = self.around.ledger.borrow_mut();
            ledger.uncovered_from(self.around.synced);
            drop(ledger);
            process.gone(&mut self.around);
        }
        self.around.disk.lock().reboot(crash);
        self.start_soon();
    }

    fn afterwards(&mut self) {
        let dead = self.around.disk.lock().dead;
        if let Some(crash) = dead {
            return self.crash(crash);
        }
        let unsynced = self.around.disk.lock().unsynced_read.take();
        if let Some(words) = unsynced {
            self.around.ledger.borrow_mut().violate(words);
        }
        let mail = std::mem::take(&mut self.around.kafka.borrow_mut().mail);
        let topic_states = std::mem::take(&mut self.around.kafka.borrow_mut().topic_states);
        if let Some(process) = &mut self.process {
            for seen in topic_states {
                process.topic_seen(seen);
            }
            for (_, report) in mail {
                process.mail(report, self.around.clock.now());
            }
            process.settle(&mut self.around);
        }
    }

    /// Checks that after the faults everything comes to rest and an append is taken again; false once it has.
    fn rest(&mut self) -> Result<bool, String> {
        let now = self.around.clock.now();
        let Some(since) = self.calm_since else {
            if self.chaos.is_over(now) {
                self.around.clock.log(|| String::from("the faults stop"));
                self.chaos.calm(&mut self.around);
                self.senders.calm(now);
                // An operator replays the dead letters, which may have used up the budget.
                *self.around.dead_letter_bytes.borrow_mut() = 0;
                self.around.ledger.borrow_mut().limit_raised = true;
                self.calm_since = Some(now);
            }
            return Ok(true);
        };
        let quiet = self.process.as_ref().is_some_and(Process::is_quiet);
        let late = self.around.kafka.borrow().is_mail_due(now + LATE_MAIL);
        if !quiet || late || !self.senders.is_done(&self.around) {
            self.quiet_since = None;
        } else if now >= *self.quiet_since.get_or_insert(now) + QUIET {
            if let Some(process) = &self.process {
                process.report_losses(&self.around);
            }
            self.around.look_beside();
            let mut ledger = self.around.ledger.borrow_mut();
            ledger.settle();
            if let Some(words) = ledger.violation.take() {
                return Err(words);
            }
            self.tally.events = ledger.events.len() as u64;
            let acknowledged = ledger
                .events
                .iter()
                .filter(|sent| sent.acknowledged.is_some());
            self.tally.acknowledged = acknowledged.count() as u64;
            self.tally.duplicates = ledger.duplicates;
            return Ok(false);
        }
        // The reader never passes over a place if nothing else can be read, so an operator replaces the disk.
        if now > since + REST * 2 / 3 {
            self.around.disk.lock().heal_all();
        }
        if now > since + REST {
            let left = self.process.as_ref().map(Process::unpublished);
            let files = self.around.disk.lock().files();
            self.around
                .clock
                .log(|| format!("the disk holds {files:?}"));
            return Err(format!(
                "not at rest {} s after the faults stopped: {left:?} unpublished, probe {:?}",
                REST / SECOND,
                self.senders.probe
            ));
        }
        Ok(true)
    }
}
