//! What publish counts.

mod brokers;

use prometheus::{Error, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::decide::blame::{Blame, Reason};
use crate::telemetry::Registry;
use brokers::BrokerMetrics;

/// Seconds from an event's receipt to Kafka's acknowledgement: from a linger and a round trip up to an outage of a day.
const LATENCY: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0, 21_600.0, 86_400.0,
];

/// Publish's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) delivered: IntCounter,
    pub(super) failures: CounterPer<Blame, 4>,
    pub(super) rebuilds: IntCounter,
    pub(super) restamped: IntCounter,
    pub(super) in_flight: IntGauge,
    partitions: IntGaugeVec,
    pub(super) latency: Histogram,
    pub(super) dead_letters: CounterPer<Reason, 4>,
    pub(super) refused: CounterPer<Reason, 4>,
    pub(super) brokers: BrokerMetrics,
}

/// What has become of the events so far, each counted once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Acknowledged by Kafka.
    pub delivered: u64,
    /// Of these, with the present time, because Kafka would refuse or delete them with their own.
    pub restamped: u64,
    /// Kept as dead letters.
    pub dead_letters: u64,
}

/// One counter for each value of a closed label.
#[derive(Debug, Clone)]
pub(super) struct CounterPer<T, const N: usize>([(T, IntCounter); N]);

impl<T: Copy + PartialEq, const N: usize> CounterPer<T, N> {
    fn new(counters: &IntCounterVec, values: [T; N], label: impl Fn(T) -> &'static str) -> Self {
        Self(values.map(|value| (value, counters.with_label_values(&[label(value)]))))
    }

    pub(super) fn inc(&self, value: T) {
        let counter = self.0.iter().find(|(of, _)| *of == value);
        debug_assert!(counter.is_some(), "a value has no counter");
        if let Some((_, counter)) = counter {
            counter.inc();
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|(_, counter)| counter.get()).sum()
    }
}

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let failures = registry.counters(
            "publish_failures_total",
            "Failed delivery reports by cause. Each pauses publishing and is retried.",
            &["kind"],
        )?;
        let dead_letters = registry.counters(
            "dead_letters_total",
            "Events kept durably as dead letters instead of being published, by reason: Kafka refuses them for good, or their bodies are not JSON (unparsed).",
            &["reason"],
        )?;
        let refused = registry.counters(
            "publish_refused_total",
            "Events answered 503 because Kafka refuses them for good, or their bodies are not JSON, and no dead-letter topic takes them; with ack = \"kafka\" only.",
            &["reason"],
        )?;
        Ok(Self {
            delivered: registry.counter(
                "publish_delivered_total",
                "Events that Kafka acknowledged, each counted once.",
            )?,
            failures: CounterPer::new(&failures, Blame::ALL, Blame::label),
            rebuilds: registry.counter(
                "publish_rebuilds_total",
                "Producers replaced after a failure, a stall, or new credentials.",
            )?,
            restamped: registry.counter(
                "publish_restamped_total",
                "Events published with the present time because Kafka would refuse or delete them with their own.",
            )?,
            in_flight: registry.gauge(
                "publish_in_flight",
                "Events given to the producer and not yet reported on.",
            )?,
            partitions: registry.gauges(
                "publish_topic_partitions",
                "Partitions of each topic of events; 0 while Kafka does not have it or does not show it, and until it is known.",
                &["topic"],
            )?,
            latency: registry.histogram(
                "publish_latency_seconds",
                "Time from an event's receipt to Kafka's acknowledgement.",
                &LATENCY,
            )?,
            dead_letters: CounterPer::new(&dead_letters, Reason::ALL, Reason::label),
            refused: CounterPer::new(&refused, Reason::ALL, Reason::label),
            brokers: BrokerMetrics::register(registry)?,
        })
    }

    /// The number of this topic's partitions, exposed from now on.
    pub(super) fn partitions(&self, topic: &str) -> IntGauge {
        self.partitions.with_label_values(&[topic])
    }

    /// What has become of the events so far.
    pub fn figures(&self) -> Figures {
        Figures {
            delivered: self.delivered.get(),
            restamped: self.restamped.get(),
            dead_letters: self.dead_letters.sum(),
        }
    }
}
