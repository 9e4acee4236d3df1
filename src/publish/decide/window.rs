//! Turns the positions in flight into a contiguous low watermark: everything up to it is done and may leave the journal.

use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Read, but not given to the present producer.
    Unsent,
    /// Given to the present producer, which has not reported on it.
    InFlight,
    /// Acknowledged, dead-lettered, or lost to damage.
    Done,
}

#[derive(Debug)]
struct Tracked {
    position: u64,
    state: State,
}

/// The positions above the watermark that were read so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Window {
    tracked: VecDeque<Tracked>,
    in_flight: usize,
    unsent: usize,
    /// One past the last position that [`Window::advance`] has passed.
    passed: u64,
}

/// What to do with a position that the journal's reader has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    ToSend,
    /// An earlier producer's acknowledgement counts.
    Done,
    /// The position is new and the window is full.
    NoRoom,
}

impl Window {
    /// The reader has come to `position`. Positions before it that were never sent have been damaged since they were first
    /// read: the reader has counted them, and they must not hold up the watermark.
    pub(crate) fn skip_to(&mut self, position: u64) {
        self.drop_unsent(self.index(position));
    }

    /// The reader has come to the synced tail: every position that is still unsent has been damaged.
    pub(crate) fn reached_tail(&mut self) {
        self.drop_unsent(self.tracked.len());
    }

    /// Begins to track `position` unless it is known already; at most `max` positions are tracked.
    pub(crate) fn admit(&mut self, position: u64, max: usize) -> Admitted {
        // A resend starts at an old position, and the watermark may have passed what it comes to.
        if position < self.passed {
            return Admitted::Done;
        }
        let index = self.index(position);
        match self.tracked.get(index) {
            Some(found) if found.position == position && found.state == State::Done => {
                Admitted::Done
            }
            Some(found) if found.position == position => Admitted::ToSend,
            _ if self.tracked.len() >= max => Admitted::NoRoom,
            _ => {
                let state = State::Unsent;
                self.tracked.insert(index, Tracked { position, state });
                self.unsent += 1;
                self.check();
                Admitted::ToSend
            }
        }
    }

    /// The producer has taken the record.
    pub(crate) fn mark_sent(&mut self, position: u64) {
        let found = self.find(position);
        debug_assert!(
            found
                .as_ref()
                .is_some_and(|found| found.state == State::Unsent),
            "{position} is sent, but it was not admitted or is in flight already"
        );
        if let Some(found) = found
            && found.state == State::Unsent
        {
            found.state = State::InFlight;
            self.in_flight += 1;
            self.unsent -= 1;
        }
        self.check();
    }

    /// The position is done for good; true the first time.
    pub(crate) fn mark_done(&mut self, position: u64) -> bool {
        let Some(found) = self.find(position) else {
            debug_assert!(position < self.passed, "{position} was never admitted");
            return false;
        };
        let before = std::mem::replace(&mut found.state, State::Done);
        self.in_flight -= usize::from(before == State::InFlight);
        self.unsent -= usize::from(before == State::Unsent);
        self.check();
        before != State::Done
    }

    /// The present producer has given the record up. One that is done already stays so.
    pub(crate) fn mark_unsent(&mut self, position: u64) {
        if let Some(found) = self.find(position)
            && found.state == State::InFlight
        {
            found.state = State::Unsent;
            self.in_flight -= 1;
            self.unsent += 1;
        }
        self.check();
    }

    /// The producer is gone: what it had in flight may or may not have arrived.
    pub(crate) fn mark_all_unsent(&mut self) {
        for tracked in &mut self.tracked {
            if tracked.state == State::InFlight {
                tracked.state = State::Unsent;
            }
        }
        self.unsent += std::mem::take(&mut self.in_flight);
        self.check();
    }

    /// Moves the watermark over what is done; returns the last position passed, if any.
    pub(crate) fn advance(&mut self) -> Option<u64> {
        let mut passed = None;
        while self
            .tracked
            .front()
            .is_some_and(|first| first.state == State::Done)
        {
            passed = self.tracked.pop_front().map(|first| first.position);
        }
        if let Some(position) = passed {
            debug_assert!(position >= self.passed, "the watermark went back");
            self.passed = position + 1;
        }
        self.check();
        passed
    }

    /// The first position that is not done.
    pub(crate) fn first(&self) -> Option<u64> {
        self.tracked.front().map(|first| first.position)
    }

    /// Positions that were sent and not reported on.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Positions that were read and are not with the present producer.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Positions above the watermark.
    pub(crate) fn len(&self) -> usize {
        self.tracked.len()
    }

    fn drop_unsent(&mut self, before: usize) {
        if self.unsent == 0 {
            return;
        }
        // Unsent positions are at the end: from there back to the first that was sent.
        for tracked in self.tracked.range_mut(..before).rev() {
            match tracked.state {
                State::Unsent => {
                    tracked.state = State::Done;
                    self.unsent -= 1;
                }
                State::Done => {}
                State::InFlight => break,
            }
        }
        self.check();
    }

    fn index(&self, position: u64) -> usize {
        self.tracked
            .partition_point(|tracked| tracked.position < position)
    }

    fn find(&mut self, position: u64) -> Option<&mut Tracked> {
        let index = self
            .tracked
            .binary_search_by_key(&position, |tracked| tracked.position)
            .ok()?;
        self.tracked.get_mut(index)
    }

    fn check(&self) {
        debug_assert!(self.in_flight + self.unsent <= self.tracked.len());
        debug_assert!(self.first().is_none_or(|first| first >= self.passed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_contiguous_run_passes() {
        let mut window = Window::default();
        for position in [3, 4, 9] {
            assert_eq!(window.admit(position, usize::MAX), Admitted::ToSend);
            window.mark_sent(position);
        }
        assert!(window.mark_done(4));
        assert_eq!(window.advance(), None);
        assert!(window.mark_done(3));
        assert!(!window.mark_done(3));
        assert_eq!(window.advance(), Some(4));
        assert_eq!((window.first(), window.in_flight()), (Some(9), 1));
    }

    #[test]
    fn a_resend_skips_what_is_done_and_passes_over_what_was_damaged_meanwhile() {
        let mut window = Window::default();
        for position in 0..4 {
            window.admit(position, usize::MAX);
            window.mark_sent(position);
        }
        window.mark_done(2);
        window.mark_all_unsent();
        window.skip_to(1);
        assert_eq!(window.admit(1, 2), Admitted::ToSend, "0 is lost");
        assert_eq!(window.advance(), Some(0));
        window.mark_sent(1);
        assert_eq!(window.admit(2, 2), Admitted::Done);
        window.reached_tail();
        window.mark_done(1);
        assert_eq!(window.advance(), Some(3));
        assert_eq!((window.len(), window.unsent()), (0, 0));
    }

    #[test]
    fn a_resend_skips_what_the_watermark_has_passed_since_it_began() {
        let mut window = Window::default();
        for position in 0..3 {
            window.admit(position, usize::MAX);
            window.mark_sent(position);
        }
        window.mark_done(1);
        window.mark_all_unsent();
        assert_eq!(window.admit(0, 3), Admitted::ToSend);
        window.mark_sent(0);
        window.mark_done(0);
        assert_eq!(window.advance(), Some(1));
        assert_eq!(window.admit(1, 3), Admitted::Done, "it has arrived");
        assert_eq!(window.admit(2, 3), Admitted::ToSend);
    }

    #[test]
    fn what_is_known_has_room_and_what_is_new_only_below_the_bound() {
        let mut window = Window::default();
        assert_eq!(window.admit(5, 2), Admitted::ToSend);
        assert_eq!(window.admit(6, 2), Admitted::ToSend);
        assert_eq!(window.admit(7, 2), Admitted::NoRoom);
        assert_eq!(window.admit(6, 2), Admitted::ToSend);
        assert_eq!((window.len(), window.unsent()), (2, 2));
    }
}
