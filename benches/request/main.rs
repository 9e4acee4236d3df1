//! The request path up to the append (HTTP, signature, validation), beside a bare hyper server: the floor.
//!
//! ```text
//! cargo bench --bench request                      all sizes, and the mix; some minutes
//! cargo bench --bench request -- --short           7 KB and 40 KB, half a minute
//! cargo bench --bench request -- --json FILE       the figures as JSON, too
//! cargo bench --bench request -- --only cpu|allocations|parts
//! ```
//!
//! Both servers and the load are processes of their own. The first server is ringback's whole ingest over a journal that
//! accepts at once. Heap allocations are counted in a separate run on one warm connection, because counting costs time.

mod allocations;
mod parts;
#[path = "../support/mod.rs"]
mod support;

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use ringback::ingest::{self, Append, Ingest, KeyConfig, ListenConfig, SourceConfig, Verify};
use ringback::journal::AppendError;
use ringback::telemetry::Registry;
use tokio::net::TcpListener;

use support::bodies::Size;
use support::measure::{self, Run, Shape};
use support::options::{self, Options};
use support::process::{self, Role};
use support::report::{Report, median_of};
use support::{PATH, floor, load};

const SIZES: [Size; 5] = [
    Size::Bytes(700),
    Size::Bytes(7_000),
    Size::Bytes(40_000),
    Size::Bytes(150_000),
    Size::Mix,
];
const CONNECTIONS: usize = 64;
/// Events on one connection, after as many to warm it up.
const COUNTED: u32 = 2_000;

fn main() -> io::Result<()> {
    match options::role() {
        Some((role, counting)) if role == "floor" || role == "ours" => {
            if counting.is_empty() {
                process::end_with_the_parent();
            } else {
                allocations::count();
                answer_counts();
            }
            return if role == "floor" {
                floor::run()
            } else {
                serve()
            };
        }
        Some((_, parameters)) => return load::run(&parameters),
        None => {}
    }
    let options = Options::read();
    let mut report = Report::new("request");
    if options.wants("cpu") {
        cpu(&options, &mut report);
    }
    if options.wants("allocations") {
        allocations_of("floor", &mut report);
        allocations_of("ours", &mut report);
    }
    if options.wants("parts") {
        parts::measure(&options, &product(Verify::None, Vec::new())?, &mut report);
    }
    report.finish(&options);
    Ok(())
}

/// CPU per event at most load, and at the rate of a busy day.
fn cpu(options: &Options, report: &mut Report) {
    let (mut floor, mut ours) = (Role::start("floor", ""), Role::start("ours", ""));
    let servers = [(floor.id(), floor.address()), (ours.id(), ours.address())];
    let sizes = if options.short {
        &SIZES[1..3]
    } else {
        &SIZES[..]
    };
    for size in sizes {
        for (connections, rate, awake) in [
            (CONNECTIONS, 0, true),
            (CONNECTIONS, 0, false),
            (32, 1_000, false),
        ] {
            if rate > 0 && (options.short || *size != Size::Bytes(7_000)) {
                continue;
            }
            let time = Duration::from_millis(if options.short { 1_000 } else { 2_500 });
            let shape = Shape {
                size: *size,
                connections,
                rate,
                awake,
                time,
            };
            let rounds: Vec<[Run; 2]> = (0..options.rounds)
                .map(|_| servers.map(|(process, address)| measure::run(process, address, shape)))
                .collect();
            let name = match (rate, awake) {
                (0, true) => size.label(),
                (0, false) => format!("{}, a load that sleeps", size.label()),
                _ => format!("{} at {rate}/s", size.label()),
            };
            row(report, &name, &rounds);
        }
    }
}

fn row(report: &mut Report, name: &str, rounds: &[[Run; 2]]) {
    report.row(
        name,
        &[
            ("ours_cpu_us", median_of(rounds, |[_, ours]| ours.cpu)),
            ("floor_cpu_us", median_of(rounds, |[floor, _]| floor.cpu)),
            (
                "cpu_ratio",
                median_of(rounds, |[floor, ours]| ours.cpu / floor.cpu),
            ),
            (
                "ours_events_s",
                median_of(rounds, |[_, ours]| ours.events_per_second()),
            ),
            (
                "floor_events_s",
                median_of(rounds, |[floor, _]| floor.events_per_second()),
            ),
            ("ours_p50_ms", median_of(rounds, |[_, ours]| ours.seen.p50)),
            (
                "floor_p50_ms",
                median_of(rounds, |[floor, _]| floor.seen.p50),
            ),
            ("ours_p99_ms", median_of(rounds, |[_, ours]| ours.seen.p99)),
            (
                "floor_p99_ms",
                median_of(rounds, |[floor, _]| floor.seen.p99),
            ),
            ("ours_mib", median_of(rounds, |[_, ours]| ours.resident)),
        ],
    );
}

/// Allocations per event of one server: 7 KB on one warm connection.
fn allocations_of(role: &str, report: &mut Report) {
    let mut server = Role::start(role, "counting");
    let address = server.address();
    let shape = Shape {
        size: Size::Bytes(7_000),
        connections: 1,
        rate: COUNTED,
        awake: false,
        time: Duration::from_secs(1),
    };
    measure::run(server.id(), address, shape);
    let before = counts(&mut server);
    measure::run(server.id(), address, shape);
    let after = counts(&mut server);
    // The count includes the connection's own allocations and those of the warm-up.
    let events = f64::from(COUNTED) * (shape.time + measure::WARM).as_secs_f64();
    let each = |index: usize| (after[index] - before[index]) as f64 / events;
    report.row(
        &format!("heap of {role}, 7000"),
        &[("allocations", each(0)), ("bytes", each(1))],
    );
}

fn counts(server: &mut Role) -> [u64; 2] {
    let line = server.ask("count");
    let mut numbers = line
        .split(' ')
        .map(|number| number.parse().expect("it is a number"));
    [(); 2].map(|()| numbers.next().expect("there are two"))
}

/// Ingest as `serve` builds it, without a disk behind it.
fn product(verify: Verify, keys: Vec<KeyConfig>) -> io::Result<Ingest<AtOnce>> {
    let sources = [SourceConfig {
        name: String::from("retell"),
        path: PATH.into(),
        verify,
        keys,
        ..SourceConfig::default()
    }];
    let metrics = ingest::Metrics::register(&Registry::new()).map_err(io::Error::other)?;
    Ingest::new(&ListenConfig::default(), &sources, AtOnce, metrics).map_err(io::Error::other)
}

/// The server's role, on half of the cores as `serve`.
fn serve() -> io::Result<()> {
    let key = KeyConfig {
        env: Some(String::from("RETELL_API_KEY")),
        file: None,
        name: None,
    };
    let ingest = product(Verify::Retell, vec![key])?;
    let cores = std::thread::available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(2))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        process::print_address(listener.local_addr()?)?;
        ingest::serve(listener, ingest, std::future::pending()).await
    })
}

/// Prints the counts whenever a line comes on standard input; ends the process with its parent.
fn answer_counts() {
    std::thread::spawn(|| {
        for _ in io::stdin().lines().map_while(Result::ok) {
            let (count, bytes) = allocations::counted();
            println!("{count} {bytes}");
        }
        std::process::exit(0);
    });
}

/// A journal whose disk is infinitely fast.
struct AtOnce;

impl Append for AtOnce {
    type Commit = Ready<Result<u64, AppendError>>;

    fn append(&self, _: Vec<u8>, _: Bytes) -> Result<Self::Commit, AppendError> {
        Ok(ready(Ok(0)))
    }
}
