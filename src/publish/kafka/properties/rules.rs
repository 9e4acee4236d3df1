//! The librdkafka properties that ringback sets or restricts, each with its reason.

/// A property that ringback sets or restricts.
#[derive(Debug, Clone, Copy)]
pub struct PropertyRule {
    /// librdkafka's name for it.
    pub name: &'static str,
    /// Its value if the user sets none.
    pub default: DefaultValue,
    /// The values that a user may set.
    pub allowed: Allowed,
    /// Why.
    pub reason: &'static str,
}

/// A property's value if the user sets none.
#[derive(Debug, Clone, Copy)]
pub enum DefaultValue {
    /// librdkafka's own.
    Librdkafka,
    /// This.
    Fixed(&'static str),
    /// What `Config::properties` computes, in words.
    Computed(&'static str),
}

/// The values that a user may set.
#[derive(Debug, Clone, Copy)]
pub enum Allowed {
    /// Whatever librdkafka takes.
    Any,
    /// Decimal numbers, not less than these words name.
    AtLeast(&'static str),
    /// These.
    Only(&'static [&'static str]),
    /// None: the property must not be set.
    Nothing,
}

use Allowed::{Any, AtLeast, Nothing, Only};
use DefaultValue::{Computed, Fixed, Librdkafka};

const fn rule(
    name: &'static str,
    default: DefaultValue,
    allowed: Allowed,
    reason: &'static str,
) -> PropertyRule {
    PropertyRule {
        name,
        default,
        allowed,
        reason,
    }
}

/// Every property that ringback sets or restricts; librdkafka's other properties pass through.
#[rustfmt::skip]
pub const PROPERTY_RULES: [PropertyRule; 21] = [
    rule("acks", Fixed("all"), Only(&["all", "-1"]),
        "an acknowledged event must be on every in-sync replica"),
    rule("enable.idempotence", Fixed("true"), Only(&["true"]),
        "without it, retries would reorder and duplicate events"),
    rule("enable.gapless.guarantee", Fixed("true"), Only(&["true"]),
        "without it, later events would overtake one that failed"),
    rule("max.in.flight.requests.per.connection", Fixed("1"), Only(&["1"]),
        "with more, a new producer can reorder events"),
    rule("message.timeout.ms", Fixed("0"), Only(&["0"]),
        "an event is tried until Kafka takes it, however long that is"),
    rule("queuing.strategy", Librdkafka, Only(&["fifo"]),
        "events are sent in order"),
    rule("delivery.report.only.error", Librdkafka, Only(&["false"]),
        "the journal is truncated by the reports of success"),
    rule("partitioner", Fixed("murmur2_random"), Only(&["murmur2_random", "murmur2"]),
        "ringback chooses each event's partition itself, by this rule of Kafka's Java clients, so that a topic may grow"),
    rule("transactional.id", Librdkafka, Nothing,
        "ringback does not use transactions"),
    rule("message.send.max.retries", Librdkafka, Nothing,
        "events are retried forever"),
    rule("statistics.interval.ms", Fixed("5000"), Nothing,
        "ringback makes its metrics from the statistics"),
    rule("message.max.bytes", Computed("`listen.max_body` and 64 KiB"), AtLeast("`listen.max_body` and 64 KiB"),
        "the largest accepted event must fit, with its key and headers"),
    rule("queue.buffering.max.kbytes", Computed("16384, or `message.max.bytes` in KiB if that is more"), AtLeast("`message.max.bytes` in KiB"),
        "the journal is the queue, so that librdkafka's can be small; but the largest event must fit"),
    rule("batch.size", Computed("250000"), Any,
        "a batch keeps a core busy, here and at the broker, while answers wait; ringback halves it if the cluster refuses \
         batches as too large, so that it must be a decimal number"),
    rule("linger.ms", Computed("20, or 1 with `ack = \"kafka\"`"), Any,
        "fewer requests cost the brokers less, and events still reach the topic at once; but with `ack = \"kafka\"` each \
         sender waits for it, and what arrives while a request is on its way shares the next one anyway"),
    rule("compression.codec", Fixed("lz4"), Any,
        "saves 78 % of a call's bytes for 4.5 µs of CPU (docs/benchmarks.md)"),
    rule("socket.timeout.ms", Fixed("10000"), Any,
        "a broker that hangs is given up after this time"),
    rule("reconnect.backoff.max.ms", Fixed("1000"), Any,
        "a broker that is back is found within a second"),
    rule("allow.auto.create.topics", Fixed("false"), Any,
        "ringback never creates a topic: it would get the cluster's default partitions and retention"),
    rule("ssl.ca.location", Fixed("probe"), Any,
        "finds the system's certificates"),
    rule("client.id", Fixed("ringback"), Any,
        "names the client in the brokers' logs and quotas"),
];
