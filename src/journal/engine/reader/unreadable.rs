//! Retries for a place that cannot be read.
//!
//! A disk may fail for a moment, and a network volume may disappear for a while; both give everything back later. So the
//! reader passes over a place only if every attempt during the whole patience failed there *while something else could be
//! read*. If nothing else can be read, the volume is gone, and the patience begins again when it is back. The same pages must
//! be unreadable at the beginning and at the end of the patience.

use std::io;
use std::time::{Duration, Instant};

use super::DiskReader;
use crate::journal::disk::filesystem::{File, FileSystem};
use crate::journal::disk::zero_fill::{Beyond, Holes, ZeroFilled};
use crate::journal::error::ReadError;
use crate::journal::format::segment::name;
use crate::journal::metrics::Metrics;

/// The pause after the first attempt; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Pages that may fail in one attempt. Each may take as long as the device's own time-out, and the thread has other work.
pub(crate) const FAILURES: u32 = 2;

/// A place that cannot be read.
#[derive(Debug)]
pub(crate) struct BlockedRead {
    sequence: u64,
    /// The reader's offset, in bytes.
    offset: u64,
    /// When reading failed there first.
    since: Instant,
    pub(crate) retry_at: Instant,
    pause: Duration,
    /// The last error, as far as it can be repeated.
    kind: io::ErrorKind,
    errno: Option<i32>,
    /// Pages found unreadable by an attempt that has not come to the end yet.
    found: Holes,
    /// When the patience began and what was unreadable then; `None` while nothing else can be read.
    patience: Option<(Instant, Holes)>,
    /// A page of the segment that could be read.
    readable: Option<u64>,
}

impl BlockedRead {
    fn new(sequence: u64, offset: u64, now: Instant) -> Self {
        Self {
            sequence,
            offset,
            since: now,
            retry_at: now,
            pause: FIRST_PAUSE,
            kind: io::ErrorKind::Other,
            errno: None,
            found: Holes::default(),
            patience: None,
            readable: None,
        }
    }

    /// The error to return until the next attempt.
    pub(crate) fn error(&self) -> ReadError {
        ReadError::Unreadable {
            file: name(self.sequence),
            offset: self.offset,
            source: self
                .errno
                .map_or_else(|| self.kind.into(), io::Error::from_raw_os_error),
            since: self.since,
            retry_at: self.retry_at,
        }
    }

    fn failed(&mut self, metrics: &Metrics, error: &io::Error, now: Instant) -> ReadError {
        metrics.read_blocked(now.duration_since(self.since));
        (self.kind, self.errno) = (error.kind(), error.raw_os_error());
        self.retry_at = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.error()
    }
}

impl<FS: FileSystem> DiskReader<FS> {
    /// Runs `look`, in which the pages that were given up, and further unreadable ones, read as zeros. `look` also returns
    /// whether its finding holds whatever the unreadable pages contain. Returns the finding and the holes. If another page is
    /// unreadable, fails until it does not matter or its patience is over.
    pub(crate) fn read_past<T>(
        &mut self,
        now: Instant,
        look: impl Fn(&ZeroFilled<&FS::File>) -> io::Result<(T, bool)>,
    ) -> Result<(T, Holes), ReadError> {
        let Some(cursor) = &self.cursor else {
            return Err(self.failed(io::ErrorKind::NotFound.into()));
        };
        let (file, page) = (cursor.file.clone(), self.engine.page);
        let (sequence, offset) = (cursor.sequence, cursor.offset);
        let view = ZeroFilled::new(&*file, page, cursor.given_up.clone(), 0, Beyond::IsError);
        if let Ok((found, _)) = look(&view) {
            return Ok((found, view.holes()));
        }
        let same = |blocked: &BlockedRead| (blocked.sequence, blocked.offset) == (sequence, offset);
        let blocked = self.blocked.take().filter(same);
        let mut blocked = blocked.unwrap_or_else(|| BlockedRead::new(sequence, offset, now));
        let known = std::mem::take(&mut blocked.found);
        let view = ZeroFilled::new(&*file, page, known, FAILURES, Beyond::IsError);
        let looked = look(&view);
        let holes = view.holes();
        match looked {
            Ok((found, true)) => return Ok((found, holes)),
            Ok((found, false)) if holes.is_empty() => return Ok((found, holes)),
            // Too many pages failed for one attempt: the next one continues after them, and soon if the device works.
            Err(_) => {
                if self.can_read_elsewhere(&file, offset, &holes, &mut blocked.readable) {
                    blocked.pause = FIRST_PAUSE;
                } else {
                    blocked.patience = None;
                }
                blocked.found = holes;
            }
            Ok(_) if !self.can_read_elsewhere(&file, offset, &holes, &mut blocked.readable) => {
                blocked.patience = None;
            }
            Ok((found, _)) => match &blocked.patience {
                Some((since, before)) if before.covers(&holes) => {
                    if now.duration_since(*since) >= self.engine.read_patience {
                        return Ok((found, holes));
                    }
                }
                _ => blocked.patience = Some((now, holes)),
            },
        }
        let error = view
            .take_last_error()
            .unwrap_or(io::ErrorKind::Other.into());
        let error = blocked.failed(&self.engine.metrics, &error, now);
        self.blocked = Some(blocked);
        Err(error)
    }

    /// True if the device can read something else that was written: another page of the segment, or the first page of another
    /// segment. Reserved space, which reads as zeros, proves nothing, because the file system answers for it; nor does the page
    /// cache, so each page is evicted first.
    fn can_read_elsewhere(
        &self,
        file: &FS::File,
        offset: u64,
        holes: &Holes,
        readable: &mut Option<u64>,
    ) -> bool {
        let page = self.engine.page;
        let try_page = |file: &FS::File, at: u64| {
            file.evict(at..at + page);
            let mut bytes = vec![0; usize::try_from(page).unwrap_or(1)];
            let read = file.read_at(&mut bytes, at);
            read.is_ok_and(|read| bytes[..read].iter().any(|byte| *byte != 0))
        };
        let cursor = self.cursor.as_ref();
        let present = cursor.map(|cursor| cursor.sequence);
        let used = cursor.map_or(0, |cursor| cursor.used);
        let here = offset / page * page;
        // The unreadable place may begin the segment and be longer than a page; how long is not known yet.
        let behind = holes.within(&(here..u64::MAX));
        let behind = behind.map_or(here + page, |hole| hole.end);
        let unresolved = cursor.and_then(|cursor| cursor.unresolved.as_ref());
        let synced = unresolved.and_then(|unresolved| unresolved.synced);
        let written = synced.map_or(used, |synced| synced.used);
        let last = written.saturating_sub(1) / page * page;
        let pages = [here.saturating_sub(page), 0, here + page, behind, last];
        let mut others = readable
            .take()
            .into_iter()
            .chain(pages)
            .filter(|at| holes.at(*at).is_none() && *at < used);
        *readable = others.find(|at| try_page(file, *at));
        if readable.is_some() {
            return true;
        }
        let state = self.engine.lock();
        // The newest and the oldest segment are as good a proof as all of them.
        let ends = [state.segments.back(), state.segments.front()];
        let ends = ends.map(|other| other.map(|other| other.sequence));
        drop(state);
        let mut others = ends
            .into_iter()
            .flatten()
            .filter(|other| Some(*other) != present);
        others.any(|other| {
            let file = self.engine.fs.open(&name(other));
            file.is_ok_and(|file| try_page(&file, 0))
        })
    }

    /// Records that the segment cannot even be opened, which proves nothing about a place in it.
    pub(crate) fn cannot_open(
        &mut self,
        sequence: u64,
        error: &io::Error,
        now: Instant,
    ) -> ReadError {
        let same = |blocked: &BlockedRead| blocked.sequence == sequence;
        let blocked = self.blocked.take().filter(same);
        let mut blocked = blocked.unwrap_or_else(|| BlockedRead::new(sequence, 0, now));
        blocked.patience = None;
        let error = blocked.failed(&self.engine.metrics, error, now);
        self.blocked = Some(blocked);
        error
    }

    /// An operation other than reading has failed. The next call tries again.
    pub(crate) fn failed(&self, source: io::Error) -> ReadError {
        let cursor = self.cursor.as_ref();
        ReadError::Io {
            file: name(cursor.map_or(0, |cursor| cursor.sequence)),
            offset: cursor.map_or(0, |cursor| cursor.offset),
            source,
        }
    }

    /// The unreadable place is passed over, or is not needed.
    pub(crate) fn unblock(&mut self) {
        self.blocked = None;
        self.engine.metrics.read_blocked(Duration::ZERO);
    }

    /// A read has succeeded.
    pub(crate) fn read_succeeded(&mut self, now: Instant) {
        if let Some(blocked) = self.blocked.take() {
            self.engine.metrics.read_blocked(Duration::ZERO);
            let waited = now.duration_since(blocked.since);
            tracing::info!(
                segment = name(blocked.sequence),
                ?waited,
                "the journal is readable again"
            );
        }
    }
}
