//! How long connections may wait for their clients, and which of them give way when connections or memory run short.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::server::{PATIENCE, Server, limits, post, small_limits, until_closed};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const ACCEPTED: &str = "HTTP/1.1 204 No Content";

/// A relay with timeouts that no test reaches, but for those in `listen`.
fn relay(listen: &str) -> Server {
    Server::start(listen, "")
}

/// Posts an event on a connection that stays open; gives the answer's status line.
fn post_on(stream: &mut TcpStream) -> String {
    let request = post("/open", "", EVENT);
    stream.write_all(&request).expect("the connection is open");
    head(stream).lines().next().unwrap_or_default().to_owned()
}

/// The head of the next answer.
fn head(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it is answered");
        answer.push(byte[0]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// True if something can be read.
fn has_answer(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("it is a socket");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("it is a socket");
    peeked.is_ok_and(|read| read > 0)
}

/// All refusals and closes for a fault so far.
fn rejections(server: &Server) -> f64 {
    let page = server.admin("/metrics");
    let samples = page.lines().filter_map(|line| {
        let rest = line.strip_prefix("ringback_http_rejections_total{")?;
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    samples.sum()
}

#[test]
fn an_idle_connection_is_closed_after_its_own_timeout_and_that_is_no_rejection() {
    let server = relay("header_timeout = \"60s\"\nidle_timeout = \"1s\"");
    let mut idle = server.connect();
    assert_eq!(post_on(&mut idle), ACCEPTED);
    assert_eq!(until_closed(&mut idle), "");
    assert_eq!(rejections(&server), 0.0);
}

#[test]
fn an_idle_connection_outlives_the_time_for_a_head() {
    let server = relay("header_timeout = \"1s\"");
    let mut idle = server.connect();
    assert_eq!(post_on(&mut idle), ACCEPTED);
    let mut slow = server.connect();
    slow.write_all(b"POST /open HTTP/1.1\r\n")
        .expect("half a head is sent");
    assert_eq!(until_closed(&mut slow), "");
    assert_eq!(post_on(&mut idle), ACCEPTED);
    // The next head has as much time as the first.
    idle.write_all(b"POST /open HTTP/1.1\r\n")
        .expect("half a head is sent");
    assert_eq!(until_closed(&mut idle), "");
    assert_eq!(server.refused("", "header_timeout"), 2.0);
}

#[test]
fn the_longest_idle_connection_gives_way_to_a_new_one() {
    // So many that one look at them ranks several.
    let server = relay("max_connections = 40\nheader_timeout = \"60s\"");
    let mut waiting: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = server.connect();
            assert_eq!(post_on(&mut stream), ACCEPTED);
            stream
        })
        .collect();
    // The first is no longer the one that has been idle for longest.
    assert_eq!(post_on(&mut waiting[0]), ACCEPTED);
    let mut new = Vec::new();
    for longest_idle in [1, 2] {
        let mut stream = server.connect();
        assert_eq!(post_on(&mut stream), ACCEPTED);
        assert_eq!(until_closed(&mut waiting[longest_idle]), "");
        new.push(stream);
    }
    for stream in waiting.iter_mut().take(1).chain(&mut new) {
        assert_eq!(post_on(stream), ACCEPTED);
    }
    assert_eq!(rejections(&server), 0.0);
    server.logged("all connections that listen.max_connections permits are in use");
}

#[test]
fn a_busy_connection_ends_with_an_answer_if_a_new_one_waits() {
    let server = relay("max_connections = 1\nheader_timeout = \"60s\"");
    let mut busy = server.connect();
    assert_eq!(post_on(&mut busy), ACCEPTED);
    let request = post("/open", "", EVENT);
    let mut new = server.connect();
    new.write_all(&request).expect("the connection is open");
    let deadline = Instant::now() + PATIENCE;
    loop {
        busy.write_all(&request).expect("the connection is open");
        let answer = head(&mut busy);
        assert!(answer.starts_with(ACCEPTED), "{answer}");
        if answer.contains("connection: close\r\n") {
            break;
        }
        assert!(Instant::now() < deadline, "the new one is never served");
    }
    assert_eq!(until_closed(&mut busy), "");
    let answer = head(&mut new);
    assert!(answer.starts_with(ACCEPTED), "{answer}");
    // Nobody waits any more.
    assert!(!answer.contains("connection: close"), "{answer}");
}

#[test]
fn a_connection_whose_request_has_stalled_gives_way_to_a_new_one() {
    let server = relay("max_connections = 1\nheader_timeout = \"60s\"\nbody_timeout = \"60s\"");
    let mut head = server.connect();
    head.write_all(b"POST /open HTTP/1.1\r\n")
        .expect("half a head is sent");
    let mut new = server.connect();
    assert_eq!(post_on(&mut new), ACCEPTED);
    assert_eq!(until_closed(&mut head), "");
    assert_eq!(server.refused("", "header_timeout"), 1.0);
    let request = post("/open", "", EVENT);
    new.write_all(&request[..request.len() - 1])
        .expect("most of a body is sent");
    let mut newer = server.connect();
    assert_eq!(post_on(&mut newer), ACCEPTED);
    let answer = until_closed(&mut new);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(server.refused("open", "body_stalled"), 1.0);
}

#[test]
fn a_stalling_body_gives_its_memory_to_an_event_that_needs_it() {
    let server = small_limits();
    let large = post(
        "/open",
        "",
        &[&EVENT[..1], &[b' '; 50_000], &EVENT[1..]].concat(),
    );
    let mut halves = Vec::new();
    for held in [40_000.0, 80_000.0] {
        let mut half = server.connect();
        half.write_all(&large[..45_000]).expect("the half is sent");
        while server.sample("ringback_http_body_bytes") < held {
            std::thread::yield_now();
        }
        halves.push(half);
    }
    // Memory for the bodies' limit of 64 KiB and one head of that size: it does not hold three of 50 KB.
    let mut good = server.connect();
    good.write_all(&large).expect("it is sent");
    let mut status = [0; ACCEPTED.len()];
    good.read_exact(&mut status).expect("it is answered");
    assert_eq!(status, ACCEPTED.as_bytes());
    let cut = loop {
        if let Some(cut) = halves.iter().position(has_answer) {
            break cut;
        }
        std::thread::yield_now();
    };
    let answer = until_closed(&mut halves[cut]);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let kept = &mut halves[1 - cut];
    kept.write_all(&large[45_000..])
        .expect("the other half is sent");
    kept.read_exact(&mut status).expect("it is answered");
    assert_eq!(status, ACCEPTED.as_bytes());
    assert_eq!(server.refused("open", "body_stalled"), 1.0);
    assert_eq!(rejections(&server), 1.0);
}

#[test]
fn a_client_that_sends_all_of_a_refused_body_reads_the_answer() {
    let server = limits("60s", "60s");
    let body = vec![b' '; 9 * 1024 * 1024];
    let chunked = {
        let head = "POST /open HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
        let length = format!("{:x}\r\n", body.len());
        [head.as_bytes(), length.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
    };
    for (request, status) in [
        (post("/open", "", &body), 413),
        (chunked, 413),
        (post("/nowhere", "", &body), 404),
    ] {
        let mut stream = server.connect();
        stream
            .write_all(&request)
            .expect("the relay reads all of it");
        let answer = until_closed(&mut stream);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    assert_eq!(server.refused("open", "body_too_large"), 2.0);
}

#[test]
fn a_refused_body_without_an_end_is_cut_off() {
    let server = limits("60s", "60s");
    let mut stream = server.connect();
    let head = "POST /open HTTP/1.1\r\nHost: t\r\nContent-Length: 8589934592\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("the head is sent");
    let chunk = vec![b' '; 1024 * 1024];
    let sent = (0..1024).take_while(|_| stream.write_all(&chunk).is_ok());
    // The kernel's buffers hold some MiB besides what the relay reads.
    assert!(sent.count() < 128);
}

#[test]
fn a_shutdown_without_descriptors_serves_whoever_waits_to_be_accepted() {
    let server = relay("");
    let request = post("/open", "Connection: close\r\n", EVENT);
    let (most, rest) = request.split_at(request.len() - 1);
    // The journal has its segment from now on.
    assert!(server.exchange(&request).starts_with(ACCEPTED));
    let connect = |sent: &[u8]| {
        let mut stream = server.connect();
        stream.write_all(sent).expect("it is open");
        stream
    };
    let running = [(); 5].map(|()| connect(most));
    while server.sample("ringback_http_connections") < 5.0 {}
    let id = server.id();
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).expect("it runs");
    let limit = Some(open.count() as u64);
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    let pid = Pid::from_raw(id.try_into().expect("a process id"));
    prlimit(pid, Resource::Nofile, limit).expect("a limit can be lowered");
    let waiting = [(); 40].map(|()| connect(&request));
    server.logged("cannot accept connections");
    server.terminate();
    server.logged("shutting down");
    for mut stream in running {
        // On a slow machine it may have been cut off because its body stalls, which makes room as well.
        let _ = stream.write_all(rest);
        assert!(until_closed(&mut stream).starts_with("HTTP/1.1 "));
    }
    for mut stream in waiting {
        let answer = until_closed(&mut stream);
        assert!(answer.starts_with(ACCEPTED), "{answer}");
    }
    assert_eq!(server.wait().code(), Some(0));
}
