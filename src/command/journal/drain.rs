//! `ringback journal drain`: publishes what a stopped journal still holds.

mod set_aside;

use std::path::Path;
use std::time::{Duration, Instant};

use anstream::println;

use crate::app::{AppError, Drain, DrainProgress};
use crate::command::CommandError;
use crate::command::place::{self, Configured};
use crate::command::progress;
use crate::command::render::{self, count, grouped};
use crate::config::Config;
use crate::journal::OpenError;
use crate::journal::disk::real::FolderError;
use crate::publish;
use crate::signal::Signals;
use crate::telemetry;

/// As good as for ever, and far from where an instant overflows.
const FOR_EVER: Duration = Duration::from_hours(100 * 365 * 24);

/// Which journal, to which Kafka, for how long.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback journal drain --config ringback.toml
  ringback journal drain --config ringback.toml --path /mnt/replica-2
  ringback journal drain --config ringback.toml --timeout 10m

The relay is stopped, or gone for good: then --path names the journal that it left behind.
It publishes as the relay does: in order, each event until Kafka has acknowledged it, the headers those of the \
journal that it was in. It holds the journal meanwhile, and listens nowhere. Ctrl-C ends it safely: what is \
left stays.
Segments that were set aside because a place in them could not be read are published too, if they can be read now: \
all their events once more, under the positions that they had.
Exit codes: 0 the journal is empty, 1 something is left or a relay is running on it, 78 bad configuration.")]
pub struct Arguments {
    #[command(flatten)]
    place: Configured,
    /// Give up after this long, as 30s or 10m; without it, only when the journal is empty
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

/// Runs until the journal is empty, or it is told to end.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = arguments.place.load()?;
    telemetry::log("error,librdkafka=off")?;
    let path = config.journal.path.clone();
    // A folder without a journal would be made one otherwise.
    let inspection = place::inspect(&path)?;
    let is_locked = inspection.folder().is_locked();
    if is_locked.map_err(place::failed(&path))? {
        return Err(held(&path));
    }
    drop(inspection);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let letters = config.publish().dead_letter_path;
    let timeout = arguments.timeout.unwrap_or(FOR_EVER).min(FOR_EVER);
    let until = Instant::now() + timeout;
    let outcome = runtime.block_on(async {
        let (found, progress) = publish_all(config.clone(), timeout).await?;
        conclude(found, &progress, &letters)?;
        set_aside::publish(&config, until).await
    });
    runtime.shutdown_background();
    outcome
}

/// Publishes what the journal of this configuration holds; how many events were found, and what became of them.
async fn publish_all(
    config: Config,
    timeout: Duration,
) -> Result<(u64, DrainProgress), CommandError> {
    let (path, topic) = (config.journal.path.clone(), config.kafka.topic.clone());
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
        println!("{} to publish to {topic}", count(found, "event"));
    }
    let mut line = progress::Progress::new();
    let began = Instant::now();
    let progress = drain
        .run(signals, timeout, |progress| {
            line.show(|| told(progress, began.elapsed()));
        })
        .await?;
    line.clear();
    Ok((found, progress))
}

fn conclude(found: u64, progress: &DrainProgress, letters: &Path) -> Result<(), CommandError> {
    let DrainProgress {
        published,
        restamped,
        dead_letters,
        corrupt,
        unreadable,
        left,
        ..
    } = progress;
    if found == 0 {
        println!("The journal is empty: there was nothing to publish.");
    } else {
        println!(
            "{} published{}, {} set aside, {} lost to damage, {}{} left",
            grouped(*published),
            render::with_present_time(*restamped),
            count(*dead_letters, "dead letter"),
            grouped(*corrupt),
            Some(*unreadable)
                .filter(|unreadable| *unreadable > 0)
                .map_or_else(String::new, |unreadable| format!(
                    "{} not readable, ",
                    grouped(unreadable)
                )),
            left.map_or_else(|| String::from("an unknown number"), grouped)
        );
    }
    let lying = publish::letters(letters).map_err(|source| CommandError::DeadLetters {
        path: letters.display().to_string(),
        source,
    })?;
    if !lying.is_empty() {
        println!(
            "{} in {}: see `ringback dead-letter list`",
            count(lying.len() as u64, "dead letter"),
            letters.display()
        );
    }
    match left {
        Some(0) => Ok(()),
        left => Err(CommandError::Left {
            left: left.map_or_else(|| String::from("not known how many"), grouped),
            trouble: trouble(progress),
        }),
    }
}

fn told(progress: &DrainProgress, elapsed: Duration) -> String {
    let left = count(progress.left.unwrap_or_default(), "event");
    let trouble = trouble(progress);
    let done = progress.published + progress.dead_letters;
    let rate = done / elapsed.as_secs().max(1);
    match progress.left.unwrap_or_default().checked_div(rate) {
        Some(seconds) => {
            let rest = humantime::format_duration(Duration::from_secs(seconds));
            format!("{left} left, {}/s, about {rest}{trouble}", grouped(rate))
        }
        None => format!("{left} left{trouble}"),
    }
}

fn trouble(progress: &DrainProgress) -> String {
    let words = |what: &str, words: &Option<String>| {
        let words = words.as_ref();
        words.map_or_else(String::new, |words| format!("; {what}: {words}"))
    };
    words("Kafka", &progress.kafka_failure) + &words("disk", &progress.disk_failure)
}

fn held(path: &Path) -> CommandError {
    CommandError::Held {
        path: path.display().to_string(),
    }
}
