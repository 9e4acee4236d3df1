//! From the files that hold records to the journal's segments: where each begins and ends, and what is cut from the last.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use super::bounds;
use super::candidates::Candidate;
use super::extent::Tail;
use super::{LEAP, failed};
use crate::journal::disk::filesystem::{File, FileSystem, ReadAt, read_full};
use crate::journal::disk::zero_fill::{Holes, ZeroFilled};
use crate::journal::engine::checkpoint::{Checkpoint, Synced};
use crate::journal::engine::quarantine;
use crate::journal::engine::writer::BATCH_BYTES;
use crate::journal::error::OpenError;
use crate::journal::format::record::Codec;
use crate::journal::format::scan;
use crate::journal::format::segment::{HEADER, Segment, Unresolved, name};

/// Bytes written again at once.
const CHUNK: usize = 1 << 20;

/// Segments, each with the end that its header says the one before it had, before the first all is published.
pub(super) type Found<F> = VecDeque<(u64, Segment<F>)>;

/// What the segments are made with.
pub(super) struct Plan<'a, FS: FileSystem> {
    pub(super) fs: &'a FS,
    pub(super) codec: Codec,
    /// The first position that is not published, as the checkpoint tells.
    pub(super) published: u64,
    /// How far the newest segment was synced, as the checkpoint tells.
    pub(super) synced: Option<Synced>,
    /// Where the positions of the last open began, as the checkpoint tells.
    begun_at: u64,
}

impl<'a, FS: FileSystem> Plan<'a, FS> {
    pub(super) fn new(fs: &'a FS, codec: Codec, checkpoint: Option<&Checkpoint>) -> Self {
        Self {
            fs,
            codec,
            published: checkpoint.map_or(0, |last| last.watermark),
            synced: checkpoint.and_then(|last| last.synced),
            begun_at: checkpoint.map_or(0, |last| last.begun_at),
        }
    }

    /// Each segment, and the bytes cut from the last one's tail.
    pub(super) fn segments(
        &self,
        candidates: &[Candidate],
    ) -> Result<(Found<FS::File>, u64), OpenError> {
        let mut segments: Found<FS::File> = VecDeque::new();
        let mut torn = 0;
        for (index, candidate) in candidates.iter().enumerate() {
            let cut = self
                .add(index, candidates, &mut segments)
                .map_err(failed(&format!("read {}", name(candidate.sequence))))?;
            torn += cut;
        }
        Ok((segments, torn))
    }

    fn add(
        &self,
        index: usize,
        candidates: &[Candidate],
        segments: &mut Found<FS::File>,
    ) -> io::Result<u64> {
        let (candidate, behind) = (&candidates[index], &candidates[index + 1..]);
        let page = self.fs.page();
        let next = behind.first();
        // Behind the segment that was written last there may be a spare of which a part cannot be read.
        let may_be_newest = behind
            .iter()
            .all(|candidate| candidate.unreadable || candidate.may_be_spare);
        let file = candidate.open(self.fs)?;
        let view = candidate.view(&file, page);
        let (sequence, length) = (candidate.sequence, candidate.length);
        let next_says = next.and_then(|next| Some(next.header.as_ref().ok()?.previous_end));
        let (mut first, previous_end, opened_ms) = match &candidate.header {
            Ok(header) => (header.first, header.previous_end, header.opened_ms),
            Err(_) => self.headless(&candidates[..=index], &view, next_says, segments)?,
        };
        let unresolved = self.known(index, candidates, first);
        let (next_first, synced) = (unresolved.next_first, unresolved.synced);
        let tail = match unresolved.next_says {
            Some(end) => Tail::told(end, length),
            None => Tail::find(&view, self.codec, page, first, &unresolved)?,
        };
        let holes = view.holes();
        let is_before = |known: Option<u64>, position| known.is_some_and(|end| end <= position);
        let is_published = is_before(unresolved.next_says, self.published)
            || is_before(next_first, self.published);
        let least = Self::least(segments).unwrap_or(self.published);
        let is_whole = is_published || (!tail.is_open && !candidate.unreadable);
        let (mut end, used) = (tail.end.end, tail.end.used);
        let (capacity, mut torn) = (used, 0);
        if next.is_none() && holes.is_empty() && !candidate.unreadable {
            torn = self.cut(candidate, &file, used)?;
        }
        if may_be_newest {
            // A batch is so many bytes or one larger record, and its segment's header.
            let from = tail.end.last.min(tail.intact.saturating_sub(BATCH_BYTES));
            let from = if from <= HEADER { 0 } else { from };
            // What the checkpoint knows to be synced is not written over: it has no need of it.
            let durable = synced.map_or(0, |synced| synced.used.next_multiple_of(page));
            let written = if is_whole {
                tail.intact
            } else {
                scan::garbage(&view, 0, length)?
            };
            let from = if is_whole { from } else { 0 };
            let from = from.max(durable).min(written);
            write_again(&file, page, from..written, &holes)?;
        }
        let most = next_first.unwrap_or(u64::MAX);
        let unresolved = (!is_whole).then(|| {
            let estimate = end
                .min(most)
                .saturating_sub(first.max(self.published))
                .max(1);
            // The least and the most that can be: no record of it may seem published, and no position be used again.
            if candidate.unreadable {
                first = first.min(least);
                end = end.max(segments.back().map_or(0, |(_, before)| before.end));
            }
            end += holes.bytes().div_ceil(scan::SMALLEST);
            Unresolved {
                estimate,
                next_says: unresolved.next_says.or(tail.known(next.is_none())),
                ..unresolved
            }
        });
        if is_published || (!is_whole && least < most) {
            // What it holds comes before what the next one does; one that is published keeps a position all the same, so
            // that it leaves as published and not as never begun.
            end = end.min(most);
            first = first.min(end.saturating_sub(u64::from(is_published)));
        }
        let base = segments
            .back()
            .map_or(0, |(_, before)| before.base + before.used);
        segments.push_back((
            previous_end,
            Segment {
                sequence,
                first,
                end,
                used,
                capacity,
                base,
                opened_ms,
                file: None,
                is_estimated: false,
                unresolved,
            },
        ));
        Ok(torn)
    }

    /// What is known of a segment that begins at `first` without its being read.
    fn known(&self, index: usize, candidates: &[Candidate], first: u64) -> Unresolved {
        let (candidate, behind) = (&candidates[index], &candidates[index + 1..]);
        let next = behind.first();
        let next_says = next.and_then(|next| Some(next.header.as_ref().ok()?.previous_end));
        let mut headers = behind.iter().filter_map(|next| next.header.as_ref().ok());
        let (sequence, length) = (candidate.sequence, candidate.length);
        Unresolved {
            estimate: 0,
            length,
            next_says: bounds::told_end(first, length, next_says),
            next_first: headers.next().map(|next| next.first),
            is_next_headless: next.is_some_and(|next| next.header.is_err() && !next.unreadable),
            // The oldest file may be what is left of a torn first write: then there was no end to tell.
            is_next_silent: next_says == Some(0)
                && (index > 0 || candidate.header.is_ok() || candidate.unreadable),
            synced: self.synced.filter(|synced| synced.sequence == sequence),
            published: self.published,
            begun_at: self.begun_at,
        }
    }

    /// The least position that the segment behind these can begin with; `None` if there is none before it.
    fn least(segments: &Found<FS::File>) -> Option<u64> {
        let (_, before) = segments.back()?;
        Some(match before.unresolved {
            Some(_) => before.first,
            None => before.end,
        })
    }

    /// Where a segment without a header begins, where the one before it ended, and when it was begun, which nothing tells.
    fn headless(
        &self,
        candidates: &[Candidate],
        view: &ZeroFilled<'_, FS::File>,
        next_says: Option<u64>,
        segments: &mut Found<FS::File>,
    ) -> io::Result<(u64, u64, u64)> {
        // Each of them has become a segment, but for the last, which is the one.
        let [before @ .., candidate] = candidates else {
            return Ok((0, 0, 0));
        };
        let from = Self::least(segments).unwrap_or(0);
        let least = segments.back().map_or(self.published, |_| from);
        let synced = self
            .synced
            .filter(|synced| synced.sequence == candidate.sequence);
        let length = candidate.length;
        let found = match synced {
            Some(synced) => Some(synced.first),
            None => bounds::first(view, self.codec, length, from, least, self.begun_at)?,
        };
        if let (Some((_, segment)), Some(before)) = (segments.back_mut(), before.last()) {
            // Where this one cannot be read, the reader does this once it can. Where the one before cannot, it does it again: until
            // then this is the most that can have been there, so that it does not seem published.
            if !candidate.unreadable {
                self.close(segment, before, found)?;
            }
        }
        let previous_end = Self::least(segments).unwrap_or_else(|| {
            // What lies between is gone with its segment.
            found
                .filter(|first| first.saturating_sub(self.published) < LEAP)
                .map_or(self.published, |first| first.max(self.published))
        });
        let none = || bounds::first_of_none(length, previous_end, next_says);
        Ok((found.unwrap_or_else(none), previous_end, 0))
    }

    /// Closes a segment behind which one without a header begins at `first`. What is missing up to there is left to the reader,
    /// which sets it aside and counts it.
    fn close(
        &self,
        segment: &mut Segment<FS::File>,
        candidate: &Candidate,
        first: Option<u64>,
    ) -> io::Result<()> {
        let file = candidate.open(self.fs)?;
        let view = candidate.view(&file, self.fs.page());
        let length = file.length()?;
        let known = (segment.end, segment.used);
        let end = bounds::close(&view, length, known, first, self.published)?;
        if end > segment.end {
            segment.end = end;
            segment.used = segment.used.max(length);
        }
        Ok(())
    }

    /// Cuts what is no record off the last segment; how many bytes of it were written. They are copied first: they were
    /// never acknowledged as far as anybody knows, and a copy costs little.
    fn cut(&self, candidate: &Candidate, file: &FS::File, used: u64) -> io::Result<u64> {
        let torn = scan::garbage(file, used, candidate.length)?;
        if used == candidate.length {
            return Ok(torn);
        }
        let bytes = used..used + torn;
        if copy_torn(self.fs, candidate.sequence, file, bytes) && !candidate.is_set_aside {
            file.truncate(used)?;
        }
        Ok(torn)
    }
}

/// Copies bytes that a torn write has left; false if there is no copy, so that they must stay.
fn copy_torn<FS: FileSystem>(
    fs: &FS,
    sequence: u64,
    from: &impl ReadAt,
    bytes: Range<u64>,
) -> bool {
    if bytes.is_empty() {
        return true;
    }
    match quarantine::torn(fs, sequence, from, bytes.clone()) {
        Ok(()) => {
            tracing::info!(
                segment = name(sequence),
                ?bytes,
                "the last write before this start was torn; it was never acknowledged, and a copy is kept"
            );
            true
        }
        Err(error) => {
            tracing::warn!(segment = name(sequence), ?bytes, %error, "cannot copy a torn write: it stays where it is");
            false
        }
    }
}

/// Writes the same bytes again, so that the sync after it is about them; torn or not, they stay what they were. What
/// cannot be read is left alone.
fn write_again<F: File>(file: &F, page: u64, bytes: Range<u64>, holes: &Holes) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK.min(usize::try_from(bytes.end).unwrap_or(CHUNK))];
    let mut offset = bytes.start;
    while offset < bytes.end {
        let mut end = bytes.end.min(offset + chunk.len() as u64);
        if let Some(hole) = holes.within(&(offset..end)) {
            if hole.start <= offset {
                offset = hole.end;
                continue;
            }
            end = hole.start;
        }
        let length = usize::try_from(end - offset).unwrap_or(CHUNK);
        let read = match read_full(file, &mut chunk[..length], offset) {
            Ok(0) => break,
            Ok(read) => read,
            // It could be read a moment ago.
            Err(_) => {
                offset = (offset / page + 1) * page;
                continue;
            }
        };
        file.write_all_at(&chunk[..read], offset)?;
        offset += read as u64;
    }
    file.sync()
}
