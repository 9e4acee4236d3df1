//! The ledger's sums, and what they say about the promise.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Event, Ledger};

/// Violations told one by one of each kind; the figures count them all.
pub(super) const EXAMPLES: usize = 10;

/// The ledger added up; the members' names are what `--json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Events begun, each once however often it was tried.
    pub sent: u64,
    /// Events with a 2xx: what the promise covers.
    pub acknowledged: u64,
    /// Events without a 2xx in any try.
    pub given_up: u64,
    /// Tries answered otherwise, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Tries without an answer.
    pub unanswered: u64,
    /// Acknowledged events of which the topic holds a record.
    pub delivered: u64,
    /// Acknowledged events of which it holds none.
    pub lost: u64,
    /// Acknowledged events first delivered before one that was sent earlier, or in another partition than their call; if the
    /// topic grew, before one that was sent earlier and lies in the same partition.
    pub out_of_order: u64,
    /// Calls in several partitions of a topic that grew: their order between the partitions is not judged.
    pub calls_moved: u64,
    /// Records of ours whose value is not what was sent.
    pub changed: u64,
    /// Records of ours under another key than the call's id.
    pub wrong_key: u64,
    /// Records beyond an event's first: allowed, at least once is what is promised.
    pub duplicated: u64,
    /// Events in the topic though no try of theirs got a 2xx: allowed, and outside the promise.
    pub delivered_unacknowledged: u64,
    /// Records that are not this run's.
    pub foreign: u64,
    /// From when an event was due to its 2xx, in milliseconds.
    pub acknowledgement_ms: Option<Quantiles>,
    /// From when an acknowledged event was due to its first record's being read, in milliseconds.
    pub arrival_ms: Option<Quantiles>,
    /// Some of what broke the promise, at most 10 of each kind.
    pub violations: Vec<Violation>,
}

/// Of a set of times; the nearest-rank method, so each is a time that occurred.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// 99 of 100 were no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// How the promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Breach {
    /// Acknowledged and not in the topic.
    Lost,
    /// Has overtaken an event that was sent earlier, or lies in another partition than its call.
    OutOfOrder,
    /// Not the bytes that were sent.
    Changed,
    /// Not the key of its call.
    WrongKey,
}

/// One event or record that breaks the promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// How.
    pub breach: Breach,
    /// The call's id.
    pub call: String,
    /// The event's number within the call, where it could be made out.
    pub number: Option<u64>,
    /// The size of the body as it was sent.
    pub bytes: Option<usize>,
    /// Where the record lies, where there is one.
    pub partition: Option<i32>,
    /// Where in the partition.
    pub offset: Option<i64>,
}

/// What the figures say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything acknowledged is in the topic: once at least, in order, unchanged, under its key.
    Kept,
    /// Something was lost, out of order, changed, or under another key.
    Broken,
    /// Nothing was acknowledged, so nothing was promised and nothing is shown.
    Untested,
}

impl Figures {
    /// Kept or broken.
    pub fn verdict(&self) -> Verdict {
        if self.lost + self.out_of_order + self.changed + self.wrong_key > 0 {
            Verdict::Broken
        } else if self.acknowledged == 0 {
            Verdict::Untested
        } else {
            Verdict::Kept
        }
    }
}

impl Quantiles {
    /// `None` where there are no times.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).max(1) - 1);
        let of = |time: &Duration| time.as_secs_f64() * 1000.0;
        Some(Self {
            p50: of(rank(50)?),
            p99: of(rank(99)?),
            max: of(times.last()?),
        })
    }
}

impl Ledger {
    /// Adds everything up; may be asked at any time, what is on its way then counts as lost.
    pub fn figures(&self) -> Figures {
        let (mut acknowledgement, mut arrival) = (Vec::new(), Vec::new());
        let (mut duplicated, mut delivered_unacknowledged) = (0, 0);
        for event in self.calls.values().flat_map(BTreeMap::values) {
            duplicated += event.repeats.len() as u64;
            if let Some(at) = event.acknowledged {
                acknowledgement.push(at.saturating_sub(event.due));
                arrival.extend(event.first.map(|first| first.at.saturating_sub(event.due)));
            } else {
                delivered_unacknowledged += u64::from(event.first.is_some());
            }
        }
        let mut lost = Tally::new(Breach::Lost);
        let mut out_of_order = Tally::new(Breach::OutOfOrder);
        let mut calls_moved = 0;
        // In the order of their names, so that the examples are the same each time.
        let calls: BTreeMap<_, _> = self.calls.iter().collect();
        for (call, events) in calls {
            let has_moved = check_order(call, events, self.grown, &mut lost, &mut out_of_order);
            calls_moved += u64::from(has_moved);
        }
        let mut violations = lost.examples;
        violations.append(&mut out_of_order.examples);
        violations.extend(self.faulty.iter().cloned());
        Figures {
            sent: self.sent,
            acknowledged: self.acknowledged,
            given_up: self.sent - self.acknowledged,
            refused: self.refused.clone(),
            unanswered: self.unanswered,
            delivered: self.delivered,
            lost: lost.count,
            out_of_order: out_of_order.count,
            calls_moved,
            changed: self.changed,
            wrong_key: self.wrong_key,
            duplicated,
            delivered_unacknowledged,
            foreign: self.foreign,
            acknowledgement_ms: Quantiles::of(acknowledgement),
            arrival_ms: Quantiles::of(arrival),
            violations,
        }
    }
}

/// A call's acknowledged events in the order of sending: each must be there, and after all before it. If it may move, only
/// after those of the same partition; returns whether it has.
fn check_order(
    call: &str,
    events: &BTreeMap<u64, Event>,
    may_move: bool,
    lost: &mut Tally,
    out_of_order: &mut Tally,
) -> bool {
    let mut furthest: BTreeMap<i32, i64> = BTreeMap::new();
    let acknowledged = events
        .iter()
        .filter(|(_, event)| event.acknowledged.is_some());
    for (number, event) in acknowledged {
        let Some(place) = event.first else {
            lost.add(call, *number, event);
            continue;
        };
        let is_in_order = match furthest.get(&place.partition) {
            Some(before) => place.offset >= *before,
            None => may_move || furthest.is_empty(),
        };
        if is_in_order {
            furthest.insert(place.partition, place.offset);
        } else {
            out_of_order.add(call, *number, event);
        }
    }
    furthest.len() > 1
}

/// A count with its first examples.
struct Tally {
    breach: Breach,
    count: u64,
    examples: Vec<Violation>,
}

impl Tally {
    fn new(breach: Breach) -> Self {
        Self {
            breach,
            count: 0,
            examples: Vec::new(),
        }
    }

    fn add(&mut self, call: &str, number: u64, event: &Event) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(Violation {
                breach: self.breach,
                call: call.to_owned(),
                number: Some(number),
                bytes: Some(event.bytes),
                partition: event.first.map(|first| first.partition),
                offset: event.first.map(|first| first.offset),
            });
        }
    }
}
