//! Waiting for a place that cannot be read.
//!
//! A disk that hiccups, or a network volume that is away, gives everything back in time. So a place is passed over only if
//! it stayed unreadable for the whole patience, at each try, *while something else could be read*: if nothing can be, the
//! volume is away, and the patience begins again. The same pages must be unreadable at its beginning and at its end.

use std::io;
use std::time::{Duration, Instant};

use super::Reader;
use crate::journal::disk::filesystem::{File, FileSystem};
use crate::journal::disk::zero_fill::{Beyond, Holes, ZeroFilled};
use crate::journal::error::ReadError;
use crate::journal::format::segment::name;
use crate::journal::metrics::Metrics;

/// Between the first two tries; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Between two tries at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Pages that may fail in one try: each may take as long as the device's own time-out, and the thread has other things to do.
pub(crate) const FAILURES: u32 = 2;

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Waiting {
    sequence: u64,
    /// Where the reader stands, in bytes.
    offset: u64,
    /// When reading failed there first.
    begun: Instant,
    pub(crate) retry_at: Instant,
    pause: Duration,
    /// The operating system's last word.
    kind: io::ErrorKind,
    errno: Option<i32>,
    /// Pages found unreadable by a look that is not through yet.
    looking: Holes,
    /// What was unreadable when the patience began; `None` while nothing else can be read.
    patience: Option<(Instant, Holes)>,
}

impl Waiting {
    fn new(sequence: u64, offset: u64, now: Instant) -> Self {
        Self {
            sequence,
            offset,
            begun: now,
            retry_at: now,
            pause: FIRST_PAUSE,
            kind: io::ErrorKind::Other,
            errno: None,
            looking: Holes::default(),
            patience: None,
        }
    }

    /// What a caller is told until the next try.
    pub(crate) fn error(&self) -> ReadError {
        ReadError::Unreadable {
            file: name(self.sequence),
            offset: self.offset,
            source: self
                .errno
                .map_or_else(|| self.kind.into(), io::Error::from_raw_os_error),
            since: self.begun,
            retry_at: self.retry_at,
        }
    }

    fn failed(&mut self, metrics: &Metrics, error: &io::Error, now: Instant) -> ReadError {
        metrics.read_blocked(now.duration_since(self.begun));
        (self.kind, self.errno) = (error.kind(), error.raw_os_error());
        self.retry_at = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.error()
    }
}

impl<FS: FileSystem> Reader<FS> {
    /// Tries to read once more, by `look`, which reads zeros where nothing can be read and also says whether the holes do
    /// not matter. Returns what it found, and the holes, once they are to be passed over.
    pub(crate) fn wait_for<T>(
        &mut self,
        now: Instant,
        look: impl Fn(&ZeroFilled<'_, FS::File>) -> io::Result<(T, bool)>,
    ) -> Result<(T, Holes), ReadError> {
        let Some(place) = &self.place else {
            return Err(self.failed(io::ErrorKind::NotFound.into()));
        };
        let (file, sequence, offset) = (place.file.clone(), place.sequence, place.offset);
        let same = |waiting: &Waiting| (waiting.sequence, waiting.offset) == (sequence, offset);
        let mut waiting = match self.waiting.take().filter(same) {
            Some(waiting) => waiting,
            None => Waiting::new(sequence, offset, now),
        };
        let known = std::mem::take(&mut waiting.looking);
        let view = ZeroFilled::new(&*file, self.shared.page, known, FAILURES, Beyond::IsError);
        let looked = look(&view);
        let holes = view.holes();
        let error = view.last_error().unwrap_or(io::ErrorKind::Other.into());
        let outcome = match looked {
            Ok((found, true)) => return Ok((found, holes)),
            Ok((found, false)) if holes.is_empty() => return Ok((found, holes)),
            _ if !self.can_read_elsewhere(&file, offset, &holes) => {
                waiting.patience = None;
                Err(waiting.failed(&self.shared.metrics, &error, now))
            }
            // Too many pages for one look: the next one goes on behind them, soon.
            Err(_) => {
                waiting.looking = holes;
                waiting.pause = FIRST_PAUSE;
                Err(waiting.failed(&self.shared.metrics, &error, now))
            }
            Ok((found, false)) => match &waiting.patience {
                Some((since, before)) if before.covers(&holes) => {
                    if now.duration_since(*since) >= self.shared.read_patience {
                        return Ok((found, holes));
                    }
                    Err(waiting.failed(&self.shared.metrics, &error, now))
                }
                _ => {
                    waiting.patience = Some((now, holes));
                    Err(waiting.failed(&self.shared.metrics, &error, now))
                }
            },
        };
        self.waiting = Some(waiting);
        outcome
    }

    /// True if the device gives something else that was written: another page of the segment, or the first of another one.
    /// Reserved space proves nothing, because the file system answers for it, and the page cache proves nothing either.
    fn can_read_elsewhere(&self, file: &FS::File, offset: u64, holes: &Holes) -> bool {
        let page = self.shared.page;
        let try_page = |file: &FS::File, at: u64| {
            file.evict(at..at + page);
            let mut bytes = vec![0; usize::try_from(page).unwrap_or(1)];
            file.read_at(&mut bytes, at).is_ok()
        };
        let place = self.place.as_ref();
        let present = place.map(|place| place.sequence);
        let used = place.map_or(0, |place| place.used);
        let here = offset / page * page;
        let pages = [here.saturating_sub(page), 0, here + page];
        let mut others = pages
            .into_iter()
            .filter(|at| holes.at(*at).is_none() && *at < used);
        if others.any(|at| try_page(file, at)) {
            return true;
        }
        let state = self.shared.lock();
        // The newest and the oldest say as much as all of them.
        let ends = [state.segments.back(), state.segments.front()];
        let ends = ends.map(|other| other.map(|other| other.sequence));
        drop(state);
        let mut others = ends
            .into_iter()
            .flatten()
            .filter(|other| Some(*other) != present);
        others.any(|other| {
            let file = self.shared.fs.open(&name(other));
            file.is_ok_and(|file| try_page(&file, 0))
        })
    }

    /// The segment cannot even be opened, which says nothing about a place in it.
    pub(crate) fn cannot_open(
        &mut self,
        sequence: u64,
        error: &io::Error,
        now: Instant,
    ) -> ReadError {
        let same = |waiting: &Waiting| waiting.sequence == sequence;
        let waiting = self.waiting.take().filter(same);
        let mut waiting = waiting.unwrap_or_else(|| Waiting::new(sequence, 0, now));
        waiting.patience = None;
        let error = waiting.failed(&self.shared.metrics, error, now);
        self.waiting = Some(waiting);
        error
    }

    /// Something else than reading has failed; the next call tries again.
    pub(crate) fn failed(&self, source: io::Error) -> ReadError {
        let place = self.place.as_ref();
        ReadError::Io {
            file: name(place.map_or(0, |place| place.sequence)),
            offset: place.map_or(0, |place| place.offset),
            source,
        }
    }

    /// What was waited for is passed over, or is not needed.
    pub(crate) fn stop_waiting(&mut self) {
        self.waiting = None;
        self.shared.metrics.read_blocked(Duration::ZERO);
    }

    /// A read has succeeded.
    pub(crate) fn is_readable(&mut self, now: Instant) {
        if let Some(waiting) = self.waiting.take() {
            self.shared.metrics.read_blocked(Duration::ZERO);
            let waited = now.duration_since(waiting.begun);
            tracing::info!(
                segment = name(waiting.sequence),
                ?waited,
                "the journal can be read again"
            );
        }
    }
}
