//! Gives the space of removed segments back a piece at a time.
//!
//! Where a file system tells the disk what it has freed (ext4 and others mounted with `discard`), freeing 64 MiB at once
//! holds up the syncs that come after it by some 10 ms (docs/benchmarks.md, row 7). A removed file that is still open keeps
//! its blocks, so it can be cut piece by piece, and no crash can leave it half cut: it has no name any more.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::journal::disk::filesystem::File;

/// Bytes given back at once.
const PIECE: u64 = 4 << 20;
/// In which all that waits is to be given back; removals come about as often.
const WITHIN: Duration = Duration::from_secs(1);
/// Between two pieces at least, so that a sync gets its turn, and at most, because nobody waits for less room.
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(2)..=Duration::from_millis(50);
/// Bytes that may wait. What comes beyond that is given back at once, because room counts for more than an even pace.
const MOST: u64 = 1 << 30;
/// Files that may wait, each of which holds a descriptor.
const MOST_FILES: usize = 64;

/// Removed files that still hold space.
pub struct Freeing<F> {
    files: VecDeque<(Arc<F>, u64)>,
    /// As of the last one that came.
    pause: Duration,
}

impl<F: File> Freeing<F> {
    pub(crate) fn new() -> Self {
        Self {
            files: VecDeque::new(),
            pause: Duration::ZERO,
        }
    }

    /// True where there is more to give back.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.files.is_empty()
    }

    /// How long the next piece may wait, while there is one.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.is_under_way().then_some(self.pause)
    }

    /// Takes a file whose removal is synced, with its bytes. One that has a second name is left whole.
    pub(crate) fn add(&mut self, file: Arc<F>, length: u64) {
        if !file.is_removed().unwrap_or(false) {
            return;
        }
        self.files.push_back((file, length));
        while self.waiting() > MOST || self.files.len() > MOST_FILES {
            self.finish_oldest();
        }
        let pieces = self.files.iter().map(|(_, left)| left.div_ceil(PIECE));
        let pieces = u32::try_from(pieces.sum::<u64>()).unwrap_or(u32::MAX);
        let pause = WITHIN.checked_div(pieces).unwrap_or_default();
        self.pause = pause.clamp(*PAUSE.start(), *PAUSE.end());
    }

    fn waiting(&self) -> u64 {
        self.files.iter().map(|(_, left)| left).sum()
    }

    /// Gives one piece back.
    pub(crate) fn step(&mut self) {
        let Some((file, left)) = self.files.front_mut() else {
            return;
        };
        *left = left.saturating_sub(PIECE);
        if *left == 0 || file.truncate(*left).is_err() {
            self.finish_oldest();
        }
    }

    /// Gives everything back, because it is needed.
    pub(crate) fn finish(&mut self) {
        while self.is_under_way() {
            self.finish_oldest();
        }
    }

    fn finish_oldest(&mut self) {
        if let Some((file, _)) = self.files.pop_front() {
            // The reader may still hold it open. What cannot be cut is free when the last holder is gone.
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
    fn a_file_is_cut_piece_by_piece_and_then_let_go() {
        let length = 2 * PIECE + 1;
        let held = file(length);
        let mut freeing = Freeing::new();
        assert_eq!(freeing.pause(), None);
        freeing.add(held.clone(), length);
        for left in [PIECE + 1, 1, 0] {
            assert!(freeing.is_under_way());
            freeing.step();
            assert_eq!(held.length().unwrap(), left);
        }
        assert!(!freeing.is_under_way());
        assert_eq!(Arc::strong_count(&held), 1);
        freeing.step();
    }

    #[test]
    fn the_more_there_is_the_shorter_the_pause_until_it_is_through() {
        let mut freeing = Freeing::new();
        freeing.add(file(PIECE), PIECE);
        assert_eq!(freeing.pause(), Some(*PAUSE.end()));
        // Forty pieces and the one: as many in a second, and no slower for the last of them.
        freeing.add(file(40 * PIECE), 40 * PIECE);
        freeing.step();
        assert_eq!(freeing.pause(), Some(WITHIN / 41));
        let mut freeing = Freeing::new();
        freeing.add(file(MOST), MOST);
        assert_eq!(freeing.pause(), Some(WITHIN / 256));
    }

    #[test]
    fn what_comes_beyond_the_limit_or_is_needed_goes_at_once() {
        let files: Vec<_> = (0..3).map(|_| file(MOST / 2)).collect();
        let mut freeing = Freeing::new();
        for file in &files {
            freeing.add(file.clone(), MOST / 2);
        }
        let lengths = || -> Vec<_> { files.iter().map(|file| file.length().unwrap()).collect() };
        assert_eq!(lengths(), [0, MOST / 2, MOST / 2]);
        freeing.finish();
        assert_eq!(lengths(), [0; 3]);
        assert!(!freeing.is_under_way());
    }

    #[test]
    fn a_file_that_has_a_second_name_stays_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        let held = Arc::new(fs::File::create(&path).unwrap());
        held.set_len(PIECE).unwrap();
        fs::hard_link(&path, folder.path().join("copy")).unwrap();
        fs::remove_file(&path).unwrap();
        let mut freeing = Freeing::new();
        freeing.add(held.clone(), PIECE);
        assert!(!freeing.is_under_way());
        assert_eq!(held.length().unwrap(), PIECE);
    }
}
