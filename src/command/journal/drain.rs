//! `ringback journal drain`: publishes what the journal of a stopped relay still holds.

mod set_aside;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::app::{AppError, Drain, DrainProgress};
use crate::command::journal_path::{ConfiguredJournal, inspect};
use crate::command::output::tell;
use crate::command::progress::ProgressLine;
use crate::command::render::{count, grouped, printable_path, restamped};
use crate::command::{CommandError, block_on, dead_letter};
use crate::config::Config;
use crate::journal::OpenError;
use crate::journal::disk::real::FolderError;
use crate::signal::Signals;
use crate::telemetry;

/// Without `--timeout`; longer ones are cut to it, because adding them to an instant could overflow.
const MAX_TIMEOUT: Duration = Duration::from_hours(100 * 365 * 24);
/// Between two progress lines if standard error is not a terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback journal drain --config ringback.toml
  ringback journal drain --config ringback.toml --path /mnt/replica-2
  ringback journal drain --config ringback.toml --timeout 10m

Stop the relay first. If the relay is gone for good, --path names the journal that it has left.
drain publishes as the relay does: in order, each event until Kafka has acknowledged it, with the headers of the journal \
that the event was in. Meanwhile it holds the journal, and opens no port. Ctrl-C ends it safely: what is left stays.
It also publishes segments that were set aside because a place in them could not be read, if they can be read now: all \
their events once more, under the positions that they had. A segment of which an event is missing stays.
Exit codes: 0 the journal is empty, 1 something is left or a relay is running on it, 78 bad configuration.")]
pub struct DrainArgs {
    #[command(flatten)]
    journal: ConfiguredJournal,
    /// Give up after this long, for example 30s or 10m [default: never]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

/// Runs until the journal is empty, the time is over or a signal asks for the end.
pub fn run(arguments: &DrainArgs) -> Result<(), CommandError> {
    let config = arguments.journal.load()?;
    telemetry::log("error,librdkafka=off")?;
    let path = &config.journal.path;
    // Fails if there is no journal; starting the publisher would create one.
    let inspection = inspect(path)?;
    let is_locked = inspection.folder().is_locked();
    if is_locked.map_err(CommandError::inspect(path))? {
        return Err(held(path));
    }
    drop(inspection);
    let timeout = arguments.timeout.unwrap_or(MAX_TIMEOUT).min(MAX_TIMEOUT);
    let until = Instant::now() + timeout;
    block_on(None, async {
        let (found, progress) = publish_all(config.clone(), timeout).await?;
        conclude(found, &progress, &config.publish().dead_letter_path)?;
        set_aside::publish(&config, until).await
    })
}

/// Publishes what the journal of this configuration holds. Returns how many events were found, and what became of them.
async fn publish_all(
    config: Config,
    timeout: Duration,
) -> Result<(u64, DrainProgress), CommandError> {
    let path = config.journal.path.clone();
    let topics = config.publish().topics().names().join(", ");
    let signals = Signals::listen()?.without_reload();
    let drain = Drain::start(config).await.map_err(|error| match error {
        AppError::Journal {
            source: OpenError::Folder(FolderError::Locked),
            ..
        } => held(&path),
        error => error.into(),
    })?;
    let found = drain.found();
    if found > 0 {
        tell(format_args!(
            "{} to publish to {topics}",
            count(found, "event")
        ));
    }
    let mut line = ProgressLine::new(PROGRESS_INTERVAL);
    let began = Instant::now();
    let progress = drain
        .run(signals, timeout, |progress| {
            line.show(|| describe(progress, began.elapsed()));
        })
        .await?;
    Ok((found, progress))
}

fn conclude(found: u64, progress: &DrainProgress, dead_letters: &Path) -> Result<(), CommandError> {
    if found == 0 {
        tell("The journal is empty: there was nothing to publish.");
    } else {
        let unreadable = match progress.unreadable {
            0 => String::new(),
            unreadable => format!("{} not readable, ", grouped(unreadable)),
        };
        tell(format_args!(
            "{} published{}, {} set aside, {} lost to damage, {unreadable}{} left",
            grouped(progress.published),
            restamped(progress.restamped),
            count(progress.dead_letters, "dead letter"),
            grouped(progress.corrupt),
            progress
                .left
                .map_or_else(|| String::from("an unknown number"), grouped)
        ));
    }
    let files = dead_letter::files(dead_letters)?.len() as u64;
    if files > 0 {
        tell(format_args!(
            "{} in {}: see `ringback dead-letter list`",
            count(files, "dead letter"),
            printable_path(dead_letters)
        ));
    }
    match progress.left {
        Some(0) => Ok(()),
        left => Err(CommandError::EventsLeft {
            left: left.map_or_else(|| String::from("not known how many"), grouped),
            reasons: reasons(progress),
        }),
    }
}

fn describe(progress: &DrainProgress, elapsed: Duration) -> String {
    let left = progress.left.unwrap_or_default();
    let events = count(left, "event");
    let reasons = reasons(progress);
    let done = progress.published + progress.dead_letters;
    let rate = done / elapsed.as_secs().max(1);
    match left.checked_div(rate) {
        Some(seconds) => {
            let rest = humantime::format_duration(Duration::from_secs(seconds));
            format!("{events} left, {}/s, about {rest}{reasons}", grouped(rate))
        }
        None => format!("{events} left{reasons}"),
    }
}

/// Why events are left, as far as it is known.
fn reasons(progress: &DrainProgress) -> String {
    let causes = [
        ("Kafka", &progress.kafka_failure),
        ("disk", &progress.disk_failure),
    ];
    let causes = causes.into_iter().filter_map(|(name, failure)| {
        let failure = failure.as_ref()?;
        Some(format!("; {name}: {failure}"))
    });
    causes.collect()
}

fn held(path: &Path) -> CommandError {
    CommandError::JournalHeld {
        path: path.display().to_string(),
    }
}
