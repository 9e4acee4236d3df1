//! Floods of HTTP/2 frames, as raw bytes, because no client library sends them: whatever comes, good events are answered 204
//! and memory stays bounded.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::server::{PATIENCE, Server};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frame types (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// The head is complete.
const END_HEADERS: u8 = 4;
/// POST, http, "/" of the static table, and an authority (RFC 7541): the answer is 404.
const HEAD: &[u8] = b"\x83\x86\x84\x01\x01t";
/// Bytes of one attack, far beyond what the connection's buffers and the kernel's hold.
const FLOOD: usize = 24 << 20;
/// Once nothing can be written for so long, the relay does not read any more, because its answers are not read.
const BLOCKED: Duration = Duration::from_secs(1);
/// Memory that one relay may need for all of these attacks, in MiB: two floods would not fit.
const MEMORY: u64 = 48;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// How a flood ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The relay closed the connection.
    Closed,
    /// The relay stopped reading.
    Blocked,
    /// The relay took all of it.
    Taken,
}

/// Sends what `attack` makes of 0, 1, 2, …, and reads nothing. Gives up once nothing can be written for `patience`.
fn flood(server: &Server, patience: Duration, attack: impl Fn(u32) -> Vec<u8>) -> (End, TcpStream) {
    let mut stream = server.connect();
    stream.set_write_timeout(Some(patience)).expect("a bound");
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&opening).expect("it listens");
    let mut sent = 0;
    let mut steps = 0..;
    while sent < FLOOD {
        let batch: Vec<u8> = steps.by_ref().take(1_000).flat_map(&attack).collect();
        sent += batch.len();
        if let Err(error) = stream.write_all(&batch) {
            let is_blocked = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            let end = if is_blocked {
                End::Blocked
            } else {
                End::Closed
            };
            return (end, stream);
        }
    }
    (End::Taken, stream)
}

/// The stream of the nth request.
fn request(step: u32) -> u32 {
    2 * step + 1
}

/// A connection's bytes: a window of no bytes for answers, and a hundred requests whose answers have some.
pub fn stalled_windows() -> Vec<u8> {
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    let requests = (0..100).flat_map(|step| frame(HEADERS, END_HEADERS | 1, request(step), HEAD));
    opening.into_iter().chain(requests).collect()
}

fn assert_unharmed(server: &Server, attack: &str) {
    assert_eq!(server.post(br#"{"event":"good"}"#), 204, "after {attack}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()));
    let status = status.expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.trim().strip_suffix(" kB"));
    let peak: u64 = peak.expect("Linux reports it").parse().expect("a number");
    assert!(peak >> 10 < MEMORY, "{attack} took {} MiB", peak >> 10);
}

#[test]
fn a_flood_of_frames_is_cut_off_or_takes_nothing_from_others() {
    let server = Server::start("", "");
    assert_unharmed(&server, "nothing");
    // Each is kept until the end: an attacker would not let go either.
    let mut held = Vec::new();
    let mut attack = |name: &str, must_close: bool, make: &dyn Fn(u32) -> Vec<u8>| {
        let patience = if must_close { PATIENCE } else { BLOCKED };
        let (end, stream) = flood(&server, patience, make);
        assert!(!must_close || end == End::Closed, "{name}: {end:?}");
        assert_unharmed(&server, name);
        held.push(stream);
    };
    let reset = |stream| frame(RST_STREAM, 0, stream, &8u32.to_be_bytes());
    attack("rapid reset", true, &|step| {
        let head = frame(HEADERS, END_HEADERS, request(step), HEAD);
        [head, reset(request(step))].concat()
    });
    attack("a head without an end", true, &|step| match step {
        0 => frame(HEADERS, 0, 1, HEAD),
        _ => frame(CONTINUATION, 0, 1, b"\0\x01a\x01b"),
    });
    attack("empty continuations", true, &|step| match step {
        0 => frame(HEADERS, 0, 1, HEAD),
        _ => frame(CONTINUATION, 0, 1, b""),
    });
    attack("settings", false, &|_| {
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])
    });
    attack("pings", false, &|_| frame(PING, 0, 0, &[7; 8]));
    attack("streams without an end", true, &|step| {
        frame(HEADERS, END_HEADERS, request(step), HEAD)
    });
    attack("empty data", true, &|step| match step {
        0 => frame(HEADERS, END_HEADERS, 1, HEAD),
        _ => frame(DATA, 0, 1, b""),
    });
    attack("windows that overflow", true, &|_| {
        frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())
    });
}

#[test]
fn answers_that_nobody_takes_cost_little_and_their_connections_end() {
    let server = Server::start("header_timeout = \"1s\"\nidle_timeout = \"1s\"", "");
    let attack = stalled_windows();
    let connections: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(&attack).expect("it listens");
            stream
        })
        .collect();
    assert_unharmed(&server, "stalled windows");
    for mut stream in connections {
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("a stalled connection stayed open: {error}"),
        }
    }
    assert_unharmed(&server, "stalled windows that were closed");
}
