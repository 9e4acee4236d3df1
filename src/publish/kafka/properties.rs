//! librdkafka's properties: ringback's defaults, the user's own, and those that would break an invariant.

pub mod rules;

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::producer::BaseProducer;

use crate::publish::Config;
use crate::publish::decide::machine::BATCH_BYTES;

use self::rules::{Allowed, DefaultValue, PROPERTY_RULES};

/// Room for a record's key, headers and framing beside its body.
const FRAMING: u64 = 64 * 1024;
/// librdkafka's own queue, in KiB: what it holds is only a window onto the journal.
const QUEUE_KBYTES: u64 = 16_384;

/// Why a property is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{property} {reason}")]
pub struct PropertyError {
    /// librdkafka's name of it.
    pub property: String,
    /// What is wrong and what would do; never a secret's value.
    pub reason: String,
}

/// Prefixes that have no place here at all.
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

/// Names that do begin so, and are none of the topic's.
const TOPIC_METADATA: &str = "topic.metadata.";

/// librdkafka's aliases of names that matter here, so that never two names of one property are set.
fn canonical(name: &str) -> &str {
    match name {
        "request.required.acks" => "acks",
        "max.in.flight" => "max.in.flight.requests.per.connection",
        "delivery.timeout.ms" => "message.timeout.ms",
        "retries" => "message.send.max.retries",
        "queue.buffering.max.ms" => "linger.ms",
        "compression.type" => "compression.codec",
        "metadata.broker.list" => "bootstrap.servers",
        other => other,
    }
}

fn is_secret(name: &str) -> bool {
    ["password", "secret", "pem", "jaas", "oauthbearer"]
        .iter()
        .any(|part| name.contains(part))
}

impl Config {
    /// The full set of librdkafka properties, or the name of the one that would break an invariant.
    pub fn properties(&self) -> Result<BTreeMap<String, String>, PropertyError> {
        let largest = self.max_body + FRAMING;
        // A record that `message.max.bytes` lets through must fit the queue while it is empty, or it is offered for ever.
        let let_through = self.kafka.client.values.iter().find_map(|(name, value)| {
            (canonical(name) == "message.max.bytes").then(|| value.parse().unwrap_or(0))
        });
        let least_queue = largest.max(let_through.unwrap_or(0)).div_ceil(1024);
        let queue = QUEUE_KBYTES.max(least_queue);
        let fixed = PROPERTY_RULES.iter().filter_map(|rule| match rule.default {
            DefaultValue::Fixed(value) => Some((rule.name, value.to_owned())),
            DefaultValue::Computed(_) | DefaultValue::Librdkafka => None,
        });
        let computed = [
            ("message.max.bytes", largest.to_string()),
            ("queue.buffering.max.kbytes", queue.to_string()),
            ("batch.size", BATCH_BYTES.to_string()),
        ];
        let defaults = fixed.chain(computed);
        let mut properties: BTreeMap<_, _> = defaults
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        for (given, value) in &self.kafka.client.values {
            let refuse = |reason: String| PropertyError {
                property: given.clone(),
                reason,
            };
            let name = canonical(given);
            let prefix = FORBIDDEN_PREFIXES
                .iter()
                .find(|(prefix, _)| name.starts_with(prefix) && !name.starts_with(TOPIC_METADATA));
            if let Some((_, why)) = prefix {
                return Err(refuse(format!("cannot be set: {why}")));
            }
            if let Some(rule) = PROPERTY_RULES.iter().find(|rule| rule.name == name) {
                let reason = rule.reason;
                match rule.allowed {
                    Allowed::Nothing => {
                        return Err(refuse(format!("cannot be set: {reason}; remove it")));
                    }
                    Allowed::Only(values) if !values.contains(&value.as_str()) => {
                        let values = values.join(" or ");
                        return Err(refuse(format!("must be {values}: {reason}")));
                    }
                    _ => {}
                }
            }
            if name == "batch.size" && value.parse::<u32>().is_err() {
                return Err(refuse(String::from(
                    "must be a decimal number: it is halved if the cluster refuses batches as too large",
                )));
            }
            let least = match name {
                "message.max.bytes" => largest,
                "queue.buffering.max.kbytes" => least_queue,
                _ => 0,
            };
            // librdkafka reads other notations than decimal too; what is bounded must be read here as it is there.
            let is_enough = value.parse().is_ok_and(|size: u64| size >= least);
            if least > 0 && !is_enough {
                return Err(refuse(format!(
                    "must be a decimal number, at least {least}: a record that was accepted must fit \
                     (listen.max_body and 64 KiB, or message.max.bytes if that is more)"
                )));
            }
            // Only dead letters are still partitioned by librdkafka: without a key they may go anywhere.
            if name != "partitioner" {
                properties.insert(name.to_owned(), value.clone());
            }
        }
        Ok(properties)
    }

    /// As [`Config::properties`], and librdkafka's own word on each name and value; connects to nothing.
    pub fn validate(&self) -> Result<(), PropertyError> {
        for (name, value) in self.properties()? {
            let mut one = ClientConfig::new();
            one.set(&name, &value);
            if let Err(rdkafka::error::KafkaError::ClientConfig(_, words, ..)) =
                one.create_native_config().map(drop)
            {
                let reason = if is_secret(&name) {
                    String::from("is refused by librdkafka")
                } else {
                    format!("is refused by librdkafka: {words}")
                };
                return Err(PropertyError {
                    property: name,
                    reason,
                });
            }
        }
        self.build()
    }

    /// What librdkafka only says of all properties together, by a producer that knows no broker.
    fn build(&self) -> Result<(), PropertyError> {
        let mut all = ClientConfig::new();
        for (name, value) in self.properties()? {
            if name != "bootstrap.servers" {
                all.set(name, value);
            }
        }
        let made: Result<BaseProducer, _> = all.create();
        let Err(error) = made else {
            return Ok(());
        };
        let words = error.to_string();
        let told = |name: &str, form: &str| words.contains(&form.replace("NAME", name));
        let forms = ["`NAME`", " NAME failed", ": NAME"];
        let named = |name: &&String| forms.iter().any(|form| told(name, form));
        let property = self.kafka.client.values.keys().find(named).cloned();
        let secret = self
            .kafka
            .client
            .values
            .iter()
            .any(|(name, value)| is_secret(name) && !value.is_empty() && words.contains(value));
        Err(PropertyError {
            property: property.unwrap_or_else(|| String::from("*")),
            reason: if secret {
                String::from("is refused by librdkafka")
            } else {
                format!("is refused by librdkafka: {words}")
            },
        })
    }
}

/// The same with librdkafka's one name for each property.
pub(crate) fn canonical_names<T: Clone>(given: &BTreeMap<String, T>) -> BTreeMap<String, T> {
    let named = given.iter();
    named
        .map(|(name, value)| (canonical(name).to_owned(), value.clone()))
        .collect()
}

/// What the first producers' batches may hold; the machine's to make smaller.
pub(crate) fn batch_bytes(properties: &BTreeMap<String, String>) -> u32 {
    let number = |name: &str| properties.get(name)?.parse::<u32>().ok();
    let largest = number("message.max.bytes").unwrap_or(u32::MAX);
    // librdkafka makes no larger batches than this, and halving has to begin where it is felt.
    number("batch.size").unwrap_or(BATCH_BYTES).min(largest)
}

/// One producer's properties: all of `properties`, and what the machine asks for at present.
pub fn of_producer(
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
