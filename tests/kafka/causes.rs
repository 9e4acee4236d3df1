//! Why the relay cannot use a broker: each mistake gets its own sentence, from what a real Kafka and librdkafka make of it.

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::cluster::mistakes::Mistake;
use crate::support::eventually;
use crate::support::relay::{KEY, Relay, Site};
use crate::support::sender::Sender;

/// The line of the check `kafka`.
pub fn check(relay: &Relay) -> String {
    let text = relay.admin("/readyz?verbose").1;
    let line = text.lines().find(|line| line.contains("]kafka "));
    line.expect("there is one").to_owned()
}

pub fn property(name: &str, value: impl std::fmt::Display) -> String {
    format!("\"{name}\" = \"{value}\"")
}

/// A mistake: the broker's address, the client's properties, and what the check must say.
type Case = (&'static str, String, Vec<String>, Vec<String>);

fn cases(cluster: &Cluster) -> Vec<Case> {
    let plain = cluster.bootstrap.clone();
    let sasl = cluster.bootstrap_sasl.clone().expect("it has the listener");
    let at = |mistake| cluster.mistaken(mistake);
    let certs = cluster.certs.as_deref().expect("it has certificates");
    let (ca, stranger) = (certs.join("ca.pem"), certs.join("stranger.pem"));
    let protocol = |name| property("security.protocol", name);
    let user = || {
        [
            property("sasl.mechanisms", "PLAIN"),
            property("sasl.username", "relay"),
            String::from("\"sasl.password\" = { env = \"KAFKA_PASSWORD\" }"),
        ]
    };
    let trust = |authority: &std::path::Path| {
        vec![
            protocol("SSL"),
            property("ssl.ca.location", authority.display()),
        ]
    };
    let with_user = |name| [vec![protocol(name)], user().to_vec()].concat();
    let set = |wanted: &str, present: &str| {
        format!("set \"security.protocol\" to \"{wanted}\" (it is \"{present}\")")
    };
    let tls = at(Mistake::Open);
    vec![
        (
            "plaintext against TLS",
            tls.clone(),
            vec![],
            vec![tls.clone(), set("SSL", "PLAINTEXT")],
        ),
        (
            "TLS against plaintext",
            plain.clone(),
            trust(&ca),
            vec![plain.clone(), set("PLAINTEXT", "SSL")],
        ),
        (
            "SASL forgotten",
            sasl.clone(),
            vec![],
            vec![
                sasl.clone(),
                set("SASL_PLAINTEXT", "PLAINTEXT"),
                String::from("\"sasl.username\""),
            ],
        ),
        (
            "security.protocol forgotten beside SASL",
            sasl.clone(),
            user().to_vec(),
            vec![
                set("SASL_PLAINTEXT", "PLAINTEXT"),
                String::from("\"sasl.username\" is not used"),
            ],
        ),
        (
            "SASL against a listener without",
            plain.clone(),
            with_user("SASL_PLAINTEXT"),
            vec![set("PLAINTEXT", "SASL_PLAINTEXT")],
        ),
        (
            "a wrong password",
            sasl.clone(),
            [
                vec![protocol("SASL_PLAINTEXT")],
                user()[..2].to_vec(),
                vec![String::from(
                    "\"sasl.password\" = { env = \"WRONG_PASSWORD\" }",
                )],
            ]
            .concat(),
            vec![
                String::from("refuses the user or the password"),
                String::from("\"sasl.password\""),
            ],
        ),
        (
            "a client certificate forgotten",
            cluster.bootstrap_tls.clone().expect("it has the listener"),
            trust(&ca),
            vec![
                String::from("demands a client certificate"),
                String::from("\"ssl.certificate.location\""),
            ],
        ),
        (
            "an expired certificate",
            at(Mistake::Expired),
            trust(&ca),
            vec![format!(
                "the certificate of {} has expired (",
                at(Mistake::Expired)
            )],
        ),
        (
            "a certificate for another host",
            at(Mistake::Elsewhere),
            trust(&ca),
            vec![String::from("is for kafka-0.example and not for 127.0.0.1")],
        ),
        (
            "an unknown authority",
            tls,
            trust(&stranger),
            vec![
                String::from("the authority \"lab CA\" that signed"),
                String::from("\"ssl.ca.location\""),
            ],
        ),
        (
            "an advertised address that nobody listens at",
            at(Mistake::Away),
            vec![],
            vec![
                String::from("Kafka advertises broker 1 at 127.0.0.1:"),
                String::from("advertised.listeners"),
            ],
        ),
        (
            "an advertised name that there is not",
            at(Mistake::Nameless),
            vec![],
            vec![
                String::from("Kafka advertises broker 1 at kafka-0.nowhere.invalid:9092"),
                String::from("advertised.listeners"),
            ],
        ),
    ]
}

pub fn named(_: &Cluster) -> Result<(), Failed> {
    let cluster = Cluster::start_mistaken();
    // If the topic were missing, that would be named first where the bootstrap address answers.
    cluster.topic("mistaken", 1, &[]);
    let passwords = [("KAFKA_PASSWORD", "relay-secret"), ("WRONG_PASSWORD", "no")];
    for (mistake, bootstrap, client, words) in cases(&cluster) {
        let client: Vec<_> = client
            .iter()
            .map(|line| ("kafka.client", line.as_str()))
            .collect();
        let site = Site::of(&bootstrap, "mistaken", None, &client);
        let relay = site.start_with(&passwords);
        eventually(&format!("{mistake}: {words:?}"), || {
            let line = check(&relay);
            line.starts_with("[!]kafka no broker is connected: ")
                && words.iter().all(|words| line.contains(words))
        });
        eprintln!("{mistake}: {}", check(&relay));
    }
    Ok(())
}

pub fn keyless(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic("compacted", 1, &[("cleanup.policy", "compact")]);
    let site = Site::new(cluster, "compacted", "");
    let relay = site.start();
    let mut sender = Sender::connect(relay.address, KEY)?;
    assert_eq!(sender.post(br#"{"event":"call_ended"}"#)?.code, 204);
    eventually("the missing key is named", || {
        let line = check(&relay);
        ["[!]kafka", "has no key", "cleanup.policy", "key_pointers"]
            .iter()
            .all(|words| line.contains(words))
    });
    eprintln!("a keyless event on a compacted topic: {}", check(&relay));
    // It is the topic's setting: once that is changed, the event arrives.
    assert_eq!(relay.metric("ringback_dead_letters_total"), 0.0);
    Ok(())
}
