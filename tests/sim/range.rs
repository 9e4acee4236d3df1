//! Runs seeds: one with its trace, or a range on all cores, with progress.

use std::io::{IsTerminal as _, Write as _};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ringback::publish::Metrics;

use crate::coverage::{self, Counters};
use crate::faults;
use crate::interleave;
use crate::lies;
use crate::losses;
use crate::memory;
use crate::trace::{self, Sink};
use crate::world::{self, Tally};

const USAGE: &str =
    "give seeds as --seeds START..END (or SIM_SEEDS=START..END), as in --seeds 0..1000";

/// `--seeds A..B`, which it takes out of the arguments, or `SIM_SEEDS`.
pub fn from_arguments(arguments: &mut Vec<String>) -> Result<Option<Range<u64>>, String> {
    let mut text = std::env::var("SIM_SEEDS").ok();
    if let Some(at) = arguments.iter().position(|word| word == "--seeds") {
        let words: Vec<_> = arguments.drain(at..(at + 2).min(arguments.len())).collect();
        text = Some(words.get(1).cloned().unwrap_or_default());
    }
    let Some(text) = text else {
        return Ok(None);
    };
    let range = text.split_once("..").and_then(|(start, end)| {
        let (start, end) = (start.parse().ok()?, end.parse().ok()?);
        (start < end).then_some(start..end)
    });
    range.map(Some).ok_or_else(|| USAGE.to_owned())
}

/// The metrics that all histories of a thread share; the simulator does not read them.
pub fn metrics() -> Metrics {
    Metrics::register(&ringback::telemetry::Registry::new())
        .expect("fresh metrics can be registered")
}

/// Runs one history.
pub type History = fn(u64, &Metrics) -> Result<Tally, String>;

/// A history of a journal on disk; a panic of the code under test is a violation like any other.
pub fn history(seed: u64, metrics: &Metrics) -> Result<Tally, String> {
    caught(|| world::run(seed, metrics))
}

/// A history with `ack = "kafka"`.
pub fn memory_history(seed: u64, metrics: &Metrics) -> Result<Tally, String> {
    caught(|| memory::run(seed, metrics)).map_err(|words| format!("in memory: {words}"))
}

fn caught(run: impl FnOnce() -> Result<Tally, String>) -> Result<Tally, String> {
    interleave::clear();
    losses::take();
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| {
            panic
                .downcast_ref::<&str>()
                .map(|words| (*words).to_owned())
        });
        Err(format!("panicked: {}", words.unwrap_or_default()))
    })
}

/// Checks that two runs of a seed are the same to the byte: neither wall clock, chance nor the order of threads may show.
pub fn twice(seed: u64, metrics: &Metrics, history: History) -> Result<(), String> {
    let run = || {
        trace::send_to(Sink::Keep(String::new()));
        let outcome = history(seed, metrics);
        let Sink::Keep(lines) = trace::send_to(Sink::Nowhere) else {
            return Err(String::from("the trace was taken away"));
        };
        Ok(format!("{lines}{outcome:?}\n"))
    };
    let (first, second) = (run()?, run()?);
    let differ = first
        .lines()
        .zip(second.lines())
        .find(|(one, two)| one != two);
    match differ {
        Some((one, two)) => Err(format!("two runs differ:\n{one}\n{two}")),
        None if first.len() != second.len() => Err(String::from("one run goes on after the other")),
        None => Ok(()),
    }
}

/// A violation, and the command that replays it.
pub fn words(seed: u64, violation: &str) -> String {
    format!(
        "seed {seed}: {violation}\nreplay: SIM_TRACE=1 cargo test --test sim -- --seeds {seed}..{}",
        seed + 1
    )
}

/// Runs all seeds of a range on all cores.
pub fn run(seeds: Range<u64>) -> ExitCode {
    let name = std::env::var("SIM_FAULT").ok();
    let wrong = name.map(|name| faults::named(&name).expect("SIM_FAULT is a fault's name"));
    let next = AtomicU64::new(seeds.start);
    let stopped = AtomicBool::new(false);
    let [events, acknowledged, duplicates, starts, violations] =
        [(); 5].map(|()| AtomicU64::new(0));
    let counters = Mutex::new(Counters::default());
    let begun = Instant::now();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.min((seeds.end - seeds.start) as usize);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let metrics = metrics();
                trace::send_to(trace::sink_from_environment());
                if let Some(wrong) = wrong {
                    lies::set(Some(wrong));
                }
                while !stopped.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let outcomes = [history, memory_history].map(|run| run(seed, &metrics));
                    let mut counters = counters.lock().unwrap_or_else(PoisonError::into_inner);
                    counters.add(coverage::take());
                    drop(counters);
                    for outcome in outcomes {
                        match outcome {
                            Ok(tally) => {
                                events.fetch_add(tally.events, Ordering::Relaxed);
                                acknowledged.fetch_add(tally.acknowledged, Ordering::Relaxed);
                                duplicates.fetch_add(tally.duplicates, Ordering::Relaxed);
                                starts.fetch_add(tally.starts, Ordering::Relaxed);
                            }
                            Err(violation) => {
                                println!("\n{}", words(seed, &violation));
                                violations.fetch_add(1, Ordering::Relaxed);
                                if std::env::var_os("SIM_ALL").is_none() {
                                    stopped.store(true, Ordering::Relaxed);
                                }
                            }
                        }
                    }
                }
            });
        }
        let every = if std::io::stderr().is_terminal() {
            1
        } else {
            30
        };
        let mut printed_at = Instant::now();
        while next.load(Ordering::Relaxed) < seeds.end && !stopped.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
            if printed_at.elapsed() >= Duration::from_secs(every) {
                printed_at = Instant::now();
                let done = next.load(Ordering::Relaxed).min(seeds.end) - seeds.start;
                let rate = done as f64 / begun.elapsed().as_secs_f64();
                eprint!(
                    "\r{done} of {} histories, {rate:.0}/s ",
                    seeds.end - seeds.start
                );
                let _ = std::io::stderr().flush();
            }
        }
    });
    let counters = counters
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let reached = format!(
        "histories that have reached a branch:\n{}",
        counters.lines()
    );
    let violations = violations.into_inner();
    if violations > 0 {
        println!("\n{violations} of the histories broke the promise; {reached}");
        return ExitCode::FAILURE;
    }
    println!(
        "\nseeds {}..{} in {:.1} s: {} events, {} acknowledged, {} duplicates, {} starts; no violation\n{reached}",
        seeds.start,
        seeds.end,
        begun.elapsed().as_secs_f64(),
        events.into_inner(),
        acknowledged.into_inner(),
        duplicates.into_inner(),
        starts.into_inner(),
    );
    let missed = counters.missed();
    if !missed.is_empty() && seeds.end - seeds.start >= coverage::ENOUGH {
        println!("no history has reached: {}", missed.join("; "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
