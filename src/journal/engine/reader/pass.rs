//! Passes over bytes that hold no record: damaged bytes at once, after copying them; unreadable bytes only after the
//! patience, and after setting their segment aside whole.

use std::io;
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;

use super::DiskReader;
use super::unreadable::FAILURES;
use crate::journal::disk::filesystem::{File as _, FileSystem};
use crate::journal::disk::zero_fill::{Beyond, Holes, ZeroFilled};
use crate::journal::engine::quarantine::{self, CORRUPT_RUNBOOK};
use crate::journal::engine::set_aside::{self, UNREADABLE_RUNBOOK};
use crate::journal::error::ReadError;
use crate::journal::format::scan;
use crate::journal::format::segment::{Evidence, Unresolved, name};
use crate::journal::format::set_aside::KnownExtent;
use crate::journal::recovery::POSITION_STRIDE;
use crate::journal::recovery::bounds;
use crate::journal::recovery::extent::{self, Extent};
use crate::journal::recovery::set_aside_bytes;

/// How many records are gone with their segments, as far as this one had to be read to know: before it, and behind it. The
/// segment before ends at `before`; 0 if there is none.
fn gone_beside(unresolved: &Unresolved, extent: &Extent, before: u64) -> u64 {
    let published = unresolved.published;
    let in_front = unresolved.unread_header.map_or(0, |otherwise| {
        let first = extent.first.saturating_sub(published);
        let evidence = match extent.previous_end {
            Some(previous_end) => Evidence::Header(previous_end),
            // Without a stride in between, the positions before it were given out.
            None if before == 0 && extent.first < extent.end && first < POSITION_STRIDE => {
                Evidence::Header(extent.first)
            }
            None => otherwise,
        };
        bounds::gone(&evidence, before, published)
    });
    in_front + bounds::gone(&unresolved.behind, extent.end, published)
}

/// Where a segment ended, as found out when the next segment became readable.
struct PreviousSegment<F> {
    sequence: u64,
    first: u64,
    end: u64,
    /// The bytes after its last intact record.
    bytes: Range<u64>,
    /// Its own end could not be read.
    unread: bool,
    /// It held more records than was known.
    is_longer: bool,
    file: F,
}

impl<FS: FileSystem> DiskReader<FS> {
    /// Moves to the next intact record of the segment. If the bytes before it are damaged, they are copied; if they cannot be
    /// read, this is an error until the patience is over.
    pub(crate) fn pass(&mut self, now: Instant) -> Result<(), ReadError> {
        let Some(cursor) = &self.cursor else {
            return Ok(());
        };
        let (codec, from) = (self.engine.codec, self.from);
        let (file, sequence) = (cursor.file.clone(), cursor.sequence);
        let bytes = cursor.offset..cursor.used;
        let positions = cursor.expected..cursor.end;
        let ((found, position), holes) = self.read_past(now, |view| {
            let found = scan::find(view, codec, bytes.clone(), &positions)?;
            let at = |offset| scan::at(view, codec, offset, bytes.end);
            let position = found.map(at).transpose()?.flatten();
            // If all records before it are published, nothing is missing: no need to wait.
            let is_needless = position.is_some_and(|position| position <= from);
            Ok(((found, position), is_needless))
        })?;
        let passed = bytes.start..found.unwrap_or(bytes.end);
        debug_assert!(found.is_none_or(|at| at >= bytes.start && at < bytes.end));
        debug_assert!(position.is_none_or(|position| positions.contains(&position)));
        let unread = holes.within(&passed).is_some();
        let is_wanted = positions.end > from && position.is_none_or(|position| position > from);
        if is_wanted && unread {
            let state = self.engine.lock();
            let (start, end, used) = match state.segment(sequence) {
                Some(segment) => (segment.first, segment.end, segment.used),
                None => (positions.start, positions.end, bytes.end),
            };
            drop(state);
            self.set_aside(sequence, &passed, start..end, used)?;
        } else if is_wanted {
            self.copy_damage(sequence, &*file, &passed);
        }
        self.unblock();
        let Some(cursor) = &mut self.cursor else {
            return Ok(());
        };
        cursor.given_up = holes;
        cursor.offset = passed.end;
        cursor.passed_unread = unread;
        self.chunk = Bytes::new();
        if found.is_none() {
            cursor.expected = cursor.end;
            self.lose(positions, unread);
        } else if let Some(position) = position.filter(|position| *position <= from) {
            // Published records are not lost.
            cursor.expected = position;
        }
        Ok(())
    }

    /// Finds out what a segment holds that recovery could not read.
    pub(crate) fn resolve(&mut self, now: Instant) -> Result<(), ReadError> {
        let Some(cursor) = &self.cursor else {
            return Ok(());
        };
        let Some(unresolved) = cursor.unresolved.clone() else {
            return Ok(());
        };
        let (codec, page) = (self.engine.codec, self.engine.page);
        let sequence = cursor.sequence;
        let state = self.engine.lock();
        // The segments before it have been read by now.
        let before = state.before(sequence).map_or(0, |before| before.end);
        let next = state.after(sequence);
        let next = next.filter(|next| unresolved.is_next_headless && next.unresolved.is_none());
        let bounds = (cursor.expected.max(before), next.map(|next| next.first));
        drop(state);
        let (extent, holes) = self.read_past(now, |view| {
            let extent = extent::read(view, codec, page, sequence, bounds, &unresolved)?;
            Ok((extent, extent.is_certain))
        })?;
        if !extent.is_certain && (extent.first < extent.end || unresolved.is_next_unknown) {
            let hole = holes.within(&(0..extent.used.max(1)));
            let passed = hole.unwrap_or(0..extent.used);
            self.set_aside(sequence, &passed, extent.first..extent.end, extent.used)?;
        }
        let previous = self.close_before(sequence, &extent);
        let previous = previous.map_err(|source| self.failed(source))?;
        let was_aside = |previous: &&PreviousSegment<_>| previous.unread && previous.is_longer;
        if let Some(previous) = previous.as_ref().filter(was_aside) {
            // Its second name says what is known now.
            let used = previous.bytes.end;
            let positions = previous.first..previous.end;
            self.set_aside(previous.sequence, &previous.bytes, positions, used)?;
        }
        let before = before.max(previous.as_ref().map_or(0, |previous| previous.end));
        let gone = gone_beside(&unresolved, &extent, before);
        self.resolved(&extent, holes, previous, gone);
        Ok(())
    }

    /// Finds where the segment before this one ended: from this one's header or, if that is damaged, from both segments'
    /// records. `None` if there is no such segment or its file is gone.
    fn close_before(
        &self,
        sequence: u64,
        extent: &Extent,
    ) -> io::Result<Option<PreviousSegment<FS::File>>> {
        let state = self.engine.lock();
        let Some(before) = state.before(sequence) else {
            return Ok(None);
        };
        let (first, known) = (before.first, (before.end, before.used));
        let (sequence, unread) = (before.sequence, before.is_estimated);
        drop(state);
        let file = match self.engine.fs.open(&name(sequence)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.length()?;
        let (page, beyond) = (self.engine.page, Beyond::IsHole(length));
        let view = ZeroFilled::new(&file, page, Holes::default(), FAILURES, beyond);
        let end = match extent.previous_end {
            // If several segments in a row could not be read, the last of them accounts for all their positions. An open's
            // stride behind them shows that another segment is gone.
            Some(end) if unread && end.saturating_sub(known.0) < POSITION_STRIDE => end,
            Some(end) => bounds::end_in_next_header(first, length, Some(end)).unwrap_or(known.0),
            None => bounds::close(&view, length, known, Some(extent.first), known.0)?,
        };
        Ok(Some(PreviousSegment {
            sequence,
            first,
            end,
            bytes: known.1..length,
            unread,
            is_longer: end > known.0,
            file,
        }))
    }

    fn resolved(
        &mut self,
        extent: &Extent,
        holes: Holes,
        before: Option<PreviousSegment<FS::File>>,
        gone: u64,
    ) {
        self.unblock();
        let Some(cursor) = &mut self.cursor else {
            return;
        };
        cursor.unresolved = None;
        // A hole that does not matter now may be readable once the reader comes to it.
        cursor.given_up = if extent.is_certain {
            Holes::default()
        } else {
            holes
        };
        cursor.expected = extent.first;
        cursor.end = extent.end;
        cursor.used = extent.used;
        let sequence = cursor.sequence;
        let mut state = self.engine.lock();
        let hidden = before.as_ref().map_or(0..0, |previous| {
            state.extend(previous.sequence, previous.end)
        });
        let more = state.resolve(sequence, extent);
        let count = hidden.end - hidden.start;
        self.engine
            .metrics
            .recovered_more(more.saturating_add_unsigned(count + gone));
        self.engine.publish_room(&state);
        drop(state);
        if gone > 0 {
            self.engine.metrics.corrupt_records(gone);
            tracing::error!(
                count = gone,
                hint = CORRUPT_RUNBOOK,
                "a segment with unpublished records is missing"
            );
        }
        // The segment before held more records than could be read.
        if let Some(previous) = before.filter(|_| !hidden.is_empty()) {
            if !previous.unread {
                self.copy_damage(previous.sequence, &previous.file, &previous.bytes);
            }
            self.count_lost(hidden, previous.unread);
        }
    }

    /// Keeps the segment whole beside the journal, because these bytes of it are passed over. It holds these positions, and its
    /// records end at the byte `used`.
    fn set_aside(
        &mut self,
        sequence: u64,
        bytes: &Range<u64>,
        positions: Range<u64>,
        used: u64,
    ) -> Result<(), ReadError> {
        let known = KnownExtent {
            journal_id: self.engine.journal_id,
            first: positions.start,
            end: positions.end,
            used,
        };
        let fs = &self.engine.fs;
        let kept_as = set_aside::set_aside(fs, sequence, known);
        let kept_as = kept_as.map_err(|source| self.failed(source))?;
        let total = set_aside_bytes(fs).map_err(|source| self.failed(source))?;
        let mut state = self.engine.lock();
        state.set_aside_bytes = total;
        self.engine.publish_room(&state);
        drop(state);
        tracing::error!(
            segment = name(sequence),
            kept_as,
            ?bytes,
            "passing over bytes that cannot be read; the segment is kept whole for `ringback journal drain`"
        );
        Ok(())
    }

    fn copy_damage(&self, sequence: u64, file: &FS::File, bytes: &Range<u64>) {
        // If the copy fails, for example on a full disk, the intact records must be published all the same.
        let fs = &self.engine.fs;
        let copy = quarantine::copy_damage(fs, sequence, file, bytes.clone());
        let copy = copy.inspect_err(|error| {
            tracing::error!(segment = name(sequence), ?bytes, %error, "cannot copy a damaged stretch");
        });
        let copy = copy.ok().map(|copy| fs.path(&copy).display().to_string());
        let hint = copy.as_ref().map(|copy| {
            format!("what is left of an event: strings -n 8 {copy}; what to do: {CORRUPT_RUNBOOK}")
        });
        tracing::error!(
            segment = name(sequence),
            ?bytes,
            file = copy,
            hint,
            "the journal is damaged at these bytes"
        );
    }

    /// Counts these positions as lost, except those that were returned before they became unreadable.
    pub(crate) fn lose(&mut self, positions: Range<u64>, unread: bool) {
        self.count_lost(positions.start.max(self.from)..positions.end, unread);
    }

    fn count_lost(&mut self, positions: Range<u64>, unread: bool) {
        let mut state = self.engine.lock();
        let count = state.lose(positions.clone());
        if count == 0 {
            return;
        }
        let (from, to) = (positions.start, positions.end - 1);
        if unread {
            self.engine.metrics.unreadable_records(count);
            let hint = UNREADABLE_RUNBOOK;
            tracing::error!(
                from,
                to,
                count,
                hint,
                "passed over records that cannot be read"
            );
        } else {
            self.engine.metrics.corrupt_records(count);
            let hint = CORRUPT_RUNBOOK;
            tracing::error!(from, to, count, hint, "records lost to damage");
        }
        self.engine.publish_room(&state);
    }
}
