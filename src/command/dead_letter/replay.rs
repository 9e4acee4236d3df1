//! `ringback dead-letter replay`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anstream::println;

use crate::command::place::{self, Configured};
use crate::command::render::{count, printable, with_present_time};
use crate::command::{CommandError, chain};
use crate::journal::inspect::Folder;
use crate::publish::{Letter, Replay, StayError, letter_position};

/// Which letters, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback dead-letter replay --config ringback.toml --all
  ringback dead-letter replay --config ringback.toml --position 1048577 1048590
  ringback dead-letter replay --config ringback.toml --path /mnt/replica-2 --all

Mend the cause first (say, the topic's max.message.bytes). A letter goes out with its key, value, timestamp and headers \
as the event would have, ringback_journal and ringback_position among them, and with ringback_dead_letter: replayed, \
which tells a consumer that it comes out of order. Its file is removed only after Kafka's acknowledgement; a running \
relay has the room back within seconds. Ctrl-C is safe: what is not acknowledged stays.
Exit codes: 0 all went through, 1 something stays (each with its reason), 78 bad configuration.")]
pub struct Arguments {
    #[command(flatten)]
    place: Configured,
    #[command(flatten)]
    which: Which,
    /// Another topic than the configured kafka.topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// How long each letter may wait for Kafka's acknowledgement, as 30s or 5m
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// These letters, by their positions
    #[arg(long, value_name = "N", num_args = 1..)]
    position: Vec<u64>,
    /// Every letter
    #[arg(long)]
    all: bool,
}

/// Puts the letters through, oldest first.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = arguments.place.load()?;
    let journal = &config.journal.path;
    Folder::open(journal).map_err(place::failed(journal))?;
    let publish = config.publish();
    let topic = arguments.topic.as_deref().unwrap_or(&publish.topic);
    let found = super::letters(&publish.dead_letter_path)?;
    let (files, unknown) = choose(&arguments.which, found);
    for position in &unknown {
        anstream::eprintln!("{position}: there is no dead letter with this position");
    }
    if files.is_empty() && unknown.is_empty() {
        println!("There are no dead letters.");
        return Ok(());
    }
    let mut stayed = unknown.len();
    let mut through = 0;
    let mut restamped = 0;
    if !files.is_empty() {
        let mut replay = Replay::new(&publish, topic, arguments.timeout)?;
        for (index, file) in files.iter().enumerate() {
            match put_through(&mut replay, file, journal) {
                Ok((letter, is_restamped)) => {
                    through += 1;
                    restamped += u64::from(is_restamped);
                    println!("{} replayed to {topic}", describe(&letter));
                }
                Err(error) => {
                    stayed += 1;
                    anstream::eprintln!("{} stays: {}", file.display(), chain(&error));
                    if error.concerns_all() {
                        let untried = files.len() - index - 1;
                        stayed += untried;
                        if untried > 0 {
                            let letters = count(untried as u64, "more letter");
                            anstream::eprintln!("{letters} not tried: it would be the same");
                        }
                        break;
                    }
                }
            }
        }
    }
    let present = with_present_time(restamped);
    println!("{through} replayed{present}, {stayed} not");
    match stayed {
        0 => Ok(()),
        letters => Err(CommandError::Stayed { letters }),
    }
}

/// The files that are meant, and the positions for which there is none.
fn choose(which: &Which, found: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<u64>) {
    if which.all {
        return (found, Vec::new());
    }
    let is_there = |position: &u64| {
        let mut files = found.iter();
        files.any(|file| letter_position(file) == Some(*position))
    };
    let unknown = which.position.iter().copied();
    let unknown = unknown.filter(|position| !is_there(position)).collect();
    let wanted = |file: &PathBuf| {
        letter_position(file).is_some_and(|position| which.position.contains(&position))
    };
    (found.into_iter().filter(wanted).collect(), unknown)
}

/// An old letter does not tell its journal's id; then the journal beside it does.
fn put_through(
    replay: &mut Replay,
    file: &Path,
    journal: &Path,
) -> Result<(Letter, bool), StayError> {
    match replay.replay(file, None) {
        Err(StayError::NoJournal) => {
            let id = place::inspect(journal)
                .ok()
                .map(|inspection| hex::encode(inspection.journal_id));
            replay.replay(file, id.as_deref())
        }
        outcome => outcome,
    }
}

fn describe(letter: &Letter) -> String {
    let kind = letter.event().map(|event| printable(event.kind));
    format!("{} {}", letter.position, kind.unwrap_or_default())
}
