//! A bench's command line.

use std::path::PathBuf;

/// `cargo bench --bench NAME -- [--short] [--json FILE] [--rounds N] [--dir FOLDER] [--only PART[,PART]]`
#[derive(Debug, Clone)]
pub struct Options {
    /// Takes seconds instead of minutes: a guard against gross regressions.
    pub short: bool,
    /// A file for the figures as JSON, beside the table.
    pub json: Option<PathBuf>,
    /// Interleaved rounds, of which the medians are taken.
    pub rounds: usize,
    /// The folder of journals and raw files. Use a real disk, because a tmpfs syncs nothing and measures nothing.
    pub folder: PathBuf,
    /// Run only these parts of the bench, separated by commas.
    pub only: Option<String>,
}

impl Options {
    /// Reads the command line; a wrong one ends the process with 2.
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
                // Cargo adds it.
                "--bench" => {}
                other => wrong(&format!("unknown option {other}")),
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.short { 3 } else { 5 };
        }
        options
    }

    /// True if this part of the bench is to run.
    pub fn wants(&self, part: &str) -> bool {
        // A part's name may contain a comma.
        let among = |only: &str| only == part || only.split(',').any(|name| name == part);
        self.only.as_deref().is_none_or(among)
    }
}

/// The role and its parameters if a bench has started this process; else `None`.
pub fn role() -> Option<(String, String)> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != "--role" {
        return None;
    }
    Some((arguments.next()?, arguments.next().unwrap_or_default()))
}

fn wrong(problem: &str) -> ! {
    eprintln!(
        "{problem}; usage: [--short] [--json FILE] [--rounds N] [--dir FOLDER] [--only PART[,PART]]"
    );
    std::process::exit(2)
}
