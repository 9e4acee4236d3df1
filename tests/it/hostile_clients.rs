//! Good signed events beside clients that hold connections and memory: slow heads, slow bodies, stalled HTTP/2 windows,
//! garbage, half TLS handshakes, idle, half-closed and never reading ones. Whatever they do, each good event is answered 204.
//!
//! The short form counts, on a relay whose memory the slow bodies would fill. `RINGBACK_TEST_LONG=1` has 2,000 hostile
//! connections for a minute beside 500 events a second, over TLS and under the default limits. It compares their times with
//! those of as many events without any hostile connection, and measures memory.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::hostile_http2::stalled_windows;
use crate::support::certificates::{Authority, Files, server_name};
use crate::support::server::{
    KEY, PATIENCE, Server, now_ms, post, raise_descriptor_limit, signature,
};

/// Senders of good events, each with one connection: so many that a slow answer delays no other sender's event.
const SENDERS: u32 = 50;
/// Between two bytes of a client that drips.
const DRIP: Duration = Duration::from_millis(200);
/// Before a hostile client that was closed comes back.
const RETURN: Duration = Duration::from_secs(1);

/// The hostile clients of the long form come within this time: together they would be closed and come back together, too.
const ARRIVAL: Duration = Duration::from_secs(10);

/// Hostile clients of each kind, good events of each sender, and the time between two of these.
struct Scale {
    kinds: &'static [Kind],
    hostile: usize,
    events: u32,
    pace: Duration,
}

const SHORT: Scale = Scale {
    kinds: &KINDS,
    hostile: 40,
    events: 6,
    pace: Duration::from_millis(10),
};
/// Of those that hold something. The others keep the relay busy, which shows how fast the machine is.
const LONG: Scale = Scale {
    kinds: KINDS.first_chunk::<5>().expect("there are eight"),
    hostile: 400,
    events: 600,
    pace: Duration::from_millis(100),
};

#[derive(Debug, Clone, Copy)]
enum Kind {
    SlowHead,
    SlowBody,
    StalledWindow,
    Garbage,
    HalfHandshake,
    Idle,
    HalfClosed,
    NeverReading,
}

const KINDS: [Kind; 8] = [
    Kind::SlowHead,
    Kind::SlowBody,
    Kind::StalledWindow,
    Kind::Garbage,
    Kind::HalfHandshake,
    Kind::Idle,
    Kind::HalfClosed,
    Kind::NeverReading,
];

/// A socket, or TLS over it.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The relay's webhook port.
#[derive(Clone)]
struct Relay {
    address: SocketAddr,
    /// For HTTP/1.1 and for HTTP/2, if the port speaks TLS.
    tls: Option<[TlsConnector; 2]>,
}

impl Relay {
    async fn connect(&self, kind: Option<Kind>) -> io::Result<Box<dyn Stream>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(Kind::NeverReading) = kind {
            socket.set_recv_buffer_size(4096)?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let is_raw = matches!(kind, Some(Kind::Garbage | Kind::HalfHandshake));
        let Some([one, two]) = self.tls.as_ref().filter(|_| !is_raw) else {
            return Ok(Box::new(stream));
        };
        let is_http2 = matches!(kind, Some(Kind::StalledWindow));
        let connector = if is_http2 { two } else { one };
        Ok(Box::new(connector.connect(server_name(), stream).await?))
    }
}

/// Comes within this time, and back whenever the relay closes its connection.
async fn be_hostile(kind: Kind, relay: Relay, arrival: Duration) {
    sleep(arrival.mul_f64(rand::random())).await;
    loop {
        // However the connection ends is the relay's decision; the good senders show whether that was right.
        let _ = once(kind, &relay).await;
        sleep(RETURN).await;
    }
}

async fn once(kind: Kind, relay: &Relay) -> io::Result<()> {
    let mut stream = relay.connect(Some(kind)).await?;
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
        Kind::StalledWindow => {
            stream.write_all(&stalled_windows()).await?;
            until_closed(&mut stream).await
        }
        Kind::Garbage => {
            let garbage: [u8; 512] = rand::random();
            stream.write_all(&garbage).await?;
            until_closed(&mut stream).await
        }
        Kind::HalfHandshake => {
            // The header of a record that never comes whole.
            stream.write_all(&[22, 3, 1, 2, 0, 1]).await?;
            until_closed(&mut stream).await
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

async fn drip(stream: &mut Box<dyn Stream>) -> io::Result<()> {
    loop {
        sleep(DRIP).await;
        stream.write_all(b" ").await?;
    }
}

async fn until_closed(stream: &mut Box<dyn Stream>) -> io::Result<()> {
    let mut scratch = [0; 1024];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

/// Posts `events` events on one connection; gives each answer's status line and time.
async fn be_good(
    sender: u32,
    events: u32,
    pace: Duration,
    relay: Relay,
) -> io::Result<Vec<(String, Duration)>> {
    let mut stream = relay.connect(None).await?;
    let mut answers = Vec::new();
    // Not all senders at the same moments.
    sleep(pace * sender / SENDERS).await;
    for number in 0..events {
        let text = "a".repeat(7000);
        let id = format!("{sender}-{number}");
        let event =
            format!(r#"{{"event":"call_ended","call":{{"call_id":"{id}","text":"{text}"}}}}"#);
        let signature = signature(KEY, now_ms(), event.as_bytes());
        let request = post("/webhook", &signature, event.as_bytes());
        let begun = Instant::now();
        stream.write_all(&request).await?;
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

/// With a thread of this `nice` value.
fn runtime(niceness: i32) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let builder = builder.worker_threads(1).enable_all();
    let nicer = move || {
        rustix::process::nice(niceness).expect("a higher value is allowed");
    };
    builder.on_thread_start(nicer).build().expect("a runtime")
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

/// Has every sender post `events`; gives the time of each. Each event must be answered 204.
fn all_good(relay: &Relay, events: u32, pace: Duration) -> Vec<Duration> {
    let answers = runtime(0).block_on(async {
        let mut good = JoinSet::new();
        for sender in 0..SENDERS {
            good.spawn(be_good(sender, events, pace, relay.clone()));
        }
        let all = good.join_all().await.into_iter();
        let all = all.map(|answers| answers.expect("no good connection is closed"));
        all.flatten().collect::<Vec<_>>()
    });
    assert_eq!(answers.len(), (SENDERS * events) as usize);
    for (status, _) in &answers {
        assert_eq!(status, "HTTP/1.1 204 No Content");
    }
    answers.into_iter().map(|(_, time)| time).collect()
}

fn percentile_99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

#[test]
fn each_good_event_is_answered_204_beside_hostile_clients_of_all_kinds() {
    raise_descriptor_limit();
    let is_long = std::env::var_os("RINGBACK_TEST_LONG").is_some();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (scale, server, tls) = if is_long {
        let files = Files::in_folder(folder.path());
        let authority = Authority::new();
        authority.write(&files);
        let connector = |protocols: &[&str]| TlsConnector::from(authority.client(protocols));
        let tls = [connector(&[]), connector(&["h2"])];
        (LONG, Server::start(&files.setting(), ""), Some(tls))
    } else {
        // Half of the slow bodies would fill this.
        let listen = "max_body = \"1MiB\"\nmax_in_flight = \"3MiB\"";
        (SHORT, Server::start(listen, ""), None)
    };
    let relay = Relay {
        address: server.address,
        tls,
    };
    // As many events without hostile clients, half of them before and half after: from one ten seconds to the next, what
    // the disk does changes the 99th percentile by a factor of up to two.
    let quiet = || all_good(&relay, scale.events / 2, scale.pace);
    let before = is_long.then(quiet);
    // On a thread of their own that takes no time of the relay and of the good senders: they have machines of their own.
    let hostile = runtime(19);
    let arrival = if is_long { ARRIVAL } else { Duration::ZERO };
    for kind in scale.kinds {
        for _ in 0..scale.hostile {
            hostile.spawn(be_hostile(*kind, relay.clone(), arrival));
        }
    }
    // From the first event on memory is full, or nearly all have come (some are between two connections).
    let (sample, enough) = if is_long {
        ("ringback_http_connections", 1_400.0)
    } else {
        ("ringback_http_body_bytes", 2_500_000.0)
    };
    let deadline = Instant::now() + PATIENCE + arrival;
    while server.sample(sample) < enough {
        assert!(Instant::now() < deadline, "the hostile clients never came");
    }
    let begun = Instant::now();
    let times = all_good(&relay, scale.events, scale.pace);
    let time = begun.elapsed();
    drop(hostile);
    assert!(server.refused("open", "body_stalled") > 0.0 || is_long);
    let memory = peak_memory(server.id());
    let count = SENDERS * scale.events;
    let p99 = percentile_99(times);
    println!("{count} events in {time:.1?}: p99 {p99:?}, memory {memory} MiB");
    if let Some(mut all_quiet) = before {
        let after = quiet();
        let halves = [&all_quiet, &after].map(|half| percentile_99(half.clone()));
        all_quiet.extend(after);
        let quiet = percentile_99(all_quiet);
        println!("p99 without hostile clients {quiet:?}, before and after {halves:?}");
        assert!(memory < 256, "{memory} MiB");
        assert!(p99 < 2 * quiet, "p99 is {p99:?}, without them {quiet:?}");
    }
}
