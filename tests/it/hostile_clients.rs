//! Good events beside clients that hold connections and memory: slow heads, slow bodies, idle, half-closed and never
//! reading ones. Whatever they do, each good event is answered 204.
//!
//! The short form counts, on a relay whose memory the slow bodies would fill. `RINGBACK_TEST_LONG=1` has a thousand
//! hostile connections for 40 s beside 300 events a second under the default limits, and measures time and memory.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::server::{PATIENCE, Server, post, raise_descriptor_limit};

/// Senders of good events, each with one connection: so many that a slow answer delays no other sender's event.
const SENDERS: u32 = 30;
/// Between two bytes of a client that drips.
const DRIP: Duration = Duration::from_millis(200);
/// Before a hostile client that was closed comes back.
const RETURN: Duration = Duration::from_secs(1);

/// Hostile clients of each kind, good events of each sender, and the time between two of these.
struct Scale {
    hostile: usize,
    events: u32,
    pace: Duration,
}

const SHORT: Scale = Scale {
    hostile: 40,
    events: 10,
    pace: Duration::from_millis(10),
};
const LONG: Scale = Scale {
    hostile: 200,
    events: 400,
    pace: Duration::from_millis(100),
};

#[derive(Debug, Clone, Copy)]
enum Kind {
    SlowHead,
    SlowBody,
    Idle,
    HalfClosed,
    NeverReading,
}

const KINDS: [Kind; 5] = [
    Kind::SlowHead,
    Kind::SlowBody,
    Kind::Idle,
    Kind::HalfClosed,
    Kind::NeverReading,
];

/// Comes back whenever the relay closes its connection.
async fn be_hostile(kind: Kind, relay: SocketAddr) {
    loop {
        // However the connection ends is the relay's decision; the good senders show whether that was right.
        let _ = once(kind, relay).await;
        sleep(RETURN).await;
    }
}

async fn once(kind: Kind, relay: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    if let Kind::NeverReading = kind {
        socket.set_recv_buffer_size(4096)?;
    }
    let mut stream = socket.connect(relay).await?;
    match kind {
        Kind::SlowHead => {
            stream.write_all(b"POST /open HTTP/1.1\r\nX: ").await?;
            drip(&mut stream).await
        }
        Kind::SlowBody => {
            let head = b"POST /open HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n";
            stream.write_all(head).await?;
            stream.write_all(&[b' '; 128 * 1024]).await?;
            drip(&mut stream).await
        }
        Kind::Idle => {
            stream
                .write_all(&post("/open", "", b"{\"event\":\"idle\"}"))
                .await?;
            until_closed(&mut stream).await
        }
        Kind::HalfClosed => {
            let request = post("/open", "", &[b' '; 1000]);
            stream.write_all(&request[..500]).await?;
            stream.shutdown().await?;
            until_closed(&mut stream).await
        }
        Kind::NeverReading => {
            let requests = post("/nowhere", "", b"").repeat(100);
            loop {
                stream.write_all(&requests).await?;
                sleep(DRIP / 10).await;
            }
        }
    }
}

async fn drip(stream: &mut TcpStream) -> io::Result<()> {
    loop {
        sleep(DRIP).await;
        stream.write_all(b" ").await?;
    }
}

async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    let mut scratch = [0; 1024];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

/// Posts `events` events on one connection; gives each answer's status line and time.
async fn be_good(
    sender: u32,
    events: u32,
    pace: Duration,
    relay: SocketAddr,
) -> io::Result<Vec<(String, Duration)>> {
    let mut stream = TcpStream::connect(relay).await?;
    let mut answers = Vec::new();
    // Not all senders at the same moments.
    sleep(pace * sender / SENDERS).await;
    for number in 0..events {
        let text = "a".repeat(7000);
        let id = format!("{sender}-{number}");
        let event =
            format!(r#"{{"event":"call_ended","call":{{"call_id":"{id}","text":"{text}"}}}}"#);
        let begun = Instant::now();
        stream
            .write_all(&post("/open", "", event.as_bytes()))
            .await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut answer).await? == 0 {
                let answer = String::from_utf8_lossy(&answer);
                return Err(io::Error::other(format!("closed after {answer:?}")));
            }
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.lines().next().unwrap_or_default().to_owned();
        answers.push((status, begun.elapsed()));
        sleep(pace.saturating_sub(begun.elapsed())).await;
    }
    Ok(answers)
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
}

/// The largest resident size that the process has had, in MiB.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes
        .expect("Linux reports it")
        .parse()
        .expect("a number");
    kibibytes / 1024
}

#[test]
fn each_good_event_is_answered_204_beside_hostile_clients_of_all_kinds() {
    raise_descriptor_limit();
    let is_long = std::env::var_os("RINGBACK_TEST_LONG").is_some();
    let (scale, server) = if is_long {
        (LONG, Server::start("", ""))
    } else {
        // Half of the slow bodies would fill this.
        let listen = "max_body = \"1MiB\"\nmax_in_flight = \"3MiB\"";
        (SHORT, Server::start(listen, ""))
    };
    let relay = server.address;
    // On a thread of their own, so that they take no time of the good senders.
    let hostile = runtime();
    for kind in KINDS {
        for _ in 0..scale.hostile {
            hostile.spawn(be_hostile(kind, relay));
        }
    }
    if !is_long {
        // Memory is full from the first event on.
        let deadline = Instant::now() + PATIENCE;
        while server.sample("ringback_http_body_bytes") < 2_500_000.0 {
            assert!(Instant::now() < deadline, "the slow bodies never came");
        }
    }
    let begun = Instant::now();
    let mut answers = runtime().block_on(async {
        let mut good = JoinSet::new();
        for sender in 0..SENDERS {
            good.spawn(be_good(sender, scale.events, scale.pace, relay));
        }
        let all = good.join_all().await.into_iter();
        let all = all.map(|answers| answers.expect("no good connection is closed"));
        all.flatten().collect::<Vec<_>>()
    });
    drop(hostile);
    assert_eq!(answers.len(), (SENDERS * scale.events) as usize);
    for (status, _) in &answers {
        assert_eq!(status, "HTTP/1.1 204 No Content");
    }
    assert!(server.refused("open", "body_stalled") > 0.0 || is_long);
    answers.sort_by_key(|(_, time)| *time);
    let p99 = answers[answers.len() * 99 / 100].1;
    let memory = peak_memory(server.id());
    let (count, time) = (answers.len(), begun.elapsed());
    println!("{count} events in {time:.1?}: p99 {p99:?}, memory {memory} MiB");
    if is_long {
        assert!(p99 < Duration::from_millis(250), "p99 is {p99:?}");
        assert!(memory < 160, "{memory} MiB");
    }
}
