//! librdkafka's properties: ringback's defaults, the user's own, and those that would break an invariant.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::producer::BaseProducer;

use super::Config;
use crate::fault::{self, Fault};

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

/// Properties that carry a promise: their only values, and why.
const FIXED: [(&str, &[&str], &str); 8] = [
    (
        "acks",
        &["all", "-1"],
        "an acknowledged event must be on every in-sync replica",
    ),
    (
        "enable.idempotence",
        &["true"],
        "retries would reorder and duplicate without it",
    ),
    (
        "enable.gapless.guarantee",
        &["true"],
        "a failed record would be overtaken without it",
    ),
    (
        "max.in.flight.requests.per.connection",
        &["1"],
        "with more, a fresh producer can reorder",
    ),
    (
        "message.timeout.ms",
        &["0"],
        "an event is tried until Kafka takes it, however long that is",
    ),
    ("queuing.strategy", &["fifo"], "events go out in order"),
    (
        "delivery.report.only.error",
        &["false"],
        "successes are what truncates the journal",
    ),
    (
        "partitioner",
        &[
            "murmur2_random",
            "murmur2",
            "consistent",
            "consistent_random",
            "fnv1a",
            "fnv1a_random",
        ],
        "events of one key must share a partition",
    ),
];

/// Properties that have no place here at all.
const FORBIDDEN: [(&str, &str); 3] = [
    (
        "transactional.id",
        "ringback does not use transactions; remove it",
    ),
    (
        "message.send.max.retries",
        "events are retried without end; remove it",
    ),
    (
        "statistics.interval.ms",
        "is ringback's own: its metrics are made from the statistics; remove it",
    ),
];

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
        let let_through = self.client.iter().find_map(|(name, value)| {
            (canonical(name) == "message.max.bytes").then(|| value.parse().unwrap_or(0))
        });
        let least_queue = largest.max(let_through.unwrap_or(0)).div_ceil(1024);
        let queue = QUEUE_KBYTES.max(least_queue);
        let defaults = [
            ("client.id", String::from("ringback")),
            ("enable.idempotence", String::from("true")),
            ("acks", String::from("all")),
            (
                "enable.gapless.guarantee",
                (!fault::is_on(Fault::Gaps)).to_string(),
            ),
            (
                "max.in.flight.requests.per.connection",
                String::from(if fault::is_on(Fault::SeveralInFlight) {
                    "5"
                } else {
                    "1"
                }),
            ),
            ("message.timeout.ms", String::from("0")),
            ("message.max.bytes", largest.to_string()),
            ("queue.buffering.max.kbytes", queue.to_string()),
            ("partitioner", String::from("murmur2_random")),
            ("linger.ms", String::from("20")),
            ("compression.codec", String::from("lz4")),
            ("reconnect.backoff.max.ms", String::from("1000")),
            ("socket.timeout.ms", String::from("10000")),
            ("allow.auto.create.topics", String::from("false")),
            ("ssl.ca.location", String::from("probe")),
            ("statistics.interval.ms", String::from("5000")),
        ];
        let mut properties: BTreeMap<_, _> = defaults
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        for (given, value) in &self.client {
            let refuse = |reason: String| PropertyError {
                property: given.clone(),
                reason,
            };
            let name = canonical(given);
            let forbidden = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == name);
            let prefix = FORBIDDEN_PREFIXES
                .iter()
                .find(|(prefix, _)| name.starts_with(prefix) && !name.starts_with(TOPIC_METADATA));
            if let Some((_, why)) = forbidden.or(prefix) {
                return Err(refuse(format!("cannot be set: {why}")));
            }
            if let Some((_, allowed, why)) = FIXED.iter().find(|(fixed, ..)| *fixed == name)
                && !allowed.contains(&value.as_str())
            {
                let allowed = allowed.join(" or ");
                return Err(refuse(format!("must be {allowed}: {why}")));
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
                     (listen.max_body and 64 KiB, or message.max.bytes where that is more)"
                )));
            }
            properties.insert(name.to_owned(), value.clone());
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
        let property = self.client.keys().find(named).cloned();
        let secret = self
            .client
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
    } else if !properties.contains_key("batch.size") {
        set("batch.size", batch_bytes.to_string());
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(client: &[(&str, &str)]) -> Config {
        Config {
            topic: String::from("t"),
            dead_letter_topic: None,
            client: client
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            max_body: 8 << 20,
            dead_letter_path: "dead-letters".into(),
        }
    }

    #[test]
    fn the_defaults_are_taken_by_librdkafka_and_a_harmless_property_passes_through() {
        let config = config(&[("bootstrap.servers", "localhost:9092"), ("linger.ms", "5")]);
        config.validate().unwrap();
        let properties = config.properties().unwrap();
        assert_eq!(properties["linger.ms"], "5");
        assert_eq!(properties["acks"], "all");
        assert_eq!(properties["message.max.bytes"], "8454144");
        assert_eq!(properties["queue.buffering.max.kbytes"], "16384");
    }

    #[test]
    fn the_queue_takes_whatever_may_be_sent() {
        let larger = ("message.max.bytes", "20000000");
        let properties = config(&[larger]).properties().unwrap();
        assert_eq!(properties["queue.buffering.max.kbytes"], "19532");
        let small = ("queue.buffering.max.kbytes", "19531");
        let error = config(&[larger, small]).properties().unwrap_err();
        assert_eq!(error.property, "queue.buffering.max.kbytes");
        assert!(error.reason.contains("at least 19532"), "{}", error.reason);
        let enough = ("queue.buffering.max.kbytes", "19532");
        config(&[larger, enough]).validate().unwrap();
    }

    #[test]
    fn whatever_would_break_an_invariant_is_refused_by_the_name_it_was_given() {
        for (name, value) in [
            ("acks", "1"),
            ("request.required.acks", "0"),
            ("enable.idempotence", "false"),
            ("enable.gapless.guarantee", "false"),
            ("max.in.flight", "5"),
            ("message.timeout.ms", "1000"),
            ("delivery.timeout.ms", "1000"),
            ("partitioner", "random"),
            ("queuing.strategy", "lifo"),
            ("delivery.report.only.error", "true"),
            ("transactional.id", "x"),
            ("retries", "0"),
            ("message.max.bytes", "1000"),
            ("message.max.bytes", "0x400"),
            ("queue.buffering.max.kbytes", "1"),
            ("topic.partitioner", "random"),
            ("topic.message.timeout.ms", "1000"),
            ("test.mock.num.brokers", "1"),
        ] {
            let error = config(&[(name, value)]).properties().unwrap_err();
            assert_eq!(error.property, name);
        }
    }

    #[test]
    fn librdkafka_s_own_names_that_begin_with_topic_pass_through() {
        for name in [
            "topic.metadata.refresh.interval.ms",
            "topic.metadata.propagation.max.ms",
        ] {
            config(&[(name, "5000")]).validate().unwrap();
        }
    }

    #[test]
    fn properties_that_only_clash_together_are_refused_before_a_start() {
        let error = config(&[
            ("security.protocol", "SSL"),
            ("ssl.ca.location", "/nowhere"),
        ])
        .validate()
        .unwrap_err();
        assert!(error.reason.contains("librdkafka"), "{error}");
    }

    #[test]
    fn an_alias_replaces_the_default_of_the_name_that_it_stands_for() {
        let properties = config(&[
            ("queue.buffering.max.ms", "7"),
            ("compression.type", "zstd"),
        ])
        .properties()
        .unwrap();
        assert_eq!(properties["linger.ms"], "7");
        assert_eq!(properties["compression.codec"], "zstd");
        assert!(!properties.contains_key("queue.buffering.max.ms"));
    }

    #[test]
    fn an_unknown_property_is_named_and_a_secret_is_not_shown() {
        let unknown = config(&[("no.such.property", "1")]).validate().unwrap_err();
        assert_eq!(unknown.property, "no.such.property");
        let secret = config(&[("ssl.key.password.typo", "hunter2")])
            .validate()
            .unwrap_err();
        assert!(!secret.to_string().contains("hunter2"));
    }

    #[test]
    fn a_property_that_only_a_client_refuses_is_named_too() {
        let secure = [("security.protocol", "ssl"), ("ssl.ca.location", "/nope")];
        let refused = config(&secure).validate().unwrap_err();
        assert_eq!(refused.property, "ssl.ca.location", "{refused}");
    }
}
