//! Ingest's counters as totals over all sources, for the summary of a run.

use prometheus::IntCounterVec;
use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;

use super::{Metrics, Reason};

/// What has become of the requests of all sources so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Events committed to the journal.
    pub accepted: u64,
    /// Events answered 204 without a second record.
    pub duplicates: u64,
    /// Requests refused, and connections closed for a fault, for each reason.
    pub refused: Vec<(&'static str, u64)>,
}

impl Metrics {
    /// What has become of the requests so far, those to sources that are configured no more included.
    pub(in crate::ingest) fn figures(&self) -> Figures {
        let refused = counters(&self.families.rejections);
        let refused = Reason::ALL.map(Reason::label).map(|reason| {
            let counted = refused.iter().filter(|(label, _)| label == reason);
            (reason, counted.map(|(_, count)| count).sum())
        });
        let sum = |family| counters(family).iter().map(|(_, count)| count).sum();
        Figures {
            accepted: sum(&self.families.accepted),
            duplicates: sum(&self.families.duplicates),
            refused: refused.into(),
        }
    }
}

/// Every counter of a family, with its label `reason` if it has one.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the counters are whole numbers far below 2^53"
)]
fn counters(family: &IntCounterVec) -> Vec<(String, u64)> {
    let families = family.collect();
    let metrics = families.iter().flat_map(MetricFamily::get_metric);
    let counters = metrics.map(|metric| {
        let mut labels = metric.get_label().iter();
        let reason = labels.find(|label| label.name() == "reason");
        let reason = reason.map_or_else(String::new, |label| label.value().to_owned());
        (reason, metric.get_counter().get_value() as u64)
    });
    counters.collect()
}
