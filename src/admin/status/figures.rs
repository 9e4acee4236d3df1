//! The metrics' present values, for the status page to read.

use std::collections::BTreeMap;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::telemetry::Registry;

/// All values of one moment.
pub(super) struct Figures(Vec<MetricFamily>);

impl Figures {
    pub(super) fn gather(registry: &Registry) -> Self {
        Self(registry.gather())
    }

    /// The sum of a gauge's or counter's values, by its name without the namespace; `None` if it has none, as before the
    /// wing that counts it has started.
    pub(super) fn total(&self, name: &str) -> Option<f64> {
        self.sums(name, []).remove(&[])
    }

    /// As [`Figures::total`], for each combination of these labels' values.
    pub(super) fn sums<const N: usize>(
        &self,
        name: &str,
        labels: [&str; N],
    ) -> BTreeMap<[String; N], f64> {
        let mut sums = BTreeMap::new();
        let of_name = |family: &&MetricFamily| {
            let rest = family.name().strip_prefix("ringback_");
            rest == Some(name)
        };
        let Some(family) = self.0.iter().find(of_name) else {
            return sums;
        };
        for metric in family.get_metric() {
            let value = match family.get_field_type() {
                MetricType::COUNTER => metric.get_counter().get_value(),
                _ => metric.get_gauge().get_value(),
            };
            *sums
                .entry(labels.map(|name| label(metric, name)))
                .or_default() += value;
        }
        sums
    }
}

fn label(metric: &Metric, name: &str) -> String {
    let mut labels = metric.get_label().iter();
    let found = labels.find(|label| label.name() == name);
    found.map_or_else(String::new, |label| label.value().to_owned())
}

/// A count or a size, which metrics have as a floating-point number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and counts are not negative"
)]
pub(super) fn whole(value: f64) -> u64 {
    value as u64
}
