//! Which properties ringback sets, which pass through, and which are refused by name.

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::*;
use crate::publish::{KafkaConfig, property};

fn config(client: &[(&str, &str)]) -> Config {
    Config {
        kafka: KafkaConfig {
            client: client.iter().copied().collect(),
            ..KafkaConfig::default()
        },
        ..Config::default()
    }
}

/// What is wrong with these properties, each for itself or else together.
fn errors(client: &[(&str, &str)]) -> Vec<PropertyError> {
    let config = config(client);
    let errors = config.check_each_property();
    if errors.is_empty() {
        return config
            .check_properties_together()
            .err()
            .into_iter()
            .collect();
    }
    errors
}

#[test]
fn librdkafka_knows_every_name_that_hints_are_made_from() {
    let known = |name: &str| {
        let outcome = ClientConfig::new().set(name, "-").create_native_config();
        let unknown = RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
        !matches!(outcome, Err(KafkaError::ClientConfig(result, ..)) if result == unknown)
    };
    for name in property::names() {
        assert!(known(name), "{name}");
    }
    assert!(!known("no.such.property"));
    assert!(property::names().count() > 100);
}

#[test]
fn librdkafka_accepts_the_defaults_and_a_harmless_property_passes_through() {
    let given = [("bootstrap.servers", "localhost:9092"), ("linger.ms", "5")];
    assert_eq!(errors(&given), []);
    let properties = config(&given).properties().unwrap();
    assert_eq!(properties["linger.ms"], "5");
    assert_eq!(properties["acks"], "all");
    let defaults = self::config(&[]).properties().unwrap();
    assert_eq!(defaults["linger.ms"], "20");
    let defaults = Config {
        ack: Ack::Kafka,
        ..config(&given[..1])
    };
    let defaults = defaults.properties().expect("ringback's own");
    assert_eq!(defaults["linger.ms"], "1");
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
    assert_eq!(errors(&[larger, enough]), []);
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
        assert_eq!(errors(&[(name, "5000")]), []);
        assert_eq!(
            config(&[(name, "5000")]).properties().unwrap()[name],
            "5000"
        );
    }
}

#[test]
fn properties_that_clash_only_together_are_refused_before_a_start() {
    let clash = errors(&[
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanisms", "PLAIN"),
    ]);
    assert_eq!(clash.len(), 1, "{clash:?}");
    assert!(clash[0].reason.contains("librdkafka"), "{clash:?}");
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
fn an_unknown_property_is_named_with_the_nearest_one_and_a_secret_is_not_shown() {
    let unknown = errors(&[("no.such.property", "1"), ("bootstrap_servers", "k1:1")]);
    let texts: Vec<_> = unknown.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "bootstrap_servers is no property of librdkafka's; did you mean `bootstrap.servers`?",
            "no.such.property is no property of librdkafka's, which are at \
             https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md",
        ]
    );
    let secret = errors(&[
        ("ssl.key.password.typo", "hunter2"),
        ("security.protocol", "hunter2"),
    ]);
    assert_eq!(secret.len(), 2);
    assert!(!format!("{secret:?}").contains("hunter2"), "{secret:?}");
}

#[test]
fn every_bad_property_is_reported_at_once_by_the_name_that_the_user_wrote() {
    let bad = [
        ("acks", "1"),
        ("linger.mss", "5"),
        ("queue.buffering.max.ms", "soon"),
        ("retries", "3"),
        ("security.protocol", "sll"),
        ("ssl.ca.location", "/nowhere/ca.pem"),
        ("ssl.key.location", "/"),
    ];
    let errors = errors(&bad);
    let mut named: Vec<_> = errors.iter().map(|error| error.property.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, bad.map(|(name, _)| name), "{errors:?}");
}

#[test]
fn a_file_that_a_property_names_is_opened_and_named_with_the_reason() {
    for name in [
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.keystore.location",
    ] {
        let missing = errors(&[(name, "/nowhere/it.pem")]);
        assert_eq!(missing[0].property, name);
        assert_eq!(
            missing[0].reason,
            "names a file that cannot be opened, /nowhere/it.pem: No such file or directory (os error 2)"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    assert_eq!(errors(&[("ssl.ca.location", folder)]), []);
    assert!(
        errors(&[("ssl.key.location", folder)])[0]
            .reason
            .contains("names a folder")
    );
    assert_eq!(errors(&[("ssl.ca.location", "probe")]), []);
}

#[test]
fn a_property_that_librdkafka_refuses_only_with_a_client_is_named_too() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "no certificate").unwrap();
    let refused = errors(&[
        ("security.protocol", "ssl"),
        ("ssl.ca.location", file.path().to_str().unwrap()),
    ]);
    assert_eq!(refused[0].property, "ssl.ca.location", "{refused:?}");
}

#[test]
fn librdkafka_reads_a_pem_as_the_reader_of_secrets_gives_it() {
    use secrecy::ExposeSecret as _;
    let file = tempfile::NamedTempFile::new().unwrap();
    for line_end in ["\n", "\r\n"] {
        let text = format!("\n{}\n\n", CERTIFICATE.replace('\n', line_end));
        std::fs::write(file.path(), text).unwrap();
        let source = crate::secret::SecretSource::File(file.path().to_owned());
        let form = property::secret_form("ssl.ca.pem");
        let pem = source.read(form, |_| None).unwrap();
        let accepted = [
            ("security.protocol", "ssl"),
            ("ssl.ca.pem", pem.expose_secret()),
        ];
        assert_eq!(errors(&accepted), []);
    }
    let refused = errors(&[
        ("security.protocol", "ssl"),
        ("ssl.ca.pem", &CERTIFICATE.replace("MII", "M")),
    ]);
    assert_eq!(
        refused.len(),
        1,
        "the test notices what librdkafka cannot read"
    );
}

/// Self-signed, for this test alone.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBhzCCAS2gAwIBAgIUe6Gn5gHg1AjjLjBCFAyY/3LFZ1gwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNcmluZ2JhY2stdGVzdDAgFw0yNjExMjkxNTIzNDdaGA8yMTI2
MTEwNTE1MjM0N1owGDEWMBQGA1UEAwwNcmluZ2JhY2stdGVzdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABI7O2v6adgeQjXmbhfssJGgEc7xjsqlj0Zw9orIJkBT4
Xe4ocvVOSlcF2FZRmV+rXeFJgrfvqObxHB0fH4FoufSjUzBRMB0GA1UdDgQWBBQn
fJtZHwbb9bg2d3tb4HlYVW4U7TAfBgNVHSMEGDAWgBQnfJtZHwbb9bg2d3tb4HlY
VW4U7TAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDvksKb3Bzj
I5l5l9Te0pCjiKhKbpTVdC4GkGGA3iWKCgIgL6Grdq5AxYxoIpSyYcSn6hGl/6cQ
B8lytdDvHGBC8o4=
-----END CERTIFICATE-----";

#[test]
fn librdkafka_is_given_nothing_of_what_ringback_reads_to_get_tokens() {
    let given = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.method", "OIDC"),
        ("sasl.oauthbearer.client.credentials.client.id", "relay"),
        ("sasl.oauthbearer.client.secret", "s3cret"),
        (
            "sasl.oauthbearer.token.endpoint.url",
            "https://idp.example/token",
        ),
        ("https.ca.location", "probe"),
    ];
    assert_eq!(errors(&given), []);
    let properties = config(&given).properties().unwrap();
    let is_ours = |name: &&String| name.contains("oauthbearer") || name.starts_with("https");
    assert_eq!(properties.keys().find(is_ours), None);
    assert_eq!(properties["sasl.mechanism"], "OAUTHBEARER");

    let unreadable = ("https.ca.location", "/nowhere/ca.pem");
    let found = errors(&[&given[..6], &[unreadable]].concat());
    let [error] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(error.property, "https.ca.location");
    assert!(error.reason.contains("/nowhere/ca.pem"), "{error}");
}
