//! Whose records these are where neither the checkpoint nor a segment's header tells it whole.

use std::io;

use super::candidates::Candidate;
use super::failed;
use crate::journal::checkpoint;
use crate::journal::copy;
use crate::journal::error::OpenError;
use crate::journal::filesystem::FileSystem;
use crate::journal::record::Codec;
use crate::journal::scan;
use crate::journal::segment::{HEADER, name};

/// The journal's id: one that a damaged header or slot still tells, and under which a record is intact.
pub fn of_records<FS: FileSystem>(
    fs: &FS,
    candidates: &[Candidate],
) -> io::Result<Option<[u8; 16]>> {
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
                copy::quarantine(fs, candidate.sequence, &view, 0..written)?;
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
