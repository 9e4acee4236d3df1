//! librdkafka's statistics as metrics.

use prometheus::{Error, Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts};
use rdkafka::Statistics;

use crate::telemetry::Registry;

/// The state of the brokers and of librdkafka's queues.
#[derive(Debug, Clone)]
pub(crate) struct BrokerMetrics {
    up: IntGaugeVec,
    round_trip: GaugeVec,
    waiting: IntGaugeVec,
    errors: IntGaugeVec,
    timeouts: IntGaugeVec,
    queued: IntGauge,
    queued_bytes: Gauge,
}

impl BrokerMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, Error> {
        let per_broker = |name: &str, help: &str| registry.gauges(name, help, &["broker"]);
        Ok(Self {
            up: per_broker("kafka_broker_up", "1 while connected to the broker.")?,
            round_trip: registry.add(GaugeVec::new(
                Opts::new(
                    "kafka_broker_round_trip_seconds",
                    "Mean round trip to the broker in librdkafka's last window.",
                ),
                &["broker"],
            ))?,
            waiting: per_broker(
                "kafka_broker_requests_waiting",
                "Requests to the broker that are not answered yet.",
            )?,
            errors: per_broker(
                "kafka_broker_transmission_errors",
                "Transmission errors since the present producer was built.",
            )?,
            timeouts: per_broker(
                "kafka_broker_request_timeouts",
                "Requests timed out since the present producer was built.",
            )?,
            queued: registry.gauge(
                "kafka_producer_queue_messages",
                "Records in librdkafka's queues.",
            )?,
            queued_bytes: registry.add(Gauge::new(
                "kafka_producer_queue_bytes",
                "Bytes in librdkafka's queues; the journal keeps what is not yet acknowledged.",
            ))?,
        })
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "sizes and microseconds far below 2^52"
    )]
    pub(in crate::publish) fn update(&self, statistics: &Statistics) {
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.queued.set(count(statistics.msg_cnt));
        self.queued_bytes.set(statistics.msg_size as f64);
        // Brokers that have left the cluster must not stay in the metrics.
        for gauges in [&self.up, &self.waiting, &self.errors, &self.timeouts] {
            gauges.reset();
        }
        self.round_trip.reset();
        // Bootstrap and logical connections have no id of their own.
        let brokers = statistics.brokers.values();
        for broker in brokers.filter(|broker| broker.nodeid >= 0) {
            let label = [broker.nodename.as_str()];
            let set = |gauges: &IntGaugeVec, value| gauges.with_label_values(&label).set(value);
            set(&self.up, i64::from(broker.state == "UP"));
            set(&self.waiting, broker.waitresp_cnt);
            set(&self.errors, count(broker.txerrs));
            set(&self.timeouts, count(broker.req_timeouts));
            if let Some(rtt) = &broker.rtt {
                let mean = rtt.avg as f64 / 1e6;
                self.round_trip.with_label_values(&label).set(mean);
            }
        }
    }
}
