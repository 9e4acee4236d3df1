//! A bench's command line.

use std::path::PathBuf;

/// `cargo bench --bench NAME -- [--short] [--json FILE] [--rounds N] [--dir FOLDER] [--only PART[,PART]]`
#[derive(Debug, Clone)]
pub struct Options {
    /// Seconds instead of minutes, for a guard against gross regressions.
    pub short: bool,
    /// Where the figures go as JSON, beside the table.
    pub json: Option<PathBuf>,
    /// Of how many interleaved rounds the medians are.
    pub rounds: usize,
    /// Where journals and raw files lie: a real disk, because a tmpfs syncs nothing and measures nothing.
    pub folder: PathBuf,
    /// These parts of the bench alone, by their names, with commas between them.
    pub only: Option<String>,
}

impl Options {
    /// Reads the command line; a wrong one ends the process.
    pub fn read() -> Self {
        let mut options = Self {
            short: false,
            json: None,
            rounds: 0,
            folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            only: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.unwrap_or_else(|| wrong(&format!("{argument} needs a value")))
            };
            match argument.as_str() {
                "--short" => options.short = true,
                "--json" => options.json = Some(value().into()),
                "--dir" => options.folder = value().into(),
                "--only" => options.only = Some(value()),
                "--rounds" => {
                    let rounds = value().parse().ok().filter(|rounds| *rounds > 0);
                    options.rounds = rounds.unwrap_or_else(|| wrong("--rounds needs a number"));
                }
                // Cargo's own.
                "--bench" => {}
                other => wrong(&format!("unknown option {other}")),
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.short { 3 } else { 5 };
        }
        options
    }

    /// True where this part of the bench is asked for.
    pub fn wants(&self, part: &str) -> bool {
        // A part's own name may have a comma.
        let among = |only: &str| only == part || only.split(',').any(|name| name == part);
        self.only.as_deref().is_none_or(among)
    }
}

/// The role and its parameters, where this process was started by its own kind.
pub fn role() -> Option<(String, String)> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != "--role" {
        return None;
    }
    Some((arguments.next()?, arguments.next().unwrap_or_default()))
}

fn wrong(words: &str) -> ! {
    eprintln!(
        "{words}; usage: [--short] [--json FILE] [--rounds N] [--dir FOLDER] [--only PART[,PART]]"
    );
    std::process::exit(2)
}
