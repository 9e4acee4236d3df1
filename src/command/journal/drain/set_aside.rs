//! Publishes segments that were set aside because a place in them could not be read.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::{publish_all, reasons};
use crate::app::DrainProgress;
use crate::command::CommandError;
use crate::command::journal_path::inspect;
use crate::command::output::tell;
use crate::command::render::{count, grouped, printable_path};
use crate::config::Config;
use crate::journal::disk::real::DiskFileSystem;
use crate::journal::set_aside::{self, Listing, SetAside};
use crate::publish::{DEAD_LETTERS, move_dead_letters};
use crate::telemetry;

/// What became of one segment.
struct Drained {
    found: u64,
    progress: DrainProgress,
    /// It is known where the segment's records ended, so it is known whether any are missing.
    is_end_known: bool,
}

/// Publishes the segments set aside that can be read now, and removes those of which nothing is missing; an error if some stay.
pub(super) async fn publish(config: &Config, until: Instant) -> Result<(), CommandError> {
    let failed = CommandError::set_aside(&config.journal.path);
    let Listing { segments, misnamed } = set_aside::list(&config.journal.path).map_err(&failed)?;
    if segments.is_empty() && misnamed.is_empty() {
        return Ok(());
    }
    let journal_id = inspect(&config.journal.path)?.journal_id;
    // No relay or other drain may start on the journal meanwhile.
    let lock = DiskFileSystem::lock(&config.journal.path).map_err(io::Error::other);
    let _lock = lock.map_err(failed)?;
    for file in &misnamed {
        tell(format_args!(
            "{} stays: give it back the name that ringback gave it",
            printable_path(file)
        ));
    }
    let mut left = misnamed.len() as u64;
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
    let shown = printable_path(&segment.path());
    let failed = CommandError::set_aside(&segment.path());
    let is_end_known = match segment.copy(journal_id) {
        Ok(is_end_known) => is_end_known,
        Err(error) => {
            segment.remove_copy().map_err(&failed)?;
            tell(format_args!("{shown} stays: {}", telemetry::chain(&error)));
            return Ok(false);
        }
    };
    tell(format_args!(
        "{shown} can be read now: publishing all of it once more"
    ));
    let mut own = config.clone();
    own.journal.path = segment.folder();
    let left = until.saturating_duration_since(Instant::now());
    let (found, progress) = publish_all(own, left).await?;
    keep_dead_letters(&segment.folder(), &config.journal.path).map_err(&failed)?;
    let drained = Drained {
        found,
        progress,
        is_end_known,
    };
    tell(drained.describe());
    if drained.is_complete() {
        segment.keep_copies().map_err(&failed)?;
        segment.remove().map_err(&failed)?;
    }
    // If the segment stays, it holds everything of which copies were made.
    segment.remove_copy().map_err(&failed)?;
    Ok(drained.is_complete())
}

impl Drained {
    /// True if everything that the segment held is published or a dead letter.
    fn is_complete(&self) -> bool {
        let progress = &self.progress;
        let lacks_none = progress.corrupt == 0 && progress.unreadable == 0;
        self.is_end_known && lacks_none && progress.left == Some(0)
    }

    fn describe(&self) -> String {
        let progress = &self.progress;
        let found = count(self.found, "event");
        let mut parts = vec![format!(
            "{} of {found} published",
            grouped(progress.published)
        )];
        if progress.dead_letters > 0 {
            let dead_letters = count(progress.dead_letters, "dead letter");
            parts.push(format!("{dead_letters} set aside"));
        }
        for (events, what) in [
            (
                progress.corrupt,
                "missing (damaged, or zeros in their place)",
            ),
            (progress.unreadable, "not readable"),
        ] {
            if events > 0 {
                parts.push(format!("{} {what}", grouped(events)));
            }
        }
        if progress.left != Some(0) {
            let left = progress.left.map(grouped);
            let left = left.unwrap_or_else(|| String::from("an unknown number"));
            parts.push(format!("{left} left{}", reasons(progress)));
        }
        let mut words = parts.join(", ");
        if !self.is_end_known {
            words.push_str("; nothing shows how many events it held, so more may be missing");
        }
        if !self.is_complete() {
            words.push_str("; the segment stays");
        }
        words
    }
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
