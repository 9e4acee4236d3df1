//! Exact accounts of damage: the journal reports all that is lost, and everything that it reports was damaged.

use std::ops::Range;

use ringback::journal::recovery::POSITION_STRIDE;

use super::{Ledger, Place};
use crate::coverage::{self, Seen};
use crate::losses::Loss;

/// What one process has reported of its journal's losses.
#[derive(Debug, Default)]
pub struct LossReport {
    /// As logged, in order.
    pub losses: Vec<Loss>,
    /// As counted by the metrics: damaged, and passed over because they could not be read.
    pub counted: [u64; 2],
    /// Records of missing segments, which the metric counts and no logged range contains.
    pub missing: u64,
}

impl Ledger {
    /// Notes that this record was damaged: only such records may be lost.
    pub fn excuse(&mut self, place: Place) {
        self.excused.insert(place);
    }

    /// Notes that this record cannot be read for a time: after its patience the journal may give it up.
    pub fn excuse_unread(&mut self, place: Place) {
        self.unread.insert(place);
    }

    /// Checks that so many records of missing segments were counted before this place; everything before the watermark was
    /// published.
    pub fn missing(&mut self, count: u64, before: Place, watermark: Place) {
        if count == 0 {
            return;
        }
        self.missing_before.push(before);
        let excused = self.excused.range(watermark..=(watermark.0, u64::MAX));
        let damaged: Vec<_> = excused.copied().collect();
        // A start may have cut them because the slot that recorded them was lost, so that it took their damage for a torn
        // write. Or they are damaged up to their segment's end, and the header that would follow them is damaged too.
        let may_be_damaged = self.slot_lost || self.header_damaged;
        let is_damaged = may_be_damaged && count <= damaged.len() as u64;
        if !self.went_back && !is_damaged {
            self.violate(format!("{count} unpublished events are missing"));
        }
        if self.header_damaged {
            let news = damaged
                .into_iter()
                .filter(|place| !self.is_reported(*place));
            let news: Vec<_> = news.take(count as usize).collect();
            let ranges = news.into_iter().map(|(journal, at)| (journal, at..=at));
            self.reported.extend(ranges);
        }
    }

    /// Notes that a segment of this journal is set aside: these positions are in its name, and those in its file.
    pub fn found_set_aside(
        &mut self,
        journal: usize,
        named: Range<u64>,
        held: impl Iterator<Item = u64>,
    ) {
        self.set_aside_names.push((journal, named));
        self.set_aside
            .extend(held.map(|position| (journal, position)));
    }

    /// Notes at a crash that no checkpoint covers the records from this place on.
    pub fn uncovered_from(&mut self, place: Place) {
        let of_journal = place..=(place.0, u64::MAX);
        let places = self.places.range(of_journal).map(|(place, _)| *place);
        self.uncovered.extend(places);
    }

    pub(super) fn is_excused(&self, place: Place) -> bool {
        self.excused.contains(&place) || self.unread.contains(&place)
    }

    /// Checks a loss that the journal has logged.
    pub fn lost(&mut self, journal: usize, loss: Loss) {
        let range = (journal, loss.from)..=(journal, loss.to);
        let known: Vec<_> = self
            .places
            .range(range)
            .map(|(at, of)| (*at, *of))
            .collect();
        // A record that is damaged and also unreadable for a time may be reported as either.
        let is_true = |place: &Place| {
            let may_be = if loss.unread {
                &self.unread
            } else {
                &self.excused
            };
            may_be.contains(place) || (loss.unread && self.excused.contains(place))
        };
        // An estimate may include records that were published long ago and are gone.
        let estimates = loss.unread || self.header_damaged || self.went_back;
        let is_estimate = |number: usize| estimates && self.is_at_rest(number);
        let mut known_of = known.iter();
        let wrong = known_of.find(|(at, number)| !is_true(at) && !is_estimate(*number));
        if let Some((place, number)) = wrong {
            let words = if loss.unread {
                "as unreadable and could be read"
            } else {
                "as damaged and was not"
            };
            return self.violate(format!("event {number}, {place:?}, was reported {words}"));
        }
        let positions = loss.to + 1 - loss.from;
        if positions >= POSITION_STRIDE {
            return self.violate(format!(
                "{loss:?} includes a start's leap, which is no loss"
            ));
        }
        // Records that were written and never acknowledged have positions that the ledger does not know.
        let unknown = positions - known.len() as u64;
        // The journal only estimates how many records an unreadable segment had.
        let estimated = loss.unread || self.had_bad_sectors;
        if unknown > self.torn && !self.header_damaged && !estimated {
            let torn = self.torn;
            return self.violate(format!(
                "{loss:?} was reported, of which {unknown} are no events and {torn} may be"
            ));
        }
        let is_news = |(place, number): &&(Place, usize)| {
            !self.is_at_rest(*number) && !self.is_reported(*place)
        };
        let least = known.iter().filter(is_news).count() as u64;
        if loss.count < least || loss.count > positions {
            self.violate(format!("{loss:?} is the loss of {least} to {positions}"));
        }
        self.has_reported_unread |= loss.unread;
        self.reported.push((journal, loss.from..=loss.to));
    }

    /// Checks that counted and logged losses agree, once a process has ended or everything has come to rest.
    pub fn check_losses(&mut self, report: &LossReport) {
        let logged = [false, true].map(|unread| {
            let losses = report.losses.iter().filter(|loss| loss.unread == unread);
            losses.map(|loss| loss.count).sum::<u64>()
        });
        let ([damaged, unread], missing) = (report.counted, report.missing);
        if damaged != logged[0] + missing || unread != logged[1] {
            self.violate(format!(
                "{damaged} records were counted as damaged and {unread} as unreadable, {logged:?} logged as lost, {missing} as missing"
            ));
        }
    }

    fn is_at_rest(&self, number: usize) -> bool {
        let sent = &self.events[number];
        sent.delivered > 0 || sent.dead_lettered
    }

    fn is_reported(&self, place: Place) -> bool {
        let mut reported = self.reported.iter();
        let mut missing = self.missing_before.iter();
        reported.any(|(journal, positions)| *journal == place.0 && positions.contains(&place.1))
            || missing.any(|before| before.0 == place.0 && place.1 < before.1)
    }

    /// Checks, once everything has come to rest, that nothing is lost without a report.
    pub fn settle(&mut self) {
        let lost = self.events.iter().enumerate().filter_map(|(number, sent)| {
            let place = sent.acknowledged?;
            (sent.delivered == 0 && !sent.dead_lettered).then_some((number, place))
        });
        let lost: Vec<_> = lost.collect();
        for (number, place) in lost {
            if !self.is_excused(place) {
                return self.violate(format!(
                    "event {number}, {place:?}, was acknowledged and is lost"
                ));
            }
            let is_set_aside = self.set_aside.contains(&place);
            if is_set_aside {
                coverage::seen(Seen::LostAndSetAside);
            }
            // Where two such segments meet unread, the journal does not know in which of both a record is.
            let mut names = self.set_aside_names.iter();
            let is_named =
                names.any(|(journal, named)| *journal == place.0 && named.contains(&place.1));
            if !self.excused.contains(&place)
                && (!is_set_aside || (!is_named && self.is_reported(place)))
            {
                return self.violate(format!(
                    "event {number}, {place:?}, was passed over as unreadable and is not set aside ({is_set_aside}, {is_named})"
                ));
            }
            let looked_torn = self.uncovered.contains(&place);
            // The journal estimates how many records an unreadable header or tail had: at least one.
            let is_hidden = self.has_reported_unread || self.is_at_seam(place);
            if !self.is_reported(place) && !looked_torn && !is_hidden {
                return self.violate(format!(
                    "event {number}, {place:?}, was lost to damage and not reported"
                ));
            }
        }
    }
}
