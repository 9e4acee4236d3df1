//! Publishes segments that were set aside because a place in them could not be read.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use anstream::println;

use super::publish_all;
use crate::command::CommandError;
use crate::command::journal_path::inspect;
use crate::command::render::{count, grouped};
use crate::config::Config;
use crate::journal::disk::real::DiskFileSystem;
use crate::journal::engine::quarantine::DAMAGE_PREFIX;
use crate::journal::set_aside::{self, SetAside};
use crate::publish::{DEAD_LETTERS, move_dead_letters};
use crate::telemetry;

/// Publishes the segments set aside that can be read now, and removes them; an error if some stay.
pub(super) async fn publish(config: &Config, until: Instant) -> Result<(), CommandError> {
    let failed = CommandError::set_aside(&config.journal.path);
    let segments = set_aside::list(&config.journal.path).map_err(&failed)?;
    if segments.is_empty() {
        return Ok(());
    }
    let journal_id = inspect(&config.journal.path)?.journal_id;
    // No relay or other drain may start on the journal meanwhile.
    let lock = DiskFileSystem::lock(&config.journal.path).map_err(io::Error::other);
    let _lock = lock.map_err(failed)?;
    let mut left = 0;
    for segment in &segments {
        if !publish_one(config, segment, journal_id, until).await? {
            left += 1;
        }
    }
    match left {
        0 => Ok(()),
        left => Err(CommandError::SetAsideLeft {
            segments: count(left, "segment"),
        }),
    }
}

/// Publishes one segment; false if it stays.
async fn publish_one(
    config: &Config,
    segment: &SetAside,
    journal_id: [u8; 16],
    until: Instant,
) -> Result<bool, CommandError> {
    let shown = segment.path().display().to_string();
    let failed = CommandError::set_aside(&segment.path());
    if let Err(error) = segment.copy(journal_id) {
        segment.remove_copy().map_err(&failed)?;
        println!("{shown} stays: {}", telemetry::chain(&error));
        return Ok(false);
    }
    println!("{shown} can be read now: publishing all of it once more");
    let mut own = config.clone();
    own.journal.path = segment.folder();
    let left = until.saturating_duration_since(Instant::now());
    let (found, progress) = publish_all(own, left).await?;
    keep_dead_letters(&segment.folder(), &config.journal.path).map_err(&failed)?;
    keep_copies(&segment.folder(), &config.journal.path).map_err(&failed)?;
    // Damage in it is counted and its copy is kept: reading the segment again would not repair it.
    let whole = progress.left == Some(0) && progress.unreadable == 0;
    println!(
        "{} of {} published{}",
        grouped(progress.published),
        count(found, "event"),
        if whole { "" } else { "; the segment stays" }
    );
    if whole {
        segment.remove().map_err(&failed)?;
    }
    segment.remove_copy().map_err(&failed)?;
    Ok(whole)
}

/// Moves copies of damage to the journal's own; copies that the journal has already stay behind.
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

/// Moves dead letters to the journal's own.
fn keep_dead_letters(from: &Path, journal: &Path) -> io::Result<()> {
    let (from, to) = (from.join(DEAD_LETTERS), journal.join(DEAD_LETTERS));
    if !from.exists() {
        return Ok(());
    }
    fs::create_dir_all(&to)?;
    move_dead_letters(&from, &to)?;
    fs::File::open(&to)?.sync_all()?;
    fs::File::open(journal)?.sync_all()
}
