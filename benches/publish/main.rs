//! From the journal to Kafka, beside a bare rdkafka producer with the same properties and records; and how catching up
//! with a backlog delays the answers to new events.
//!
//! ```text
//! cargo bench --bench publish                      some minutes
//! cargo bench --bench publish -- --short           a minute
//! cargo bench --bench publish -- --only speed|latency
//! ```
//!
//! The bare producer takes its records from memory and polls as little as it can; ringback reads them from the journal.
//! Both are processes of their own. Time counts from their first tenth to the last acknowledgement, so that connecting and
//! warming up are left out. Kafka runs on the same cores, with its data in memory.

mod bare;
mod catching_up;
mod product;
#[path = "../support/mod.rs"]
mod support;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use support::bodies::Size;
use support::kafka::Kafka;
use support::options::{self, Options};
use support::process::Role;
use support::report::{Report, median_of};
use support::{fill, load};

/// The parameters of both producers.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Task {
    bootstrap: String,
    topic: String,
    size: Size,
    events: u64,
    /// Whether the bare producer sends the same headers as ringback.
    headers: bool,
    /// ringback's journal.
    journal: PathBuf,
}

/// The result of both producers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Outcome {
    events: u64,
    seconds: f64,
    cpu_seconds: f64,
}

fn main() -> io::Result<()> {
    match options::role() {
        Some((role, task)) if role == "ours" => return product::run(&serde_json::from_str(&task)?),
        Some((role, task)) if role == "bare" => return bare::run(&serde_json::from_str(&task)?),
        Some((_, parameters)) => return load::run(&parameters),
        None => {}
    }
    let options = Options::read();
    let mut report = Report::new("publish");
    let kafka = Kafka::start();
    if options.wants("speed") {
        speed(&options, &kafka, &mut report);
    }
    if options.wants("latency") {
        catching_up::latency(&options, &kafka, &mut report);
    }
    drop(kafka);
    report.finish(&options);
    Ok(())
}

fn speed(options: &Options, kafka: &Kafka, report: &mut Report) {
    let cells = [
        (
            Size::Bytes(7_000),
            if options.short { 40_000 } else { 100_000 },
        ),
        (Size::Bytes(700), 300_000),
        (Size::Bytes(40_000), 20_000),
        (Size::Mix, 20_000),
    ];
    let cells = if options.short {
        &cells[..1]
    } else {
        &cells[..]
    };
    for (size, events) in cells {
        let rounds: Vec<_> = (0..options.rounds)
            .map(|round| {
                let folder =
                    tempfile::tempdir_in(&options.folder).expect("the folder can be written");
                let topic = kafka.topic(&format!("publish-{}-{round}", size.label()));
                let mut task = Task {
                    bootstrap: kafka.bootstrap().to_owned(),
                    topic,
                    size: *size,
                    events: *events,
                    headers: true,
                    journal: folder.path().join("journal"),
                };
                let bare = outcome("bare", &task);
                task.headers = false;
                let plain = outcome("bare", &task);
                fill::fill(&task.journal, *size, *events);
                let ours = outcome("ours", &task);
                [bare, plain, ours]
            })
            .collect();
        row(report, &size.label(), &rounds);
    }
}

fn outcome(role: &str, task: &Task) -> Outcome {
    let task = serde_json::to_string(task).expect("it is plain data");
    serde_json::from_str(&Role::start(role, &task).line()).expect("the role prints its result")
}

fn row(report: &mut Report, name: &str, rounds: &[[Outcome; 3]]) {
    let speed = |outcome: &Outcome| outcome.events as f64 / outcome.seconds;
    let cpu = |outcome: &Outcome| outcome.cpu_seconds * 1e6 / outcome.events as f64;
    report.row(
        name,
        &[
            ("events_s", median_of(rounds, |[_, _, ours]| speed(ours))),
            (
                "bare_events_s",
                median_of(rounds, |[bare, _, _]| speed(bare)),
            ),
            (
                "no_headers_events_s",
                median_of(rounds, |[_, plain, _]| speed(plain)),
            ),
            (
                "speed_ratio",
                median_of(rounds, |[bare, _, ours]| speed(ours) / speed(bare)),
            ),
            (
                "speed_ratio_no_headers",
                median_of(rounds, |[_, plain, ours]| speed(ours) / speed(plain)),
            ),
            ("cpu_us", median_of(rounds, |[_, _, ours]| cpu(ours))),
            ("bare_cpu_us", median_of(rounds, |[bare, _, _]| cpu(bare))),
            (
                "no_headers_cpu_us",
                median_of(rounds, |[_, plain, _]| cpu(plain)),
            ),
            (
                "cpu_ratio",
                median_of(rounds, |[bare, _, ours]| cpu(ours) / cpu(bare)),
            ),
        ],
    );
}

/// Measures the time from the first tenth to the end of what `acknowledged` counts.
fn time(events: u64, acknowledged: impl Fn() -> u64) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(180);
    let mut first = None;
    loop {
        let done = acknowledged();
        if first.is_none() && done >= events / 10 {
            first = Some((done, Instant::now(), cpu_time()));
        }
        if let Some((count, moment, cpu)) = first
            && done >= events
        {
            return Outcome {
                events: done - count,
                seconds: moment.elapsed().as_secs_f64(),
                cpu_seconds: (cpu_time() - cpu).as_secs_f64(),
            };
        }
        assert!(
            Instant::now() < deadline,
            "only {done} of {events} were acknowledged"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// User and system time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("CPU time does not run backwards")
}
