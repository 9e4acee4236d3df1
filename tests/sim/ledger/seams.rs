//! A segment's damaged header, and the damage on both sides of it.
//!
//! Only that header shows where the segment before it ended and where its own began. If an open's stride lies between the two, the
//! records' positions do not show it either: if records are damaged at the end of the one and at the beginning of the other, a
//! start knows that there were some but not how many, and counts one on each side. A header that was written while the segment
//! before could not be read does not show where that segment ended.

use std::ops::Range;

use super::{Ledger, Place};

/// Positions on both sides of a damaged header, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seam {
    /// Those of the segment before.
    pub before: Range<u64>,
    /// Those of the segment with the damaged header.
    pub behind: Range<u64>,
}

impl Ledger {
    /// The last position of a sender's event before this place, in the same journal.
    pub fn last_before(&self, place: Place) -> Option<u64> {
        let mut before = self.places.range((place.0, 0)..place);
        before.next_back().map(|((_, position), _)| *position)
    }

    /// Notes that a start has found a segment, a stride behind the one before, whose header does not show where that one ended.
    pub fn seam(&mut self, journal: usize, seam: Seam) {
        let seam = (journal, seam);
        if !self.seams.contains(&seam) {
            self.seams.push(seam);
        }
    }

    /// True if this record and all that lie between it and a seam, on the same side, are damaged, and at least one of that run
    /// was reported.
    pub(super) fn is_at_seam(&self, place: Place) -> bool {
        let (journal, position) = place;
        let mut seams = self.seams.iter().filter(|(of, _)| *of == journal);
        seams.any(|(_, Seam { before, behind })| {
            let run = if before.contains(&position) {
                self.damaged_back(journal, before.end, before.start)..before.end
            } else {
                behind.start..self.damaged_on(journal, behind)
            };
            run.contains(&position) && self.is_reported_in(journal, &run)
        })
    }

    /// Where the run of damaged records begins that ends at `end`.
    fn damaged_back(&self, journal: usize, end: u64, least: u64) -> u64 {
        let mut positions = (least..end).rev();
        let intact = positions.find(|position| !self.excused.contains(&(journal, *position)));
        intact.map_or(least, |intact| intact + 1)
    }

    /// Where the run of damaged records ends that begins with the first of these positions.
    fn damaged_on(&self, journal: usize, positions: &Range<u64>) -> u64 {
        let mut each = positions.clone();
        let intact = each.find(|position| !self.excused.contains(&(journal, *position)));
        intact.unwrap_or(positions.end)
    }

    fn is_reported_in(&self, journal: usize, run: &Range<u64>) -> bool {
        let mut reported = self.reported.iter();
        reported.any(|(of, positions)| {
            *of == journal && *positions.start() < run.end && run.start <= *positions.end()
        })
    }
}
