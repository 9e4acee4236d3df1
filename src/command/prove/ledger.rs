//! Compares what was sent and acknowledged with what the topic holds, and decides whether the promise was kept.
//!
//! The ledger is pure: posts, replies, records and times are its inputs. What the promise covers:
//!
//! - An event is **acknowledged** by one 2xx, whichever of its attempts got it. Then the topic must hold at least one record
//!   of it, else it is lost. An event without a 2xx may be in the topic or not; neither breaks the promise.
//! - **Order** concerns the first deliveries of a call's acknowledged events. A sender begins an event only after the event
//!   before was answered or given up. So when an acknowledged event is followed by another, one of its attempts is already
//!   on disk, and its first delivery must come earlier. Another attempt that is delivered later is a duplicate, and an
//!   event that was given up may be delivered anywhere.
//! - Kafka keeps order only within a partition: events of one call in two partitions are out of order. If partitions were
//!   added to the topic during the run, a call may move, and nothing in the topic shows which of two partitions got its
//!   record first. Order is then checked within each partition, and the calls that moved are counted.

mod figures;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

pub use figures::{Breach, Figures, Quantiles, Verdict, Violation};

/// The events of each call, by their numbers.
type Calls = HashMap<String, BTreeMap<u64, SentEvent>>;

/// The ledger of one run.
#[derive(Debug, Default)]
pub struct Ledger {
    calls: Calls,
    sent: u64,
    acknowledged: u64,
    delivered: u64,
    refused: BTreeMap<u16, u64>,
    unanswered: u64,
    records: u64,
    foreign: u64,
    /// Partitions were added to the topic since the run began.
    grown: bool,
    /// Examples of changed records and wrong keys, in the order of reading.
    faulty: Vec<Violation>,
    changed: u64,
    wrong_key: u64,
}

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The status code.
    Status(u16),
    /// No reply: the connection could not be made, broke, or the time was up.
    None,
}

impl Reply {
    /// True for a 2xx.
    pub fn is_acknowledgement(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }
}

/// A record as it was read from the topic.
#[derive(Debug, Clone, Copy)]
pub struct TopicRecord<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset in the partition.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; empty for a null value, which no event has.
    pub value: &'a [u8],
    /// When it was read, since the run's start.
    pub at: Duration,
}

/// An event of which the first attempt has begun.
#[derive(Debug)]
struct SentEvent {
    digest: Digest,
    bytes: usize,
    due: Duration,
    acknowledged: Option<Duration>,
    first: Option<FirstDelivery>,
    /// Partition and offset of each further record.
    repeats: Vec<(i32, i64)>,
}

#[derive(Debug, Clone, Copy)]
struct FirstDelivery {
    partition: i32,
    offset: i64,
    at: Duration,
}

/// Half of BLAKE3: the bodies would not fit into memory, and no sender here constructs collisions.
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
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// An event is about to be posted for the first time. `call` is the key that its record must have, `number` grows in
    /// the order of sending within the call, `due` is when the schedule wanted it posted.
    pub fn on_sent(&mut self, call: &str, number: u64, body: &[u8], due: Duration) {
        let event = SentEvent {
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

    /// One attempt of an event that was [sent](Ledger::on_sent) has ended at `at`.
    pub fn on_reply(&mut self, call: &str, number: u64, reply: Reply, at: Duration) {
        match reply {
            Reply::Status(_) if reply.is_acknowledgement() => {
                if let Some(event) = find(&mut self.calls, call, number)
                    && event.acknowledged.is_none()
                {
                    event.acknowledged = Some(at);
                    self.acknowledged += 1;
                    self.delivered += u64::from(event.first.is_some());
                }
            }
            Reply::Status(code) => *self.refused.entry(code).or_default() += 1,
            Reply::None => self.unanswered += 1,
        }
    }

    /// A record with the mark of an event. If that event was never sent, the record is foreign.
    pub fn on_record(&mut self, call: &str, number: u64, record: &TopicRecord<'_>) {
        let Some(event) = find(&mut self.calls, call, number) else {
            self.foreign += 1;
            return;
        };
        let place = (record.partition, record.offset);
        let first = event.first.map(|first| (first.partition, first.offset));
        // A consumer that starts a partition again reads the same record twice.
        if first == Some(place) || event.repeats.contains(&place) {
            return;
        }
        self.records += 1;
        match &mut event.first {
            None => {
                event.first = Some(FirstDelivery {
                    partition: record.partition,
                    offset: record.offset,
                    at: record.at,
                });
                self.delivered += u64::from(event.acknowledged.is_some());
            }
            // Read later although it lies earlier, after such a restart.
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

    /// A record under the key `call` whose value has lost the mark of its event.
    pub fn on_mangled_record(&mut self, call: &str, record: &TopicRecord<'_>) {
        if !self.calls.contains_key(call) {
            self.foreign += 1;
            return;
        }
        self.records += 1;
        self.changed += 1;
        self.fault(Breach::Changed, call, None, None, record);
    }

    /// Partitions were added to the topic: from now on a call may move to another one.
    pub fn on_growth(&mut self) {
        self.grown = true;
    }

    /// A record that is not of this run.
    pub fn on_foreign_record(&mut self) {
        self.foreign += 1;
    }

    /// Events of which the first attempt has begun.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Events with a 2xx.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Acknowledged events of which no record has been read yet.
    pub fn outstanding(&self) -> u64 {
        self.acknowledged - self.delivered
    }

    /// Attempts with a reply other than a 2xx.
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Attempts without a reply.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Records of this run read so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    fn fault(
        &mut self,
        breach: Breach,
        call: &str,
        number: Option<u64>,
        bytes: Option<usize>,
        record: &TopicRecord<'_>,
    ) {
        let examples = self.faulty.iter().filter(|it| it.breach == breach);
        if examples.count() < figures::MAX_EXAMPLES {
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

fn find<'a>(calls: &'a mut Calls, call: &str, number: u64) -> Option<&'a mut SentEvent> {
    calls.get_mut(call)?.get_mut(&number)
}
