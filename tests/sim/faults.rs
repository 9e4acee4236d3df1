//! The proof that the simulator bites: each lie must be found within the ordinary seeds.

use libtest_mimic::{Failed, Trial};

use crate::lies::{self, LIES, Lie, MEMORY_LIES};
use crate::range::History;
use crate::{README, SEEDS, range};

/// One test per lie: the simulator finds it, and the README's table has its row.
pub fn trials() -> impl Iterator<Item = Trial> {
    let on_disk = LIES.map(|(lie, breaks)| ("", lie, breaks, range::history as History));
    let in_memory = MEMORY_LIES
        .map(|(lie, breaks)| ("in_memory_", lie, breaks, range::memory_history as History));
    let all = on_disk.into_iter().chain(in_memory);
    all.map(|(place, lie, breaks, history)| {
        Trial::test(format!("the_simulator_finds_{place}{lie:?}"), move || {
            let row = row(lie, breaks, history);
            if row.seed.is_none() {
                return Err(Failed::from("not found"));
            }
            // Without the text of the violation, which may change with every fix.
            let begin = row.text[..row.words_at].to_owned();
            if README.contains(&begin) {
                return Ok(());
            }
            Err(Failed::from(format!(
                "tests/sim/README.md does not have the row\n{begin}\nMake its table again: cargo test --test sim -- --faults"
            )))
        })
    })
}

/// Every history with the canary must fail: a simulator that checks nothing is red at once.
pub fn canary() -> Result<(), Failed> {
    let metrics = range::metrics();
    lies::set(Some(lies::CANARY));
    let is_blind = |history: History, seed| history(seed, &metrics).is_ok();
    let passed = (0..20)
        .find(|seed| is_blind(range::history, *seed) || is_blind(range::memory_history, *seed));
    lies::set(None);
    passed.map_or(Ok(()), |seed| {
        let words = format!("seed {seed} keeps the promise though no record ever reaches Kafka");
        Err(Failed::from(words))
    })
}

/// Prints the table; only the rows of these faults if names are given.
pub fn table(names: &[String]) {
    let tables: [(&[(Lie, &str)], History); 2] = [
        (&LIES, range::history),
        (&MEMORY_LIES, range::memory_history),
    ];
    for (lies, history) in tables {
        println!("| fault | breaks | first seed | found as |\n|---|---|---|---|");
        for (lie, breaks) in lies {
            if names.is_empty() || names.contains(&format!("{lie:?}")) {
                println!("{}", row(*lie, breaks, history).text);
            }
        }
    }
}

/// The deliberate fault of this name.
pub fn named(name: &str) -> Option<Lie> {
    LIES.into_iter()
        .map(|(lie, _)| lie)
        .find(|lie| format!("{lie:?}") == name)
}

struct Row {
    text: String,
    /// Where the text of the violation begins.
    words_at: usize,
    seed: Option<u64>,
}

fn row(lie: Lie, breaks: &str, history: History) -> Row {
    let found = first_find(lie, history);
    let seed = found.as_ref().map(|(seed, _)| *seed);
    let (seed_text, words) = found.map_or_else(
        || (String::from("none"), String::new()),
        |(seed, words)| (seed.to_string(), words),
    );
    let begin = format!("| `{lie:?}` | {breaks} | {seed_text} | ");
    Row {
        words_at: begin.len(),
        text: format!("{begin}{words} |"),
        seed,
    }
}

/// The first of the ordinary seeds in whose history the fault shows.
fn first_find(lie: Lie, history: History) -> Option<(u64, String)> {
    let metrics = range::metrics();
    lies::set(Some(lie));
    let found = (0..SEEDS).find_map(|seed| {
        let violation = history(seed, &metrics).err()?;
        Some((seed, violation))
    });
    lies::set(None);
    found
}
