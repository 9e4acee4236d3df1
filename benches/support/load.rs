//! The load: signed events on kept-alive connections, as fast as they are answered or at a rate.
//!
//! At a rate the loop is open: each event is due at a moment, the next free connection sends it, and its latency counts
//! from that moment, whether or not a connection was free. Requests are signed and serialised before the clock starts. The
//! load is one thread, so that it takes as little of the machine as possible.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use super::bodies::{Size, bodies};
use super::pace::Pace;
use super::{KEY, PATH};

/// Bytes of prepared requests: enough for different events.
const POOL_BYTES: usize = 8 << 20;

/// The parameters of a load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
    pub address: SocketAddr,
    pub size: Size,
    pub connections: usize,
    /// Events per second; 0: as fast as they are answered.
    pub rate: u32,
    /// Does not sleep while it waits for answers: see [`stay_awake`].
    pub awake: bool,
    /// Load before the measured time.
    pub warm: Duration,
    /// The measured time.
    pub time: Duration,
}

/// The result of a load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// Events answered 204 in the measured time.
    pub events: u64,
    /// Events answered otherwise.
    pub refused: u64,
    pub seconds: f64,
    /// Everything answered, before the measured time too, and the bytes of its bodies.
    pub sent: u64,
    pub bytes: u64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Tasks that run before the load polls for answers again: few, because one task is always ready, see [`stay_awake`].
const EVENT_INTERVAL: u32 = 4;
/// The priority of an open loop's load over the other processes on the same cores.
const PRECEDENCE: i32 = 10;

/// The line that the load prints when its measured time begins.
pub const BEGUN: &str = "begun";

/// The load's role: prints [`BEGUN`], and in the end [`Seen`] as JSON.
pub fn run(parameters: &str) -> io::Result<()> {
    let load: Load = serde_json::from_str(parameters)?;
    let requests = requests(load.size);
    // A sender is another machine, so its waits for a core that the relay or Kafka uses are not the relay's latency. At
    // most load no latency is compared, and all processes share the cores alike.
    if load.rate > 0 && rustix::process::nice(-PRECEDENCE).is_err() {
        eprintln!("  without root the load waits for a core like everybody else");
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    if load.awake {
        runtime.event_interval(EVENT_INTERVAL);
    }
    let runtime = runtime.enable_all().build()?;
    let seen = LocalSet::new().block_on(&runtime, send(&load, requests))?;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// Keeps the load's thread from sleeping. Over the loopback device the server's own system call wakes a sleeping sender,
/// which takes some 5 µs on a virtual machine, and only a server slower than the load pays for it. With a sender on another
/// machine the server has no such cost.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

#[derive(Default)]
struct Shared {
    due: RefCell<VecDeque<Instant>>,
    waiting: RefCell<Vec<(Instant, Instant)>>,
    refused: RefCell<u64>,
    bytes: RefCell<u64>,
}

async fn send(load: &Load, requests: Vec<Request>) -> io::Result<Seen> {
    let (shared, requests) = (Rc::new(Shared::default()), Rc::new(requests));
    let permits = Rc::new(Semaphore::new(0));
    let mut streams = Vec::new();
    for _ in 0..load.connections {
        let stream = TcpStream::connect(load.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let first = Instant::now();
    let (begin, end) = (first + load.warm, first + load.warm + load.time);
    let connections: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(index, stream)| {
            let connection = Connection {
                stream,
                shared: shared.clone(),
                requests: requests.clone(),
                next: index * 7,
                received: Vec::with_capacity(1024),
            };
            let (permits, open) = (permits.clone(), load.rate > 0);
            tokio::task::spawn_local(async move {
                if open {
                    connection.paced(&permits).await
                } else {
                    connection.flat_out(end).await
                }
            })
        })
        .collect();
    let mut pace = Pace::new()?;
    let awake = load.awake.then(|| tokio::task::spawn_local(stay_awake()));
    if load.rate == 0 {
        pace.until(begin).await?;
        print_begun()?;
        pace.until(end).await?;
    } else {
        let interval = Duration::from_secs(1) / load.rate;
        let (mut due, mut printed) = (first, false);
        while due < end {
            pace.until(due).await?;
            if !printed && due >= begin {
                print_begun()?;
                printed = true;
            }
            shared.due.borrow_mut().push_back(due);
            permits.add_permits(1);
            due += interval;
        }
        // Events that are due are still sent and counted; then the closed semaphore ends the connections.
        while !shared.due.borrow().is_empty() && Instant::now() < end + Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        permits.close();
    }
    if let Some(awake) = awake {
        awake.abort();
    }
    for connection in connections {
        connection.await.map_err(io::Error::other)??;
    }
    Ok(seen(load, &shared, begin, end))
}

fn seen(load: &Load, shared: &Shared, begin: Instant, end: Instant) -> Seen {
    let waiting = shared.waiting.take();
    // At a rate an event counts if it was due in the measured time; without a rate, if it was answered in it.
    let counts = |(due, answered): &&(Instant, Instant)| {
        let moment = if load.rate > 0 { due } else { answered };
        (begin..end).contains(moment)
    };
    let mut latencies: Vec<Duration> = waiting
        .iter()
        .filter(counts)
        .map(|(due, answered)| *answered - *due)
        .collect();
    latencies.sort_unstable();
    let quantile = |per_mille: usize| {
        let index = latencies.len().saturating_sub(1) * per_mille / 1000;
        latencies
            .get(index)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    };
    Seen {
        events: latencies.len() as u64,
        refused: *shared.refused.borrow(),
        seconds: load.time.as_secs_f64(),
        sent: waiting.len() as u64,
        bytes: *shared.bytes.borrow(),
        p50: quantile(500),
        p99: quantile(990),
        p999: quantile(999),
        max: quantile(1000),
    }
}

fn print_begun() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{BEGUN}")?;
    out.flush()
}

/// A request as its bytes.
struct Request {
    bytes: Vec<u8>,
    /// How many of the bytes are the body's.
    body: usize,
}

/// One connection.
struct Connection {
    stream: TcpStream,
    shared: Rc<Shared>,
    requests: Rc<Vec<Request>>,
    next: usize,
    received: Vec<u8>,
}

impl Connection {
    async fn flat_out(mut self, end: Instant) -> io::Result<()> {
        loop {
            let sent = Instant::now();
            if sent >= end {
                return Ok(());
            }
            self.exchange(sent).await?;
        }
    }

    async fn paced(mut self, permits: &Semaphore) -> io::Result<()> {
        while let Ok(permit) = permits.acquire().await {
            permit.forget();
            let due = self.shared.due.borrow_mut().pop_front();
            if let Some(due) = due {
                self.exchange(due).await?;
            }
        }
        Ok(())
    }

    async fn exchange(&mut self, due: Instant) -> io::Result<()> {
        let request = &self.requests[self.next % self.requests.len()];
        self.next += 1;
        self.stream.write_all(&request.bytes).await?;
        self.received.clear();
        // A 204 has no body. A refusal has one, but then the run has failed anyway.
        while !self.received.windows(4).any(|end| end == b"\r\n\r\n") {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if self.received.starts_with(b"HTTP/1.1 204") {
            self.shared.waiting.borrow_mut().push((due, Instant::now()));
            *self.shared.bytes.borrow_mut() += request.body as u64;
            return Ok(());
        }
        *self.shared.refused.borrow_mut() += 1;
        let words = String::from_utf8_lossy(&self.received);
        Err(io::Error::other(format!("refused: {words}")))
    }
}

/// One request as [`run`] sends it.
pub fn one(bytes: usize) -> Vec<u8> {
    signed(Size::Bytes(bytes), 1).remove(0).bytes
}

fn requests(size: Size) -> Vec<Request> {
    let count = match size {
        Size::Mix => 512,
        Size::Bytes(bytes) => (POOL_BYTES / bytes).clamp(32, 1024),
    };
    signed(size, count)
}

/// Whole requests, signed now; the signatures are valid for five minutes.
fn signed(size: Size, count: usize) -> Vec<Request> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
        .to_string();
    let key = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("any length will do");
    bodies(size, count, 1)
        .into_iter()
        .map(|body| {
            let mut mac = key.clone();
            mac.update(&body.bytes);
            mac.update(now.as_bytes());
            let digest = hex::encode(mac.finalize().into_bytes());
            let mut request = format!(
                "POST {PATH} HTTP/1.1\r\nHost: ringback.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\
                 X-Retell-Signature: v={now},d={digest}\r\n\r\n",
                body.bytes.len()
            )
            .into_bytes();
            request.extend_from_slice(&body.bytes);
            Request { bytes: request, body: body.bytes.len() }
        })
        .collect()
}
