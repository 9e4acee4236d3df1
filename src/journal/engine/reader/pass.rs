//! Passing over what is no record: damage at once, after a copy; what cannot be read only after patience, after its segment
//! was set aside whole.

use std::io;
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;

use super::Reader;
use super::unreadable::FAILURES;
use crate::journal::disk::filesystem::{File as _, FileSystem};
use crate::journal::disk::zero_fill::{Beyond, Holes, ZeroFilled};
use crate::journal::engine::quarantine;
use crate::journal::error::ReadError;
use crate::journal::format::scan;
use crate::journal::format::segment::{name, set_aside_name};
use crate::journal::recovery::bounds;
use crate::journal::recovery::extent::{self, Extent};
use crate::journal::recovery::set_aside_bytes;

/// Where a segment ended, by what came to be known of the one behind it.
struct Closed<F> {
    sequence: u64,
    end: u64,
    /// Behind its last intact record.
    bytes: Range<u64>,
    /// Its end could not be read, either.
    unread: bool,
    file: F,
}

impl<FS: FileSystem> Reader<FS> {
    /// Finds the next intact record of the segment and stands on it. What lies before it is damaged, and a copy is kept; or it
    /// cannot be read, and is waited for.
    pub(crate) fn pass(&mut self, now: Instant) -> Result<(), ReadError> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        let (codec, page, from) = (self.shared.codec, self.shared.page, self.from);
        let (file, sequence) = (place.file.clone(), place.sequence);
        let bytes = place.offset..place.used;
        let positions = place.expected..place.end;
        let find = |view: &ZeroFilled<'_, FS::File>| {
            let found = scan::find(view, codec, bytes.clone(), &positions)?;
            let at = |offset| scan::at(view, codec, offset, bytes.end);
            let position = found.map(at).transpose()?.flatten();
            io::Result::Ok((found, position))
        };
        let known = ZeroFilled::new(&*file, page, place.given_up.clone(), 0, Beyond::IsError);
        let (mut found, mut holes) = (find(&known), known.holes());
        if found.is_err() {
            let ((offset, position), passed) = self.wait_for(now, |view| {
                let (offset, position) = find(view)?;
                // Nothing is missing before the first record that is wanted: no need to wait.
                let is_needless = position.is_some_and(|position| position <= from);
                Ok(((offset, position), is_needless))
            })?;
            (found, holes) = (Ok((offset, position)), passed);
        }
        let (found, position) = found.map_err(|source| self.failed(source))?;
        let passed = bytes.start..found.unwrap_or(bytes.end);
        let unread = holes.within(&passed).is_some();
        let is_wanted = positions.end > from && position.is_none_or(|position| position > from);
        if is_wanted && unread {
            self.set_aside(sequence, &passed)?;
        } else if is_wanted {
            self.copy_damage(sequence, &*file, &passed);
        }
        self.stop_waiting();
        let Some(place) = &mut self.place else {
            return Ok(());
        };
        place.given_up = holes;
        place.offset = passed.end;
        place.passed_unread = unread;
        self.chunk = Bytes::new();
        if found.is_none() {
            place.expected = place.end;
            self.lose(positions, unread);
        } else if let Some(position) = position.filter(|position| *position <= from) {
            // What is published is not lost.
            place.expected = position;
        }
        Ok(())
    }

    /// Finds out what a segment holds of which the start could not read enough.
    pub(crate) fn resolve(&mut self, now: Instant) -> Result<(), ReadError> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        let Some(unresolved) = place.unresolved.clone() else {
            return Ok(());
        };
        let (codec, page) = (self.shared.codec, self.shared.page);
        let (file, sequence) = (place.file.clone(), place.sequence);
        let state = self.shared.lock();
        // What is before it was read by now.
        let before = state.before(sequence).map_or(0, |before| before.end);
        let next = state.after(sequence);
        let next = next.filter(|next| unresolved.is_next_headless && next.unresolved.is_none());
        let bounds = (place.expected.max(before), next.map(|next| next.first));
        drop(state);
        let read = |view: &ZeroFilled<'_, FS::File>| {
            extent::read(view, codec, page, sequence, bounds, &unresolved)
        };
        let known = ZeroFilled::new(&*file, page, place.given_up.clone(), 0, Beyond::IsError);
        let (mut extent, mut holes) = (read(&known), known.holes());
        if extent.is_err() {
            let (found, passed) = self.wait_for(now, |view| {
                let extent = read(view)?;
                Ok((extent, extent.is_certain))
            })?;
            (extent, holes) = (Ok(found), passed);
        }
        let extent = extent.map_err(|source| self.failed(source))?;
        if !extent.is_certain && extent.first < extent.end {
            let hole = holes.within(&(0..extent.used.max(1)));
            self.set_aside(sequence, &hole.unwrap_or(0..extent.used))?;
        }
        let closed = self.close_before(sequence, &extent);
        let closed = closed.map_err(|source| self.failed(source))?;
        self.resolved(&extent, holes, closed);
        Ok(())
    }

    /// Finds where the segment before this one ended: from this one's header or, if that is damaged, from what is left of both.
    /// `None` if there is no such segment or its file is gone.
    fn close_before(&self, sequence: u64, extent: &Extent) -> io::Result<Option<Closed<FS::File>>> {
        let state = self.shared.lock();
        let Some(before) = state.before(sequence) else {
            return Ok(None);
        };
        let (first, known) = (before.first, (before.end, before.used));
        let (sequence, unread) = (before.sequence, before.is_estimated);
        drop(state);
        let file = match self.shared.fs.open(&name(sequence)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.length()?;
        let (page, beyond) = (self.shared.page, Beyond::IsHole(length));
        let view = ZeroFilled::new(&file, page, Holes::default(), FAILURES, beyond);
        let end = match extent.previous_end {
            // However many segments in a row could not be read: the last of them takes what they have had.
            Some(end) if unread => end,
            Some(end) => bounds::told_end(first, length, Some(end)).unwrap_or(known.0),
            None => bounds::close(&view, length, known, Some(extent.first), known.0)?,
        };
        Ok(Some(Closed {
            sequence,
            end,
            bytes: known.1..length,
            unread,
            file,
        }))
    }

    fn resolved(&mut self, extent: &Extent, holes: Holes, before: Option<Closed<FS::File>>) {
        self.stop_waiting();
        let Some(place) = &mut self.place else {
            return;
        };
        place.unresolved = None;
        // A hole that did not matter here may be readable by the time when it does.
        place.given_up = if extent.is_certain {
            Holes::default()
        } else {
            holes
        };
        place.expected = extent.first;
        place.end = extent.end;
        place.used = extent.used;
        let sequence = place.sequence;
        let mut state = self.shared.lock();
        let hidden = before
            .as_ref()
            .map_or(0..0, |closed| state.extend(closed.sequence, closed.end));
        let more = state.resolve(sequence, extent);
        let count = hidden.end - hidden.start;
        self.shared
            .metrics
            .recovered_more(more.saturating_add_unsigned(count));
        self.shared.publish_room(&state);
        drop(state);
        // The segment before had more records than could be read.
        if let Some(closed) = before.filter(|_| !hidden.is_empty()) {
            if !closed.unread {
                self.copy_damage(closed.sequence, &closed.file, &closed.bytes);
            }
            self.count_lost(hidden, closed.unread);
        }
    }

    /// Gives the segment a second name, durably, so that it stays whole when the journal is done with it.
    fn set_aside(&mut self, sequence: u64, bytes: &Range<u64>) -> Result<(), ReadError> {
        let fs = &self.shared.fs;
        let link = || {
            match fs.link(&name(sequence), &set_aside_name(sequence)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            fs.sync_directory()?;
            set_aside_bytes(fs)
        };
        let total = link().map_err(|source| self.failed(source))?;
        let mut state = self.shared.lock();
        state.set_aside_bytes = total;
        self.shared.publish_room(&state);
        drop(state);
        tracing::error!(
            segment = name(sequence),
            kept_as = set_aside_name(sequence),
            ?bytes,
            "these bytes cannot be read: passing over them; the segment is kept whole for `ringback journal drain`"
        );
        Ok(())
    }

    fn copy_damage(&self, sequence: u64, file: &FS::File, bytes: &Range<u64>) {
        // Twice the same copy says nothing new, and a disk without room for it must not stop what is intact.
        if let Err(error) = quarantine::quarantine(&self.shared.fs, sequence, file, bytes.clone()) {
            tracing::error!(segment = name(sequence), ?bytes, %error, "cannot copy a damaged stretch");
        }
        tracing::error!(
            segment = name(sequence),
            ?bytes,
            "the journal is damaged at these bytes"
        );
    }

    /// These positions have no record that could be read.
    pub(crate) fn lose(&mut self, positions: Range<u64>, unread: bool) {
        // What was returned before is not lost, though it may have rotted since.
        self.count_lost(positions.start.max(self.from)..positions.end, unread);
    }

    fn count_lost(&mut self, positions: Range<u64>, unread: bool) {
        let mut state = self.shared.lock();
        let count = state.lose(positions.clone());
        if count == 0 {
            return;
        }
        let (from, to) = (positions.start, positions.end - 1);
        if unread {
            self.shared.metrics.unreadable_records(count);
            tracing::error!(
                from,
                to,
                count,
                "records are passed over because they cannot be read"
            );
        } else {
            self.shared.metrics.corrupt_records(count);
            tracing::error!(from, to, count, "records lost to damage");
        }
        self.shared.publish_room(&state);
    }
}
