//! The ledger's figures, and the verdict on the promise.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Ledger, SentEvent};

/// How many violations of each kind are listed; the figures count all of them.
pub(super) const MAX_EXAMPLES: usize = 10;

/// The ledger summed up; `--json` prints these member names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Events of which at least one attempt has begun.
    pub sent: u64,
    /// Events with a 2xx: the promise covers these.
    pub acknowledged: u64,
    /// Events without a 2xx in any attempt.
    pub given_up: u64,
    /// Attempts with another status, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Attempts without a reply.
    pub unanswered: u64,
    /// Acknowledged events with a record in the topic.
    pub delivered: u64,
    /// Acknowledged events without a record in the topic.
    pub lost: u64,
    /// Acknowledged events first delivered before one that was sent earlier, or in another partition than the events of their
    /// call before them. If partitions were added, only events in the same partition are compared.
    pub out_of_order: u64,
    /// Calls in several partitions of a topic that got more partitions; their order between the partitions is not checked.
    pub calls_moved: u64,
    /// Records whose value differs from what was sent.
    pub changed: u64,
    /// Records whose key differs from the call's id.
    pub wrong_key: u64,
    /// Records beyond an event's first: allowed, because the promise is at least once.
    pub duplicated: u64,
    /// Events in the topic although no attempt got a 2xx: allowed, and outside the promise.
    pub delivered_unacknowledged: u64,
    /// Records of other runs or senders.
    pub foreign: u64,
    /// From when an event was due to its 2xx, in milliseconds.
    pub acknowledgement_ms: Option<Quantiles>,
    /// From when an acknowledged event was due until its first record was read, in milliseconds.
    pub arrival_ms: Option<Quantiles>,
    /// What broke the promise, at most 10 examples of each kind.
    pub violations: Vec<Violation>,
}

/// Quantiles of latencies by the nearest-rank method, so that each was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The maximum.
    pub max: f64,
}

/// How the promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Breach {
    /// Acknowledged, but not in the topic.
    Lost,
    /// Delivered before an event that was sent earlier, or in another partition than the rest of its call.
    OutOfOrder,
    /// The value differs from what was sent.
    Changed,
    /// The key differs from the call's id.
    WrongKey,
}

/// One event or record that breaks the promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// How.
    pub breach: Breach,
    /// The call's id.
    pub call: String,
    /// The event's number within the call; `None` if the record has lost its mark.
    pub number: Option<u64>,
    /// The size of the body as it was sent.
    pub bytes: Option<usize>,
    /// The record's partition; `None` if there is no record.
    pub partition: Option<i32>,
    /// The record's offset; `None` if there is no record.
    pub offset: Option<i64>,
}

/// Whether the promise was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every acknowledged event is in the topic: at least once, in order, unchanged, under its key.
    Kept,
    /// Something was lost, out of order, changed, or under another key.
    Broken,
    /// Nothing was acknowledged, so nothing was promised.
    Untested,
}

impl Figures {
    /// The verdict on the promise.
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
    /// `None` if there are no times.
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
    /// Sums everything up. If called during a run, events on their way count as lost.
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
        // Sorted, so that the examples are the same each time.
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

/// Checks that each acknowledged event of a call is in the topic, and after all events before it; if `may_move`, only
/// after those in the same partition. Returns whether the call has moved.
fn check_order(
    call: &str,
    events: &BTreeMap<u64, SentEvent>,
    may_move: bool,
    lost: &mut Tally,
    out_of_order: &mut Tally,
) -> bool {
    let mut furthest: BTreeMap<i32, i64> = BTreeMap::new();
    let acknowledged = events
        .iter()
        .filter(|(_, event)| event.acknowledged.is_some());
    for (number, event) in acknowledged {
        let Some(first) = event.first else {
            lost.add(call, *number, event);
            continue;
        };
        let is_in_order = match furthest.get(&first.partition) {
            Some(before) => first.offset >= *before,
            None => may_move || furthest.is_empty(),
        };
        if is_in_order {
            furthest.insert(first.partition, first.offset);
        } else {
            out_of_order.add(call, *number, event);
        }
    }
    furthest.len() > 1
}

/// The count of one kind of breach, with the first examples.
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

    fn add(&mut self, call: &str, number: u64, event: &SentEvent) {
        self.count += 1;
        if self.examples.len() < MAX_EXAMPLES {
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
