//! Kafka's credentials change under a running relay.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::mock_kafka::MockKafka;
use crate::support::server::Server;

fn await_rebuilds(server: &Server, count: u32) {
    let line = format!("ringback_publish_rebuilds_total {count}\n");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !server.admin("/metrics").contains(&line) {
        assert!(Instant::now() < deadline, "no {count} rebuilds");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_changed_secret_and_sighup_replace_the_producer_and_what_is_no_secret_leaves_the_last() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let password = folder.path().join("password");
    fs::write(&password, "first").expect("it can be written");
    let kafka = MockKafka::start();
    // The mock does not ask for a password; the test checks only that it is read.
    let secret = format!("{{ file = {password:?} }}");
    let config = format!(
        "{}\"\n\"sasl.password\" = {secret}\n\"client.id\" = \"ringback",
        kafka.bootstrap
    );
    let server = Server::start_in(folder.path(), &config, "", "");
    let body = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
    assert_eq!(server.post(body), 204);
    kafka.read(1);

    fs::write(&password, "second").expect("it can be written");
    server.logged("a file of [kafka.client] has changed");
    server.logged("a secret of [kafka.client] has a new value");
    await_rebuilds(&server, 1);
    assert_eq!(server.post(body), 204);
    kafka.read(2);

    fs::write(&password, "\"third\"\n").expect("it can be written");
    server.reload();
    let line = server.logged("its last value stays");
    assert!(line.contains("password has quotes around it"), "{line}");
    assert_eq!(server.post(body), 204);
    kafka.read(3);
    let log = server.log().join("\n");
    for secret in ["first", "second", "third"] {
        assert!(!log.contains(secret), "{log}");
    }
}
