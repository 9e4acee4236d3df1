//! The deterministic simulator: the real journal and the real publisher over a simulated disk, network and Kafka.
//!
//! A history is one seed: one thread, virtual time, every delay and fault from the seed. After it the invariants of
//! ARCHITECTURE.md are checked against what the senders were answered and what the topic got.
//!
//! ```text
//! cargo test --test sim                                      2,000 histories, then every lie
//! cargo test --release --test sim -- --seeds 0..1000000      any range, with progress
//! cargo test --test sim -- --faults [NAME…]                  the table of lies and their first seeds
//! SIM_TRACE=1 cargo test --test sim -- --seeds 42..43        one history, printed step by step
//! SIM_FAULT=NAME SIM_ALL=1 …                                 with that lie; SIM_ALL: past the first violation
//! ```

mod beside;
mod chaos;
mod coverage;
mod disk;
mod env;
mod faults;
mod interleave;
mod kafka;
mod ledger;
mod lies;
mod losses;
mod memory;
mod mutants;
mod process;
mod random;
mod range;
mod senders;
mod setup;
mod trace;
mod world;

use std::ops::Range;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use range::History;

/// The ordinary seeds.
pub const SEEDS: u64 = 2_000;
/// Holds the tables of faults.
pub const README: &str = include_str!("README.md");
/// The number of tests that the ordinary seeds are divided into, so that they share the cores.
const TRIALS: u64 = 20;

fn main() -> ExitCode {
    trace::subscribe();
    let mut arguments: Vec<_> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|word| word == "--faults") {
        faults::table(&arguments[at + 1..]);
        return ExitCode::SUCCESS;
    }
    let seeds = match range::from_arguments(&mut arguments) {
        Ok(seeds) => seeds,
        Err(words) => {
            eprintln!("{words}");
            return ExitCode::from(2);
        }
    };
    if let Some(seeds) = seeds {
        return range::run(seeds);
    }
    let share = SEEDS / TRIALS;
    let kinds: [(&str, History); 2] = [
        ("histories", range::history),
        ("histories_in_memory", range::memory_history),
    ];
    let histories = kinds.into_iter().flat_map(|(kind, history)| {
        (0..TRIALS).map(move |trial| {
            let seeds = trial * share..(trial + 1) * share;
            let name = format!("{kind}_keep_the_promise_{}_{}", seeds.start, seeds.end);
            Trial::test(name, move || keep_the_promise(seeds, history))
        })
    });
    let canary = Trial::test("no_history_survives_the_canary", faults::canary);
    let twice = Trial::test("a_seed_is_the_same_history_each_time", || {
        let metrics = range::metrics();
        let histories: [History; 2] = [range::history, range::memory_history];
        let same = (0..100).try_for_each(|seed| {
            let mut histories = histories.into_iter();
            histories.try_for_each(|history| {
                range::twice(seed, &metrics, history).map_err(|words| range::words(seed, &words))
            })
        });
        same.map_err(Failed::from)
    });
    let mutants = mutants::trials().expect("the folder of patches can be read");
    let tests = histories
        .chain([canary, twice])
        .chain(faults::trials())
        .chain(mutants)
        .collect();
    libtest_mimic::run(&Arguments::from_iter(arguments), tests).exit_code()
}

fn keep_the_promise(seeds: Range<u64>, history: History) -> Result<(), Failed> {
    let metrics = range::metrics();
    for seed in seeds {
        history(seed, &metrics).map_err(|words| range::words(seed, &words))?;
    }
    Ok(())
}
