//! What was sent and answered beside what the topic holds: the figures that keep or break the promise.
//!
//! Pure: told of posts, answers and records, and of the time, it decides nothing else. What the promise covers:
//!
//! - An event is **acknowledged** by one 2xx, whichever of its tries got it. Then at least one record of it must be in
//!   the topic, else it is lost. An event without a 2xx may have landed or not; neither is a fault.
//! - **Order** is between the first deliveries of a call's acknowledged events, in the order of sending. A sender begins
//!   an event only after the one before was answered or given up, so by the time that an acknowledged event was followed
//!   by another, a try of it was on disk: its first delivery comes earlier, whichever try that is. A late landing of
//!   another try is a duplicate, and one of an event given up may come anywhere.
//! - Kafka keeps order within a partition only: a call spread over two has no order, and counts as out of it. If the topic
//!   got more partitions during the run, a call may move, and nothing in the topic says what was appended first of two
//!   partitions: order is then checked within each partition, and the calls that moved are counted.

mod figures;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

pub use figures::{Breach, Figures, Quantiles, Verdict, Violation};

/// The books of one run.
#[derive(Debug, Default)]
pub struct Ledger {
    calls: HashMap<String, BTreeMap<u64, Event>>,
    sent: u64,
    acknowledged: u64,
    delivered: u64,
    refused: BTreeMap<u16, u64>,
    unanswered: u64,
    records: u64,
    foreign: u64,
    /// The topic has got partitions since the run began.
    grown: bool,
    /// Records with a fault of their own, as they came.
    faulty: Vec<Violation>,
    changed: u64,
    wrong_key: u64,
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The status code.
    Status(u16),
    /// No answer: the connection could not be made, broke, or the time was up.
    None,
}

impl Answer {
    /// True for a 2xx.
    pub fn is_acknowledgement(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }
}

/// A record, as it was read from the topic.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Where it lies.
    pub partition: i32,
    /// Where in the partition.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; a null one is empty, which no event is.
    pub value: &'a [u8],
    /// When it was read, since the run's start.
    pub at: Duration,
}

/// An event that was begun to be sent.
#[derive(Debug)]
struct Event {
    digest: Digest,
    bytes: usize,
    due: Duration,
    acknowledged: Option<Duration>,
    first: Option<Place>,
    /// Where further records of it lie.
    repeats: Vec<(i32, i64)>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    partition: i32,
    offset: i64,
    at: Duration,
}

/// Half of BLAKE3: the bodies themselves would not fit into memory, and nobody here looks for collisions.
#[derive(Debug, PartialEq, Eq)]
struct Digest([u8; 16]);

impl Digest {
    fn of(bytes: &[u8]) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        Self(half)
    }
}

impl Ledger {
    /// Nothing sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An event is about to be posted for the first time. `call` is the key that its record should have, `number` grows
    /// in the order of sending within the call, `due` is when it was meant to be posted.
    pub fn sent(&mut self, call: &str, number: u64, body: &[u8], due: Duration) {
        let event = Event {
            digest: Digest::of(body),
            bytes: body.len(),
            due,
            acknowledged: None,
            first: None,
            repeats: Vec::new(),
        };
        let events = self.calls.entry(call.to_owned()).or_default();
        if events.insert(number, event).is_none() {
            self.sent += 1;
        }
    }

    /// One try of an event that was [`Ledger::sent`] has ended at `at`.
    pub fn answered(&mut self, call: &str, number: u64, answer: Answer, at: Duration) {
        match answer {
            Answer::Status(_) if answer.is_acknowledgement() => {
                let event = self
                    .calls
                    .get_mut(call)
                    .and_then(|events| events.get_mut(&number));
                if let Some(event) = event
                    && event.acknowledged.is_none()
                {
                    event.acknowledged = Some(at);
                    self.acknowledged += 1;
                    self.delivered += u64::from(event.first.is_some());
                }
            }
            Answer::Status(code) => *self.refused.entry(code).or_default() += 1,
            Answer::None => self.unanswered += 1,
        }
    }

    /// A record that says which event it is of; one that was never sent is foreign.
    pub fn seen(&mut self, call: &str, number: u64, record: &Record<'_>) {
        let event = self
            .calls
            .get_mut(call)
            .and_then(|events| events.get_mut(&number));
        let Some(event) = event else {
            self.foreign += 1;
            return;
        };
        let place = (record.partition, record.offset);
        let first = event.first.map(|first| (first.partition, first.offset));
        // A consumer that starts a partition anew reads a record twice; that is no second record.
        if first == Some(place) || event.repeats.contains(&place) {
            return;
        }
        self.records += 1;
        match &mut event.first {
            None => {
                event.first = Some(Place {
                    partition: record.partition,
                    offset: record.offset,
                    at: record.at,
                });
                self.delivered += u64::from(event.acknowledged.is_some());
            }
            // Read out of turn, after such a new start.
            Some(first) if first.partition == place.0 && place.1 < first.offset => {
                event.repeats.push((first.partition, first.offset));
                first.offset = place.1;
            }
            Some(_) => event.repeats.push(place),
        }
        let bytes = event.bytes;
        let changed = event.digest != Digest::of(record.value);
        let wrong_key = record.key != Some(call.as_bytes());
        self.changed += u64::from(changed);
        self.wrong_key += u64::from(wrong_key);
        for (is, breach) in [(changed, Breach::Changed), (wrong_key, Breach::WrongKey)] {
            if is {
                self.fault(breach, call, Some(number), Some(bytes), record);
            }
        }
    }

    /// A record under the key `call` in whose value no event of ours can be made out any more.
    pub fn mangled(&mut self, call: &str, record: &Record<'_>) {
        if !self.calls.contains_key(call) {
            self.foreign += 1;
            return;
        }
        self.records += 1;
        self.changed += 1;
        self.fault(Breach::Changed, call, None, None, record);
    }

    /// The topic has got more partitions: from now on a call may move to another one.
    pub fn grown(&mut self) {
        self.grown = true;
    }

    /// A record that is none of ours.
    pub fn foreign(&mut self) {
        self.foreign += 1;
    }

    /// Events begun so far.
    pub fn begun(&self) -> u64 {
        self.sent
    }

    /// Events with a 2xx so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Acknowledged events that the topic has shown no record of yet.
    pub fn outstanding(&self) -> u64 {
        self.acknowledged - self.delivered
    }

    /// Tries answered otherwise than by a 2xx so far.
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Tries without an answer so far.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Records of ours read so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    fn fault(
        &mut self,
        breach: Breach,
        call: &str,
        number: Option<u64>,
        bytes: Option<usize>,
        record: &Record<'_>,
    ) {
        let told = self.faulty.iter().filter(|told| told.breach == breach);
        if told.count() < figures::EXAMPLES {
            self.faulty.push(Violation {
                breach,
                call: call.to_owned(),
                number,
                bytes,
                partition: Some(record.partition),
                offset: Some(record.offset),
            });
        }
    }
}
