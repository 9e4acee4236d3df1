//! The journal alone, beside a raw loop of `pwrite` + `fdatasync` that writes the same bytes in the same batches.
//!
//! ```text
//! cargo bench --bench append                       the whole grid, some minutes
//! cargo bench --bench append -- --short            7 KB with 64 appenders, some seconds
//! cargo bench --bench append -- --only 7000,64     one cell of the grid
//! cargo bench --bench append -- --dir /mnt/disk    on another disk; a tmpfs syncs nothing and measures nothing
//! ```
//!
//! Both halves of a pair run one after the other on the same disk. Quote only the median of their ratios, because the
//! machine's speed drifts. A batch is what arrived during the last sync, so the raw loop takes its size from the journal's
//! own histogram of the same pair.

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use bytesize::ByteSize;
use prometheus::proto::MetricFamily;
use ringback::journal::{self, Config, Metrics};
use ringback::telemetry::Registry;
use rustix::time::{ClockId, clock_gettime};

use support::disk::{Raw, SEGMENT, noise};
use support::options::{self, Options};
use support::process;
use support::report::{Report, median_of};

/// Payload sizes in bytes: a short event, Retell's median and 90th percentile, and a long call.
const SIZES: [usize; 4] = [700, 7_000, 40_000, 150_000];
const APPENDERS: [usize; 4] = [1, 8, 64, 512];

/// The result of one half of a pair.
struct Outcome {
    events_per_second: f64,
    bytes_per_second: f64,
    /// In µs.
    p50: f64,
    p99: f64,
    p999: f64,
    cpu_per_event: f64,
    /// Events that shared a sync, on average.
    batch: f64,
    /// Bytes written per byte of payload.
    amplification: f64,
}

fn main() -> std::io::Result<()> {
    if let Some((_, parameters)) = options::role() {
        return support::load::run(&parameters);
    }
    let options = Options::read();
    let mut report = Report::new("append");
    let mut cells: Vec<(usize, usize)> = if options.short {
        vec![(7_000, 64)]
    } else {
        let sizes = SIZES.iter();
        sizes
            .flat_map(|size| APPENDERS.map(|appenders| (*size, appenders)))
            .collect()
    };
    cells.retain(|(size, appenders)| options.wants(&format!("{size},{appenders}")));
    let time = Duration::from_secs(if options.short { 1 } else { 2 });
    for (size, appenders) in cells {
        let rounds: Vec<(Outcome, Outcome)> = (0..options.rounds)
            .map(|_| {
                let ours = through_the_journal(&options.folder, size, appenders, time);
                let raw = raw_loop(&options.folder, size, ours.batch, time);
                (ours, raw)
            })
            .collect();
        row(&mut report, size, appenders, &rounds);
    }
    report.finish(&options);
    Ok(())
}

fn row(report: &mut Report, size: usize, appenders: usize, rounds: &[(Outcome, Outcome)]) {
    let ours = |figure: fn(&Outcome) -> f64| {
        median_of(rounds, |(ours, _): &(Outcome, Outcome)| figure(ours))
    };
    let raw = |figure: fn(&Outcome) -> f64| {
        median_of(rounds, |(_, raw): &(Outcome, Outcome)| figure(raw))
    };
    let ratio = |(ours, raw): &(Outcome, Outcome)| ours.bytes_per_second / raw.bytes_per_second;
    report.row(
        &format!("{size}, {appenders} appenders"),
        &[
            ("speed_ratio", median_of(rounds, ratio)),
            ("events_s", ours(|outcome| outcome.events_per_second)),
            ("raw_events_s", raw(|outcome| outcome.events_per_second)),
            ("p50_us", ours(|outcome| outcome.p50)),
            ("p99_us", ours(|outcome| outcome.p99)),
            ("p999_us", ours(|outcome| outcome.p999)),
            ("raw_p50_us", raw(|outcome| outcome.p50)),
            ("raw_p99_us", raw(|outcome| outcome.p99)),
            ("cpu_us", ours(|outcome| outcome.cpu_per_event)),
            ("raw_cpu_us", raw(|outcome| outcome.cpu_per_event)),
            ("batch", ours(|outcome| outcome.batch)),
            ("amplification", ours(|outcome| outcome.amplification)),
        ],
    );
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
        ..Config::default()
    };
    let journal = journal::open(&config, metrics).expect("a fresh journal opens");
    let appender = journal.appender.clone();
    let body = Bytes::from(noise(size));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let written = process::written(std::process::id());
    let (cpu, begun) = (cpu_time(), Instant::now());
    let truncator = Arc::new(journal.truncator);
    let mut latencies: Vec<Duration> = runtime.block_on(async {
        let tasks: Vec<_> = (0..appenders)
            .map(|number| {
                let (appender, body) = (appender.clone(), body.clone());
                // Everything appended before is synced too. Segments are removed as the raw loop's files are, so that both
                // get pages that were freed just before, which costs less than pages that have been free for long.
                let truncator = (number == 0).then(|| truncator.clone());
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    while begun.elapsed() < time {
                        let sent = Instant::now();
                        let commit = appender.append(Vec::new(), body.clone());
                        let position = commit.expect("there is room").await;
                        let position = position.expect("it is synced");
                        latencies.push(sent.elapsed());
                        if let Some(truncator) = &truncator {
                            truncator.truncate(..=position);
                        }
                    }
                    latencies
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.expect("no appender panics"));
        }
        all
    });
    let (elapsed, cpu) = (begun.elapsed(), cpu_time() - cpu);
    let (events, syncs) = batches(&registry);
    drop((journal.appender, appender));
    let truncator = Arc::into_inner(truncator).expect("the appenders have ended");
    truncator.close().expect("the journal closes");
    let written = process::written(std::process::id()) - written;
    outcome(&mut latencies, size, elapsed, cpu, events / syncs, written)
}

/// One thread that writes and syncs `batch` records at a time into a reserved file: the disk's own speed.
fn raw_loop(folder: &Path, size: usize, batch: f64, time: Duration) -> Outcome {
    let folder = tempfile::tempdir_in(folder).expect("the folder can be written");
    let per_record = journal::format::record::size_on_disk(size);
    let records = batch.round().max(1.0) as usize;
    let bytes = noise(usize::try_from(per_record).expect("a small record") * records);
    let mut raw = Raw::new(folder.path());
    let (mut latencies, mut busy) = (Vec::new(), Duration::ZERO);
    let written = process::written(std::process::id());
    let (cpu, begun) = (cpu_time(), Instant::now());
    while begun.elapsed() < time {
        raw.make_room(bytes.len());
        // Only the time in its system calls counts; the rest is the loop's own.
        let took = raw.append(&bytes);
        busy += took;
        latencies.extend(std::iter::repeat_n(took, records));
    }
    let cpu = cpu_time() - cpu;
    let written = process::written(std::process::id()) - written;
    let batch = records as f64;
    outcome(&mut latencies, size, busy, cpu, batch, written)
}

fn outcome(
    latencies: &mut [Duration],
    size: usize,
    elapsed: Duration,
    cpu: Duration,
    batch: f64,
    written: u64,
) -> Outcome {
    latencies.sort_unstable();
    let quantile = |per_mille: usize| {
        let latency = latencies[(latencies.len() - 1) * per_mille / 1000];
        latency.as_secs_f64() * 1e6
    };
    let events = latencies.len() as f64;
    let events_per_second = events / elapsed.as_secs_f64();
    Outcome {
        events_per_second,
        bytes_per_second: events_per_second * size as f64,
        p50: quantile(500),
        p99: quantile(990),
        p999: quantile(999),
        cpu_per_event: cpu.as_secs_f64() * 1e6 / events,
        batch,
        amplification: written as f64 / (events * size as f64),
    }
}

/// Events and syncs so far, from the journal's own histogram.
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
