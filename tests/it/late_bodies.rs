//! A body that comes a moment after its head, beside a flood of bodies on another source that takes all memory.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::server::{PATIENCE, Server, now_ms, post, signature};

/// Connections of the flood and the body of each of its requests, in bytes: three times the memory.
const FLOODERS: usize = 12;
const FLOOD_BODY: usize = 500_000;
const LISTEN: &str = "max_body = \"1MiB\"\nmax_in_flight = \"2MiB\"";
const EVENTS: u32 = 150;
/// Between the two packets of head and body.
const PAUSE: Duration = Duration::from_millis(2);
/// A body that is late for longer may be cut. Only a test that gets no processor is that late.
const TOLERATED: Duration = Duration::from_millis(900);

/// Posts forged bodies until `end`, so that nothing of the flood reaches the disk.
fn flood(relay: SocketAddr, end: &AtomicBool) {
    let body = "a".repeat(FLOOD_BODY).into_bytes();
    let forged = signature("another key", now_ms(), &body);
    let request = post("/webhook", &forged, &body);
    while !end.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(relay) else {
            // The test has failed, and the relay with it.
            return;
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
        while !end.load(Ordering::Relaxed) {
            // A refusal may close the connection before everything is sent.
            let sent = stream.write_all(&request);
            if sent.is_err() || !matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
                break;
            }
        }
    }
}

/// Requests of the flood that found no memory, or lost it to others.
fn short_of_memory(server: &Server) -> f64 {
    let reasons = ["body_stalled", "memory_exhausted"];
    reasons
        .map(|reason| server.refused("retell", reason))
        .iter()
        .sum()
}

#[test]
fn a_flood_costs_no_other_source_a_body_that_is_a_moment_late() {
    let server = Server::start(LISTEN, "");
    let end = Arc::new(AtomicBool::new(false));
    let flooders: Vec<_> = (0..FLOODERS)
        .map(|_| {
            let (relay, end) = (server.address, Arc::clone(&end));
            thread::spawn(move || flood(relay, &end))
        })
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while short_of_memory(&server) == 0.0 {
        assert!(Instant::now() < deadline, "memory never became short");
    }
    let before = short_of_memory(&server);
    let request = post(
        "/open",
        "",
        br#"{"event":"call_ended","call":{"call_id":"a"}}"#,
    );
    let body = request.len() - 45;
    let mut refused = Vec::new();
    for _ in 0..EVENTS {
        let mut stream = server.connect();
        stream
            .write_all(&request[..body])
            .expect("the head is sent");
        let sent = Instant::now();
        // The pause is what is tested.
        thread::sleep(PAUSE);
        stream
            .write_all(&request[body..])
            .expect("the body is sent");
        let late = sent.elapsed();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        if !answer.ends_with(b"204") && late < TOLERATED {
            refused.push(String::from_utf8_lossy(&answer).into_owned());
        }
    }
    let during = short_of_memory(&server) - before;
    end.store(true, Ordering::Relaxed);
    for flooder in flooders {
        flooder.join().expect("no flooder panics");
    }
    println!(
        "beside {during} requests of the flood without memory: {} of {EVENTS} refused",
        refused.len()
    );
    assert!(during > 0.0, "memory was not short");
    assert_eq!(refused, [""; 0]);
}
