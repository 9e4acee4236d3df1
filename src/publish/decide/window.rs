//! In-flight positions become a contiguous low watermark: everything up to it is done, and may leave the journal.

use std::collections::VecDeque;

/// What is known of one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Read, but not with the present producer.
    Unsent,
    /// Given to the present producer.
    Sent,
    /// Acknowledged, dead-lettered, or lost to damage.
    Done,
}

#[derive(Debug)]
struct Entry {
    position: u64,
    state: State,
}

/// The positions above the watermark that were read so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Window {
    entries: VecDeque<Entry>,
    in_flight: usize,
    unsent: usize,
    /// One past the last position that [`Window::advance`] has passed.
    passed: u64,
}

/// What to do with a position that the journal's reader has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// To be sent.
    Fresh,
    /// Done already: an earlier producer's acknowledgement counts.
    Done,
    /// Not known, and there is no room to know it.
    NoRoom,
}

impl Window {
    /// The reader has come to `position`. Whatever lies before it and was never sent has been damaged meanwhile: the
    /// reader has counted it, and it must not hold up the watermark.
    pub(crate) fn pass(&mut self, position: u64) {
        self.lose(self.index(position));
    }

    /// What is to become of `position`; one that is not known yet finds room among at most `most`.
    pub(crate) fn read(&mut self, position: u64, most: usize) -> Read {
        // A resend reads on from an old place; the watermark may have passed what it comes to.
        if position < self.passed {
            return Read::Done;
        }
        let index = self.index(position);
        match self.entries.get(index) {
            Some(entry) if entry.position == position && entry.state == State::Done => Read::Done,
            Some(entry) if entry.position == position => Read::Fresh,
            _ if self.entries.len() >= most => Read::NoRoom,
            _ => {
                let state = State::Unsent;
                self.entries.insert(index, Entry { position, state });
                self.unsent += 1;
                Read::Fresh
            }
        }
    }

    fn index(&self, position: u64) -> usize {
        self.entries
            .partition_point(|entry| entry.position < position)
    }

    /// The reader has come to the tail: as [`Window::pass`] of a position beyond all.
    pub(crate) fn tail(&mut self) {
        self.lose(self.entries.len());
    }

    fn lose(&mut self, before: usize) {
        if self.unsent == 0 {
            return;
        }
        // What is unsent lies at the end: from there back to the first that was sent.
        for entry in self.entries.range_mut(..before).rev() {
            match entry.state {
                State::Unsent => {
                    entry.state = State::Done;
                    self.unsent -= 1;
                }
                State::Done => {}
                State::Sent => break,
            }
        }
    }

    /// Given to the producer.
    pub(crate) fn sent(&mut self, position: u64) {
        if let Some(entry) = self.find(position)
            && entry.state == State::Unsent
        {
            entry.state = State::Sent;
            self.in_flight += 1;
            self.unsent -= 1;
        }
    }

    /// Done for good; true the first time.
    pub(crate) fn done(&mut self, position: u64) -> bool {
        let Some(entry) = self.find(position) else {
            return false;
        };
        let before = std::mem::replace(&mut entry.state, State::Done);
        self.in_flight -= usize::from(before == State::Sent);
        self.unsent -= usize::from(before == State::Unsent);
        before != State::Done
    }

    /// The present producer has given it up.
    pub(crate) fn failed(&mut self, position: u64) {
        if let Some(entry) = self.find(position)
            && entry.state == State::Sent
        {
            entry.state = State::Unsent;
            self.in_flight -= 1;
            self.unsent += 1;
        }
    }

    /// The producer is gone: what it still had may or may not have arrived.
    pub(crate) fn forget_in_flight(&mut self) {
        for entry in &mut self.entries {
            if entry.state == State::Sent {
                entry.state = State::Unsent;
            }
        }
        self.unsent += std::mem::take(&mut self.in_flight);
    }

    /// Moves the watermark over what is done; the last position passed, if any.
    pub(crate) fn advance(&mut self) -> Option<u64> {
        let mut passed = None;
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.state == State::Done)
        {
            passed = self.entries.pop_front().map(|entry| entry.position);
        }
        if let Some(position) = passed {
            self.passed = position + 1;
        }
        passed
    }

    /// The first position that is not done.
    pub(crate) fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.position)
    }

    /// How many positions were sent and are without a report.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many positions were read, but are not with the present producer.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// How many positions lie above the watermark.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&mut self, position: u64) -> Option<&mut Entry> {
        let index = self
            .entries
            .binary_search_by_key(&position, |entry| entry.position)
            .ok()?;
        self.entries.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_contiguous_run_passes() {
        let mut window = Window::default();
        for position in [3, 4, 9] {
            assert_eq!(window.read(position, usize::MAX), Read::Fresh);
            window.sent(position);
        }
        assert!(window.done(4));
        assert_eq!(window.advance(), None);
        assert!(window.done(3));
        assert!(!window.done(3));
        assert_eq!(window.advance(), Some(4));
        assert_eq!((window.first(), window.in_flight()), (Some(9), 1));
    }

    #[test]
    fn a_resend_skips_what_is_done_and_passes_over_what_was_damaged_meanwhile() {
        let mut window = Window::default();
        for position in 0..4 {
            window.read(position, usize::MAX);
            window.sent(position);
        }
        window.done(2);
        window.forget_in_flight();
        window.pass(1);
        assert_eq!(window.read(1, 2), Read::Fresh, "0 is lost");
        assert_eq!(window.advance(), Some(0));
        window.sent(1);
        assert_eq!(window.read(2, 2), Read::Done);
        window.tail();
        window.done(1);
        assert_eq!(window.advance(), Some(3));
        assert_eq!((window.len(), window.unsent()), (0, 0));
    }

    #[test]
    fn a_resend_skips_what_the_watermark_has_passed_since_it_began() {
        let mut window = Window::default();
        for position in 0..3 {
            window.read(position, usize::MAX);
            window.sent(position);
        }
        window.done(1);
        window.forget_in_flight();
        assert_eq!(window.read(0, 3), Read::Fresh);
        window.sent(0);
        window.done(0);
        assert_eq!(window.advance(), Some(1));
        assert_eq!(window.read(1, 3), Read::Done, "it has arrived");
        assert_eq!(window.read(2, 3), Read::Fresh);
    }

    #[test]
    fn what_is_known_has_room_and_what_is_new_only_below_the_bound() {
        let mut window = Window::default();
        assert_eq!(window.read(5, 2), Read::Fresh);
        assert_eq!(window.read(6, 2), Read::Fresh);
        assert_eq!(window.read(7, 2), Read::NoRoom);
        assert_eq!(window.read(6, 2), Read::Fresh);
        assert_eq!((window.len(), window.unsent()), (2, 2));
    }
}
