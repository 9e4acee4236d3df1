//! The marks of one window, in memory that is fixed when the table is made.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use crate::time;

/// The first 128 bits of BLAKE3 over a source's name and an event's id: chance gives no two ids the same.
pub(super) type Fingerprint = [u8; 16];

/// An event that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) fingerprint: Fingerprint,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub(super) ms: u64,
}

/// A ring of the newest marks, and an index into it by fingerprint.
///
/// Both are allocated whole, and the system gives them pages as they are used: 24 bytes a mark and 8 to 16 for the index. So
/// nothing is copied or hashed again while requests wait, as a growing map would do.
#[derive(Debug)]
pub(super) struct Table {
    window_ms: u64,
    capacity: usize,
    /// Slots are used in turn, so the marks are in the order of their insertion, from `oldest` on.
    ring: Vec<Mark>,
    oldest: usize,
    length: usize,
    /// Open addressing with linear probing, at most half full: 0 is free, else a slot of the ring plus 1.
    index: Box<[u32]>,
    /// Random, so that nobody can choose ids that meet in one place of the index.
    places: RandomState,
}

impl Table {
    /// Marks of the last `window`, of which the newest `capacity` are kept: 1 to 2^31.
    pub(super) fn new(window: Duration, capacity: usize) -> Self {
        debug_assert!((1..=1 << 31).contains(&capacity), "slots are u32");
        Self {
            window_ms: time::as_ms(window),
            capacity,
            ring: Vec::with_capacity(capacity),
            oldest: 0,
            length: 0,
            index: vec![0; (2 * capacity).next_power_of_two()].into(),
            places: RandomState::new(),
        }
    }

    /// The same marks, as far as they are kept under these settings.
    pub(super) fn resized(&self, window: Duration, capacity: usize) -> Self {
        let mut table = Self::new(window, capacity);
        for mark in self.marks() {
            table.insert(mark);
        }
        table
    }

    pub(super) fn has(&self, window: Duration, capacity: usize) -> bool {
        (self.window_ms, self.capacity) == (time::as_ms(window), capacity)
    }

    /// True if a mark of this fingerprint is within the window at `now_ms`.
    pub(super) fn contains(&self, fingerprint: &Fingerprint, now_ms: u64) -> bool {
        let found = self.find(fingerprint).ok();
        found.is_some_and(|place| self.is_within(self.ring[self.slot(place)], now_ms))
    }

    /// True if `mark` belongs to the window at `now_ms`. One from the future, which a clock set back leaves, does not: nobody
    /// knows its age.
    pub(super) fn is_within(&self, mark: Mark, now_ms: u64) -> bool {
        let age = now_ms.checked_sub(mark.ms);
        age.is_some_and(|age| age < self.window_ms)
    }

    /// Adds the newest mark. True if there was no room, so that the oldest one was forgotten before its time.
    pub(super) fn insert(&mut self, mark: Mark) -> bool {
        while self.length > 0 && !self.is_within(self.ring[self.oldest], mark.ms) {
            self.forget_oldest();
        }
        let is_full = self.length == self.capacity;
        if is_full {
            self.forget_oldest();
        }
        let slot = (self.oldest + self.length) % self.capacity;
        match self.ring.get_mut(slot) {
            Some(free) => *free = mark,
            None => self.ring.push(mark),
        }
        self.length += 1;
        let (Ok(place) | Err(place)) = self.find(&mark.fingerprint);
        debug_assert!(u32::try_from(slot + 1).is_ok(), "the capacity is bounded");
        self.index[place] = u32::try_from(slot + 1).unwrap_or(u32::MAX);
        is_full
    }

    /// Oldest first.
    fn marks(&self) -> impl Iterator<Item = Mark> {
        let slots = self.oldest..self.oldest + self.length;
        slots.map(|slot| self.ring[slot % self.capacity])
    }

    fn forget_oldest(&mut self) {
        let slot = self.oldest;
        // A later mark of the same fingerprint has taken the place over.
        if let Ok(place) = self.find(&self.ring[slot].fingerprint)
            && self.slot(place) == slot
        {
            self.free(place);
        }
        self.oldest = (slot + 1) % self.capacity;
        self.length -= 1;
    }

    /// Frees a place of the index, and moves those behind it that could not be found any more.
    fn free(&mut self, mut hole: usize) {
        let mask = self.index.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            if self.index[place] == 0 {
                break;
            }
            let wanted = self.home(&self.ring[self.slot(place)].fingerprint);
            let reaches_hole = place.wrapping_sub(wanted) & mask >= place.wrapping_sub(hole) & mask;
            if reaches_hole {
                self.index[hole] = self.index[place];
                hole = place;
            }
        }
        self.index[hole] = 0;
    }

    /// The place of this fingerprint, or the free one that it would take.
    fn find(&self, fingerprint: &Fingerprint) -> Result<usize, usize> {
        let mut place = self.home(fingerprint);
        while self.index[place] != 0 {
            if self.ring[self.slot(place)].fingerprint == *fingerprint {
                return Ok(place);
            }
            place = (place + 1) & (self.index.len() - 1);
        }
        Err(place)
    }

    /// The slot that a place of the index names; the place must not be free.
    fn slot(&self, place: usize) -> usize {
        self.index[place] as usize - 1
    }

    fn home(&self, fingerprint: &Fingerprint) -> usize {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "any bits of a hash are as good as others"
        )]
        let hash = self.places.hash_one(fingerprint) as usize;
        hash & (self.index.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn mark(id: u8, ms: u64) -> Mark {
        Mark {
            fingerprint: [id; 16],
            ms,
        }
    }

    #[test]
    fn a_mark_counts_for_exactly_the_window() {
        let mut table = Table::new(WINDOW, 4);
        table.insert(mark(1, 5_000));
        for (now, is_within) in [
            (4_999, false),
            (5_000, true),
            (14_999, true),
            (15_000, false),
        ] {
            assert_eq!(table.contains(&[1; 16], now), is_within, "{now}");
        }
        assert!(!table.contains(&[2; 16], 5_000));
    }

    #[test]
    fn the_oldest_is_forgotten_for_lack_of_room_only() {
        let mut table = Table::new(WINDOW, 2);
        assert!(!table.insert(mark(1, 0)));
        assert!(!table.insert(mark(2, 1)));
        assert!(table.insert(mark(3, 2)));
        assert!(!table.contains(&[1; 16], 2));
        assert!(table.contains(&[2; 16], 2) && table.contains(&[3; 16], 2));
        assert!(!table.insert(mark(4, 20_000)), "all others are over");
    }

    #[test]
    fn other_settings_keep_the_newest_marks() {
        let mut table = Table::new(WINDOW, 4);
        for id in 1..=4 {
            table.insert(mark(id, u64::from(id) * 1_000));
        }
        let table = table.resized(Duration::from_secs(2), 3);
        assert!(table.has(Duration::from_secs(2), 3));
        let kept = (1..=4).filter(|id| table.contains(&[*id; 16], 4_000));
        assert_eq!(kept.collect::<Vec<_>>(), [3, 4]);
    }

    proptest! {
        #[test]
        fn a_table_is_a_list_of_the_newest_marks(
            capacity in 1_usize..6,
            steps in proptest::collection::vec((0_u8..12, 0_u64..6_000), 1..200),
        ) {
            let mut table = Table::new(WINDOW, capacity);
            let mut list: Vec<Mark> = Vec::new();
            let mut now = 0;
            for (id, later) in steps {
                now += later;
                list.retain(|mark| now - mark.ms < 10_000);
                let had_room = list.len() < capacity;
                if !had_room {
                    list.remove(0);
                }
                list.push(mark(id, now));
                prop_assert_eq!(table.insert(mark(id, now)), !had_room);
                for id in 0..12 {
                    let is_listed = list.iter().any(|mark| mark.fingerprint == [id; 16]);
                    prop_assert_eq!(table.contains(&[id; 16], now), is_listed);
                }
                prop_assert!(table.ring.len() <= capacity);
            }
        }
    }
}
