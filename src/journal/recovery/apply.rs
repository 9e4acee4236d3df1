//! Carries out recovery's plan.

use std::io;
use std::ops::Range;

use super::plan::{Action, Plan};
use super::unused::Discard;
use crate::journal::disk::filesystem::{File, FileSystem, read_full};
use crate::journal::disk::zero_fill::{Beyond, Holes, ZeroFilled};
use crate::journal::engine::checkpoint::{Checkpoint, CheckpointFile};
use crate::journal::engine::quarantine;
use crate::journal::error::{OpenError, failed};
use crate::journal::format::segment::name;

/// Bytes written again at once.
const CHUNK: usize = 1 << 20;

/// What carrying out a plan leaves.
pub(super) struct Applied<F> {
    pub(super) checkpoint: CheckpointFile<F>,
    /// Files without records that keep their names and their room, because their torn writes could not be copied.
    pub(super) leftovers: Vec<u64>,
}

/// Changes the files as planned. Every change is synced when this returns.
pub(super) fn apply<FS: FileSystem>(
    fs: &FS,
    plan: &Plan<FS::File>,
    checkpoint: Option<(FS::File, Checkpoint)>,
) -> Result<Applied<FS::File>, OpenError> {
    let mut leftovers = Vec::new();
    let mut discarded = false;
    for action in &plan.actions {
        match action {
            Action::CopyUnidentified {
                sequence,
                bytes,
                holes,
            } => {
                copy_unidentified(fs, *sequence, *bytes, holes)
                    .map_err(failed(&format!("set {} aside", name(*sequence))))?;
            }
            Action::CutTail {
                sequence,
                torn,
                truncates,
            } => cut_tail(fs, *sequence, torn.clone(), *truncates)
                .map_err(failed(&format!("truncate {}", name(*sequence))))?,
            Action::Rewrite {
                sequence,
                bytes,
                holes,
            } => fs
                .open(&name(*sequence))
                .and_then(|file| rewrite(&file, fs.page(), bytes.clone(), holes))
                .map_err(failed(&format!("write {} again", name(*sequence))))?,
            Action::Discard(file) => {
                discarded = true;
                let is_discarded = discard(fs, file)
                    .map_err(failed(&format!("discard {}", name(file.sequence))))?;
                if !is_discarded {
                    leftovers.push(file.sequence);
                }
            }
        }
    }
    let checkpoint = match checkpoint {
        Some((file, last)) => CheckpointFile::resume(file, last, plan.next),
        None => CheckpointFile::create(fs, plan.journal_id, plan.watermark, plan.next),
    }
    .map_err(failed("write the checkpoint"))?;
    if discarded {
        fs.sync_directory().map_err(failed("sync the folder"))?;
    }
    Ok(Applied {
        checkpoint,
        leftovers,
    })
}

fn copy_unidentified<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    bytes: u64,
    holes: &Holes,
) -> io::Result<()> {
    let file = fs.open(&name(sequence))?;
    let beyond = Beyond::IsHole(file.length()?);
    let view = ZeroFilled::new(&file, fs.page(), holes.clone(), 0, beyond);
    let copy = quarantine::copy_damage(fs, sequence, &view, 0..bytes)?;
    tracing::error!(
        segment = name(sequence),
        file = %fs.path(&copy).display(),
        "nothing shows which journal these records belong to: the segment is copied to quarantine"
    );
    Ok(())
}

/// A torn write was never acknowledged, as far as anybody knows. It is copied all the same, because a copy costs little.
/// Without a copy it stays.
fn cut_tail<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    torn: Range<u64>,
    truncates: bool,
) -> io::Result<()> {
    let file = fs.open(&name(sequence))?;
    if !torn.is_empty() {
        if let Err(error) = quarantine::copy_torn(fs, sequence, &file, torn.clone()) {
            tracing::warn!(segment = name(sequence), bytes = ?torn, %error, "cannot copy a torn write: the bytes stay in the segment");
            return Ok(());
        }
        tracing::info!(
            segment = name(sequence),
            bytes = ?torn,
            "the last write before this open was torn; it was never acknowledged, and a copy is kept"
        );
    }
    if truncates {
        file.truncate(torn.start)?;
    }
    Ok(())
}

/// Writes the same bytes again and syncs them. After a failed sync Linux takes pages for clean, so another sync alone would
/// succeed though they never reached the disk. Holes are left alone.
fn rewrite<F: File>(file: &F, page: u64, bytes: Range<u64>, holes: &Holes) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK.min(usize::try_from(bytes.end).unwrap_or(CHUNK))];
    let mut offset = bytes.start;
    while offset < bytes.end {
        let mut end = bytes.end.min(offset + chunk.len() as u64);
        if let Some(hole) = holes.within(&(offset..end)) {
            if hole.start <= offset {
                offset = hole.end;
                continue;
            }
            end = hole.start;
        }
        let length = usize::try_from(end - offset).unwrap_or(CHUNK);
        let read = match read_full(file, &mut chunk[..length], offset) {
            Ok(0) => break,
            Ok(read) => read,
            // The page has become unreadable since the plan was made.
            Err(_) => {
                offset = (offset / page + 1) * page;
                continue;
            }
        };
        file.write_all_at(&chunk[..read], offset)?;
        offset += read as u64;
    }
    file.sync()
}

/// Removes a file without records. If it holds a torn write, that first gets a second name as its copy; false if it cannot,
/// so that the file must stay.
fn discard<FS: FileSystem>(fs: &FS, file: &Discard) -> io::Result<bool> {
    let name = name(file.sequence);
    if let Some(bytes) = file.torn
        && let Err(error) = quarantine::link_torn(fs, &name, file.sequence, bytes)
    {
        tracing::warn!(segment = name, %error, "cannot keep a copy of a torn write: its file stays");
        return Ok(false);
    }
    if !file.keeps_number {
        fs.remove(&name)?;
    } else if file.torn.is_some() {
        fs.remove(&name)?;
        fs.create(&name)?.sync()?;
    } else {
        let file = fs.open(&name)?;
        file.truncate(0)?;
        file.sync()?;
    }
    Ok(true)
}
