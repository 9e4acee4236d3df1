//! The time from exec to the first 204, with an empty journal and with a full one; and the memory that catching up takes.
//!
//! ```text
//! cargo bench --bench start                        8 GiB, a million events; writes them first, so minutes
//! cargo bench --bench start -- --short             512 MiB
//! ```
//!
//! The clock starts before the process is created, and a client tries to connect and post from then on. The reference is
//! the same binary's `--version`: the time to start any process of its size.

#[path = "../support/mod.rs"]
mod support;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::bodies::Size;
use support::fill::fill;
use support::kafka::{Kafka, Site};
use support::load;
use support::options::{self, Options};
use support::process::resident;
use support::report::{Report, median, median_of};

/// A million of them are 8 GiB.
const SIZE: usize = 8_400;

fn main() -> io::Result<()> {
    if let Some((_, parameters)) = options::role() {
        return load::run(&parameters);
    }
    let options = Options::read();
    let mut report = Report::new("start");
    let kafka = Kafka::start();
    let version = median((0..options.rounds).map(|_| version()));
    // No Kafka listens there, so that every round finds the journal full.
    let nowhere = "127.0.0.1:9";
    let events = if options.short { 62_500 } else { 1_000_000 };
    let mut empty = f64::NAN;
    for (name, events) in [("empty", 0), ("full", events)] {
        let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written");
        let journal = folder.path().join("journal");
        if events > 0 {
            fill(&journal, Size::Bytes(SIZE), events);
        }
        let room = [("journal", "budget = \"16GiB\"")];
        let site = Site::of(nowhere, "retell-events", Some(journal.clone()), &room);
        let rounds: Vec<_> = (0..options.rounds).map(|_| first_204(&site)).collect();
        let first = median_of(&rounds, |(time, _)| time.as_secs_f64() * 1e3);
        if events == 0 {
            empty = first;
        }
        report.row(
            name,
            &[
                ("events", events as f64),
                ("first_204_ms", first),
                ("ratio_to_empty", first / empty),
                ("version_ms", version),
                ("resident_mib", median_of(&rounds, |(_, mib)| *mib)),
            ],
        );
        if events > 0 {
            let topic = kafka.topic("start");
            let site = Site::of(kafka.bootstrap(), &topic, Some(journal), &room);
            catching_up(&site, report_name(events), &mut report);
        }
    }
    drop(kafka);
    report.finish(&options);
    Ok(())
}

fn report_name(events: u64) -> String {
    format!("catching up with {events}")
}

/// Publishes the whole backlog and measures the memory.
fn catching_up(site: &Site, name: String, report: &mut Report) {
    let relay = site.start();
    let (begun, mut most) = (Instant::now(), 0.0_f64);
    let all = relay.metric("ringback_journal_unpublished_events");
    while relay.metric("ringback_journal_unpublished_events") > 0.0 {
        most = most.max(resident(relay.id()).0);
        assert!(
            begun.elapsed() < Duration::from_secs(600),
            "the backlog was never published"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    report.row(
        &name,
        &[
            ("events_s", all / begun.elapsed().as_secs_f64()),
            ("most_mib", most),
            ("after_mib", resident(relay.id()).0),
        ],
    );
}

/// The time to start and end the binary, in ms.
fn version() -> f64 {
    let binary = std::env::var_os("RINGBACK_BINARY");
    let binary = binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_ringback").into());
    let begun = Instant::now();
    let output = Command::new(binary)
        .arg("--version")
        .output()
        .expect("the binary runs");
    assert!(output.status.success());
    begun.elapsed().as_secs_f64() * 1e3
}

/// The time from before the process is created to its first answer, and its memory then. Kills it.
fn first_204(site: &Site) -> (Duration, f64) {
    // A fixed port, free a moment ago, so that the client need not wait for the log.
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("it has one")
    };
    let request = load::one(700);
    let begun = Instant::now();
    let mut child = Killed(
        site.command()
            .env("RINGBACK_LISTEN__ADDRESS", address.to_string())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs"),
    );
    while !is_answered(address, &request) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it never answered"
        );
        assert!(
            child.0.try_wait().expect("it can be asked").is_none(),
            "it has ended"
        );
        std::thread::sleep(Duration::from_micros(500));
    }
    let time = begun.elapsed();
    (time, resident(child.0.id()).0)
}

fn is_answered(address: SocketAddr, request: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let mut line = String::new();
    let posted = stream.write_all(request);
    // The status line is enough.
    let read = posted.and_then(|()| BufReader::new(stream.take(64)).read_line(&mut line));
    assert!(read.is_ok() && line.starts_with("HTTP/1.1 204"), "{line}");
    true
}

/// A process that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
