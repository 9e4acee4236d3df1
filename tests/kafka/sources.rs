//! Senders as Stripe and GitHub are, by configuration alone, to two topics.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::relay::{Relay, Site};
use crate::support::topic::{self, Record};
use crate::support::{PATIENCE, eventually};

const MAIN: &str = "sources";
const PAYMENTS: &str = "sources-payments";
/// Events of each sender, and the keys among which they are divided.
const EVENTS: usize = 60;
const KEYS: usize = 7;

const SOURCES: &str = r#"
[[source]]
name = "stripe"
path = "/stripe"
verify = "none"
event_pointer = "/type"
key_pointers = ["/data/object/customer"]
id_pointer = "/id"
topics = { "invoice.paid" = "sources-payments" }
[[source]]
name = "github"
path = "/github"
verify = "none"
event_header = "X-GitHub-Event"
key_pointers = ["/repository/full_name"]
id_header = "X-GitHub-Delivery"
carry = ["X-GitHub-Hook-ID", "?team"]
"#;

fn post(relay: &Relay, path: &str, more: &str, body: &str) {
    let mut stream = TcpStream::connect(relay.address).expect("the relay listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
    .expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer comes");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
}

fn stripe(number: usize) -> String {
    let kind = if number.is_multiple_of(2) {
        "invoice.paid"
    } else {
        "customer.updated"
    };
    let customer = number % KEYS;
    format!(
        r#"{{"id":"evt_{number}","type":"{kind}","data":{{"object":{{"customer":"cus_{customer}"}}}}}}"#
    )
}

fn github(number: usize) -> String {
    let repository = number % KEYS;
    format!(r#"{{"number":{number},"repository":{{"full_name":"o/r{repository}"}}}}"#)
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.headers.get(name).map(String::as_str)
}

/// Checks that the records with each key are these bodies, in their order.
fn assert_in_order(records: &[Record], posted: &[String], key_of: impl Fn(usize) -> String) {
    for key in (0..KEYS).map(key_of) {
        let arrived = records.iter();
        let arrived = arrived.filter(|record| record.key.as_deref() == Some(&*key));
        let arrived: Vec<_> = arrived.map(|record| &record.value[..]).collect();
        let name = format!("\"{key}\"");
        let posted = posted.iter().filter(|body| body.contains(&name));
        let posted: Vec<_> = posted.map(|body| body.as_bytes()).collect();
        assert_eq!(arrived, posted, "{key}");
    }
}

/// One topic is missing at first: what goes to the other one arrives until an event needs it.
pub fn two_topics(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic(MAIN, 6, &[]);
    let site = Site::new(cluster, MAIN, "");
    site.add(SOURCES);
    let relay = site.start();
    let kafka_check = || {
        let (_, checks) = relay.admin("/readyz?verbose");
        let lines = checks.lines().find(|line| line.contains("kafka"));
        lines.unwrap_or_default().to_owned()
    };
    eventually(
        "the missing topic is named before an event needs it",
        || kafka_check().contains("Kafka has no topic \"sources-payments\""),
    );
    let pushes: Vec<_> = (0..EVENTS).map(github).collect();
    for (number, body) in pushes.iter().enumerate() {
        let head = format!(
            "X-GitHub-Event: push\r\nX-GitHub-Delivery: delivery-{number}\r\nX-GitHub-Hook-ID: 7\r\n"
        );
        post(&relay, "/github?team=a%20b", &head, body);
    }
    relay.await_drained();
    assert!(
        kafka_check().contains("sources-payments"),
        "it is still named"
    );
    let payments: Vec<_> = (0..EVENTS).map(stripe).collect();
    for body in &payments {
        post(&relay, "/stripe", "", body);
    }
    assert_eq!(
        relay.metric("ringback_publish_delivered_total"),
        EVENTS as f64,
        "the first event waits for its topic, and the others behind it"
    );
    cluster.topic(PAYMENTS, 3, &[]);
    relay.await_drained();
    eventually("all is well", || kafka_check().ends_with("ok"));

    let of = |topic| {
        let count = if topic == PAYMENTS {
            EVENTS / 2
        } else {
            EVENTS + EVENTS / 2
        };
        let records =
            topic::read_until(&cluster.bootstrap, topic, |records| records.len() >= count);
        assert_eq!(records.len(), count, "{topic}");
        records
    };
    let (main, paid) = (of(MAIN), of(PAYMENTS));
    let (pushed, updated): (Vec<_>, Vec<_>) = main
        .into_iter()
        .partition(|record| header(record, "ce_type") == Some("github.push"));
    assert_in_order(&pushed, &pushes, |key| format!("o/r{key}"));
    let is_paid = |body: &&String| body.contains("invoice.paid");
    let (invoices, others): (Vec<_>, Vec<_>) = payments.iter().partition(is_paid);
    let owned = |bodies: Vec<&String>| bodies.into_iter().cloned().collect::<Vec<_>>();
    assert_in_order(&paid, &owned(invoices), |key| format!("cus_{key}"));
    assert_in_order(&updated, &owned(others), |key| format!("cus_{key}"));

    for record in &pushed {
        let body: serde_json::Value = serde_json::from_slice(&record.value)?;
        let id = format!("delivery-{}", body["number"]);
        assert_eq!(header(record, "ce_id"), Some(&*id));
        assert_eq!(header(record, "http_x-github-hook-id"), Some("7"));
        assert_eq!(header(record, "http_team"), Some("a b"));
        assert_eq!(header(record, "ce_source"), Some("urn:ringback:github"));
    }
    for record in &paid {
        let body: serde_json::Value = serde_json::from_slice(&record.value)?;
        assert_eq!(header(record, "ce_id"), body["id"].as_str());
        assert_eq!(header(record, "ce_type"), Some("stripe.invoice.paid"));
        assert_eq!(header(record, "ce_subject"), record.key.as_deref());
    }
    Ok(())
}
