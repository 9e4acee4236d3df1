//! Prometheus' registry, with a list of all registered families: the reference page must show families that have no value
//! yet, which Prometheus' own registry leaves out.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

/// One registered family of metrics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// With the namespace.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// What it measures.
    pub help: String,
}

/// The registry in which modules register their metrics.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    inner: prometheus::Registry,
    prefix: Option<String>,
    families: Arc<Mutex<Vec<Family>>>,
}

impl Registry {
    /// A registry that takes names as they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry that puts `prefix` and an underscore before each name.
    pub fn with_prefix(prefix: &str) -> Result<Self, prometheus::Error> {
        Ok(Self {
            inner: prometheus::Registry::new_custom(Some(prefix.to_owned()), None)?,
            prefix: Some(prefix.to_owned()),
            ..Self::default()
        })
    }

    /// Registers a collector. Fails if one of its names is taken.
    pub fn register(&self, collector: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        let sample = collector.collect();
        let described = collector.desc().into_iter().map(|desc| Family {
            kind: kind(sample.iter().find(|family| family.name() == desc.fq_name)),
            name: match &self.prefix {
                Some(prefix) => format!("{prefix}_{}", desc.fq_name),
                None => desc.fq_name.clone(),
            },
            labels: desc
                .const_label_pairs
                .iter()
                .map(|pair| pair.name().to_owned())
                .chain(desc.variable_labels.iter().cloned())
                .collect(),
            help: desc.help.clone(),
        });
        let mut described: Vec<_> = described.collect();
        self.inner.register(collector)?;
        self.lock().append(&mut described);
        Ok(())
    }

    /// Registers a collector and returns it.
    pub fn add<C: Collector + Clone + 'static>(
        &self,
        collector: Result<C, prometheus::Error>,
    ) -> Result<C, prometheus::Error> {
        let collector = collector?;
        self.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    /// Registers a counter.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, help))
    }

    /// Registers a family of counters.
    pub fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// Registers a gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, help))
    }

    /// Registers a family of gauges.
    pub fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Registers a histogram with these upper bounds.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, prometheus::Error> {
        self.add(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
        ))
    }

    /// Registers a family of histograms with these upper bounds.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.add(HistogramVec::new(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
            labels,
        ))
    }

    /// All registered families by name, whether or not they have a value yet.
    pub fn families(&self) -> Vec<Family> {
        let mut families = self.lock().clone();
        families.sort();
        families
    }

    /// The present values.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.inner.gather()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Family>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The type of a family. Collectors that compute their values on demand have no sample yet; they have gauges only.
fn kind(sample: Option<&MetricFamily>) -> &'static str {
    match sample.map(MetricFamily::get_field_type) {
        Some(MetricType::COUNTER) => "counter",
        Some(MetricType::HISTOGRAM) => "histogram",
        _ => "gauge",
    }
}
