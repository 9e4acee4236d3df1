//! `ringback dead-letter replay`: publishes dead letters, after the fix or to another topic.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::journal_path::{ConfiguredJournal, inspect};
use crate::command::output::{tell, warn};
use crate::command::render::{count, printable, printable_path, restamped};
use crate::command::{CommandError, chain};
use crate::journal::inspect::Folder;
use crate::publish::{DeadLetterFile, Replay, ReplayFileError, dead_letter_position};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback dead-letter replay --config ringback.toml --all
  ringback dead-letter replay --config ringback.toml --position 1048577 1048590
  ringback dead-letter replay --config ringback.toml --path /mnt/replica-2 --all
  ringback dead-letter replay -c ringback.toml --reason unparsed --topic other

Fix the cause first (for example the topic's max.message.bytes). What cannot be fixed, because its body is not JSON \
(unparsed), goes to a topic whose consumers take it. A dead letter is published with the key, value, \
timestamp and headers of its event, ringback_journal and ringback_position included, and with the header \
ringback_dead_letter: replayed, which marks it as out of order for consumers. Its file is removed only after Kafka's \
acknowledgement; a running relay can use the space again within seconds. Ctrl-C is safe: what is not acknowledged stays.
Exit codes: 0 all were published, 1 some stay (each with its reason), 78 bad configuration.")]
pub struct ReplayArgs {
    #[command(flatten)]
    journal: ConfiguredJournal,
    #[command(flatten)]
    selection: Selection,
    /// Publish to this topic instead of the one that the event would have by the configuration
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// How long each dead letter may wait for Kafka's acknowledgement, for example 30s or 5m
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// Replay the dead letters with these positions
    #[arg(long, value_name = "N", num_args = 1..)]
    position: Vec<u64>,
    /// Replay the dead letters with this reason, for example unparsed or too_large
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Replay every dead letter
    #[arg(long)]
    all: bool,
}

/// Publishes the selected dead letters, oldest first.
pub fn run(arguments: &ReplayArgs) -> Result<(), CommandError> {
    let config = arguments.journal.load()?;
    let journal = &config.journal.path;
    Folder::open(journal).map_err(CommandError::inspect(journal))?;
    let publish = config.publish();
    let found = super::files(&publish.dead_letter_path)?;
    let (files, unknown) = select(&arguments.selection, found);
    for position in &unknown {
        warn(format_args!(
            "{position}: there is no dead letter with this position"
        ));
    }
    if files.is_empty() && unknown.is_empty() {
        let reason = arguments.selection.reason.as_deref();
        let reason = reason.map_or_else(String::new, |reason| format!(" with reason {reason}"));
        tell(format_args!("There are no dead letters{reason}."));
        return Ok(());
    }
    let mut kept = unknown.len();
    let mut replayed = 0;
    let mut with_present_time = 0;
    if !files.is_empty() {
        let mut replay = Replay::new(&publish, arguments.topic.as_deref(), arguments.timeout)?;
        for (index, file) in files.iter().enumerate() {
            match publish_file(&mut replay, file, journal) {
                Ok((letter, topic, is_restamped)) => {
                    replayed += 1;
                    with_present_time += u64::from(is_restamped);
                    tell(format_args!("{} replayed to {topic}", describe(&letter)));
                }
                Err(error) => {
                    kept += 1;
                    warn(format_args!(
                        "{} stays: {}",
                        printable_path(file),
                        chain(&error)
                    ));
                    if error.concerns_all() {
                        let untried = files.len() - index - 1;
                        kept += untried;
                        if untried > 0 {
                            let more = count(untried as u64, "more dead letter");
                            warn(format_args!(
                                "{more} not tried: the reason concerns all of them"
                            ));
                        }
                        break;
                    }
                }
            }
        }
    }
    let restamped = restamped(with_present_time);
    tell(format_args!("{replayed} replayed{restamped}, {kept} not"));
    match kept {
        0 => Ok(()),
        kept => Err(CommandError::NotReplayed(kept)),
    }
}

/// The selected files, and the selected positions that have no file.
fn select(selection: &Selection, found: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<u64>) {
    if selection.all {
        return (found, Vec::new());
    }
    if let Some(reason) = &selection.reason {
        // One that cannot be read is kept here, so that the replay reports it.
        let is_wanted = |file: &PathBuf| {
            DeadLetterFile::read(file).map_or(true, |letter| letter.reason == *reason)
        };
        return (found.into_iter().filter(is_wanted).collect(), Vec::new());
    }
    let is_there = |position: &u64| {
        let mut files = found.iter();
        files.any(|file| dead_letter_position(file) == Some(*position))
    };
    let unknown = selection.position.iter().copied();
    let unknown = unknown.filter(|position| !is_there(position)).collect();
    let wanted = |file: &PathBuf| {
        dead_letter_position(file).is_some_and(|position| selection.position.contains(&position))
    };
    (found.into_iter().filter(wanted).collect(), unknown)
}

/// Publishes one dead letter. A file from an old release lacks its journal's id, which the journal beside it has.
fn publish_file(
    replay: &mut Replay,
    file: &Path,
    journal: &Path,
) -> Result<(DeadLetterFile, String, bool), ReplayFileError> {
    match replay.replay(file, None) {
        Err(ReplayFileError::NoJournal) => {
            let id = inspect(journal)
                .ok()
                .map(|inspection| hex::encode(inspection.journal_id));
            replay.replay(file, id.as_deref())
        }
        outcome => outcome,
    }
}

fn describe(letter: &DeadLetterFile) -> String {
    let kind = letter.event().map(|event| printable(event.kind));
    format!("{} {}", letter.position, kind.unwrap_or_default())
}
