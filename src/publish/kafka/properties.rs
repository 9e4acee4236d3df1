//! librdkafka's properties: ringback's defaults, the user's own, and those that would break an invariant.

pub mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use super::oauth::settings::is_ours;
use crate::publish::decide::machine::BATCH_BYTES;
use crate::publish::{Ack, Config};

use self::rules::{Allowed, DefaultValue, PROPERTY_RULES};

/// Room for a record's key, headers and framing beside its body, in bytes.
const FRAMING: u64 = 64 * 1024;
/// The least size of librdkafka's own queue, in KiB: it is only a window onto the journal.
const QUEUE_KBYTES: u64 = 16_384;
/// ringback's default of `linger.ms`, as [`PROPERTY_RULES`] has it.
pub(crate) const fn linger_ms(ack: Ack) -> u64 {
    match ack {
        Ack::Disk => 20,
        Ack::Kafka => 1,
    }
}
/// ringback's default of `socket.timeout.ms`, as [`PROPERTY_RULES`] has it.
const SOCKET_TIMEOUT_MS: u64 = 10_000;

/// Why a property is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{property} {reason}")]
pub struct PropertyError {
    /// The property's name as the user wrote it.
    pub property: String,
    /// What is wrong and which value would do; never a secret's value.
    pub reason: String,
}

/// Prefixes of names that must not be set.
const FORBIDDEN_PREFIXES: [(&str, &str); 2] = [
    (
        "topic.",
        "librdkafka reads it as the name without the prefix; write it without",
    ),
    (
        "test.",
        "librdkafka's own tests use it, to replace the cluster by a mock in memory among others; remove it",
    ),
];

/// librdkafka's own names that begin with the first of them.
const TOPIC_METADATA: &str = "topic.metadata.";

/// librdkafka's aliases of names that matter here, so that no property is set under two names.
pub(super) fn canonical(name: &str) -> &str {
    match name {
        "request.required.acks" => "acks",
        "max.in.flight" => "max.in.flight.requests.per.connection",
        "delivery.timeout.ms" => "message.timeout.ms",
        "retries" => "message.send.max.retries",
        "queue.buffering.max.ms" => "linger.ms",
        "compression.type" => "compression.codec",
        "metadata.broker.list" => "bootstrap.servers",
        "sasl.oauthbearer.client.credentials.client.id" => "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.credentials.client.secret" => "sasl.oauthbearer.client.secret",
        other => other,
    }
}

/// The sizes that a property must not fall below, in bytes and KiB: an accepted event must fit.
struct Sizes {
    largest: u64,
    least_queue_kbytes: u64,
}

impl Config {
    /// All librdkafka properties: ringback's and the user's. The error names one that would break an invariant.
    pub fn properties(&self) -> Result<BTreeMap<String, String>, PropertyError> {
        match self.broken_rules().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.merged_properties()),
        }
    }

    /// Every property of the user's that would break an invariant.
    pub(super) fn broken_rules(&self) -> Vec<PropertyError> {
        let sizes = self.sizes();
        let given = self.kafka.client.values.iter();
        let broken = given.filter_map(|(given, value)| {
            Some(PropertyError {
                property: given.clone(),
                reason: broken_rule(canonical(given), value, &sizes)?,
            })
        });
        broken.collect()
    }

    fn sizes(&self) -> Sizes {
        let largest = self.max_body + FRAMING;
        // A record that `message.max.bytes` lets through must fit the queue while it is empty, or it is offered forever.
        let let_through = self.kafka.client.values.iter().find_map(|(name, value)| {
            (canonical(name) == "message.max.bytes").then(|| value.parse().unwrap_or(0))
        });
        Sizes {
            largest,
            least_queue_kbytes: largest.max(let_through.unwrap_or(0)).div_ceil(1024),
        }
    }

    /// All librdkafka properties, whether or not one would break an invariant.
    pub(super) fn merged_properties(&self) -> BTreeMap<String, String> {
        let sizes = self.sizes();
        let queue = QUEUE_KBYTES.max(sizes.least_queue_kbytes);
        let fixed = PROPERTY_RULES.iter().filter_map(|rule| match rule.default {
            DefaultValue::Fixed(value) => Some((rule.name, value.to_owned())),
            DefaultValue::Computed(_) | DefaultValue::Librdkafka => None,
        });
        let computed = [
            ("message.max.bytes", sizes.largest.to_string()),
            ("queue.buffering.max.kbytes", queue.to_string()),
            ("batch.size", BATCH_BYTES.to_string()),
            ("linger.ms", linger_ms(self.ack).to_string()),
        ];
        let given = self.kafka.client.values.iter();
        let given = given.map(|(name, value)| (canonical(name), value.clone()));
        // Only dead letters are still partitioned by librdkafka: without a key they may go anywhere.
        let given = given.filter(|(name, _)| *name != "partitioner" && !is_ours(name));
        let all = fixed.chain(computed).chain(given);
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Why ringback refuses this value, and which would do; `None` if it does not. `name` is canonical.
fn broken_rule(name: &str, value: &str, sizes: &Sizes) -> Option<String> {
    let prefix = FORBIDDEN_PREFIXES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix) && !name.starts_with(TOPIC_METADATA));
    if let Some((_, why)) = prefix {
        return Some(format!("cannot be set: {why}"));
    }
    if let Some(rule) = PROPERTY_RULES.iter().find(|rule| rule.name == name) {
        let reason = rule.reason;
        match rule.allowed {
            Allowed::Nothing => return Some(format!("cannot be set: {reason}; remove it")),
            Allowed::Only(values) if !values.contains(&value) => {
                let values = values.join(" or ");
                return Some(format!("must be {values}: {reason}"));
            }
            _ => {}
        }
    }
    if name == "batch.size" && value.parse::<u32>().is_err() {
        return Some(String::from(
            "must be a decimal number: it is halved if the cluster refuses batches as too large",
        ));
    }
    let least = match name {
        "message.max.bytes" => sizes.largest,
        "queue.buffering.max.kbytes" => sizes.least_queue_kbytes,
        _ => 0,
    };
    // librdkafka reads other notations than decimal too; ringback must read the same number.
    let is_enough = value.parse().is_ok_and(|size: u64| size >= least);
    (least > 0 && !is_enough).then(|| {
        format!(
            "must be a decimal number, at least {least}: a record that was accepted must fit \
             (listen.max_body and 64 KiB, or message.max.bytes if that is more)"
        )
    })
}

/// `given` under librdkafka's canonical names.
pub(crate) fn canonical_names<T: Clone>(given: &BTreeMap<String, T>) -> BTreeMap<String, T> {
    let named = given.iter();
    named
        .map(|(name, value)| (canonical(name).to_owned(), value.clone()))
        .collect()
}

/// `batch.size` of the first producer, in bytes.
pub(crate) fn batch_bytes(properties: &BTreeMap<String, String>) -> u32 {
    let number = |name: &str| properties.get(name)?.parse::<u32>().ok();
    let largest = number("message.max.bytes").unwrap_or(u32::MAX);
    // librdkafka makes no larger batches than this, and halving must begin where it has an effect.
    number("batch.size").unwrap_or(BATCH_BYTES).min(largest)
}

/// `socket.timeout.ms`.
pub(crate) fn socket_timeout(properties: &BTreeMap<String, String>) -> Duration {
    let given = properties.get("socket.timeout.ms");
    let given = given.and_then(|text| text.parse().ok());
    Duration::from_millis(given.unwrap_or(SOCKET_TIMEOUT_MS))
}

/// The properties of one producer: `isolate` sends records one at a time, otherwise batches have up to `batch_bytes`.
pub fn producer_properties(
    properties: &BTreeMap<String, String>,
    isolate: bool,
    batch_bytes: u32,
) -> BTreeMap<String, String> {
    let mut own = properties.clone();
    let mut set = |name: &str, value: String| own.insert(name.to_owned(), value);
    if isolate {
        set("linger.ms", String::from("0"));
        set("batch.num.messages", String::from("1"));
    } else {
        set("batch.size", batch_bytes.to_string());
    }
    own
}

#[cfg(test)]
mod tests;
