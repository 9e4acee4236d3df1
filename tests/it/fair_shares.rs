//! A flood on one source beside another source's events: at three times what the disk takes, and while the disk takes nothing.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use ringback::ingest::{self, Ingest, ListenConfig, SourceConfig, Verify};
use ringback::journal::disk::filesystem::{File, FileSystem};
use ringback::journal::{self, Config, Metrics};
use ringback::telemetry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep_until;

use crate::support::faulty_fs::{FaultyFile, FaultyFs};
use crate::support::server::{PATIENCE, post};

/// The body of each event of the flood, in bytes.
const FLOOD_BODY: usize = 200_000;
const TIME: Duration = Duration::from_secs(6);

/// A disk, and a flood of more than three times what it takes: those that wait for an answer send nothing.
struct Scale {
    /// What the disk writes in a second, in bytes.
    capacity: u64,
    /// Connections of the flood, each of which has an event due so often.
    flooders: u32,
    pace: Duration,
}

/// Little work, so that the waits for the disk are long beside those for a processor.
const SHORT: Scale = Scale {
    capacity: 8 << 20,
    flooders: 400,
    pace: Duration::from_secs(1),
};
const LONG: Scale = Scale {
    capacity: 32 << 20,
    flooders: 500,
    pace: Duration::from_millis(490),
};

/// What a sync of so many bytes waits for.
type Wait = Arc<dyn Fn(u64) + Send + Sync>;

#[derive(Clone)]
struct SlowDisk {
    inner: FaultyFs,
    wait: Wait,
}

struct SlowFile {
    file: FaultyFile,
    /// Bytes that the next sync writes.
    unsynced: AtomicU64,
    wait: Wait,
}

impl SlowDisk {
    fn slow(&self, file: FaultyFile) -> SlowFile {
        SlowFile {
            file,
            unsynced: AtomicU64::new(0),
            wait: Arc::clone(&self.wait),
        }
    }
}

impl FileSystem for SlowDisk {
    type File = SlowFile;

    fn create(&self, name: &str) -> io::Result<SlowFile> {
        self.inner.create(name).map(|file| self.slow(file))
    }

    fn open(&self, name: &str) -> io::Result<SlowFile> {
        self.inner.open(name).map(|file| self.slow(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn link(&self, name: &str, second: &str) -> io::Result<()> {
        self.inner.link(name, second)
    }

    fn is_same(&self, name: &str, second: &str) -> io::Result<bool> {
        self.inner.is_same(name, second)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn is_looked_into(&self) -> io::Result<bool> {
        self.inner.is_looked_into()
    }
}

impl File for SlowFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.unsynced
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn evict(&self, bytes: Range<u64>) {
        self.file.evict(bytes);
    }

    fn sync(&self) -> io::Result<()> {
        (self.wait)(self.unsynced.swap(0, Ordering::Relaxed));
        self.file.sync()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn is_removed(&self) -> io::Result<bool> {
        self.file.is_removed()
    }
}

/// Sends one event; gives the answer's status.
async fn send(stream: &mut TcpStream, request: &[u8]) -> io::Result<u16> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = answer.get(9..12).map(String::from_utf8_lossy);
    status
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn event(bytes: usize) -> String {
    format!(r#"{{"event":"e","text":"{}"}}"#, "a".repeat(bytes))
}

/// What came of a source's events: those answered otherwise than 204 or not at all, and the times of the others' answers.
#[derive(Default)]
struct Seen {
    refused: usize,
    times: Vec<Duration>,
}

impl Seen {
    /// The time within which this share of the answers came.
    fn quantile(&self, percent: usize) -> Duration {
        self.times[self.times.len() * percent / 100]
    }
}

/// Sends one event at each `pace`, on a connection that is made again whenever it is closed.
async fn sender(relay: SocketAddr, request: Vec<u8>, pace: Duration, first: Duration) -> Seen {
    let mut seen = Seen::default();
    let begun = tokio::time::Instant::now();
    let mut due = begun + first;
    let mut connection = None;
    while due < begun + TIME {
        sleep_until(due).await;
        let sent = Instant::now();
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => TcpStream::connect(relay).await.expect("the relay listens"),
        };
        match send(&mut stream, &request).await {
            Ok(204) => {
                seen.times.push(sent.elapsed());
                connection = Some(stream);
            }
            Ok(_) | Err(_) => seen.refused += 1,
        }
        due += pace;
    }
    seen
}

async fn senders(relay: SocketAddr, path: &str, body: usize, count: u32, pace: Duration) -> Seen {
    let request = post(path, "", event(body).as_bytes());
    let mut tasks = JoinSet::new();
    for number in 0..count {
        tasks.spawn(sender(relay, request.clone(), pace, pace * number / count));
    }
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        let seen = seen.expect("no sender panics");
        all.refused += seen.refused;
        all.times.extend(seen.times);
    }
    all.times.sort_unstable();
    all
}

/// A relay with the sources `flooded` and `other`, in this process.
struct Relay {
    address: SocketAddr,
    registry: Registry,
    runtime: Runtime,
}

impl Relay {
    /// On a disk whose syncs wait like this.
    fn start(wait: Wait, listen: &ListenConfig) -> Self {
        let source = |name: &str| SourceConfig {
            name: name.to_owned(),
            path: format!("/{name}").as_str().into(),
            verify: Verify::None,
            ..SourceConfig::default()
        };
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("new names");
        let config = Config {
            budget: ByteSize::gib(1),
            ..Config::default()
        };
        let inner = FaultyFs::default();
        let journal = journal::open_with(SlowDisk { inner, wait }, &config, metrics);
        let appender = journal.expect("it opens").appender;
        appender.set_patience(listen.commit_timeout);
        let metrics = ingest::Metrics::register(&registry).expect("new names");
        let sources = [source("flooded"), source("other")];
        let ingest = Ingest::new(listen, &sources, appender, metrics).expect("valid sources");
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(ingest::serve(listener, ingest, std::future::pending()));
        Self {
            address,
            registry,
            runtime,
        }
    }

    /// Bytes of memory that requests hold.
    fn held(&self) -> f64 {
        let families = self.registry.gather();
        let mut families = families.iter();
        let gauge = families.find(|family| family.name() == "http_body_bytes");
        gauge.expect("it is there").get_metric()[0]
            .get_gauge()
            .get_value()
    }
}

#[test]
fn a_flood_on_one_source_at_three_times_capacity_does_not_delay_another() {
    let is_long = std::env::var_os("RINGBACK_TEST_LONG").is_some();
    let scale = if is_long { LONG } else { SHORT };
    let wait = move |bytes| {
        let micros = bytes * 1_000_000 / scale.capacity;
        std::thread::sleep(Duration::from_micros(micros));
    };
    let listen = ListenConfig {
        max_in_flight: ByteSize::mib(32),
        ..ListenConfig::default()
    };
    let relay = Relay::start(Arc::new(wait), &listen);
    let clients = Runtime::new().expect("a runtime");
    let address = relay.address;
    let begun = Instant::now();
    let (flood, other) = clients.block_on(async {
        let flood = senders(address, "/flooded", FLOOD_BODY, scale.flooders, scale.pace);
        let other = senders(address, "/other", 300, 10, Duration::from_millis(100));
        tokio::join!(flood, other)
    });
    let elapsed = begun.elapsed();
    let accepted = flood.times.len();
    let (flooded, median, p99) = (flood.quantile(50), other.quantile(50), other.quantile(99));
    println!(
        "{elapsed:?}: flood {accepted} accepted, median {flooded:?}, {} refused; other {} accepted, median {median:?}, p99 {p99:?}",
        flood.refused,
        other.times.len(),
    );
    assert!(flood.refused >= 2 * accepted, "no flood");
    assert_eq!(other.refused, 0);
    // In one queue both would wait as long. How long that is depends on the machine.
    assert!(3 * median < flooded, "{median:?} beside {flooded:?}");
    if is_long {
        assert!(p99 < Duration::from_millis(250), "{p99:?}");
    }
}

#[test]
fn a_flood_that_waits_for_a_disk_leaves_another_source_its_share_of_memory() {
    /// Bodies of the flood, of which the memory holds eight.
    const FLOOD: usize = 40;
    const BODY: usize = 1 << 20;
    let disk = Arc::new(Mutex::new(()));
    let listen = ListenConfig {
        max_in_flight: ByteSize::mib(8),
        // Neither may end before the disk goes on.
        commit_timeout: PATIENCE,
        body_timeout: PATIENCE,
        ..ListenConfig::default()
    };
    let waits = Arc::clone(&disk);
    let relay = Relay::start(Arc::new(move |_| drop(waits.lock())), &listen);
    let hangs = disk.lock().expect("nobody panics with it");
    let post_one = |path: &str| {
        let (address, request) = (relay.address, post(path, "", event(BODY).as_bytes()));
        relay.runtime.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            send(&mut stream, &request).await.expect("an answer")
        })
    };
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let whole = || relay.held() as usize / BODY;
    let flood: Vec<_> = (0..FLOOD).map(|_| post_one("/flooded")).collect();
    // Some of these may still hold a whole body that is beyond the share, and be refused a moment later: so both sides are
    // compared again and again, never with what was held before.
    let unanswered = || flood.iter().filter(|task| !task.is_finished()).count();
    until(
        "each of the flood is refused or waits for the disk",
        &|| unanswered() == whole(),
    );
    let other = post_one("/other");
    until("the other one waits for the disk, or is refused", &|| {
        other.is_finished() || unanswered() + 1 == whole()
    });
    drop(hangs);
    let answers = async |tasks: Vec<JoinHandle<u16>>| {
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.expect("no sender panics"));
        }
        answers
    };
    let answers = relay
        .runtime
        .block_on(async { (answers(flood).await, answers(vec![other]).await) });
    let accepted = answers.0.iter().filter(|status| **status == 204).count();
    println!("{accepted} of the flood waited for the disk");
    assert_eq!(answers.1, [204], "beside {accepted} of the flood");
    assert!((1..8).contains(&accepted), "{accepted} of the flood");
}
