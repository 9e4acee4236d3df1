//! What goes wrong, and when: each history has its own mixture, so that some have one kind of fault only.

mod cluster;
mod damage;
mod kinds;
mod surface;

use std::collections::BTreeMap;

use crate::disk::{Crash, Death, Failure, Operation, Trouble};
use crate::process::Process;
use crate::random::{MS, Random, SECOND};
use crate::world::Surroundings;
use cluster::repair;
pub use damage::records;
use kinds::{KINDS, KINDS_WITHOUT_DISK, Kind, Target};

/// What the world must do.
#[derive(Default)]
pub struct Orders {
    pub crash: Option<Crash>,
}

enum Later {
    Crash(Crash),
    FlipSeam,
    Heal((usize, usize)),
    Repair(Kind, usize),
    EndLeader(usize),
}

pub struct Chaos {
    random: Random,
    kinds: Vec<Kind>,
    pause: u64,
    at: Option<u64>,
    ends_at: u64,
    later: BTreeMap<(u64, u64), Later>,
    next: u64,
    /// A header or the checkpoint was damaged: once per history, because a journal may not survive a second time.
    meta_damaged: bool,
    /// There were bad sectors: never with garbage in one history, because together they hide how many records there were.
    bad_sectors: bool,
    /// There was garbage: once per history at most.
    spoilt: bool,
}

impl Chaos {
    pub fn new(random: &mut Random) -> Self {
        Self::of(random, &KINDS)
    }

    /// Only what can go wrong without a disk.
    pub fn without_disk(random: &mut Random) -> Self {
        Self::of(random, &KINDS_WITHOUT_DISK)
    }

    fn of(random: &mut Random, all: &[Kind]) -> Self {
        let mut random = random.fork();
        let count = random.range(1, 12);
        let kinds: Vec<_> = (0..count).map(|_| random.pick(all)).collect();
        let ends_at = random.pick(&[5, 20, 60]) * SECOND;
        let pause = random.pick(&[300 * MS, 2 * SECOND, 8 * SECOND]);
        Self {
            at: Some(random.below(pause)),
            random,
            kinds,
            pause,
            ends_at,
            later: BTreeMap::new(),
            next: 0,
            meta_damaged: false,
            bad_sectors: false,
            spoilt: false,
        }
    }

    pub fn next_at(&self) -> Option<u64> {
        let later = self.later.keys().next().map(|(at, _)| *at);
        [self.at, later].into_iter().flatten().min()
    }

    pub fn is_over(&self, now: u64) -> bool {
        now >= self.ends_at
    }

    /// Ends all faults.
    pub fn calm(&mut self, around: &mut Surroundings) {
        self.at = None;
        for later in std::mem::take(&mut self.later).into_values() {
            if let Later::Heal(place) = later {
                around.disk.lock().heal(place);
            }
        }
        around.kafka.borrow_mut().repair();
        around.slow_sync = 5 * MS;
        around.slow_publisher = around.setup.throttled;
        around.at_starts.clear();
        let mut disk = around.disk.lock();
        disk.capacity = around.setup.disk;
        disk.fail = None;
        disk.reads_fail = false;
        disk.no_dead_letters = false;
        disk.death = None;
    }

    pub fn act(&mut self, around: &mut Surroundings, process: Option<&mut Process>) -> Orders {
        let now = around.clock.now();
        if let Some(entry) = self.later.first_entry()
            && entry.key().0 <= now
        {
            return match entry.remove() {
                Later::Crash(crash) => Orders { crash: Some(crash) },
                Later::FlipSeam => {
                    self.flip_seam(around, process);
                    let crash = Some(Crash::Kill);
                    Orders { crash }
                }
                Later::Heal(place) => {
                    around.clock.log(|| format!("{place:?} can be read again"));
                    around.disk.lock().heal(place);
                    Orders::default()
                }
                Later::EndLeader(partition) => {
                    self.end_leader(partition, around);
                    Orders::default()
                }
                Later::Repair(kind, at) => {
                    around.clock.log(|| format!("{kind:?} {at} is over"));
                    repair(around, kind, at);
                    Orders::default()
                }
            };
        }
        let pause = self.random.latency(self.pause, 3 * self.pause);
        self.at = Some(now + pause);
        let kind = self.random.pick(&self.kinds);
        around.clock.log(|| format!("*** {kind:?}"));
        self.begin(kind, around, process)
    }

    fn later(&mut self, time: u64, later: Later) {
        self.next += 1;
        self.later.insert((time, self.next), later);
    }

    fn begin(
        &mut self,
        kind: Kind,
        around: &mut Surroundings,
        process: Option<&mut Process>,
    ) -> Orders {
        let now = around.clock.now();
        let soon = now + self.random.pick(&[MS, 100 * MS, SECOND, 4 * SECOND]);
        let soon = now + self.random.below(soon - now + 1);
        let for_a_while = now
            + self
                .random
                .pick(&[100 * MS, 2 * SECOND, 15 * SECOND, 40 * SECOND]);
        let nth = self.random.pick(&[1, 1, 2, 3, 6, 15]);
        let mut orders = Orders::default();
        match kind {
            Kind::Kill => orders.crash = Some(Crash::Kill),
            Kind::LongStop => {
                around.kafka.borrow_mut().hours_pass();
                orders.crash = Some(Crash::Kill);
            }
            Kind::LongOutage => {
                around.kafka.borrow_mut().hours_pass_in_an_outage();
                process.into_iter().for_each(Process::may_renew);
                self.later(now + 40 * SECOND, Later::Repair(Kind::AllDown, 0));
            }
            Kind::PowerCut => orders.crash = Some(Crash::PowerCut),
            Kind::KillInside => around.disk.lock().death = Some(Death::within(Crash::Kill, nth)),
            Kind::PowerCutInside => {
                around.disk.lock().death = Some(Death::within(Crash::PowerCut, nth))
            }
            Kind::KillThenPowerCut => {
                if self.random.percent(50) {
                    around.disk.lock().death = Some(Death::within(Crash::Kill, nth));
                } else {
                    orders.crash = Some(Crash::Kill);
                }
                self.later(soon, Later::Crash(Crash::PowerCut));
            }
            Kind::Terminate => {
                if let Some(process) = process {
                    let time = self.random.pick(&[0, SECOND, 20 * SECOND]);
                    process.drain(around, time);
                }
            }
            Kind::FailWrite => around.disk.lock().fail = Some(Failure::of(Operation::Write, nth)),
            Kind::FailSync => around.disk.lock().fail = Some(Failure::of(Operation::Sync, nth)),
            Kind::FailRead => around.disk.lock().fail = Some(Failure::of(Operation::Read, nth)),
            Kind::ReadsFail | Kind::ReadsFailThenKill => {
                around.disk.lock().reads_fail = true;
                self.later(for_a_while, Later::Repair(kind, 0));
                orders.crash = (kind == Kind::ReadsFailThenKill).then_some(Crash::Kill);
            }
            Kind::BadSector => self.bad_sector(around, process, Some(for_a_while)),
            Kind::BadSectorStays => self.bad_sector(around, process, None),
            Kind::BadSectorThenKill => {
                let until = self.random.percent(50).then_some(for_a_while);
                self.bad_sector(around, process, until);
                orders.crash = Some(Crash::Kill);
            }
            Kind::Spoil => self.spoil(around, process, kind),
            Kind::SpoilThenKill | Kind::SpoilTailThenKill => {
                self.spoil(around, process, kind);
                orders.crash = Some(Crash::Kill);
            }
            Kind::FailThenPowerCut => {
                let operation = self.random.pick(&[Operation::Write, Operation::Sync]);
                around.disk.lock().fail = Some(Failure::of(operation, 1));
                self.later(soon, Later::Crash(Crash::PowerCut));
            }
            Kind::DiskFull => {
                let mut disk = around.disk.lock();
                let room = self.random.pick(&[0, 1_000, 10_000]);
                let most = around.setup.disk.unwrap_or(u64::MAX);
                disk.capacity = Some((disk.used() + room).min(most));
                drop(disk);
                self.later(for_a_while, Later::Repair(kind, 0));
            }
            Kind::DiskTaken => {
                let mut disk = around.disk.lock();
                disk.capacity = Some(self.random.below(disk.used() + 1));
                drop(disk);
                self.later(for_a_while, Later::Repair(kind, 0));
            }
            Kind::TroubledStarts => {
                let crash = self.random.pick(&[Crash::Kill, Crash::PowerCut]);
                orders.crash = Some(crash);
                let count = self.random.range(1, 4);
                let troubles = (0..count).map(|_| self.trouble());
                around.at_starts = troubles.collect();
            }
            Kind::BadCheckpoint => {
                let operation = self.random.pick(&[Operation::Write, Operation::Sync]);
                around.disk.lock().fail = Some(Failure::of_checkpoints(operation));
                self.later(for_a_while, Later::Repair(kind, 0));
            }
            Kind::CheckpointFailsThenPowerCut => {
                around.disk.lock().fail = Some(Failure::of_checkpoint());
                let death = Death::within_checkpoint(Crash::PowerCut, self.random.range(1, 4));
                around.at_starts = [Trouble::Death(death)].into();
            }
            Kind::CheckpointFailsBesideBatch => {
                around.slow_sync = self.random.pick(&[SECOND, 4 * SECOND]);
                around.disk.lock().fail = Some(Failure::of_checkpoint());
                self.later(for_a_while, Later::Repair(Kind::SlowDisk, 0));
            }
            Kind::SlowPublisher => {
                around.slow_publisher = self.random.pick(&[100 * MS, SECOND, 8 * SECOND]);
                self.later(for_a_while, Later::Repair(kind, 0));
            }
            Kind::ClockSetBack => {
                let step = self.random.pick(&[10, 30, 45, 60, 3_600]) * SECOND;
                around.kafka.borrow_mut().stand_still(now + step);
                if let Some(process) = process {
                    process.renew(now + self.random.below(SECOND));
                }
            }
            Kind::SlowDisk => {
                around.slow_sync = self.random.pick(&[100 * MS, SECOND, 9 * SECOND]);
                self.later(for_a_while, Later::Repair(kind, 0));
            }
            Kind::FlipRecord => self.flip(around, process, Target::Record),
            Kind::FlipAnywhere => self.flip(around, process, Target::Anything),
            Kind::FlipHeaderThenKill => {
                self.flip(around, process, Target::Header);
                orders.crash = Some(Crash::Kill);
            }
            Kind::FlipSeamInOutage => {
                let mut kafka = around.kafka.borrow_mut();
                (0..kafka.brokers.len()).for_each(|broker| kafka.end_broker(broker));
                self.later(now + 4 * SECOND, Later::FlipSeam);
                self.later(now + 10 * SECOND, Later::Repair(Kind::AllDown, 0));
                orders.crash = Some(Crash::Kill);
            }
            Kind::LoseCheckpoint => {
                if !self.bad_sectors && !std::mem::replace(&mut self.meta_damaged, true) {
                    around.disk.lock().lose("checkpoint");
                    around.ledger.borrow_mut().checkpoint_damaged = true;
                    orders.crash = Some(Crash::Kill);
                }
            }
            Kind::FlipThenKill => {
                self.flip(around, process, Target::Record);
                orders.crash = Some(Crash::Kill);
            }
            _ => self.begin_at_kafka(kind, around, soon, for_a_while),
        }
        orders
    }

    /// What may go wrong in one start.
    fn trouble(&mut self) -> Trouble {
        let nth = self.random.range(1, 12);
        let crash = self.random.pick(&[Crash::Kill, Crash::PowerCut]);
        let operations = [Operation::Read, Operation::Write, Operation::Sync];
        match self.random.below(3) {
            0 => Trouble::Death(Death::within(crash, nth)),
            1 => Trouble::Failure(Failure::of(self.random.pick(&operations), nth)),
            _ => Trouble::Failure(Failure::of_checkpoint()),
        }
    }
}
