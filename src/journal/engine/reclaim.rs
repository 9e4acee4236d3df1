//! Removes published segments: first their names, then, a chunk at a time, the space they hold.
//!
//! If a file system reports freed space to the disk (ext4 and others mounted with `discard`), freeing 64 MiB at once
//! delays the syncs that follow by some 10 ms (docs/benchmarks.md, row 7). A removed file that is still open keeps its
//! blocks, so it can be truncated chunk by chunk. No crash can leave a half truncated segment, because the file has no
//! name any more.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::journal::disk::filesystem::{File, FileSystem};
use crate::journal::format::segment::name;

/// Bytes freed at once.
const CHUNK_BYTES: u64 = 4 << 20;
/// All pending space is freed within this time; removals come about as often.
const TARGET_TIME: Duration = Duration::from_secs(1);
/// Bounds of the pause between two chunks: long enough for a sync to get its turn, and not longer than useful.
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(2)..=Duration::from_millis(50);
/// Bytes that may be pending. Beyond that the oldest file is freed at once: room matters more than an even pace.
const MAX_PENDING_BYTES: u64 = 1 << 30;
/// Files that may be pending. Each holds a descriptor.
const MAX_PENDING_FILES: usize = 64;

/// Published segments whose names are still to be removed, oldest first.
///
/// Removing a name can fail: on a full disk (EDQUOT, a copy-on-write file system), or if an operator has made the file
/// immutable. Each pass tries again, and keeps every newer name until then: without a checkpoint, recovery takes a segment's
/// end from the next one's header and counts positions from the newest.
#[derive(Default)]
pub(super) struct ObsoleteSegments {
    sequences: VecDeque<u64>,
    /// The newest segment whose failed removal was logged.
    logged: Option<u64>,
}

/// What one pass has removed.
pub(super) struct Removed<F> {
    pub(super) names: usize,
    /// Open files that still hold their space, with their lengths in bytes.
    pub(super) files: Vec<(F, u64)>,
}

impl ObsoleteSegments {
    pub(super) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Adds segments that are newer than all that are here.
    pub(super) fn extend(&mut self, sequences: impl IntoIterator<Item = u64>) {
        self.sequences.extend(sequences);
        debug_assert!(
            self.sequences.iter().is_sorted(),
            "an older segment must go before a newer one"
        );
    }

    /// Removes names, oldest first, until one cannot be removed. The caller syncs the folder.
    pub(super) fn remove<FS: FileSystem>(&mut self, fs: &FS) -> Removed<FS::File> {
        let mut removed = Removed {
            names: 0,
            files: Vec::new(),
        };
        while let Some(sequence) = self.sequences.front().copied() {
            // A file that is not held open is freed at once by its removal.
            let open = || fs.open(&name(sequence)).ok();
            let file = (removed.files.len() < MAX_PENDING_FILES)
                .then(open)
                .flatten();
            let file = file.and_then(|file| Some((file.length().ok()?, file)));
            match fs.remove(&name(sequence)) {
                Ok(()) => {
                    removed.names += 1;
                    let files = file.map(|(length, file)| (file, length));
                    removed.files.extend(files);
                }
                // Another program removed it, and may have moved it elsewhere: its bytes must stay.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!(segment = name(sequence), %error, "a published segment has already been removed");
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

/// Frees the space of removed files, chunk by chunk.
pub(super) struct SpaceReclaimer<F> {
    /// Oldest first, each with its remaining bytes.
    files: VecDeque<(Arc<F>, u64)>,
    /// As computed when the last file was added.
    pause: Duration,
}

impl<F: File> SpaceReclaimer<F> {
    pub(super) fn new() -> Self {
        Self {
            files: VecDeque::new(),
            pause: Duration::ZERO,
        }
    }

    /// True if there is space left to free.
    pub(super) fn is_pending(&self) -> bool {
        !self.files.is_empty()
    }

    /// How long the next chunk may wait; `None` if there is none.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.is_pending().then_some(self.pause)
    }

    /// Adds a file of `length` bytes whose removal is synced. A file that has another name is left whole.
    pub(super) fn add(&mut self, file: Arc<F>, length: u64) {
        if !file.is_removed().unwrap_or(false) {
            return;
        }
        self.files.push_back((file, length));
        while self.pending_bytes() > MAX_PENDING_BYTES || self.files.len() > MAX_PENDING_FILES {
            self.free_oldest();
        }
        let chunks = self
            .files
            .iter()
            .map(|(_, left)| left.div_ceil(CHUNK_BYTES));
        let chunks = u32::try_from(chunks.sum::<u64>()).unwrap_or(u32::MAX);
        let pause = TARGET_TIME.checked_div(chunks).unwrap_or_default();
        self.pause = pause.clamp(*PAUSE.start(), *PAUSE.end());
    }

    fn pending_bytes(&self) -> u64 {
        self.files.iter().map(|(_, left)| left).sum()
    }

    /// Frees one chunk.
    pub(super) fn step(&mut self) {
        let Some((file, left)) = self.files.front_mut() else {
            return;
        };
        // The last chunk may be a shorter one.
        *left = left.saturating_sub(CHUNK_BYTES);
        if *left == 0 || file.truncate(*left).is_err() {
            self.free_oldest();
        }
    }

    /// Frees everything at once, because the room is needed.
    pub(super) fn free_all(&mut self) {
        while self.is_pending() {
            self.free_oldest();
        }
    }

    fn free_oldest(&mut self) {
        if let Some((file, _)) = self.files.pop_front() {
            // The reader may still hold it open. If truncating fails, the space is free when the last holder closes it.
            let _ = file.truncate(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(length: u64) -> Arc<fs::File> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        Arc::new(file)
    }

    #[test]
    fn a_file_is_truncated_chunk_by_chunk_and_then_closed() {
        let length = 2 * CHUNK_BYTES + 1;
        let held = file(length);
        let mut reclaimer = SpaceReclaimer::new();
        assert_eq!(reclaimer.pause(), None);
        reclaimer.add(held.clone(), length);
        for left in [CHUNK_BYTES + 1, 1, 0] {
            assert!(reclaimer.is_pending());
            reclaimer.step();
            assert_eq!(held.length().unwrap(), left);
        }
        assert!(!reclaimer.is_pending());
        assert_eq!(Arc::strong_count(&held), 1);
        reclaimer.step();
    }

    #[test]
    fn the_more_is_pending_the_shorter_the_pause() {
        let mut reclaimer = SpaceReclaimer::new();
        reclaimer.add(file(CHUNK_BYTES), CHUNK_BYTES);
        assert_eq!(reclaimer.pause(), Some(*PAUSE.end()));
        // Forty-one chunks in a second; the pause does not grow as they are freed.
        reclaimer.add(file(40 * CHUNK_BYTES), 40 * CHUNK_BYTES);
        reclaimer.step();
        assert_eq!(reclaimer.pause(), Some(TARGET_TIME / 41));
        let mut reclaimer = SpaceReclaimer::new();
        reclaimer.add(file(MAX_PENDING_BYTES), MAX_PENDING_BYTES);
        assert_eq!(reclaimer.pause(), Some(TARGET_TIME / 256));
    }

    #[test]
    fn space_beyond_the_limit_or_needed_now_is_freed_at_once() {
        let files: Vec<_> = (0..3).map(|_| file(MAX_PENDING_BYTES / 2)).collect();
        let mut reclaimer = SpaceReclaimer::new();
        for file in &files {
            reclaimer.add(file.clone(), MAX_PENDING_BYTES / 2);
        }
        let lengths = || -> Vec<_> { files.iter().map(|file| file.length().unwrap()).collect() };
        assert_eq!(lengths(), [0, MAX_PENDING_BYTES / 2, MAX_PENDING_BYTES / 2]);
        reclaimer.free_all();
        assert_eq!(lengths(), [0; 3]);
        assert!(!reclaimer.is_pending());
    }

    #[test]
    fn a_file_with_a_second_name_stays_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        let held = Arc::new(fs::File::create(&path).unwrap());
        held.set_len(CHUNK_BYTES).unwrap();
        fs::hard_link(&path, folder.path().join("copy")).unwrap();
        fs::remove_file(&path).unwrap();
        let mut reclaimer = SpaceReclaimer::new();
        reclaimer.add(held.clone(), CHUNK_BYTES);
        assert!(!reclaimer.is_pending());
        assert_eq!(held.length().unwrap(), CHUNK_BYTES);
    }
}
