//! The journal alone, beside a raw loop of `pwrite` + `fdatasync` that writes the same bytes in the same batches.
//!
//! ```text
//! cargo bench --bench append                       the whole grid, some minutes
//! cargo bench --bench append -- --short            one cell, some seconds
//! RINGBACK_BENCH_DIR=/mnt/disk cargo bench …       on another disk; a tmpfs syncs nothing and measures nothing
//! ```
//!
//! Both halves of a pair run one after the other on the same disk, three times over, and only their ratio's median is
//! worth quoting: the machine's speed drifts. A batch is what came in during the last sync, so the raw loop learns its
//! size from the journal's own histogram, measured in the same pair.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use bytesize::ByteSize;
use prometheus::{Registry, proto::MetricFamily};
use ringback::journal::{self, Config, Metrics};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::time::{ClockId, clock_gettime};

/// Payload sizes in bytes: a short event, RETELL's median and 90th percentile, and a long call.
const SIZES: [usize; 4] = [700, 7_000, 40_000, 150_000];
const APPENDERS: [usize; 4] = [1, 8, 64, 512];
/// Pairs a cell; the median of their ratios counts.
const PAIRS: usize = 3;
const SEGMENT: u64 = 64 << 20;

/// What one half of a pair came to.
struct Outcome {
    events_per_second: f64,
    bytes_per_second: f64,
    p50: Duration,
    p99: Duration,
    p999: Duration,
    cpu_per_event: Duration,
    /// Events that shared a sync, on average.
    batch: f64,
}

fn main() {
    let short = std::env::args().any(|argument| argument == "--short");
    let folder = std::env::var_os("RINGBACK_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    println!(
        "{:>7} {:>9} {:>10} {:>9} {:>9} {:>9} {:>9} {:>7} {:>10} {:>9} {:>9}",
        "bytes",
        "appenders",
        "events/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "CPU µs/ev",
        "batch",
        "raw ev/s",
        "raw p50",
        "÷ raw"
    );
    let cells: Vec<(usize, usize)> = if short {
        vec![(7_000, 64)]
    } else {
        let sizes = SIZES.iter();
        sizes
            .flat_map(|size| APPENDERS.map(|appenders| (*size, appenders)))
            .collect()
    };
    let time = Duration::from_secs(if short { 1 } else { 2 });
    for (size, appenders) in cells {
        let mut pairs: Vec<(Outcome, Outcome)> = (0..PAIRS)
            .map(|_| {
                let ours = through_the_journal(&folder, size, appenders, time);
                let raw = raw_loop(&folder, size, ours.batch, time);
                (ours, raw)
            })
            .collect();
        let ratio = |(ours, raw): &(Outcome, Outcome)| ours.bytes_per_second / raw.bytes_per_second;
        pairs.sort_by(|left, right| ratio(left).total_cmp(&ratio(right)));
        let median = &pairs[PAIRS / 2];
        let (ours, raw) = median;
        println!(
            "{size:>7} {appenders:>9} {:>10.0} {:>9} {:>9} {:>9} {:>9.1} {:>7.1} {:>10.0} {:>9} {:>9.2}",
            ours.events_per_second,
            ours.p50.as_micros(),
            ours.p99.as_micros(),
            ours.p999.as_micros(),
            ours.cpu_per_event.as_secs_f64() * 1e6,
            ours.batch,
            raw.events_per_second,
            raw.p50.as_micros(),
            ratio(median)
        );
    }
}

/// `appenders` tasks, each of which appends again as soon as its last append is synced.
fn through_the_journal(folder: &Path, size: usize, appenders: usize, time: Duration) -> Outcome {
    let folder = tempfile::tempdir_in(folder).expect("the folder can be written");
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).expect("fresh metrics can be registered");
    let config = Config {
        path: folder.path().join("journal"),
        segment_size: ByteSize::b(SEGMENT),
        budget: ByteSize::gib(1 << 10),
    };
    let journal = journal::open(&config, metrics).expect("a fresh journal opens");
    let appender = journal.appender.clone();
    let body = Bytes::from(payload(size));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (cpu, begun) = (cpu_time(), Instant::now());
    // What is appended is truncated at once, so that a long run does not fill the disk.
    let truncate = |upto: u64| journal.truncator.truncate(..=upto);
    let mut latencies: Vec<Duration> = runtime.block_on(async {
        let tasks: Vec<_> = (0..appenders)
            .map(|_| {
                let (appender, body) = (appender.clone(), body.clone());
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    let mut last = 0;
                    while begun.elapsed() < time {
                        let sent = Instant::now();
                        let commit = appender.append(Vec::new(), body.clone());
                        let position = commit.expect("there is room").await;
                        last = position.expect("it is synced");
                        latencies.push(sent.elapsed());
                    }
                    (last, latencies)
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            let (last, latencies) = task.await.expect("no appender panics");
            truncate(last);
            all.extend(latencies);
        }
        all
    });
    let (elapsed, cpu) = (begun.elapsed(), cpu_time() - cpu);
    let (events, syncs) = batches(&registry);
    drop((journal.appender, appender));
    journal.truncator.close().expect("the journal closes");
    outcome(&mut latencies, size, elapsed, cpu, events / syncs)
}

/// One thread that writes and syncs `batch` records at a time into a reserved file: what the disk gives.
fn raw_loop(folder: &Path, size: usize, batch: f64, time: Duration) -> Outcome {
    let folder = tempfile::tempdir_in(folder).expect("the folder can be written");
    let per_record = journal::record::size_on_disk(size);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a batch has between one and some thousand records"
    )]
    let records = batch.round().max(1.0) as usize;
    let bytes = payload(usize::try_from(per_record).expect("a small record") * records);
    let (cpu, begun) = (cpu_time(), Instant::now());
    let mut latencies = Vec::new();
    let mut number = 0;
    let mut file = reserved(&folder.path().join(number.to_string()));
    let mut offset = 0;
    while begun.elapsed() < time {
        if offset + bytes.len() as u64 > SEGMENT {
            number += 1;
            // Reserving is the journal's own affair and happens behind its commits: it is not timed here either.
            file = reserved(&folder.path().join(number.to_string()));
            offset = 0;
        }
        let sent = Instant::now();
        file.write_all_at(&bytes, offset).expect("there is room");
        file.sync_data().expect("the disk is sound");
        latencies.extend(std::iter::repeat_n(sent.elapsed(), records));
        offset += bytes.len() as u64;
    }
    // The time in its calls alone: everything else is the loop's own.
    let busy: Duration = latencies.iter().step_by(records).sum();
    let cpu = cpu_time() - cpu;
    #[allow(clippy::cast_precision_loss, reason = "a count for a table")]
    let batch = records as f64;
    outcome(&mut latencies, size, busy, cpu, batch)
}

fn reserved(path: &Path) -> File {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).open(path);
    let file = file.expect("a new file can be made");
    fallocate(&file, FallocateFlags::empty(), 0, SEGMENT).expect("there is room for it");
    file.sync_all().expect("the disk is sound");
    file
}

#[allow(clippy::cast_precision_loss, reason = "figures for a table")]
fn outcome(
    latencies: &mut [Duration],
    size: usize,
    elapsed: Duration,
    cpu: Duration,
    batch: f64,
) -> Outcome {
    latencies.sort_unstable();
    let quantile = |per_mille: usize| latencies[(latencies.len() - 1) * per_mille / 1000];
    let events_per_second = latencies.len() as f64 / elapsed.as_secs_f64();
    Outcome {
        events_per_second,
        bytes_per_second: events_per_second * size as f64,
        p50: quantile(500),
        p99: quantile(990),
        p999: quantile(999),
        cpu_per_event: cpu / u32::try_from(latencies.len()).unwrap_or(u32::MAX),
        batch,
    }
}

/// Events and syncs so far, of the journal's own histogram.
#[allow(clippy::cast_precision_loss, reason = "figures for a table")]
fn batches(registry: &Registry) -> (f64, f64) {
    let families = registry.gather();
    let is_it = |family: &&MetricFamily| family.name() == "journal_batch_events";
    let family = families
        .iter()
        .find(is_it)
        .expect("the journal counts them");
    let histogram = family.get_metric()[0].get_histogram();
    (
        histogram.get_sample_sum(),
        histogram.get_sample_count() as f64,
    )
}

/// User and system time of the whole process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("CPU time does not run backwards")
}

/// Bytes that no file system or disk can make smaller.
fn payload(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut bytes);
    bytes
}
