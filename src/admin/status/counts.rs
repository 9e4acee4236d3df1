//! What was counted in all, and in the last minutes.
//!
//! The metrics' counters are sampled, so that a request costs nothing for the page.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::figures::{Figures, whole};

/// How far back the page looks.
const WINDOW: Duration = Duration::from_mins(5);
/// Between two samples: the page looks back over [`WINDOW`] or up to this much more.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) const ACCEPTED: &str = "events_accepted_total";
pub(super) const DUPLICATE: &str = "events_duplicate_total";
pub(super) const REFUSED: &str = "http_rejections_total";
pub(super) const ANSWERED: &str = "http_requests_total";
pub(super) const DELIVERED: &str = "publish_delivered_total";

/// The counters that are sampled: each with the labels by which the page shows it, the source first.
const SAMPLED: [(&str, [&str; 2]); 5] = [
    (ACCEPTED, ["source", ""]),
    (DUPLICATE, ["source", ""]),
    (REFUSED, ["source", "reason"]),
    (ANSWERED, ["source", "code"]),
    (DELIVERED, ["", ""]),
];

/// The values of [`SAMPLED`] that are not 0, by name and labels.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<(&'static str, [String; 2]), u64>);

impl Counts {
    pub(super) fn read(figures: &Figures) -> Self {
        let counters = SAMPLED.into_iter().flat_map(|(name, labels)| {
            let sums = figures.sums(name, labels).into_iter();
            sums.map(move |(labels, sum)| ((name, labels), whole(sum)))
        });
        Self(counters.filter(|(_, count)| *count > 0).collect())
    }

    /// What was counted after `before`.
    fn since(&self, before: &Self) -> Self {
        let counters = self.0.iter().map(|(counter, count)| {
            let earlier = before.0.get(counter).copied().unwrap_or_default();
            (counter.clone(), count.saturating_sub(earlier))
        });
        Self(counters.filter(|(_, count)| *count > 0).collect())
    }

    /// The counters of this name: the source, the other label, the count.
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = (&str, &str, u64)> {
        let counters = self.0.iter();
        let of_name = counters.filter(move |((of, _), _)| *of == name);
        of_name.map(|((_, [source, label]), count)| (source.as_str(), label.as_str(), *count))
    }

    /// The sum of all counters of this name.
    pub(super) fn sum(&self, name: &str) -> u64 {
        self.of(name).map(|(_, _, count)| count).sum()
    }

    /// The sum of one source's counters of this name.
    pub(super) fn sum_of(&self, name: &str, source: &str) -> u64 {
        let of_source = self.of(name).filter(|(of, _, _)| *of == source);
        of_source.map(|(_, _, count)| count).sum()
    }
}

/// Samples of the last minutes, the oldest first.
#[derive(Debug)]
pub(super) struct Samples(VecDeque<(Instant, Counts)>);

impl Samples {
    /// Nothing is counted yet.
    pub(super) fn new(now: Instant) -> Self {
        Self(VecDeque::from([(now, Counts::default())]))
    }

    pub(super) fn add(&mut self, now: Instant, counts: Counts) {
        self.0.push_back((now, counts));
        // One stays, also after a pause of the whole process.
        while self.0.len() > 1 && now.duration_since(self.0[0].0) > WINDOW {
            self.0.pop_front();
        }
    }

    /// What of `total` was counted in the last minutes, and in how long.
    pub(super) fn recent(&self, now: Instant, total: &Counts) -> (Counts, Duration) {
        let (at, before) = &self.0[0];
        (total.since(before), now.duration_since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(accepted: u64) -> Counts {
        let labels = ["a", ""].map(String::from);
        Counts(BTreeMap::from([((ACCEPTED, labels), accepted)]))
    }

    #[test]
    fn only_the_last_minutes_count() {
        let start = Instant::now();
        let mut samples = Samples::new(start);
        for second in (10..=600).step_by(10) {
            // One event a second, for five minutes.
            let now = start + Duration::from_secs(second);
            samples.add(now, counts(second.min(300)));
            let (recent, over) = samples.recent(now, &counts(second.min(300)));
            assert_eq!(over.as_secs(), second.min(300));
            let before = second.saturating_sub(300);
            assert_eq!(recent.sum(ACCEPTED), second.min(300) - before);
            assert_eq!(recent.sum_of(ACCEPTED, "b"), 0);
        }
    }
}
