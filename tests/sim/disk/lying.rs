//! The lies of the disk: see `lies.rs`.

use super::Disk;
use crate::lies::{self, Lie};

impl Disk {
    /// True if a sync of this file does nothing and succeeds.
    pub(super) fn lies_about_sync(&self, inode: usize) -> bool {
        let is_checkpoint = self.is_checkpoint(Some(inode));
        let lie = match (is_checkpoint, self.opening) {
            (true, _) => Lie::CheckpointUnsynced,
            (false, true) => Lie::RecoveryWithoutSync,
            (false, false) => Lie::AnswerBeforeSync,
        };
        lies::is_on(lie)
    }

    /// The offset at which a write really lands; `None` if the disk leaves it out.
    pub(super) fn lie_about_write(
        &self,
        inode: usize,
        bytes: &[u8],
        offset: usize,
    ) -> Option<usize> {
        let is_checkpoint = self.is_checkpoint(Some(inode));
        let cached = self.inodes[inode].now.get(offset..offset + bytes.len());
        // Both lies take what is in the cache for what is on the disk.
        let is_needless = self.opening && cached == Some(bytes);
        let is_left_out = lies::is_on(if is_checkpoint {
            Lie::CheckpointTrustedAsRead
        } else {
            Lie::FailedSyncTrusted
        });
        if is_needless && is_left_out {
            return None;
        }
        let is_moved = is_checkpoint && lies::is_on(Lie::OneCheckpointSlot);
        Some(if is_moved { 0 } else { offset })
    }
}
