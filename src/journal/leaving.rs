//! Published segments on their way out, until their names are gone.
//!
//! A name may stay for a while: a full disk may not even let go of one (EDQUOT, a copy-on-write file system), or somebody
//! has made it immutable. It is tried again at each pass, and none that is newer goes before it: a start that finds no
//! checkpoint takes a segment's end from the next one's header, and counts its positions from the newest.

use std::collections::VecDeque;
use std::io;

use super::filesystem::FileSystem;
use super::segment::{Segment, name};

/// Segments that are no part of the journal's state any more, oldest first.
pub struct Leaving<F> {
    segments: VecDeque<Segment<F>>,
    /// The newest one of which was told that it cannot be removed.
    told: Option<u64>,
}

impl<F> Leaving<F> {
    pub(super) fn new() -> Self {
        Self {
            segments: VecDeque::new(),
            told: None,
        }
    }

    /// True where there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Takes segments that are newer than all that it has.
    pub(super) fn extend(&mut self, segments: impl IntoIterator<Item = Segment<F>>) {
        self.segments.extend(segments);
    }

    /// Removes names up to the first that stays; the segments of which none is left, for the caller to sync the folder.
    pub(super) fn remove(&mut self, fs: &impl FileSystem<File = F>) -> Vec<Segment<F>> {
        let mut gone = Vec::with_capacity(self.segments.len());
        while let Some(segment) = self.segments.pop_front() {
            match fs.remove(&name(segment.sequence)) {
                Ok(()) => gone.push(segment),
                // Somebody else's doing: what he may have put elsewhere is not cut.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!(segment = name(segment.sequence), %error, "a published segment is gone already");
                }
                Err(error) => {
                    if self.told < Some(segment.sequence) {
                        self.told = Some(segment.sequence);
                        tracing::warn!(segment = name(segment.sequence), %error, "cannot remove a published segment; trying again");
                    }
                    self.segments.push_front(segment);
                    break;
                }
            }
        }
        gone
    }
}
