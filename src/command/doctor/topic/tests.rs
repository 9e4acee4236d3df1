//! Each fact of a topic, and the finding that it makes.

use super::*;

const GOOD: [(&str, &str); 4] = [
    ("max.message.bytes", "8454144"),
    ("min.insync.replicas", "2"),
    ("cleanup.policy", "delete"),
    ("retention.ms", "604800000"),
];

fn needs() -> Needs<'static> {
    Needs {
        max_body: 8 << 20,
        outage: Some(Duration::from_hours(24)),
        events_per_second: 10,
        principal: String::from("User:relay"),
        bootstrap: "k:9092",
        brokers: 3,
        has_journal: true,
    }
}

/// A topic as it should be, but for these settings.
fn topic(changed: &[(&str, &str)]) -> Topic {
    let settings = GOOD.iter().chain(changed);
    let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let partition = Partition {
        has_leader: true,
        replicas: 3,
        in_sync: 3,
    };
    Topic {
        name: String::from("calls"),
        partitions: Ok(vec![partition; 12]),
        config: Ok(settings.collect()),
        write: Ok(()),
    }
}

fn seen(topic: &Topic, needs: &Needs<'_>, role: Role) -> Report {
    let mut report = Report::default();
    judge(&mut report, needs, topic, role);
    report
}

/// The only finding.
fn finding(topic: &Topic) -> (String, String) {
    let mut report = seen(topic, &needs(), Role::Events);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    let name = report.names().remove(0);
    (name, report.findings.remove(0).remedy)
}

#[test]
fn a_topic_as_it_should_be_has_no_finding() {
    let report = seen(&topic(&[]), &needs(), Role::Events);
    assert_eq!(report.names(), [""; 0]);
    assert_eq!(report.fine.len(), 5, "{:?}", report.fine);
    assert!(report.unknown.is_empty());
}

#[test]
fn each_setting_that_harms_is_named_with_the_command_that_cures_it() {
    for (setting, name, remedy) in [
        (
            ("max.message.bytes", "8388607"),
            "error max-message-bytes",
            "--add-config max.message.bytes=8454144",
        ),
        (
            ("min.insync.replicas", "1"),
            "warning min-insync-replicas",
            "--add-config min.insync.replicas=2",
        ),
        (
            ("min.insync.replicas", "4"),
            "error too-few-in-sync",
            "--add-config min.insync.replicas=3",
        ),
        (
            ("cleanup.policy", "compact,delete"),
            "error compacted",
            "--add-config cleanup.policy=delete",
        ),
        // A day of outage needs two.
        (
            ("retention.ms", "172799999"),
            "warning retention",
            "--add-config retention.ms=172800000",
        ),
        (
            ("message.timestamp.before.max.ms", "3600000"),
            "warning timestamp-bounds",
            "message.timestamp.before.max.ms=172800000",
        ),
        (
            ("message.timestamp.after.max.ms", "1000"),
            "warning timestamp-bounds",
            "message.timestamp.after.max.ms=3600000",
        ),
    ] {
        let (found, cure) = finding(&topic(&[setting]));
        assert_eq!(found, name, "{setting:?}");
        assert!(cure.contains(remedy), "{cure}");
        assert!(cure.contains("k:9092") && cure.contains("calls"), "{cure}");
    }
    // Kafka's own time is never too old.
    let stamped = [
        ("message.timestamp.before.max.ms", "3600000"),
        ("message.timestamp.type", "LogAppendTime"),
    ];
    assert_eq!(
        seen(&topic(&stamped), &needs(), Role::Events).names(),
        [""; 0]
    );
}

#[test]
fn partitions_that_take_no_events_or_have_one_replica_are_named() {
    let with = |change: fn(&mut Vec<Partition>)| {
        let mut topic = topic(&[]);
        change(topic.partitions.as_mut().expect("it has some"));
        finding(&topic).0
    };
    assert_eq!(with(|all| all[3].has_leader = false), "error no-leader");
    assert_eq!(with(|all| all[3].in_sync = 1), "error too-few-in-sync");
    assert_eq!(with(|all| all.truncate(2)), "warning too-few-partitions");
    let mut alone = topic(&[("min.insync.replicas", "1")]);
    for partition in alone.partitions.as_mut().expect("it has some") {
        (partition.replicas, partition.in_sync) = (1, 1);
    }
    assert_eq!(finding(&alone).0, "warning replication");
}

#[test]
fn what_is_not_permitted_is_named_with_the_acl_that_permits_it() {
    let forbidden = || Err(Unknown::Forbidden);
    let hidden = Topic {
        partitions: Err(Absence::Forbidden),
        ..topic(&[])
    };
    let unwritable = Topic {
        write: forbidden(),
        ..topic(&[])
    };
    let undescribed = Topic {
        config: Err(Unknown::Forbidden),
        ..topic(&[])
    };
    for (topic, name, operation) in [
        (&hidden, "error acl-describe", "Write"),
        (&unwritable, "error acl-write", "Write"),
        (
            &undescribed,
            "warning acl-describe-configs",
            "DescribeConfigs",
        ),
    ] {
        let (found, remedy) = finding(topic);
        assert_eq!(found, name);
        let command = format!(
            "kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal 'User:relay' --operation {operation} --topic calls"
        );
        assert!(remedy.ends_with(&command), "{remedy}");
    }
    let missing = Topic {
        partitions: Err(Absence::Missing),
        ..topic(&[])
    };
    let (found, remedy) = finding(&missing);
    assert_eq!(found, "error topic-missing");
    assert!(remedy.contains("--create --topic calls"), "{remedy}");
}

#[test]
fn kafka_topic_is_no_mistake_if_each_source_has_a_topic_of_its_own() {
    let missing = Topic {
        partitions: Err(Absence::Missing),
        ..topic(&[])
    };
    let report = seen(&missing, &needs(), Role::Leftovers);
    assert_eq!(report.names(), ["warning topic-missing"]);
    let remedy = &report.findings[0].remedy;
    assert!(remedy.starts_with("set kafka.topic to"), "{remedy}");
}

#[test]
fn a_dead_letter_topic_that_takes_nothing_stops_nothing_while_there_is_a_journal() {
    let missing = Topic {
        partitions: Err(Absence::Missing),
        ..topic(&[])
    };
    let in_memory = Needs {
        has_journal: false,
        outage: None,
        ..needs()
    };
    let names = |needs: &Needs<'_>| seen(&missing, needs, Role::DeadLetters).names();
    assert_eq!(names(&needs()), ["warning topic-missing"]);
    assert_eq!(names(&in_memory), ["error topic-missing"]);
    let short = topic(&[("retention.ms", "1000")]);
    assert_eq!(seen(&short, &in_memory, Role::Events).names(), [""; 0]);
}

#[test]
fn what_is_not_known_is_no_finding() {
    let other = || Err(Unknown::Other(String::from("not supported")));
    let silent = Topic {
        config: Err(Unknown::Other(String::from("not supported"))),
        write: other(),
        ..topic(&[])
    };
    let report = seen(&silent, &needs(), Role::Events);
    assert_eq!(report.names(), [""; 0]);
    assert_eq!(report.unknown.len(), 2, "{:?}", report.unknown);
}

#[test]
fn the_principal_is_the_one_that_kafka_sees() {
    let of = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        let owned = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        principal(&owned.collect())
    };
    let user = ("sasl.username", "relay");
    assert_eq!(of(&[("security.protocol", "sasl_ssl"), user]), "User:relay");
    assert_eq!(of(&[user]), "User:ANONYMOUS");
    let certificate = [
        ("security.protocol", "SSL"),
        ("ssl.certificate.location", "/c"),
    ];
    assert!(of(&certificate).contains("CERTIFICATE"));
}
