//! Which properties ringback sets, which pass through, and which are refused by name.

use super::*;
use crate::publish::KafkaConfig;

fn config(client: &[(&str, &str)]) -> Config {
    Config {
        kafka: KafkaConfig {
            client: client.iter().copied().collect(),
            ..KafkaConfig::default()
        },
        max_body: 8 << 20,
        dead_letter_path: "dead-letters".into(),
    }
}

#[test]
fn librdkafka_accepts_the_defaults_and_a_harmless_property_passes_through() {
    let config = config(&[("bootstrap.servers", "localhost:9092"), ("linger.ms", "5")]);
    config.validate().unwrap();
    let properties = config.properties().unwrap();
    assert_eq!(properties["linger.ms"], "5");
    assert_eq!(properties["acks"], "all");
    let defaults = self::config(&[]).properties().unwrap();
    assert_eq!(defaults["linger.ms"], LINGER_MS.to_string());
    let timeout = Duration::from_millis(SOCKET_TIMEOUT_MS);
    assert_eq!(socket_timeout(&defaults), timeout);
    assert_eq!(properties["message.max.bytes"], "8454144");
    assert_eq!(properties["queue.buffering.max.kbytes"], "16384");
}

#[test]
fn the_queue_takes_every_record_that_may_be_sent() {
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
fn the_first_batch_size_is_the_user_s_and_no_larger_than_librdkafka_s_batches() {
    let first = |given: &[(&str, &str)]| batch_bytes(&config(given).properties().unwrap());
    assert_eq!(first(&[]), BATCH_BYTES);
    assert_eq!(first(&[("batch.size", "1000000")]), 1_000_000);
    assert_eq!(first(&[("batch.size", "100000000")]), 8_454_144);
    let properties = config(&[("batch.size", "1000000")]).properties().unwrap();
    assert_eq!(
        producer_properties(&properties, false, 500_000)["batch.size"],
        "500000"
    );
}

#[test]
fn a_property_that_would_break_an_invariant_is_refused_by_the_name_that_the_user_wrote() {
    for (name, value) in [
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("enable.idempotence", "false"),
        ("enable.gapless.guarantee", "false"),
        ("max.in.flight", "5"),
        ("message.timeout.ms", "1000"),
        ("delivery.timeout.ms", "1000"),
        ("partitioner", "random"),
        ("partitioner", "consistent_random"),
        ("queuing.strategy", "lifo"),
        ("delivery.report.only.error", "true"),
        ("transactional.id", "x"),
        ("retries", "0"),
        ("message.max.bytes", "1000"),
        ("message.max.bytes", "0x400"),
        ("batch.size", "0x400"),
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
fn the_one_partitioner_may_be_set_and_changes_nothing() {
    for name in ["murmur2", "murmur2_random"] {
        let properties = config(&[("partitioner", name)]).properties().unwrap();
        assert_eq!(properties["partitioner"], "murmur2_random");
    }
}

#[test]
fn librdkafka_s_own_names_that_begin_with_topic_pass_through() {
    for name in [
        "topic.metadata.refresh.interval.ms",
        "topic.metadata.propagation.max.ms",
    ] {
        let config = config(&[(name, "5000")]);
        config.validate().unwrap();
        assert_eq!(config.properties().unwrap()[name], "5000");
    }
}

#[test]
fn properties_that_clash_only_together_are_refused_before_a_start() {
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
fn a_property_that_librdkafka_refuses_only_with_a_client_is_named_too() {
    let secure = [("security.protocol", "ssl"), ("ssl.ca.location", "/nope")];
    let refused = config(&secure).validate().unwrap_err();
    assert_eq!(refused.property, "ssl.ca.location", "{refused}");
}
