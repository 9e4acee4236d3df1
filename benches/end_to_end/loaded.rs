//! The relay under load, beside the floor: CPU, latency, memory, context switches, and how late events reach Kafka.

use std::time::Duration;

use crate::support::bodies::Size;
use crate::support::disk;
use crate::support::kafka::{Kafka, Relay, Site};
use crate::support::measure::{self, Run, Shape};
use crate::support::metrics;
use crate::support::options::Options;
use crate::support::process::Role;
use crate::support::report::{Report, median, median_of};

/// The rate of rows 3 and 4 of the table of limits.
const RATE: u32 = 1_000;
const SIZE: usize = 7_000;
/// Bytes of a record on disk beside its body: head, envelope, padding.
const FRAMING: usize = 180;

/// One round: the floor, then the relay, then the raw loop.
struct Round {
    floor: Run,
    relay: Run,
    /// From receipt to Kafka's acknowledgement in ms: mean, and 99th percentile by the metric's buckets.
    published: (f64, f64),
    /// p50 and p99 of a raw write and sync, in ms.
    raw: (f64, f64),
    /// CPU of a raw write and sync, in µs.
    raw_cpu: f64,
    /// Bytes written to the disk per byte of the journal's payload.
    amplification: f64,
}

/// 7 KB at 64 connections as fast as it goes, and at 1,000 a second on 32.
pub fn at_most_and_at_a_rate(options: &Options, kafka: &Kafka, report: &mut Report) {
    let bench = Bench::start(options, kafka, "load");
    let time = Duration::from_millis(if options.short { 1_500 } else { 5_000 });
    let most = Shape {
        size: Size::Bytes(SIZE),
        connections: 64,
        rate: 0,
        awake: false,
        time,
    };
    let steady = Shape {
        size: Size::Bytes(SIZE),
        connections: 32,
        rate: RATE,
        awake: false,
        time: time * 2,
    };
    bench.cell("7000, 64 connections", most, report);
    bench.cell("7000, 1000/s, 32 connections", steady, report);
}

/// The other sizes and rates.
pub fn sizes(options: &Options, kafka: &Kafka, report: &mut Report) {
    let bench = Bench::start(options, kafka, "sizes");
    let time = Duration::from_secs(4);
    for size in [
        Size::Bytes(700),
        Size::Bytes(40_000),
        Size::Bytes(150_000),
        Size::Mix,
    ] {
        let name = format!("{}, 64 connections", size.label());
        bench.cell(
            &name,
            Shape {
                size,
                connections: 64,
                rate: 0,
                awake: false,
                time,
            },
            report,
        );
    }
    for rate in [100, 500, 2_000] {
        let shape = Shape {
            size: Size::Bytes(SIZE),
            connections: 32,
            rate,
            awake: false,
            time,
        };
        bench.cell(&format!("7000, {rate}/s, 32 connections"), shape, report);
    }
}

struct Bench<'a> {
    options: &'a Options,
    floor: (Role, std::net::SocketAddr),
    relay: Relay,
    // Outlives the relay.
    _site: Site,
    _folder: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn start(options: &'a Options, kafka: &Kafka, name: &str) -> Self {
        let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written");
        let topic = kafka.topic(name);
        let site = Site::of(
            kafka.bootstrap(),
            &topic,
            Some(folder.path().join("journal")),
            &[],
        );
        let mut floor = Role::start("floor", "");
        let address = floor.address();
        Self {
            options,
            floor: (floor, address),
            relay: site.start(),
            _site: site,
            _folder: folder,
        }
    }

    fn cell(&self, name: &str, shape: Shape, report: &mut Report) {
        let rounds: Vec<Round> = (0..self.options.rounds)
            .map(|_| self.round(shape))
            .collect();
        let of = |figure: &dyn Fn(&Round) -> f64| median_of(&rounds, figure);
        let above = |figure: &dyn Fn(&Run) -> f64, raw: &dyn Fn(&Round) -> f64| {
            median(
                rounds
                    .iter()
                    .map(|round| (figure(&round.relay) - figure(&round.floor)) / raw(round)),
            )
        };
        report.row(
            name,
            &[
                ("cpu_us", of(&|round| round.relay.cpu)),
                ("floor_cpu_us", of(&|round| round.floor.cpu)),
                ("cpu_ratio", of(&|round| round.relay.cpu / round.floor.cpu)),
                ("raw_cpu_us", of(&|round| round.raw_cpu)),
                ("events_s", of(&|round| round.relay.events_per_second())),
                (
                    "floor_events_s",
                    of(&|round| round.floor.events_per_second()),
                ),
                ("switches", of(&|round| round.relay.switches)),
                ("floor_switches", of(&|round| round.floor.switches)),
                ("resident_mib", of(&|round| round.relay.resident)),
                ("amplification", of(&|round| round.amplification)),
            ],
        );
        report.row(
            &format!("{name}: ms"),
            &[
                ("p50", of(&|round| round.relay.seen.p50)),
                ("p99", of(&|round| round.relay.seen.p99)),
                ("p999", of(&|round| round.relay.seen.p999)),
                ("floor_p50", of(&|round| round.floor.seen.p50)),
                ("floor_p99", of(&|round| round.floor.seen.p99)),
                ("floor_p999", of(&|round| round.floor.seen.p999)),
                ("raw_p50", of(&|round| round.raw.0)),
                ("raw_p99", of(&|round| round.raw.1)),
                (
                    "above_floor_by_raw_p50",
                    above(&|run| run.seen.p50, &|round| round.raw.0),
                ),
                (
                    "above_floor_by_raw_p99",
                    above(&|run| run.seen.p99, &|round| round.raw.1),
                ),
                ("publish_mean", of(&|round| round.published.0)),
                ("publish_p99", of(&|round| round.published.1)),
            ],
        );
        Self::threads(name, &rounds, report);
    }

    /// CPU by thread, in µs per event; threads below 0.1 µs are left out.
    fn threads(name: &str, rounds: &[Round], report: &mut Report) {
        let part = |name: &str| {
            median_of(rounds, |round| {
                round.relay.threads.get(name).copied().unwrap_or(0.0)
            })
        };
        let names = rounds
            .last()
            .into_iter()
            .flat_map(|round| round.relay.threads.keys());
        let parts: Vec<_> = names
            .map(|name| (name.as_str(), part(name)))
            .filter(|(_, cpu)| *cpu >= 0.1)
            .collect();
        report.row(&format!("{name}: threads"), &parts);
    }

    fn round(&self, shape: Shape) -> Round {
        let floor = measure::run(self.floor.0.id(), self.floor.1, shape);
        let page = self.relay.metrics();
        let written = crate::support::process::written(self.relay.id());
        let relay = measure::run(self.relay.id(), self.relay.address, shape);
        // The rest of its backlog must not disturb the next measurement.
        self.relay.await_drained();
        let written = crate::support::process::written(self.relay.id()) - written;
        let after = self.relay.metrics();
        let published = metrics::histogram(&page, &after, "ringback_publish_latency_seconds");
        let accepted = metrics::growth(&page, &after, "ringback_events_accepted_total");
        let mean = relay.seen.bytes as f64 / relay.seen.sent as f64;
        // The mix has no size of its own.
        let (raw, raw_cpu) = disk::paced(
            &self.options.folder,
            match shape.size {
                Size::Bytes(bytes) => bytes + FRAMING,
                Size::Mix => SIZE + FRAMING,
            },
            RATE.min(if shape.rate == 0 { RATE } else { shape.rate }),
            shape.time / 2,
        );
        let quantile =
            |per_mille: usize| raw[(raw.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3;
        let amplification = written as f64 / (accepted * mean);
        Round {
            floor,
            relay,
            published: (published.mean * 1e3, published.p99 * 1e3),
            raw: (quantile(500), quantile(990)),
            raw_cpu,
            amplification,
        }
    }
}
