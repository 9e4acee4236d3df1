//! Stripe, GitHub and Slack by their presets, signed, the last two added while the relay runs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use libtest_mimic::Failed;
use sha2::Sha256;

use crate::support::cluster::Cluster;
use crate::support::relay::{Relay, Site};
use crate::support::topic;
use crate::support::{PATIENCE, eventually};

const MAIN: &str = "presets";
const CODE: &str = "presets-code";
const CHAT: &str = "presets-chat";

/// A sender's event, and what its record must have.
struct Sent {
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: &'static str,
    topic: &'static str,
    key: &'static str,
    kind: &'static str,
    id: &'static str,
}

fn source(name: &str, key: &str, topic: Option<&str>) -> String {
    let topic = topic.map(|topic| format!("topic = \"{topic}\"\n"));
    format!(
        "[[source]]\nname = \"{name}\"\npath = \"/{name}\"\npreset = \"{name}\"\nkeys = [{{ file = {key:?} }}]\n{}",
        topic.unwrap_or_default()
    )
}

fn hmac(secret: &str, parts: &[&str]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    for part in parts {
        mac.update(part.as_bytes());
    }
    hex::encode(mac.finalize().into_bytes())
}

/// One event of each sender, signed with this secret as it documents.
fn events(secret: &str) -> [Sent; 3] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.expect("after 1970").as_secs().to_string();
    let stripe = r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"id":"in_1"}}}"#;
    let github = r#"{"action":"opened","repository":{"full_name":"o/r"}}"#;
    let slack = r#"{"type":"event_callback","event_id":"Ev1","team_id":"T1","event":{"type":"message","channel":"C1"}}"#;
    let stripe_signature = hmac(secret, &[&seconds, ".", stripe]);
    [
        Sent {
            path: "/stripe",
            headers: vec![(
                "Stripe-Signature",
                format!("t={seconds},v1={stripe_signature}"),
            )],
            body: stripe,
            topic: MAIN,
            key: "in_1",
            kind: "stripe.invoice.paid",
            id: "evt_1",
        },
        Sent {
            path: "/github",
            headers: vec![
                ("X-GitHub-Event", String::from("issues")),
                ("X-GitHub-Delivery", String::from("72d3162e")),
                ("Content-Type", String::from("application/json")),
                (
                    "X-Hub-Signature-256",
                    format!("sha256={}", hmac(secret, &[github])),
                ),
            ],
            body: github,
            topic: CODE,
            key: "o/r",
            kind: "github.issues",
            id: "72d3162e",
        },
        Sent {
            path: "/slack",
            headers: vec![
                (
                    "X-Slack-Signature",
                    format!("v0={}", hmac(secret, &["v0:", &seconds, ":", slack])),
                ),
                ("X-Slack-Request-Timestamp", seconds),
            ],
            body: slack,
            topic: CHAT,
            key: "C1",
            kind: "slack.message",
            id: "Ev1",
        },
    ]
}

fn post(relay: &Relay, sent: &Sent) -> String {
    let mut stream = TcpStream::connect(relay.address).expect("the relay listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    let headers = sent.headers.iter();
    let headers = headers.map(|(name, value)| format!("{name}: {value}\r\n"));
    write!(
        stream,
        "POST {} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n{}",
        sent.path,
        sent.body.len(),
        headers.collect::<String>(),
        sent.body
    )
    .expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer comes");
    answer
}

pub fn end_to_end(cluster: &Cluster) -> Result<(), Failed> {
    const SECRET: &str = "a secret that all three share";
    for topic in [MAIN, CODE, CHAT] {
        cluster.topic(topic, 3, &[]);
    }
    let key = tempfile::NamedTempFile::new()?;
    std::fs::write(key.path(), SECRET)?;
    let key = key.path().display().to_string();
    let site = Site::new(cluster, MAIN, "");
    site.add(&source("stripe", &key, None));
    let relay = site.start();
    let [stripe, github, slack] = events(SECRET);
    assert!(post(&relay, &stripe).starts_with("HTTP/1.1 204 "));
    assert!(post(&relay, &github).starts_with("HTTP/1.1 404 "));
    // Two topics that the running producer does not know.
    site.add(&source("github", &key, Some(CODE)));
    site.add(&source("slack", &key, Some(CHAT)));
    eventually("the sources are taken", || {
        relay.metric("ringback_config_reloads_total{result=\"success\"}") > 0.0
    });
    for sent in [&github, &slack] {
        let answer = post(&relay, sent);
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    }
    for forged in events("another secret") {
        let answer = post(&relay, &forged);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    relay.await_drained();
    for sent in [stripe, github, slack] {
        let records = topic::read_until(&cluster.bootstrap, sent.topic, |records| {
            !records.is_empty()
        });
        let [record] = &records[..] else {
            return Err(format!("{} has {} records", sent.topic, records.len()).into());
        };
        assert_eq!(record.value, sent.body.as_bytes());
        assert_eq!(record.key.as_deref(), Some(sent.key));
        assert_eq!(record.headers["ce_type"], sent.kind);
        assert_eq!(record.headers["ce_id"], sent.id);
    }
    Ok(())
}
