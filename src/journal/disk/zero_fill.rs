//! Reads past what a disk cannot read: an unreadable page reads as zeros, which are no record, and is remembered in [`Holes`].
//!
//! These zeros say nothing about what was written there. Code that reads through [`ZeroFilled`] must check the holes before it
//! calls anything lost, torn or unused.

use std::cell::RefCell;
use std::io;
use std::ops::{Deref, Range};
use std::rc::Rc;

use super::filesystem::ReadAt;

/// Pages that could not be read, as ranges of bytes: ascending, apart, not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holes(Vec<Range<u64>>);

/// How a page reads that was not tried yet, after too many others have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// It and the rest of the file, which has this many bytes, become a hole: for callers that must not wait.
    IsHole(u64),
    /// Reading it is an error. The caller may try again, with the holes found so far: for callers that must be exact.
    IsError,
}

/// A file, owned or borrowed, whose unreadable pages read as zeros.
#[derive(Debug)]
pub struct ZeroFilled<P> {
    file: P,
    page: u64,
    beyond: Beyond,
    tried: Tried,
}

/// What was found unreadable in one file so far, and how many more reads may fail. Clones share it.
#[derive(Debug, Clone)]
pub struct Tried(Rc<RefCell<ReadState>>);

#[derive(Debug)]
struct ReadState {
    holes: Holes,
    last_error: Option<io::Error>,
    /// Reads that may still fail. Each can take as long as the device's own time-out.
    patience: u32,
    /// Up to here a read of several pages has failed. Pages before it are read one by one, because another such read would
    /// wait for the same bad page again.
    one_by_one: u64,
}

impl Holes {
    /// True if everything could be read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in all holes together.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|hole| hole.end - hole.start).sum()
    }

    /// The hole that contains this byte.
    pub fn at(&self, offset: u64) -> Option<Range<u64>> {
        let after = self.0.partition_point(|hole| hole.start <= offset);
        let hole = self.0.get(after.checked_sub(1)?)?;
        (offset < hole.end).then(|| hole.clone())
    }

    /// True if these holes contain all of `others`.
    pub fn covers(&self, others: &Self) -> bool {
        others.0.iter().all(|other| {
            self.at(other.start)
                .is_some_and(|hole| other.end <= hole.end)
        })
    }

    /// The first hole with a byte in this range.
    pub fn within(&self, bytes: &Range<u64>) -> Option<Range<u64>> {
        let first = self.0.partition_point(|hole| hole.end <= bytes.start);
        let hole = self.0.get(first)?;
        (hole.start < bytes.end && !bytes.is_empty()).then(|| hole.clone())
    }

    /// From the first to the last byte of this range that lies in a hole; `None` if no byte does.
    pub fn span_within(&self, bytes: &Range<u64>) -> Option<Range<u64>> {
        let first = self.within(bytes)?;
        let before_end = self.0.partition_point(|hole| hole.start < bytes.end);
        let last = self.0.get(before_end.checked_sub(1)?)?;
        Some(first.start.max(bytes.start)..last.end.min(bytes.end))
    }

    fn add(&mut self, hole: Range<u64>) {
        let from = self.0.partition_point(|known| known.end < hole.start);
        let to = self.0.partition_point(|known| known.start <= hole.end);
        let joined = self.0[from..to].iter().fold(hole, |joined, known| {
            joined.start.min(known.start)..joined.end.max(known.end)
        });
        self.0.splice(from..to, [joined]);
        debug_assert!(
            self.0.windows(2).all(|holes| holes[0].end < holes[1].start),
            "holes are ascending and apart"
        );
    }
}

impl Tried {
    /// Only these holes are known, and `patience` more reads may fail.
    pub fn new(holes: Holes, patience: u32) -> Self {
        Self(Rc::new(RefCell::new(ReadState {
            holes,
            last_error: None,
            patience,
            one_by_one: 0,
        })))
    }
}

impl<P: Deref> ZeroFilled<P> {
    /// Reads past at most `patience` failing reads. `page` is the file system's, in bytes; `holes` are known already.
    pub fn new(file: P, page: u64, holes: Holes, patience: u32, beyond: Beyond) -> Self {
        Self::resume(file, page, Tried::new(holes, patience), beyond)
    }

    /// Continues from an earlier reading of the file: never tries again what that has found unreadable.
    pub fn resume(file: P, page: u64, tried: Tried, beyond: Beyond) -> Self {
        Self {
            file,
            page,
            beyond,
            tried,
        }
    }

    /// The file itself.
    pub fn file(&self) -> &P::Target {
        &self.file
    }

    /// Sets the file's length, for [`Beyond::IsHole`].
    pub fn set_length(&mut self, length: u64) {
        self.beyond = Beyond::IsHole(length);
    }

    /// Takes the last error of a page that could not be read.
    pub fn take_last_error(&self) -> Option<io::Error> {
        self.tried.0.borrow_mut().last_error.take()
    }

    /// The last error of a page that could not be read, as text; empty if there was none.
    pub fn reason(&self) -> String {
        let last_error = &self.tried.0.borrow().last_error;
        last_error
            .as_ref()
            .map(io::Error::to_string)
            .unwrap_or_default()
    }

    /// What could not be read so far.
    pub fn holes(&self) -> Holes {
        self.tried.0.borrow().holes.clone()
    }

    /// From the first to the last byte of this range that could not be read so far.
    pub fn unreadable_within(&self, bytes: Range<u64>) -> Option<Range<u64>> {
        self.tried.0.borrow().holes.span_within(&bytes)
    }
}

impl<P> ReadAt for ZeroFilled<P>
where
    P: Deref<Target: ReadAt + Sized>,
{
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.tried.0.borrow_mut();
        if let Some(hole) = state.holes.at(offset) {
            return Ok(zeros(bytes, hole.end - offset));
        }
        let all = offset..offset + bytes.len() as u64;
        let length = match state.holes.within(&all) {
            Some(hole) => up_to(bytes.len(), hole.start - offset),
            None => bytes.len(),
        };
        let end = (offset / self.page + 1) * self.page;
        let within_page = up_to(length, end - offset);
        if length > within_page && offset >= state.one_by_one {
            match self.file.read_at(&mut bytes[..length], offset) {
                Ok(read) => return Ok(read),
                Err(_) => state.one_by_one = offset + length as u64,
            }
        }
        let error = match self.file.read_at(&mut bytes[..within_page], offset) {
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        let start = offset / self.page * self.page;
        if state.patience > 0 {
            state.patience -= 1;
            state.last_error = Some(error);
            state.holes.add(start..end);
            return Ok(zeros(bytes, end - offset));
        }
        match self.beyond {
            Beyond::IsHole(file_length) => {
                state.holes.add(start..file_length.max(end));
                Ok(zeros(bytes, file_length.max(end) - offset))
            }
            Beyond::IsError => Err(error),
        }
    }
}

fn zeros(bytes: &mut [u8], length: u64) -> usize {
    let length = up_to(bytes.len(), length);
    bytes[..length].fill(0);
    length
}

fn up_to(length: usize, most: u64) -> usize {
    usize::try_from(most).map_or(length, |most| length.min(most))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::journal::disk::filesystem::read_full;

    /// 64 bytes that are all 7, of which some cannot be read.
    struct Worn(Vec<Range<u64>>, Cell<u32>);

    fn worn(holes: Vec<Range<u64>>) -> Worn {
        Worn(holes, Cell::new(0))
    }

    impl ReadAt for Worn {
        fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
            let length = up_to(bytes.len(), 64_u64.saturating_sub(offset));
            let read = offset..offset + length as u64;
            let worn = |hole: &Range<u64>| hole.start < read.end && read.start < hole.end;
            if self.0.iter().any(worn) {
                self.1.set(self.1.get() + 1);
                return Err(io::Error::from_raw_os_error(5));
            }
            bytes[..length].fill(7);
            Ok(length)
        }
    }

    fn read(file: &ZeroFilled<&Worn>, bytes: Range<u64>) -> io::Result<Vec<u8>> {
        let mut read = vec![1; usize::try_from(bytes.end - bytes.start).unwrap()];
        let length = read_full(file, &mut read, bytes.start)?;
        read.truncate(length);
        Ok(read)
    }

    #[test]
    fn only_the_pages_that_cannot_be_read_are_zeros_and_they_are_known_afterwards() {
        let worn = worn(vec![9..10, 17..18, 40..41]);
        let file = ZeroFilled::new(&worn, 8, Holes::default(), 9, Beyond::IsError);
        let bytes = read(&file, 4..70).unwrap();
        let zero = |at: u64| (8..24).contains(&at) || (40..48).contains(&at);
        let expected: Vec<u8> = (4..64).map(|at| if zero(at) { 0 } else { 7 }).collect();
        assert_eq!(bytes, expected);
        let holes = file.holes();
        assert_eq!(holes, Holes(vec![8..24, 40..48]));
        assert_eq!(holes.bytes(), 24);
        assert_eq!((holes.at(23), holes.at(24)), (Some(8..24), None));
        assert_eq!(holes.within(&(24..41)), Some(40..48));
        assert_eq!(holes.within(&(24..40)), None);
        assert_eq!(holes.span_within(&(9..43)), Some(9..43));
        assert_eq!(holes.span_within(&(0..64)), Some(8..48));
        assert_eq!(holes.span_within(&(9..20)), Some(9..20));
        assert_eq!(holes.span_within(&(24..40)), None);
        assert!(file.reason().contains("os error 5"), "{}", file.reason());
    }

    #[test]
    fn a_bad_page_is_tried_twice_at_most_and_never_again() {
        let file = worn(std::iter::once(40..41).collect());
        let tried = Tried::new(Holes::default(), 2);
        for _ in 0..3 {
            let view = ZeroFilled::resume(&file, 8, tried.clone(), Beyond::IsError);
            assert_eq!(read(&view, 0..64).unwrap().len(), 64);
            assert_eq!(view.holes(), Holes(std::iter::once(40..48).collect()));
        }
        assert_eq!(file.1.get(), 2, "with others, and alone");
    }

    #[test]
    fn after_too_many_failures_the_rest_is_a_hole_or_an_error_that_begins_where_it_ended() {
        let file = worn(std::iter::once(0..64).collect());
        let lazy = ZeroFilled::new(&file, 8, Holes::default(), 2, Beyond::IsHole(64));
        assert_eq!(read(&lazy, 0..64).unwrap(), [0; 64]);
        assert_eq!(lazy.holes(), Holes(std::iter::once(0..64).collect()));

        let mut holes = Holes::default();
        for round in 1..=4 {
            let exact = ZeroFilled::new(&file, 8, holes, 2, Beyond::IsError);
            assert_eq!(read(&exact, 0..64).is_ok(), round == 4, "{round}");
            holes = exact.holes();
            assert_eq!(holes, Holes(std::iter::once(0..round * 16).collect()));
        }
    }
}
