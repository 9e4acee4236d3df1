//! A flood of forged events: POSTs of 100 KB with a wrong signature, on kept-alive connections, as fast as they are answered.
//! Nothing of them reaches the disk, and good events beside them are answered 204. Prints what one costs the relay, beside a
//! bare hyper server that reads the same bodies and answers: the floor.
//!
//! `cargo test --test forged -- --requests 1000000` is the long form.

#[path = "../../benches/support/mod.rs"]
mod bench;
#[path = "../it/support/server.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod server;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bench::process::usage;
use server::{KEY, PATIENCE, Server, digest, now_ms, post, signature};

const BODY: usize = 100_000;
const CONNECTIONS: usize = 8;
/// Requests without `--requests`: a few seconds.
const SHORT: usize = 2_000;
/// Between two good events.
const PACE: Duration = Duration::from_millis(20);

fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    if value("--role").is_some() {
        bench::process::end_with_the_parent();
        return bench::floor::run();
    }
    let requests = value("--requests").map_or(SHORT, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir()?;
    let relay = Server::start_in(folder.path(), "127.0.0.1:1", "", "");
    // The signature is that of another time, so it is well-formed, fresh and wrong.
    let body = vec![b' '; BODY];
    let wrong = digest(KEY, now_ms() - 1, &body);
    let (_, wrong) = wrong.split_once(",d=").expect("a time and a digest");
    let header = format!("X-Retell-Signature: v={},d={wrong}\r\n", now_ms());
    let forged = post("/webhook", &header, &body);

    let before = bytes_in(&folder.path().join("journal"))?;
    let alone = flood(relay.id(), relay.address, &forged, requests)?;
    assert_eq!(alone.status, "401");
    assert_eq!(bytes_in(&folder.path().join("journal"))?, before, "on disk");
    assert_eq!(relay.sample("ringback_journal_recovered_events"), 0.0);
    let rejected = relay.refused("retell", "signature_mismatch");
    assert_eq!(rejected, requests as f64, "each is counted");

    let floor = Floor::start()?;
    let read = flood(floor.0.id(), floor.1, &forged, requests)?;
    assert_eq!(read.status, "204");

    let is_over = AtomicBool::new(false);
    let good = thread::scope(|scope| {
        let good = scope.spawn(|| post_good(relay.address, &is_over));
        let flooded = flood(relay.id(), relay.address, &forged, requests);
        is_over.store(true, Ordering::Relaxed);
        flooded.and(good.join().expect("no panic"))
    })?;
    assert!(
        !good.is_empty(),
        "no good event was posted beside the flood"
    );
    println!(
        "{requests} forged: {:.0}/s, {:.1} us of CPU each; the floor {:.1} us; ratio {:.2}; 0 bytes on disk",
        alone.rate,
        alone.micros,
        read.micros,
        alone.micros / read.micros
    );
    let p99 = good[good.len() * 99 / 100];
    println!(
        "{} good events beside them: all 204, p99 {p99:.1?}",
        good.len()
    );
    Ok(())
}

/// The reference server in a process of its own, so that its CPU is its own.
struct Floor(Child, SocketAddr);

impl Floor {
    fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--role", "floor"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
        let address = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self(child, address))
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Flood {
    /// Of each answer.
    status: String,
    /// Answers a second.
    rate: f64,
    /// CPU of the process a request, user and system, in microseconds.
    micros: f64,
}

/// Sends `request` so many times to the server with this process id, and reads each answer.
fn flood(process: u32, address: SocketAddr, request: &[u8], count: usize) -> io::Result<Flood> {
    let (cpu, begun) = (usage(process).cpu, Instant::now());
    let left = AtomicUsize::new(count);
    let statuses = thread::scope(|scope| {
        let send = || -> io::Result<Option<String>> {
            let mut stream = connect(address)?;
            let mut seen = None;
            let take = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                stream.write_all(request)?;
                let status = answer(&mut stream)?;
                if seen.get_or_insert_with(|| status.clone()) != &status {
                    return Err(io::Error::other(format!("{seen:?}, then {status}")));
                }
            }
            Ok(seen)
        };
        let senders: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(send)).collect();
        let all = senders
            .into_iter()
            .map(|sender| sender.join().expect("no panic"));
        all.collect::<io::Result<Vec<_>>>()
    })?;
    let mut statuses = statuses.into_iter().flatten();
    let status = statuses.next().expect("a request");
    assert!(statuses.all(|other| other == status), "answers differ");
    let count = count as f64;
    Ok(Flood {
        status,
        rate: count / begun.elapsed().as_secs_f64(),
        micros: (usage(process).cpu - cpu).as_secs_f64() * 1e6 / count,
    })
}

/// Posts signed events until `is_over`; gives their times, sorted. Each must be answered 204.
fn post_good(address: SocketAddr, is_over: &AtomicBool) -> io::Result<Vec<Duration>> {
    let mut stream = connect(address)?;
    let mut times = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let body = format!(
            r#"{{"event":"call_ended","call":{{"call_id":"{}"}}}}"#,
            times.len()
        );
        let header = signature(KEY, now_ms(), body.as_bytes());
        let begun = Instant::now();
        stream.write_all(&post("/webhook", &header, body.as_bytes()))?;
        let status = answer(&mut stream)?;
        if status != "204" {
            return Err(io::Error::other(format!("a good event: {status}")));
        }
        times.push(begun.elapsed());
        thread::sleep(PACE);
    }
    times.sort_unstable();
    Ok(times)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads an answer with its body; gives its status.
fn answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(1024);
    let mut chunk = [0; 1024];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            let bytes = String::from_utf8_lossy(&bytes);
            return Err(io::Error::other(format!("closed after {bytes:?}")));
        }
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Ok(head.get(9..12).unwrap_or_default().to_owned());
        }
    }
}

/// Bytes of records in the journal's files, which are reserved in advance: those that are not zero would be records. The
/// checkpoint is not one of them.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut written = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry
            .path()
            .extension()
            .is_some_and(|kind| kind == "segment")
        {
            let bytes = std::fs::read(entry.path())?;
            written += bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last as u64 + 1);
        }
    }
    Ok(written)
}
