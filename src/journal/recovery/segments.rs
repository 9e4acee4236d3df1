//! From the files that hold records to the journal's segments: where each begins and ends, and what to do at the last one's
//! end. Reads, and changes nothing.

use std::collections::VecDeque;
use std::io;

use super::POSITION_STRIDE;
use super::bounds;
use super::candidates::Candidate;
use super::extent::Tail;
use super::plan::Action;
use crate::journal::disk::filesystem::{File as _, FileSystem};
use crate::journal::disk::zero_fill::ZeroFilled;
use crate::journal::engine::checkpoint::{Checkpoint, Synced};
use crate::journal::engine::writer::BATCH_BYTES;
use crate::journal::error::{OpenError, failed};
use crate::journal::format::record::Codec;
use crate::journal::format::scan;
use crate::journal::format::segment::{Evidence, HEADER, Segment, Unresolved, name};

/// The planned segments.
pub(super) struct Segments<'a, FS: FileSystem> {
    fs: &'a FS,
    codec: Codec,
    /// The first position that is not published, from the checkpoint.
    published: u64,
    /// How far the newest segment was synced, from the checkpoint.
    synced: Option<Synced>,
    /// The first position of the latest open, from the checkpoint.
    open_start: u64,
    /// Each segment, oldest first, with the end that its header has for the previous segment. Before the first, everything is
    /// published.
    pub(super) found: VecDeque<(u64, Segment<FS::File>)>,
    pub(super) actions: Vec<Action>,
    /// Bytes after the last record that were written and are torn.
    pub(super) torn: u64,
}

impl<'a, FS: FileSystem> Segments<'a, FS> {
    /// Plans a segment for each candidate, all of which hold records or may hold them.
    pub(super) fn plan(
        fs: &'a FS,
        codec: Codec,
        checkpoint: Option<Checkpoint>,
        candidates: &[Candidate],
    ) -> Result<Self, OpenError> {
        let mut segments = Self {
            fs,
            codec,
            published: checkpoint.map_or(0, |last| last.watermark),
            synced: checkpoint.and_then(|last| last.synced),
            open_start: checkpoint.map_or(0, |last| last.open_start),
            found: VecDeque::new(),
            actions: Vec::new(),
            torn: 0,
        };
        for (index, candidate) in candidates.iter().enumerate() {
            segments
                .add(index, candidates)
                .map_err(failed(&format!("read {}", name(candidate.sequence))))?;
        }
        Ok(segments)
    }

    fn add(&mut self, index: usize, candidates: &[Candidate]) -> io::Result<()> {
        let (candidate, behind) = (&candidates[index], &candidates[index + 1..]);
        let page = self.fs.page();
        let is_last = behind.is_empty();
        // The newest segment may be followed by a spare that cannot be read whole.
        let may_be_newest = behind
            .iter()
            .all(|candidate| candidate.unreadable || candidate.may_be_spare);
        let file = candidate.open(self.fs)?;
        let view = candidate.view(&file, page);
        let (sequence, length) = (candidate.sequence, candidate.length);
        let (mut first, previous_end, opened_ms) = if let Ok(header) = &candidate.header {
            (header.first, header.previous_end, header.opened_ms)
        } else {
            let (first, previous_end) = self.headerless(index, candidates, &view)?;
            (first, previous_end, 0)
        };
        let known = self.known(index, candidates, first);
        let tail = match known.next_header_end {
            Some(end) => Tail::from_next_header(end, length),
            None => Tail::find(&view, self.codec, page, first, &known)?,
        };
        let holes = view.holes();
        let is_before = |end: Option<u64>| end.is_some_and(|end| end <= self.published);
        let is_published = is_before(known.next_header_end) || is_before(known.next_first);
        let least = self.least().unwrap_or(self.published);
        // A segment without a header begins where the one before it ends, once that is known.
        let is_unplaced = candidate.header.is_err()
            && self
                .found
                .back()
                .is_some_and(|(_, before)| before.unresolved.is_some());
        let is_placed = !candidate.unreadable && !is_unplaced;
        let is_whole = is_published || (!tail.is_open && is_placed);
        let (mut end, used) = (tail.end.end, tail.end.used);
        if is_last && holes.is_empty() && !candidate.unreadable {
            self.cut(candidate, &file, used)?;
        }
        if may_be_newest {
            let written = if is_whole {
                tail.intact
            } else {
                scan::garbage(&view, 0, length)?
            };
            // A batch is at most this many bytes, or one larger record, and its segment's header.
            let from = tail.end.last.min(tail.intact.saturating_sub(BATCH_BYTES));
            let from = if is_whole && from > HEADER { from } else { 0 };
            // Bytes that the checkpoint says were synced are durable.
            let durable = known
                .synced
                .map_or(0, |synced| synced.used.next_multiple_of(page));
            self.actions.push(Action::Rewrite {
                sequence,
                bytes: from.max(durable).min(written)..written,
                holes: holes.clone(),
            });
        }
        let most = known.next_first.unwrap_or(u64::MAX);
        let unresolved = (!is_whole).then(|| {
            let estimate = end
                .min(most)
                .saturating_sub(first.max(self.published))
                .max(1);
            // Bounds: no record of it may seem published, and no position may be given out again.
            if !is_placed {
                first = first.min(least);
                end = end.max(self.found.back().map_or(0, |(_, before)| before.end));
                // Nobody knows where it ends, if not before the next one.
                end = end.max(known.next_first.unwrap_or(self.published + 1));
            }
            end += holes.bytes().div_ceil(scan::SMALLEST);
            Unresolved {
                estimate,
                next_header_end: known.next_header_end.or(tail.known(is_last)),
                ..known
            }
        });
        if is_published || (!is_whole && least < most) {
            // Its positions come before the next segment's. A published segment keeps one position even so: then it is
            // removed as published, and does not count as never begun.
            end = end.min(most);
            first = first.min(end.saturating_sub(u64::from(is_published)));
        }
        debug_assert!(first <= end, "a segment begins before it ends");
        debug_assert!(
            used <= length.max(HEADER),
            "no record lies after the file's end"
        );
        let base = self
            .found
            .back()
            .map_or(0, |(_, before)| before.base + before.used);
        self.found.push_back((
            previous_end,
            Segment {
                sequence,
                first,
                end,
                used,
                capacity: used,
                base,
                opened_ms,
                file: None,
                is_estimated: false,
                unresolved,
            },
        ));
        Ok(())
    }

    /// What the neighbours and the checkpoint say about the segment that begins at `first`.
    fn known(&self, index: usize, candidates: &[Candidate], first: u64) -> Unresolved {
        let (candidate, behind) = (&candidates[index], &candidates[index + 1..]);
        let next = behind.first();
        let next_header_end = next.and_then(Candidate::previous_end);
        let mut headers = behind.iter().filter_map(|next| next.header.as_ref().ok());
        let (sequence, length) = (candidate.sequence, candidate.length);
        Unresolved {
            estimate: 0,
            length,
            next_header_end: bounds::end_in_next_header(first, length, next_header_end),
            next_first: headers.next().map(|next| next.first),
            is_next_unknown: next.is_some_and(|next| next.header.is_err()),
            is_next_headless: next.is_some_and(|next| next.header.is_err() && !next.unreadable),
            // The oldest file may be the rest of a torn first write: then the next header had no end to state.
            is_next_silent: next_header_end == Some(0)
                && (index > 0 || candidate.header.is_ok() || candidate.unreadable),
            synced: self.synced.filter(|synced| synced.sequence == sequence),
            published: self.published,
            open_start: self.open_start,
            unread_header: candidate.unreadable.then_some(Evidence::None),
            behind: Evidence::None,
        }
    }

    /// Counts the records whose segments are gone, before, between and behind the segments found. Of those beside a segment
    /// that could not be read, it leaves the evidence to the reader.
    pub(super) fn count_gone(
        found: &mut VecDeque<(u64, Segment<FS::File>)>,
        published: u64,
        checkpoint: Option<Checkpoint>,
    ) -> u64 {
        let newest = checkpoint.and_then(|last| Some((last, last.synced?)));
        let newest = newest.filter(|(_, synced)| {
            let mut found = found.iter();
            !found.any(|(_, segment)| segment.sequence == synced.sequence)
        });
        let sequences: Vec<_> = found.iter().map(|(_, segment)| segment.sequence).collect();
        // If the newest segment came between the segment at `index` and the one before that.
        let newest_before = |index: usize| {
            let previous = index.checked_sub(1).map(|before| sequences[before]);
            let next = sequences.get(index);
            newest
                .filter(|(_, synced)| Some(synced.sequence) > previous)
                .filter(|(_, synced)| next.is_none_or(|next| synced.sequence < *next))
                .map_or(Evidence::None, |(checkpoint, synced)| {
                    Evidence::Checkpoint(checkpoint, synced)
                })
        };
        let mut gone = 0;
        let mut behind = newest_before(found.len());
        for (index, (previous_end, segment)) in found.iter_mut().enumerate().rev() {
            let mut before = Evidence::Header(*previous_end);
            match &mut segment.unresolved {
                None => gone += bounds::gone(&behind, segment.end, published),
                Some(unresolved) => {
                    unresolved.behind = behind;
                    if let Some(unread) = &mut unresolved.unread_header {
                        *unread = newest_before(index);
                        before = Evidence::None;
                    }
                    if checkpoint.is_none() && index == 0 {
                        // What lay before it may be published.
                        unresolved.unread_header = None;
                    }
                }
            }
            behind = before;
        }
        gone + bounds::gone(&behind, published, published)
    }

    /// The least position with which the next segment can begin; `None` for the first segment.
    fn least(&self) -> Option<u64> {
        let (_, before) = self.found.back()?;
        Some(match before.unresolved {
            Some(_) => before.first,
            None => before.end,
        })
    }

    /// Where a segment without a header begins, and where the one before it ended.
    fn headerless(
        &mut self,
        index: usize,
        candidates: &[Candidate],
        view: &ZeroFilled<&FS::File>,
    ) -> io::Result<(u64, u64)> {
        let candidate = &candidates[index];
        let length = candidate.length;
        let from = self.least().unwrap_or(0);
        let least = self.least().unwrap_or(self.published);
        let synced = self
            .synced
            .filter(|synced| synced.sequence == candidate.sequence);
        let found = match synced {
            Some(synced) => Some(synced.first),
            None => bounds::first(view, self.codec, length, from, least, self.open_start)?,
        };
        // Each earlier candidate has become a segment. If this candidate cannot be read, the reader later sets the end
        // of the segment before it. If that segment cannot be read, the reader sets its end again: until then its end
        // is the highest possible one, so that it does not seem published.
        if let Some(before) = index.checked_sub(1)
            && !candidate.unreadable
        {
            let most = self.position_in(&candidates[index..])?;
            self.close_last(&candidates[before], found, most)?;
        }
        // The segment before may have become longer.
        let least = self.least().unwrap_or(self.published);
        let (least, previous_end) = if index > 0 {
            // As a header that does not know it. What is missing is counted up to the first record of this segment.
            (least, 0)
        } else {
            // Positions between the watermark and this segment are gone with their segment.
            let next = found.filter(|first| first.saturating_sub(least) < POSITION_STRIDE);
            let end = next.map_or(least, |first| first.max(least));
            (end, end)
        };
        let next = candidates.get(index + 1).and_then(Candidate::previous_end);
        // What comes before that is published, here too.
        let none = || bounds::first_of_none(least.max(self.published), next);
        Ok((found.unwrap_or_else(none), previous_end))
    }

    /// The first position that one of these segments is known to have.
    fn position_in(&self, candidates: &[Candidate]) -> io::Result<Option<u64>> {
        for candidate in candidates {
            if let Ok(header) = &candidate.header {
                return Ok(Some(header.first));
            }
            let file = candidate.open(self.fs)?;
            let view = candidate.view(&file, self.fs.page());
            let bytes = HEADER..candidate.length;
            if let Some(offset) = scan::find(&view, self.codec, bytes, &(0..u64::MAX))? {
                return scan::at(&view, self.codec, offset, candidate.length);
            }
        }
        Ok(None)
    }

    /// Sets the end of the last planned segment, which is `candidate`'s, if the next one has no header and begins at `first`, and
    /// a later one has the position `most`. The reader finds, copies and counts what is missing up to there.
    fn close_last(
        &mut self,
        candidate: &Candidate,
        first: Option<u64>,
        most: Option<u64>,
    ) -> io::Result<()> {
        let Some((_, segment)) = self.found.back_mut() else {
            return Ok(());
        };
        let file = candidate.open(self.fs)?;
        let view = candidate.view(&file, self.fs.page());
        let length = file.length()?;
        let known = (segment.end, segment.used);
        let end = bounds::close(&view, length, known, first, self.published)?;
        // The first unpublished position may be a later segment's.
        let end = most.map_or(end, |most| end.min(most));
        if end > segment.end {
            segment.end = end;
            segment.used = segment.used.max(length);
        }
        Ok(())
    }

    /// Plans to truncate the last segment after its last record.
    fn cut(&mut self, candidate: &Candidate, file: &FS::File, used: u64) -> io::Result<()> {
        let torn = scan::garbage(file, used, candidate.length)?;
        self.torn += torn;
        if used < candidate.length {
            self.actions.push(Action::CutTail {
                sequence: candidate.sequence,
                torn: used..used + torn,
                truncates: !candidate.is_set_aside,
            });
        }
        Ok(())
    }
}
