//! Those who send webhooks: at their own pace, in bursts, and once more when all faults are over.

use ringback::journal::AppendError;

use crate::ledger::Poison;
use crate::random::{MS, Random, SECOND};
use crate::world::Surroundings;

/// Distinguishes the draws of [`Unparsed`] from the history's others: "json".
const UNPARSED: u64 = 0x6a73_6f6e;

/// What takes requests' events.
pub trait Inlet {
    /// Hands a request's event to the journal.
    fn append(&mut self, around: &Surroundings, number: usize) -> Result<(), AppendError>;
}

pub struct Senders {
    pub at: Option<u64>,
    /// The event that must be acknowledged and delivered after all faults.
    pub probe: Option<usize>,
    random: Random,
    left: u64,
    pause: u64,
    keys: u64,
    largest: u64,
    /// Percentage of events that Kafka never takes.
    poison: u64,
    unparsed: Option<Unparsed>,
    clean_run: u64,
    /// How many of the next events the topic refuses for now.
    bad_run: u64,
    has_bad_runs: bool,
    calm: bool,
}

/// Chooses the events whose bodies are not JSON. Its random numbers are a sequence of their own, so histories without such events
/// stay the same.
struct Unparsed {
    random: Random,
    /// Of a hundred events that would be good.
    share: u64,
}

impl Unparsed {
    /// One history in ten has some, or has nothing else.
    fn of(seed: u64) -> Option<Self> {
        let mut random = Random::new(seed ^ UNPARSED);
        let has_some = random.percent(10);
        let share = random.pick(&[5, 30, 100]);
        has_some.then_some(Self { random, share })
    }

    fn replaces(&mut self, poison: Poison) -> bool {
        poison == Poison::No && self.random.percent(self.share)
    }
}

impl Senders {
    pub fn new(random: &mut Random, seed: u64) -> Self {
        let mut random = random.fork();
        Self {
            at: Some(0),
            probe: None,
            left: random.pick(&[15, 40, 100]),
            pause: random.pick(&[20 * MS, 200 * MS, SECOND]),
            keys: random.range(1, 4),
            largest: random.pick(&[50, 300, 3_000]),
            poison: random.pick(&[0, 0, 0, 3, 10]),
            unparsed: Unparsed::of(seed),
            clean_run: 0,
            bad_run: 0,
            has_bad_runs: random.percent(10),
            calm: false,
            random,
        }
    }

    /// One burst, or the probe.
    pub fn send(&mut self, around: &mut Surroundings, mut process: Option<&mut impl Inlet>) {
        let now = around.clock.now();
        if self.calm {
            self.at = Some(now + 10 * SECOND);
            around.clear_beside();
            let is_taken =
                |probe: usize| around.ledger.borrow().events[probe].acknowledged.is_some();
            if self.probe.is_some_and(is_taken) {
                return;
            }
            let number = around.ledger.borrow_mut().send(Some(0), 10, Poison::No);
            self.probe = Some(number);
            let taken = process.map(|process| process.append(around, number));
            around.clock.log(|| format!("probe {number}: {taken:?}"));
            return;
        }
        let burst = if self.random.percent(20) { 8 } else { 1 };
        for _ in 0..self.random.range(1, burst) {
            let (key, size, poison) = self.next_body();
            let number = around.ledger.borrow_mut().send(key, size, poison);
            let taken = process
                .as_mut()
                .map(|process| process.append(around, number));
            around.clock.log(|| {
                format!("event {number} (key {key:?}, {size} bytes, poison {poison:?}): {taken:?}")
            });
            self.left = self.left.saturating_sub(1);
        }
        let pause = self.random.latency(self.pause, 5 * self.pause);
        self.at = (self.left > 0).then_some(now + pause);
    }

    fn next_body(&mut self) -> (Option<u8>, usize, Poison) {
        let (key, size, poison) = self.next_event();
        // Between two other dead letters something is delivered, or ringback would blame ten of them on the topic.
        let may_be_replaced = self.clean_run != 1;
        let unparsed = self.unparsed.as_mut().filter(|_| may_be_replaced);
        if unparsed.is_some_and(|unparsed| unparsed.replaces(poison)) {
            // No key is found in what is not JSON. Small, because nobody takes dead letters away, and they count in the budget.
            return (None, size.min(200), Poison::Unparsed);
        }
        (key, size, poison)
    }

    fn next_event(&mut self) -> (Option<u8>, usize, Poison) {
        let key = (!self.random.percent(10)).then(|| self.random.below(self.keys) as u8);
        let size = if self.random.percent(5) {
            self.random.below(self.largest * 3)
        } else {
            self.random.below(self.largest)
        };
        // ringback blames ten in a row on the topic, which an operator fixes when the faults are over.
        if self.bad_run > 0 {
            self.bad_run -= 1;
            return (key, size.min(200) as usize, Poison::TooLargeForNow);
        }
        if self.has_bad_runs && self.clean_run > 5 && self.random.percent(20) {
            self.bad_run = 14;
            self.clean_run = 0;
        }
        if self.clean_run >= 3 && self.random.percent(self.poison) {
            self.clean_run = 0;
            let poison = [
                Poison::TooLarge,
                Poison::TooLargeForClient,
                Poison::NoEvent,
                Poison::Invalid,
            ];
            // Without a key, `InvalidRecord` is a compacted topic's refusal, which is never the record's fault.
            let kinds = if key.is_some() { 4 } else { 3 };
            return (
                key,
                size.min(200) as usize,
                poison[self.random.index(kinds)],
            );
        }
        self.clean_run += 1;
        (key, size as usize, Poison::No)
    }

    /// Sends only the probe from now on.
    pub fn calm(&mut self, now: u64) {
        self.calm = true;
        self.at = Some(now + SECOND);
    }

    /// True once a probe was taken and delivered.
    pub fn is_done(&self, around: &Surroundings) -> bool {
        let ledger = around.ledger.borrow();
        self.probe.is_some_and(|probe| {
            let sent = &ledger.events[probe];
            sent.acknowledged.is_some() && sent.delivered > 0
        })
    }
}
