//! Whose records these are where neither the checkpoint nor a segment's header tells it whole.

use std::io;

use super::candidates::Candidate;
use super::failed;
use crate::journal::disk::filesystem::FileSystem;
use crate::journal::engine::checkpoint;
use crate::journal::engine::quarantine;
use crate::journal::error::OpenError;
use crate::journal::format::record::Codec;
use crate::journal::format::scan;
use crate::journal::format::segment::{HEADER, Header, name};

/// The journal's id, if it has one: from the checkpoint (`known`), an intact header, or else the records.
pub fn find<FS: FileSystem>(
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
        // Nothing could be read that says whose journal this is: it may be readable in a moment.
        let read = format!("read the header of {}", name(unreadable.sequence));
        let reason = io::Error::other("and nothing else tells the journal's id");
        return Err(failed(&read)(reason));
    }
    Ok(found)
}

/// An error where a segment belongs to another journal.
pub fn refuse_foreign(journal_id: [u8; 16], candidates: &[Candidate]) -> Result<(), OpenError> {
    match headers(candidates).find(|header| header.journal_id != journal_id) {
        Some(foreign) => Err(OpenError::Foreign {
            file: name(foreign.sequence),
        }),
        None => Ok(()),
    }
}

fn headers(candidates: &[Candidate]) -> impl Iterator<Item = &Header> {
    candidates
        .iter()
        .filter_map(|candidate| candidate.header.as_ref().ok())
}

/// The journal's id: one that a damaged header or slot still tells, and under which a record is intact.
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
                    "the checkpoint is lost and no segment's header is intact: the records tell whose they are"
                );
                return Ok(Some(id));
            }
        }
    }
    Ok(None)
}

/// Copies whatever is no spare where nothing tells the journal's id, and so what its records are. Before the first write
/// of a journal its checkpoint was synced: without one these bytes were no torn write. How many files; each held a record
/// at least.
pub fn set_aside<FS: FileSystem>(fs: &FS, candidates: &[Candidate]) -> Result<u64, OpenError> {
    let mut count = 0;
    for candidate in candidates {
        let name = name(candidate.sequence);
        let copy = || {
            let file = candidate.open(fs)?;
            let view = candidate.view(&file, fs.page());
            let written = scan::garbage(&view, 0, candidate.length)?;
            if written > 0 {
                quarantine::quarantine(fs, candidate.sequence, &view, 0..written)?;
            }
            io::Result::Ok(written > 0)
        };
        if copy().map_err(failed(&format!("set {name} aside")))? {
            tracing::error!(
                segment = name,
                "nothing tells whose records these are: the segment is set aside"
            );
            count += 1;
        }
    }
    Ok(count)
}
