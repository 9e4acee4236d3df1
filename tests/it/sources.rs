//! Other senders than Retell AI, by configuration alone: where a name, a key and an id are, which topic, what is carried, and who
//! may send.

use std::path::Path;
use std::process::Command;

use crate::support::mock_kafka::{MockKafka, OTHER_TOPIC, TOPIC};
use crate::support::server::{Server, post};

const SOURCES: &str = r#"
[[source]]
name = "stripe"
path = "/stripe"
verify = "none"
event_pointer = "/type"
key_pointers = ["/data/object/id"]
id_pointer = "/id"
topic = "another-topic"
topics = { "charge.refunded" = "retell-events" }
max_body = "1KiB"
[[source]]
name = "github"
path = "/github"
verify = "none"
event_header = "X-GitHub-Event"
key_header = "X-GitHub-Hook-ID"
id_header = "X-GitHub-Delivery"
carry = ["X-GitHub-Hook-Installation-Target-Type", "?team", "ce_id", "X-Gone"]
[[source]]
name = "sms"
path = "/sms"
verify = "none"
key_header = "X-From"
content_types = ["application/json", "+json"]
[[source]]
name = "closed"
path = "/closed"
verify = "none"
allow = ["192.0.2.0/24", "2001:db8::/32"]
"#;

const STRIPE: [&str; 2] = [
    r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"id":"in_1"}}}"#,
    r#"{"id":"evt_2","type":"charge.refunded","data":{"object":{"id":"ch_1"}}}"#,
];
const GITHUB: &str = "X-GitHub-Event: push\r\nX-GitHub-Hook-ID: 7\r\n\
    X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\nX-GitHub-Hook-Installation-Target-Type: repository\r\n\
    CE_ID: forged\r\nX-Other: unlisted\r\n";
const DELIVERY: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn start(folder: &Path, bootstrap: &str) -> Server {
    std::fs::write(folder.join("more.toml"), SOURCES).expect("the folder is there");
    let listen = "trusted_proxies = [\"127.0.0.1/32\"]\nmax_body = \"64KiB\"";
    Server::start_in(
        folder,
        bootstrap,
        listen,
        "segment_size = \"1MiB\"\nbudget = \"4MiB\"",
    )
}

fn send(server: &Server, path: &str, more: &str, body: &str) -> String {
    let more = format!("{more}Connection: close\r\n");
    server.exchange(&post(path, &more, body.as_bytes()))
}

fn accept(server: &Server, path: &str, more: &str, body: &str, id: &str) {
    let answer = send(server, path, more, body);
    assert!(answer.starts_with("HTTP/1.1 204 "), "{path}: {answer}");
    assert!(
        answer.contains(&format!("ringback-id: {id}\r\n")),
        "{answer}"
    );
}

fn hash(body: &str) -> String {
    hex::encode(&blake3::hash(body.as_bytes()).as_bytes()[..16])
}

#[test]
fn each_event_gets_its_name_key_id_and_topic_by_configuration_alone() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(folder.path(), &kafka.bootstrap);
    accept(&server, "/stripe", "", STRIPE[0], "evt_1");
    accept(&server, "/stripe", "", STRIPE[1], "evt_2");
    accept(
        &server,
        "/github?team=a%20b&other=1",
        GITHUB,
        "{}",
        DELIVERY,
    );
    let form = "From=%2B1&Body=%ff";
    accept(
        &server,
        "/sms",
        &format!("{FORM}X-From: +1\r\n"),
        form,
        &hash(form),
    );

    let [invoice] = &kafka.read_topic(OTHER_TOPIC, 1)[..] else {
        panic!("one record was asked for");
    };
    assert_eq!(invoice.value, STRIPE[0].as_bytes());
    assert_eq!(invoice.key.as_deref(), Some("in_1"));
    assert_eq!(invoice.header("ce_type"), Some("stripe.invoice.paid"));
    assert_eq!(invoice.header("ce_id"), Some("evt_1"));

    let arrived = kafka.read_topic(TOPIC, 3);
    let seen: Vec<_> = arrived
        .iter()
        .map(|record| {
            let header = |name| record.header(name).unwrap_or_default();
            (header("ce_type"), record.key.as_deref(), header("ce_id"))
        })
        .collect();
    let of_form = hash(form);
    assert_eq!(
        seen,
        [
            ("stripe.charge.refunded", Some("ch_1"), "evt_2"),
            ("github.push", Some("7"), DELIVERY),
            ("sms.none", Some("+1"), of_form.as_str()),
        ]
    );
    assert_eq!(
        arrived[2].value,
        form.as_bytes(),
        "a form is published as it is"
    );
    assert_eq!(
        arrived[2].header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    let carried: Vec<_> = arrived[1]
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("http_"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        carried,
        [
            ("http_x-github-hook-installation-target-type", "repository"),
            ("http_team", "a b"),
            ("http_ce_id", "forged"),
        ]
    );
    assert_eq!(
        arrived[1]
            .headers
            .iter()
            .filter(|(name, _)| name == "ce_id")
            .count(),
        1
    );

    let dump = Command::new(env!("CARGO_BIN_EXE_ringback"))
        .args(["journal", "dump", "--json", "--path"])
        .arg(folder.path().join("journal"))
        .output()
        .expect("the binary runs");
    let dump = String::from_utf8(dump.stdout).expect("JSON is text");
    assert!(dump.contains(r#"["team","a b"]"#), "{dump}");
}

#[test]
fn what_cannot_be_carried_is_left_out_and_counted_and_the_event_is_kept() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(folder.path(), &kafka.bootstrap);
    let path = "/github?team=%00&team=a%0d%0ace_id:x&team=%ff&team=ok";
    accept(&server, path, GITHUB, "{}", DELIVERY);
    let arrived = kafka.read_topic(TOPIC, 1);
    let teams: Vec<_> = arrived[0]
        .headers
        .iter()
        .filter(|(name, _)| name == "http_team")
        .collect();
    assert_eq!(teams, [&(String::from("http_team"), String::from("ok"))]);
    assert_eq!(
        server.sample("ringback_carry_left_out_total{source=\"github\"}"),
        3.0
    );
}

#[test]
fn an_address_that_is_not_allowed_is_answered_403_before_its_body_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(folder.path(), "127.0.0.1:1");
    let event = r#"{"event":"e"}"#;
    for allowed in [
        "192.0.2.7",
        "2001:db8::1",
        "6.6.6.6, 192.0.2.7",
        "::ffff:192.0.2.7",
    ] {
        let more = format!("X-Forwarded-For: {allowed}\r\n");
        accept(&server, "/closed", &more, event, &hash(event));
    }
    for other in [
        "",
        "X-Forwarded-For: 192.0.3.7\r\n",
        "X-Forwarded-For: 192.0.2.7, 9.9.9.9\r\n",
    ] {
        let answer = send(&server, "/closed", other, event);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{other}: {answer}");
        assert!(
            answer.contains("urn:ringback:problem:address_not_allowed"),
            "{answer}"
        );
    }
    // The body is announced, and never sent.
    let head = "POST /closed HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let refused =
        "ringback_http_rejections_total{reason=\"address_not_allowed\",source=\"closed\"}";
    assert_eq!(server.sample(refused), 4.0);
}

#[test]
fn a_source_has_a_body_limit_of_its_own_and_only_its_json_must_be_json() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = start(folder.path(), "127.0.0.1:1");
    let large = format!("{{\"type\":\"t\",\"x\":\"{}\"}}", "x".repeat(1024));
    let answer = send(&server, "/stripe", "", &large);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let event = large.replace("type", "event");
    accept(&server, "/open", "", &event, &hash(&event));
    let json = "Content-Type: application/vnd.x+json; charset=utf-8\r\n";
    for (more, status) in [(json, "400"), ("", "400"), (FORM, "204")] {
        let answer = send(&server, "/sms", more, "a=b");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{more}: {answer}"
        );
    }
    // From anybody only events are taken: JSON has a name where it is expected.
    let answer = send(&server, "/github", "", "{}");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
