//! What publish counts, and librdkafka's statistics as metrics.

use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};
use rdkafka::Statistics;

use super::kafka::cloudevents::KINDS;
use crate::telemetry::Registry;

/// Seconds from receiving to Kafka's acknowledgement: a linger and a round trip, up to an outage of days.
const LATENCY: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0, 21_600.0, 86_400.0,
];

/// Why records are set aside: what Kafka says of them, or an envelope that this build cannot read.
pub(super) const REASONS: [&str; 3] = ["too_large", "invalid_record", "undecodable"];

/// Publish's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) delivered: IntCounter,
    pub(super) failures: IntCounterVec,
    pub(super) rebuilds: IntCounter,
    pub(super) restamped: IntCounter,
    pub(super) in_flight: IntGauge,
    pub(super) latency: Histogram,
    pub(super) dead_letters: IntCounterVec,
    brokers_up: IntGaugeVec,
    round_trip: GaugeVec,
    waiting: IntGaugeVec,
    errors: IntGaugeVec,
    timeouts: IntGaugeVec,
    queued: IntGauge,
    queued_bytes: Gauge,
}

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["broker"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, Error>(gauge)
        };
        let counters = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, Error>(counter)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, Error>(counter)
        };
        let single = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, Error>(gauge)
        };
        let latency = Histogram::with_opts(
            HistogramOpts::new(
                "publish_latency_seconds",
                "Time from an event's receipt to Kafka's acknowledgement.",
            )
            .buckets(LATENCY.to_vec()),
        )?;
        registry.register(Box::new(latency.clone()))?;
        let round_trip = GaugeVec::new(
            Opts::new(
                "kafka_broker_round_trip_seconds",
                "Mean round trip to the broker in librdkafka's last window.",
            ),
            &["broker"],
        )?;
        registry.register(Box::new(round_trip.clone()))?;
        let queued_bytes = Gauge::new(
            "kafka_producer_queue_bytes",
            "Bytes in librdkafka's queues; the journal keeps what is not yet acknowledged.",
        )?;
        registry.register(Box::new(queued_bytes.clone()))?;
        let metrics = Self {
            delivered: counter(
                "publish_delivered_total",
                "Events that Kafka acknowledged, each counted once.",
            )?,
            failures: counters(
                "publish_failures_total",
                "Failed delivery reports, by whom they speak against; each stops the pipe and is retried.",
                "kind",
            )?,
            rebuilds: counter(
                "publish_rebuilds_total",
                "Producers replaced after a failure, a silence, or new credentials.",
            )?,
            restamped: counter(
                "publish_restamped_total",
                "Events published with the present time because Kafka would refuse or delete them with their own.",
            )?,
            in_flight: single(
                "publish_in_flight",
                "Events given to the producer and not yet reported on.",
            )?,
            latency,
            dead_letters: counters(
                "dead_letters_total",
                "Events that Kafka refuses for good, set aside durably, by reason.",
                "reason",
            )?,
            brokers_up: gauge("kafka_broker_up", "1 while connected to the broker.")?,
            round_trip,
            waiting: gauge(
                "kafka_broker_requests_waiting",
                "Requests to the broker without an answer.",
            )?,
            errors: gauge(
                "kafka_broker_transmission_errors",
                "Transmission errors since the present producer was built.",
            )?,
            timeouts: gauge(
                "kafka_broker_request_timeouts",
                "Requests timed out since the present producer was built.",
            )?,
            queued: single(
                "kafka_producer_queue_messages",
                "Records in librdkafka's queues.",
            )?,
            queued_bytes,
        };
        for kind in KINDS {
            metrics.failures.with_label_values(&[kind]);
        }
        for reason in REASONS {
            metrics.dead_letters.with_label_values(&[reason]);
        }
        Ok(metrics)
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "sizes and microseconds far below 2^52"
    )]
    pub(super) fn statistics(&self, statistics: &Statistics) {
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.queued.set(count(statistics.msg_cnt));
        self.queued_bytes.set(statistics.msg_size as f64);
        // Bootstrap and logical connections have no id of their own; brokers that have left are forgotten.
        for family in [
            &self.brokers_up,
            &self.waiting,
            &self.errors,
            &self.timeouts,
        ] {
            family.reset();
        }
        self.round_trip.reset();
        for broker in statistics
            .brokers
            .values()
            .filter(|broker| broker.nodeid >= 0)
        {
            let label = [broker.nodename.as_str()];
            self.brokers_up
                .with_label_values(&label)
                .set(i64::from(broker.state == "UP"));
            self.waiting
                .with_label_values(&label)
                .set(broker.waitresp_cnt);
            self.errors
                .with_label_values(&label)
                .set(count(broker.txerrs));
            self.timeouts
                .with_label_values(&label)
                .set(count(broker.req_timeouts));
            if let Some(rtt) = &broker.rtt {
                self.round_trip
                    .with_label_values(&label)
                    .set(rtt.avg as f64 / 1e6);
            }
        }
    }
}
