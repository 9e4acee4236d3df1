//! Sets a segment aside: gives it a second name, so that its bytes outlive its removal from the journal.

use std::io;

use crate::journal::disk::filesystem::FileSystem;
use crate::journal::format::segment::name;
use crate::journal::format::set_aside::{KnownExtent, SetAsideName};

/// Where an operator finds what to do about a segment that was set aside.
pub const UNREADABLE_RUNBOOK: &str = "RingbackEventsUnreadable in docs/runbook.md";

/// Sets the segment with this number aside, durably, and returns its second name. A segment that is set aside again, with
/// more known about it, gets a new second name in place of the former one. That one's knowledge stays: a later process may not
/// have been able to read as much.
pub(super) fn set_aside<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    known: KnownExtent,
) -> io::Result<String> {
    let segment = name(sequence);
    let mut former = Vec::new();
    let mut known = known;
    for file in fs.list()? {
        let found = SetAsideName::parse(&file).filter(|found| found.sequence == sequence);
        if let Some(found) = found
            && fs.is_same(&segment, &file)?
        {
            known = found.known.map_or(known, |before| before.join(known));
            former.push(file);
        }
    }
    let mut wanted = SetAsideName {
        sequence,
        known: Some(known),
        copy: 0,
    };
    while !former.contains(&wanted.to_string()) {
        match fs.link(&segment, &wanted.to_string()) {
            // Another file: of an earlier journal in the folder, or a repaired copy that an operator has put there.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => wanted.copy += 1,
            linked => {
                linked?;
                break;
            }
        }
    }
    let kept_as = wanted.to_string();
    fs.sync_directory()?;
    for file in former.iter().filter(|file| **file != kept_as) {
        fs.remove(file)?;
    }
    Ok(kept_as)
}
