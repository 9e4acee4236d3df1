//! `listen.health_path`: a load balancer asks the webhook port itself whether it may send.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::Instant;

use crate::support::server::{PATIENCE, Server, post, until_closed, write_config};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const SETTING: &str = "health_path = \"/healthz\"";

fn ask(server: &Server, method: &str, path: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    server.exchange(request.as_bytes())
}

#[test]
fn get_and_head_answer_readiness_and_are_neither_counted_nor_logged() {
    let server = Server::start(SETTING, "");
    for _ in 0..20 {
        let answer = ask(&server, "GET", "/healthz?from=balancer");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
    }
    let answer = ask(&server, "HEAD", "/healthz/");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-length: 3\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let counted = server.admin("/metrics");
    let counted = counted.lines().filter(|line| {
        line.starts_with("ringback_http_requests_total")
            || line.starts_with("ringback_http_rejections_total")
    });
    let counted: Vec<_> = counted.filter(|line| !line.ends_with(" 0")).collect();
    assert!(counted.is_empty(), "{counted:?}");
    let log = server.log();
    assert!(log.iter().all(|line| !line.contains("healthz")), "{log:#?}");

    // It is a path for health checks alone.
    let answer = server.exchange(&post("/healthz", "Connection: close\r\n", EVENT));
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    server.await_refused("", "unknown_path", 1.0);
}

#[test]
fn it_turns_while_the_listener_is_still_open_at_the_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), "127.0.0.1:1", SETTING, "");
    let text = fs::read_to_string(&config).expect("it was written");
    let text = text.replace("readiness_delay = \"0s\"", "readiness_delay = \"10m\"");
    fs::write(&config, text).expect("it can be written");
    let server = Server::start_with(&config);
    assert!(ask(&server, "GET", "/healthz").starts_with("HTTP/1.1 200 "));
    server.terminate();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(&server, "GET", "/healthz");
        if answer.starts_with("HTTP/1.1 503 ") {
            assert!(answer.ends_with("\r\n\r\nnot ready\n"), "{answer}");
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
    }
    // Events are still accepted.
    assert_eq!(server.post(EVENT), 204);
}

#[test]
fn it_is_answered_while_connections_run_short() {
    let listen = format!("{SETTING}\nmax_connections = 2\nheader_timeout = \"60s\"");
    let server = Server::start(&listen, "");
    let mut idle: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut idle {
        stream
            .write_all(&post("/open", "", EVENT))
            .expect("it is sent");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("it is answered");
        assert_eq!(&status, b"HTTP/1.1 204");
    }
    assert!(ask(&server, "GET", "/healthz").starts_with("HTTP/1.1 200 "));
    until_closed(&mut idle[0]);
    // Nor does it take an event's place.
    assert_eq!(server.post(EVENT), 204);
}
