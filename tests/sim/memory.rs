//! Histories with `ack = "kafka"`: the real publisher over a journal in memory. What the disk's histories check of order and of
//! what is sent holds here too; beside that, no sender gets a 2xx before Kafka has its event with all replicas in sync, nothing
//! waits or stays for ever, memory is bounded, and nothing is on disk.

mod process;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use ringback::publish;

use crate::beside::EarlierFiles;
use crate::chaos::Chaos;
use crate::disk::SimDisk;
use crate::kafka::Kafka;
use crate::kafka::topics::SecondTopic;
use crate::ledger::Ledger;
use crate::random::{Clock, MS, Random, SECOND};
use crate::senders::Senders;
use crate::setup::Setup;
use crate::world::{LATE_MAIL, QUIET, REST, Surroundings, TURNS, Tally};
use process::MemoryProcess;

/// Makes the histories of a seed differ from those on disk: "memory".
const MEMORY: u64 = 0x6d65_6d6f_7279;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Actor {
    Start,
    Sender,
    Chaos,
    Kafka,
    Publisher,
    Patience,
}

struct World {
    around: Surroundings,
    /// Bytes that the journal may hold.
    budget: u64,
    /// A topic takes dead letters.
    has_dead_letter_topic: bool,
    process: Option<MemoryProcess>,
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
        let mut random = Random::new(seed ^ MEMORY);
        let clock = Rc::new(Clock::new());
        let mut ledger = Ledger::default();
        ledger.is_volatile = true;
        let ledger = Rc::new(RefCell::new(ledger));
        let mut kafka = Kafka::new(random.fork(), clock.clone(), ledger.clone());
        if random.percent(20) {
            kafka.queue_bytes = random.range(9_500, 20_000) as usize;
        }
        if random.percent(20) {
            kafka.largest_batch = random.range(9_500, 20_000) as usize;
        }
        let mut second_topic = SecondTopic::of(seed ^ MEMORY);
        if let Some(second) = &mut second_topic {
            kafka.add_topic(second.fork());
        }
        ledger.borrow_mut().second_topic = second_topic;
        let setup = Setup::new(&mut random).in_memory();
        let senders = Senders::new(&mut random, seed);
        let chaos = Chaos::without_disk(&mut random);
        Self {
            budget: random.pick(&[32 << 10, 128 << 10, 1 << 20]),
            has_dead_letter_topic: random.percent(50),
            around: Surroundings {
                disk: SimDisk::new(random.fork(), &clock, EarlierFiles::none()),
                clock,
                kafka: Rc::new(RefCell::new(kafka)),
                ledger,
                metrics: metrics.clone(),
                dead_letter_bytes: Rc::default(),
                slow_sync: 0,
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
        self.deliver_mail();
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
        let all = [
            (self.start_at, Actor::Start),
            (self.senders.at, Actor::Sender),
            (self.chaos.next_at(), Actor::Chaos),
            (self.around.kafka.borrow().next_at(), Actor::Kafka),
            (
                process.and_then(MemoryProcess::publisher_at),
                Actor::Publisher,
            ),
            (process.and_then(MemoryProcess::patience), Actor::Patience),
        ];
        let soonest = all.iter().filter_map(|(at, _)| *at).min()?;
        let due = all.iter().filter(|(at, _)| *at == Some(soonest));
        let due: Vec<_> = due.map(|(_, actor)| *actor).collect();
        // Chance decides between actors that are due at the same time.
        Some((soonest, self.around.random.pick(&due)))
    }

    fn act(&mut self, actor: Actor) {
        let around = &mut self.around;
        match (actor, self.process.as_mut()) {
            (Actor::Start, _) => {
                self.start_at = None;
                self.tally.starts += 1;
                let process = MemoryProcess::start(around, self.budget, self.has_dead_letter_topic);
                self.process = Some(process);
            }
            (Actor::Sender, process) => self.senders.send(around, process),
            (Actor::Chaos, process) => {
                // Its other orders are about a disk.
                if self.chaos.act(around, None).crash.is_none() {
                    return;
                }
                let Some(process) = process else { return };
                if around.random.percent(50) {
                    let time = around.random.pick(&[0, SECOND, 20 * SECOND]);
                    return process.drain(around, time);
                }
                around.clock.log(|| String::from("killed"));
                self.process = None;
                self.gone();
            }
            (Actor::Kafka, _) => around.kafka.borrow_mut().step(),
            (Actor::Publisher, Some(process)) => {
                if process.publish(around) {
                    around.clock.log(|| String::from("ends in order"));
                    if let Some(process) = self.process.take() {
                        process.end(around);
                    }
                    self.gone();
                }
            }
            (Actor::Publisher | Actor::Patience, _) => {}
        }
    }

    fn gone(&mut self) {
        self.around.kafka.borrow_mut().forget_clients();
        let delay = self.around.random.latency(500 * MS, 3 * SECOND);
        self.start_at = Some(self.around.clock.now() + delay);
    }

    fn deliver_mail(&mut self) {
        let mail = std::mem::take(&mut self.around.kafka.borrow_mut().mail);
        let topic_states = std::mem::take(&mut self.around.kafka.borrow_mut().topic_states);
        if let Some(process) = &mut self.process {
            for seen in topic_states {
                process.topic_seen(seen);
            }
            for (_, report) in mail {
                process.mail(report, self.around.clock.now());
            }
            process.settle(&self.around);
        }
    }

    /// Checks that after the faults everything comes to rest and an event is acknowledged again; false once it has.
    fn rest(&mut self) -> Result<bool, String> {
        let now = self.around.clock.now();
        let Some(since) = self.calm_since else {
            if self.chaos.is_over(now) {
                self.around.clock.log(|| String::from("the faults stop"));
                self.chaos.calm(&mut self.around);
                self.senders.calm(now);
                self.around.ledger.borrow_mut().limit_raised = true;
                self.calm_since = Some(now);
            }
            return Ok(true);
        };
        let quiet = self.process.as_ref().is_some_and(MemoryProcess::is_quiet);
        let late = self.around.kafka.borrow().is_mail_due(now + LATE_MAIL);
        if !quiet || late || !self.senders.is_done(&self.around) {
            self.quiet_since = None;
        } else if now >= *self.quiet_since.get_or_insert(now) + QUIET {
            let files = self.around.disk.lock().files();
            let mut ledger = self.around.ledger.borrow_mut();
            if !files.is_empty() {
                return Err(format!("the disk holds {files:?}"));
            }
            ledger.settle();
            if let Some(words) = ledger.violation.take() {
                return Err(words);
            }
            let acknowledged = ledger.events.iter();
            let acknowledged = acknowledged.filter(|sent| sent.acknowledged.is_some());
            self.tally.acknowledged = acknowledged.count() as u64;
            self.tally.events = ledger.events.len() as u64;
            self.tally.duplicates = ledger.duplicates;
            return Ok(false);
        }
        if now > since + REST {
            let left = self.process.as_ref().map(MemoryProcess::unpublished);
            return Err(format!(
                "not at rest {} s after the faults stopped: {left:?} unpublished, probe {:?}",
                REST / SECOND,
                self.senders.probe
            ));
        }
        Ok(true)
    }
}
