//! The wrong set-ups.

use std::path::{Path, PathBuf};

use crate::support::cluster::Cluster;
use crate::support::cluster::mistakes::Mistake;

/// Something that an operator got wrong.
pub struct SetUp {
    pub what: &'static str,
    pub bootstrap: String,
    pub topic: &'static str,
    /// Further lines of the configuration, with their sections.
    pub lines: Vec<(&'static str, String)>,
    /// The journal's folder, if it matters.
    pub journal: Option<PathBuf>,
    /// Its level and its name.
    pub finding: &'static str,
    /// The remedy has all of these.
    pub remedy: Vec<String>,
}

fn client(name: &str, value: impl std::fmt::Display) -> (&'static str, String) {
    ("kafka.client", format!("\"{name}\" = \"{value}\""))
}

/// A user's login with the password in this variable.
pub fn with_user(variable: &str) -> Vec<(&'static str, String)> {
    vec![
        client("security.protocol", "SASL_PLAINTEXT"),
        client("sasl.mechanisms", "PLAIN"),
        client("sasl.username", "relay"),
        (
            "kafka.client",
            format!("\"sasl.password\" = {{ env = \"{variable}\" }}"),
        ),
    ]
}

fn trust(authority: &Path) -> Vec<(&'static str, String)> {
    vec![
        client("security.protocol", "SSL"),
        client("ssl.ca.location", authority.display()),
    ]
}

/// Creates the topics and permissions that they need.
pub fn all(one: &Cluster, three: &Cluster) -> Vec<SetUp> {
    let good = [("max.message.bytes", "8454144")];
    one.topic("good", 2, &good);
    let mut set_ups = connections(one);
    set_ups.extend(permissions(one));
    set_ups.extend(topics(one, three));
    set_ups.extend(disks(one));
    set_ups
}

fn connections(one: &Cluster) -> Vec<SetUp> {
    let plain = one.bootstrap.clone();
    let sasl = one.bootstrap_sasl.clone().expect("it has the listener");
    let tls = one.bootstrap_tls.clone().expect("it has the listener");
    let certs = one.certs.as_deref().expect("it has certificates");
    let (ca, stranger) = (certs.join("ca.pem"), certs.join("stranger.pem"));
    let of = |what, bootstrap: &str, lines, finding, remedy: &[&str]| SetUp {
        what,
        bootstrap: bootstrap.to_owned(),
        topic: "good",
        lines,
        journal: None,
        finding,
        remedy: remedy.iter().map(ToString::to_string).collect(),
    };
    let at = |mistake| one.mistaken(mistake);
    let scram = [
        with_user("KAFKA_PASSWORD")[..1].to_vec(),
        vec![client("sasl.mechanisms", "SCRAM-SHA-512")],
        with_user("KAFKA_PASSWORD")[2..].to_vec(),
    ];
    vec![
        of(
            "nobody listens",
            &one.nobody(),
            vec![],
            "error broker-unreachable",
            &["start the broker", "firewall"],
        ),
        of(
            "TLS where none is configured",
            &at(Mistake::Open),
            vec![],
            "error tls-missing",
            &["\"security.protocol\" to \"SSL\""],
        ),
        of(
            "TLS where there is none",
            &plain,
            trust(&ca),
            "error tls-unexpected",
            &["\"security.protocol\" to \"PLAINTEXT\""],
        ),
        of(
            "an expired certificate",
            &at(Mistake::Expired),
            trust(&ca),
            "error certificate-expired",
            &["renew it at the broker"],
        ),
        of(
            "a certificate for another name",
            &at(Mistake::Elsewhere),
            trust(&ca),
            "error certificate-name",
            &["bootstrap.servers", "127.0.0.1"],
        ),
        of(
            "an unknown authority",
            &at(Mistake::Open),
            trust(&stranger),
            "error certificate-authority",
            &["\"ssl.ca.location\"", "stranger.pem"],
        ),
        of(
            "no client certificate",
            &tls,
            trust(&ca),
            "error client-certificate-missing",
            &["\"ssl.certificate.location\""],
        ),
        of(
            "no login",
            &sasl,
            vec![],
            "error sasl-missing",
            &["\"SASL_PLAINTEXT\"", "\"sasl.username\""],
        ),
        of(
            "a needless login",
            &plain,
            with_user("KAFKA_PASSWORD"),
            "error sasl-unexpected",
            &["\"security.protocol\" to \"PLAINTEXT\""],
        ),
        of(
            "a wrong password",
            &sasl,
            with_user("WRONG_PASSWORD"),
            "error wrong-password",
            &["\"sasl.password\""],
        ),
        of(
            "a mechanism that is not offered",
            &at(Mistake::PlainOnly),
            scram.concat(),
            "error sasl-mechanism",
            &["\"sasl.mechanisms\" to one of PLAIN"],
        ),
        of(
            "an advertised address where nobody listens",
            &at(Mistake::Away),
            vec![],
            "error advertised-address-unreachable",
            &["advertised.listeners"],
        ),
        of(
            "an advertised name that there is not",
            &at(Mistake::Nameless),
            vec![],
            "error advertised-address-unreachable",
            &["advertised.listeners"],
        ),
        of(
            "a second bootstrap address where nobody listens",
            &format!("{plain},{}", one.nobody()),
            vec![],
            "warning broker-unreachable",
            &["correct the address"],
        ),
    ]
}

fn permissions(one: &Cluster) -> Vec<SetUp> {
    let sasl = one.bootstrap_sasl.clone().expect("it has the listener");
    for (topic, operations) in [
        ("hidden", &[][..]),
        ("unwritable", &["Describe", "DescribeConfigs"]),
        ("undescribed", &["Write"]),
    ] {
        one.topic(topic, 2, &[("max.message.bytes", "8454144")]);
        for operation in operations {
            one.allow("relay", operation, topic);
        }
    }
    let of = |what, topic: &'static str, finding, operation: &str| SetUp {
        what,
        bootstrap: sasl.clone(),
        topic,
        lines: with_user("KAFKA_PASSWORD"),
        journal: None,
        finding,
        remedy: vec![format!(
            "kafka-acls.sh --bootstrap-server {sasl} --add --allow-principal 'User:relay' --operation {operation} --topic {topic}"
        )],
    };
    vec![
        of(
            "no permission at all",
            "hidden",
            "error acl-describe",
            "Write",
        ),
        of(
            "no permission to write",
            "unwritable",
            "error acl-write",
            "Write",
        ),
        of(
            "no permission to see the configuration",
            "undescribed",
            "warning acl-describe-configs",
            "DescribeConfigs",
        ),
    ]
}

fn topics(one: &Cluster, three: &Cluster) -> Vec<SetUp> {
    let size = ("max.message.bytes", "8454144");
    let of = |cluster: &Cluster,
              what,
              topic: &'static str,
              settings: &[(&str, &str)],
              finding,
              remedy: &str| {
        let partitions = match finding {
            "warning too-few-partitions" => 1,
            _ => 3,
        };
        cluster.topic(topic, partitions, settings);
        SetUp {
            what,
            bootstrap: cluster.bootstrap.clone(),
            topic,
            lines: vec![],
            journal: None,
            finding,
            remedy: vec![remedy.to_owned()],
        }
    };
    let missing = SetUp {
        what: "no topic",
        bootstrap: one.bootstrap.clone(),
        topic: "nowhere",
        lines: vec![],
        journal: None,
        finding: "error topic-missing",
        remedy: vec![String::from("--create --topic nowhere")],
    };
    vec![
        missing,
        of(
            one,
            "a topic for small records",
            "small",
            &[("max.message.bytes", "1048588")],
            "error max-message-bytes",
            "--add-config max.message.bytes=8454144",
        ),
        of(
            one,
            "a compacted topic",
            "compact",
            &[size, ("cleanup.policy", "compact")],
            "error compacted",
            "--add-config cleanup.policy=delete",
        ),
        of(
            one,
            "a short retention",
            "short",
            &[size, ("retention.ms", "60000")],
            "warning retention",
            "--add-config retention.ms=",
        ),
        of(
            one,
            "a short time for timestamps",
            "strict",
            &[size, ("message.timestamp.before.max.ms", "60000")],
            "warning timestamp-bounds",
            "message.timestamp.before.max.ms=",
        ),
        of(
            one,
            "one partition",
            "single",
            &[size],
            "warning too-few-partitions",
            "--alter --topic single --partitions 12",
        ),
        of(
            one,
            "one replica",
            "alone",
            &[size],
            "warning replication",
            "three replicas",
        ),
        of(
            one,
            "more replicas in sync than there are",
            "unsynced",
            &[size, ("min.insync.replicas", "2")],
            "error too-few-in-sync",
            "--add-config min.insync.replicas=1",
        ),
        of(
            three,
            "one replica in sync",
            "lenient",
            &[size, ("min.insync.replicas", "1")],
            "warning min-insync-replicas",
            "--add-config min.insync.replicas=2",
        ),
    ]
}

fn disks(one: &Cluster) -> Vec<SetUp> {
    // So that no budget is too large for it.
    let endless = [("max.message.bytes", "8454144"), ("retention.ms", "-1")];
    one.topic("endless", 2, &endless);
    let of = |what, lines, journal, finding, remedy: &str| SetUp {
        what,
        bootstrap: one.bootstrap.clone(),
        topic: "endless",
        lines,
        journal,
        finding,
        remedy: vec![remedy.to_owned()],
    };
    let budget = ("journal", String::from("budget = \"1TiB\""));
    let memory = format!("/dev/shm/ringback-doctor-{}", std::process::id());
    vec![
        of(
            "a budget that the disk has no room for",
            vec![budget],
            None,
            "warning disk-smaller-than-budget",
            "lower journal.budget",
        ),
        of(
            "a journal in memory",
            vec![],
            Some(PathBuf::from(memory)),
            "warning journal-file-system",
            "a folder on a disk",
        ),
    ]
}
