//! Published segments on their way out, until their names are gone.
//!
//! A name may stay for a while: a full disk may not even let go of one (EDQUOT, a copy-on-write file system), or somebody
//! has made it immutable. It is tried again at each pass, and none that is newer goes before it: a start that finds no
//! checkpoint takes a segment's end from the next one's header, and counts its positions from the newest.

use std::collections::VecDeque;
use std::io;

use crate::journal::disk::filesystem::{File as _, FileSystem};
use crate::journal::format::segment::name;

/// So many removed files are held open to be freed piece by piece; what comes with them is freed at once.
const MAX_OPEN: usize = 64;

/// The numbers of segments that are no part of the journal's state any more, oldest first.
pub struct Leaving {
    sequences: VecDeque<u64>,
    /// The newest one of which it was logged that it cannot be removed.
    logged: Option<u64>,
}

/// What a pass has removed.
pub struct Removed<F> {
    /// How many names.
    pub(crate) names: usize,
    /// Open files that still hold their space, with their lengths.
    pub(crate) files: Vec<(F, u64)>,
}

impl Leaving {
    pub(crate) fn new() -> Self {
        Self {
            sequences: VecDeque::new(),
            logged: None,
        }
    }

    /// True where there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Takes segments that are newer than all that it has.
    pub(crate) fn extend(&mut self, sequences: impl IntoIterator<Item = u64>) {
        self.sequences.extend(sequences);
    }

    /// Removes names up to the first that stays; the caller syncs the folder.
    pub(crate) fn remove<FS: FileSystem>(&mut self, fs: &FS) -> Removed<FS::File> {
        let mut removed = Removed {
            names: 0,
            files: Vec::new(),
        };
        while let Some(sequence) = self.sequences.front().copied() {
            // One that cannot be opened, or measured, is freed by its removal.
            let open = || fs.open(&name(sequence)).ok();
            let file = (removed.files.len() < MAX_OPEN).then(open).flatten();
            let file = file.and_then(|file| Some((file.length().ok()?, file)));
            match fs.remove(&name(sequence)) {
                Ok(()) => {
                    removed.names += 1;
                    let files = file.map(|(length, file)| (file, length));
                    removed.files.extend(files);
                }
                // Somebody else's doing: what he may have put elsewhere is not cut.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!(segment = name(sequence), %error, "a published segment is gone already");
                }
                Err(error) => {
                    if self.logged < Some(sequence) {
                        self.logged = Some(sequence);
                        tracing::warn!(segment = name(sequence), %error, "cannot remove a published segment; trying again");
                    }
                    break;
                }
            }
            self.sequences.pop_front();
        }
        removed
    }
}
