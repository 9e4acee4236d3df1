//! Finds the journal's id, even if neither the checkpoint nor a segment's header has it intact.

use std::io;

use super::candidates::Candidate;
use super::plan::Action;
use crate::journal::disk::filesystem::FileSystem;
use crate::journal::engine::checkpoint;
use crate::journal::error::{OpenError, failed};
use crate::journal::format::record::Codec;
use crate::journal::format::scan;
use crate::journal::format::segment::{HEADER, Header, name};

/// More than a journal gives out in 2^41 opens. What is calculated from smaller positions does not overflow.
const MAX_POSITION: u64 = 1 << 62;

/// The journal's id, if it has one: from the checkpoint (`known`), from an intact header, or else from the records.
pub(super) fn find<FS: FileSystem>(
    fs: &FS,
    known: Option<[u8; 16]>,
    candidates: &[Candidate],
) -> Result<Option<[u8; 16]>, OpenError> {
    let header = headers(candidates).next().map(|header| header.journal_id);
    let found = match known.or(header) {
        Some(id) => Some(id),
        None => of_records(fs, candidates).map_err(failed("look for the journal's id"))?,
    };
    if found.is_none()
        && let Some(unreadable) = candidates.iter().find(|candidate| candidate.unreadable)
    {
        // The unreadable header may have the id, and may be readable in a moment.
        let read = format!("read the header of {}", name(unreadable.sequence));
        let reason = io::Error::other("and nothing else has the journal's id");
        return Err(failed(&read)(reason));
    }
    Ok(found)
}

/// Fails if a segment belongs to another journal.
pub(super) fn refuse_foreign(
    journal_id: [u8; 16],
    candidates: &[Candidate],
) -> Result<(), OpenError> {
    match headers(candidates).find(|header| header.journal_id != journal_id) {
        Some(foreign) => Err(OpenError::Foreign {
            file: name(foreign.sequence),
        }),
        None => Ok(()),
    }
}

/// Fails if intact headers cannot all be of one journal: a segment begins where the one before it ended or later, and no
/// journal gives out [`MAX_POSITION`]. Damage cannot do that, because a checksum covers each header, but files of two copies of
/// a journal can, and so can whoever may write into the folder. Nothing is lost by refusing: nothing was changed.
pub(super) fn refuse_contradictions(candidates: &[Candidate]) -> Result<(), OpenError> {
    let mut earlier: Option<&Header> = None;
    for header in headers(candidates) {
        let (first, previous_end) = (header.first, header.previous_end);
        if first >= MAX_POSITION || previous_end > first {
            return Err(OpenError::Impossible {
                file: name(header.sequence),
                first,
                previous_end,
            });
        }
        if let Some(earlier) = earlier.filter(|earlier| first < earlier.first) {
            return Err(OpenError::Contradiction {
                earlier: name(earlier.sequence),
                earlier_first: earlier.first,
                later: name(header.sequence),
                first,
            });
        }
        earlier = Some(header);
    }
    Ok(())
}

fn headers(candidates: &[Candidate]) -> impl Iterator<Item = &Header> {
    candidates
        .iter()
        .filter_map(|candidate| candidate.header.as_ref().ok())
}

/// An id from a damaged header or slot under which a record is intact. Records' checksums are seeded with the id, so one
/// intact record proves it.
fn of_records<FS: FileSystem>(fs: &FS, candidates: &[Candidate]) -> io::Result<Option<[u8; 16]>> {
    let mut ids = checkpoint::damaged_ids(fs)?;
    ids.extend(
        candidates
            .iter()
            .filter_map(|candidate| candidate.claimed_id),
    );
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        for candidate in candidates {
            let file = candidate.open(fs)?;
            let bytes = HEADER..candidate.length;
            let view = candidate.view(&file, fs.page());
            let found = scan::find(&view, Codec::new(&id), bytes, &(0..u64::MAX))?;
            if found.is_some() {
                tracing::error!(
                    journal = hex::encode(id),
                    "the checkpoint is lost and no segment's header is intact: took the journal's id from its records"
                );
                return Ok(Some(id));
            }
        }
    }
    Ok(None)
}

/// Plans copies of the files that are no spares, if the journal's id is unknown, so that their records cannot be identified.
/// They are no torn writes, because a journal's checkpoint is synced before its first write. Each counts as one lost record,
/// the least that it held.
pub(super) fn unidentified<FS: FileSystem>(
    fs: &FS,
    candidates: &[Candidate],
) -> Result<Vec<Action>, OpenError> {
    let mut found = Vec::new();
    for candidate in candidates {
        let read = || {
            let file = candidate.open(fs)?;
            let view = candidate.view(&file, fs.page());
            let written = scan::garbage(&view, 0, candidate.length)?;
            io::Result::Ok((written, view.holes()))
        };
        let (written, holes) =
            read().map_err(failed(&format!("read {}", name(candidate.sequence))))?;
        if written > 0 {
            found.push(Action::CopyUnidentified {
                sequence: candidate.sequence,
                bytes: written,
                holes,
            });
        }
    }
    Ok(found)
}
