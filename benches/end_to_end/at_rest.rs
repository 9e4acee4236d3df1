//! The relay with nothing to do, and in an outage of Kafka: CPU and memory, and the size of the binary.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::bodies::Size;
use crate::support::fill::fill;
use crate::support::kafka::{Kafka, Site};
use crate::support::measure::{self, Shape};
use crate::support::options::Options;
use crate::support::process::{resident, usage};
use crate::support::report::Report;

/// Bytes of the backlog, as in row 8 of the table of limits.
const BACKLOG: u64 = 4 << 30;
const SIZE: usize = 7_000;

/// CPU of all threads and memory while no request comes.
pub fn idle(options: &Options, kafka: &Kafka, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written");
    let topic = kafka.topic("idle");
    let site = Site::of(
        kafka.bootstrap(),
        &topic,
        Some(folder.path().join("journal")),
        &[],
    );
    let relay = site.start();
    // Meanwhile it connects to the brokers.
    std::thread::sleep(Duration::from_secs(3));
    let time = Duration::from_secs(if options.short { 5 } else { 20 });
    let before = usage(relay.id());
    std::thread::sleep(time);
    let after = usage(relay.id());
    let share = (after.cpu - before.cpu).as_secs_f64() / time.as_secs_f64();
    let switches = (after.switches - before.switches) as f64 / time.as_secs_f64();
    report.row(
        "idle",
        &[
            ("cpu_percent", share * 100.0),
            ("switches_s", switches),
            ("resident_mib", resident(relay.id()).0),
            ("binary_mb", binary_mb()),
        ],
    );
}

/// Memory with a backlog of 4 GiB and no broker, while 500 events/s arrive.
pub fn outage(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written");
    let journal = folder.path().join("journal");
    fill(&journal, Size::Bytes(SIZE), BACKLOG / SIZE as u64);
    // Nothing listens on port 9: every connection is refused.
    let budget = [("journal", "budget = \"16GiB\"")];
    let site = Site::of("127.0.0.1:9", "retell-events", Some(journal), &budget);
    let relay = site.start();
    let shape = Shape {
        size: Size::Bytes(SIZE),
        connections: 32,
        rate: 500,
        awake: false,
        time: Duration::from_secs(10),
    };
    let run = measure::run(relay.id(), relay.address, shape);
    let (present, most) = resident(relay.id());
    report.row(
        "outage, 4 GiB backlog, 500/s",
        &[
            ("resident_mib", present),
            ("most_mib", most),
            ("cpu_us", run.cpu),
            ("p50_ms", run.seen.p50),
            ("p99_ms", run.seen.p99),
        ],
    );
}

/// The size of a stripped copy; of the binary itself if there is no `strip`.
fn binary_mb() -> f64 {
    let binary = std::env::var_os("RINGBACK_BINARY");
    let binary = binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_ringback").into());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("ringback");
    let stripped = Command::new("strip")
        .arg("-o")
        .arg(&copy)
        .arg(&binary)
        .status();
    let measured = if stripped.is_ok_and(|status| status.success()) {
        copy.as_path()
    } else {
        Path::new(&binary)
    };
    let bytes = std::fs::metadata(measured).map_or(0, |data| data.len());
    bytes as f64 / 1e6
}
