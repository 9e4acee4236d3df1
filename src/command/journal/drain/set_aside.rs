//! Publishing segments that were set aside because a place in them could not be read.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use anstream::println;

use super::publish_all;
use crate::command::CommandError;
use crate::command::place;
use crate::command::render::{count, grouped};
use crate::config::Config;
use crate::journal::disk::real::DiskFileSystem;
use crate::journal::engine::quarantine::DAMAGE_PREFIX;
use crate::journal::set_aside::{self, SetAside};
use crate::publish::DEAD_LETTERS;
use crate::telemetry;

/// Publishes those that can be read now, and removes them; an error if some stay.
pub(super) async fn publish(config: &Config, until: Instant) -> Result<(), CommandError> {
    let failed = |source| CommandError::SetAside {
        path: config.journal.path.display().to_string(),
        source,
    };
    let segments = set_aside::list(&config.journal.path).map_err(failed)?;
    if segments.is_empty() {
        return Ok(());
    }
    let inspection = place::inspect(&config.journal.path)?;
    let journal_id = inspection.journal_id;
    drop(inspection);
    // No relay may start on the journal meanwhile, nor another drain.
    let lock = DiskFileSystem::lock(&config.journal.path).map_err(io::Error::other);
    let _lock = lock.map_err(failed)?;
    let mut stay = 0;
    for segment in &segments {
        if !publish_one(config, segment, journal_id, until).await? {
            stay += 1;
        }
    }
    match stay {
        0 => Ok(()),
        stay => Err(CommandError::SetAsideLeft { left: stay }),
    }
}

async fn publish_one(
    config: &Config,
    segment: &SetAside,
    journal_id: [u8; 16],
    until: Instant,
) -> Result<bool, CommandError> {
    let shown = segment.path().display().to_string();
    let failed = |source| CommandError::SetAside {
        path: shown.clone(),
        source,
    };
    if let Err(error) = segment.copy(journal_id) {
        segment.remove_copy().map_err(failed)?;
        println!("{shown} stays: {}", telemetry::chain(&error));
        return Ok(false);
    }
    println!("{shown} can be read now: publishing all of it once more");
    let mut own = config.clone();
    own.journal.path = segment.folder();
    let left = until.saturating_duration_since(Instant::now());
    let (found, progress) = publish_all(own, left).await?;
    keep_dead_letters(&segment.folder(), &config.journal.path).map_err(failed)?;
    keep_copies(&segment.folder(), &config.journal.path).map_err(failed)?;
    // What is damaged in it is counted, and a copy is kept: reading it again makes nothing of it whole.
    let whole = progress.left == Some(0) && progress.unreadable == 0;
    println!(
        "{} of {} published{}",
        grouped(progress.published),
        count(found, "event"),
        if whole { "" } else { "; the segment stays" }
    );
    if whole {
        segment.remove().map_err(failed)?;
    }
    segment.remove_copy().map_err(failed)?;
    Ok(whole)
}

/// Copies of damage go to the journal's own, which may have them already.
fn keep_copies(from: &Path, journal: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = journal.join(entry.file_name());
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(DAMAGE_PREFIX.as_bytes())
            && !to.exists()
        {
            fs::rename(entry.path(), to)?;
        }
    }
    fs::File::open(journal)?.sync_all()
}

/// What Kafka has refused for good goes to the journal's own dead letters.
fn keep_dead_letters(from: &Path, journal: &Path) -> io::Result<()> {
    let (from, to) = (from.join(DEAD_LETTERS), journal.join(DEAD_LETTERS));
    let letters = match fs::read_dir(&from) {
        Ok(letters) => letters,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    fs::create_dir_all(&to)?;
    for letter in letters {
        let letter = letter?;
        fs::rename(letter.path(), to.join(letter.file_name()))?;
    }
    fs::File::open(&to)?.sync_all()?;
    fs::File::open(journal)?.sync_all()
}
