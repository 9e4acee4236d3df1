//! Duplicates: an event whose id was committed within its source's window is answered as accepted, and not appended again.
//!
//! ```text
//! request ─► Identity::claim ─┬─ a mark is in the window ──────► 204, counted as a duplicate
//!                             ├─ nobody has the id ────────────► Claim ─► append ─► commit ─► mark ─► 204
//!                             └─ another request has its claim ► waits: for its mark, or for the claim itself
//! ```
//!
//! A mark is set by the commit alone, so an answer that relies on one is as true as the first. A claim goes with its commit:
//! it ends when the commit's outcome is known, also if its request was answered 503 or its client left before.
//!
//! Memory: a [`table`] of fixed size for each source with a window; a claim for each commit in progress; a waiting request
//! holds what every request holds. Only authenticated requests come here.

mod files;
mod saver;
mod table;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::files::Files;
use self::saver::{Queue, Saver};
use self::table::{Fingerprint, Mark, Table};
use super::config::SourceConfig;
use super::metrics::DedupMetrics;
use crate::time;

/// The windows of all sources, which clones share.
#[derive(Debug, Clone)]
pub(super) struct Dedup {
    /// In the order of the configuration; `None` if the source has no window.
    windows: Vec<Option<Arc<Window>>>,
    clock: Clock,
    /// Absent while nothing is kept on disk.
    saver: OnceLock<Arc<Saver>>,
}

/// The ids of one source that were committed not long ago, or are about to be.
#[derive(Debug)]
struct Window {
    source: String,
    clock: Clock,
    state: Mutex<State>,
    queue: OnceLock<Arc<Queue>>,
    metrics: DedupMetrics,
}

#[derive(Debug)]
struct State {
    length: Duration,
    capacity: usize,
    table: Table,
    /// The ids that are claimed, and the requests that wait for each.
    claims: HashMap<Fingerprint, Vec<oneshot::Sender<Next>>>,
}

/// What a waiting request gets: the claim, or `None` if its event was committed.
type Next = Option<Claim>;

/// The wall clock at the start, and the time since then: within one process no step of the clock changes a window.
#[derive(Debug, Clone, Copy)]
struct Clock {
    began_ms: u64,
    began: Instant,
}

impl Clock {
    fn start() -> Self {
        Self {
            began_ms: time::now_ms(),
            began: Instant::now(),
        }
    }

    fn now_ms(self) -> u64 {
        self.began_ms
            .saturating_add(time::as_ms(self.began.elapsed()))
    }
}

impl Dedup {
    /// No windows.
    pub(super) fn new() -> Self {
        Self {
            windows: Vec::new(),
            clock: Clock::start(),
            saver: OnceLock::new(),
        }
    }

    /// The windows of these sources, each with its counters: a source keeps its window by its name, with the marks that still count and the claims.
    pub(super) fn reconfigured<'a>(
        &self,
        sources: impl Iterator<Item = (&'a SourceConfig, &'a DedupMetrics)>,
    ) -> Self {
        let windows = sources.map(|(source, metrics)| {
            let (length, capacity) = (source.dedup?, source.dedup_capacity);
            let mut present = self.windows.iter().flatten();
            if let Some(window) = present.find(|window| window.source == source.name) {
                window.lock().resize(length, capacity);
                return Some(Arc::clone(window));
            }
            let queue = self.saver.get().map(|saver| Arc::clone(&saver.queue));
            Some(Arc::new(Window {
                source: source.name.clone(),
                clock: self.clock,
                state: Mutex::new(State {
                    length,
                    capacity,
                    table: Table::new(length, capacity),
                    claims: HashMap::new(),
                }),
                queue: queue.map_or_else(OnceLock::new, OnceLock::from),
                metrics: metrics.clone(),
            }))
        });
        let windows: Vec<_> = windows.collect();
        for window in self.windows.iter().flatten() {
            let mut kept = windows.iter().flatten();
            if !kept.any(|kept| kept.source == window.source) {
                tracing::info!(
                    source = window.source,
                    "the source has no dedup any more: its window of duplicates is dropped"
                );
            }
        }
        Self {
            windows,
            clock: self.clock,
            saver: self.saver.clone(),
        }
    }

    /// Reads the windows from `folder`, which no other process may use, and keeps them there from now on. What cannot be read
    /// is logged and forgotten. Blocks while it reads.
    pub(super) fn keep_in(&self, folder: &Path) -> io::Result<()> {
        let windows = || self.windows.iter().flatten();
        let has_window = |source: &str| windows().any(|window| window.source == source);
        if let Err(error) = self::files::remove_others(folder, has_window) {
            tracing::warn!(%error, "old files of duplicates cannot be removed");
        }
        // A thread even without a window: a source may get one while ringback runs.
        let mut files = HashMap::new();
        for window in windows() {
            let source = &window.source;
            let found = Files::open(folder, source).and_then(|found| {
                window.read(&found)?;
                Ok(found)
            });
            match found {
                Ok(found) => drop(files.insert(source.clone(), found)),
                Err(error) => tracing::warn!(
                    source,
                    %error,
                    "the window of duplicates cannot be read: events that were accepted before this start are not known"
                ),
            }
        }
        let saver = Saver::start(folder, files)?;
        for window in windows() {
            // A second folder has no effect.
            let _ = window.queue.set(Arc::clone(&saver.queue));
        }
        let _ = self.saver.set(Arc::new(saver));
        Ok(())
    }

    /// What tells the event with this id from others of the source at `index`; `None` if that has no window. The event must
    /// be authenticated.
    pub(super) fn identity(&self, index: usize, id: &str) -> Option<Identity> {
        let window = Arc::clone(self.windows.get(index)?.as_ref()?);
        let mut hasher = blake3::Hasher::new();
        // A name has no zero byte, so no two pairs have the same bytes.
        hasher.update(window.source.as_bytes()).update(&[0]);
        let hash = hasher.update(id.as_bytes()).finalize();
        let fingerprint = *hash.as_bytes().first_chunk()?;
        Some(Identity {
            window,
            fingerprint,
        })
    }
}

impl State {
    fn resize(&mut self, length: Duration, capacity: usize) {
        if !self.table.has(length, capacity) {
            self.table = self.table.resized(length, capacity);
            (self.length, self.capacity) = (length, capacity);
        }
    }
}

impl Window {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it is, and how many marks it has at most.
    fn settings(&self) -> (Duration, usize) {
        let state = self.lock();
        (state.length, state.capacity)
    }

    fn read(&self, files: &Files) -> io::Result<()> {
        let (mut state, now_ms) = (self.lock(), self.clock.now_ms());
        let found = files.read(|mark| {
            if state.table.is_within(mark, now_ms) {
                state.table.insert(mark);
            }
        })?;
        if found.damaged > 0 {
            tracing::warn!(
                source = self.source,
                damaged = found.damaged,
                entries = found.entries,
                "entries in the files of duplicates are damaged: their events are not known as duplicates"
            );
        }
        Ok(())
    }
}

/// An event of a source with a window.
#[derive(Debug)]
pub(super) struct Identity {
    window: Arc<Window>,
    fingerprint: Fingerprint,
}

impl Identity {
    /// Claims the event; `None` if it is a duplicate of a committed one, which is counted. Waits while another request has the
    /// claim. Dropped meanwhile, it leaves no trace.
    pub(super) async fn claim(self) -> Option<Claim> {
        let wait = {
            let mut state = self.window.lock();
            if (state.table).contains(&self.fingerprint, self.window.clock.now_ms()) {
                drop(state);
                self.window.metrics.duplicates.inc();
                return None;
            }
            match state.claims.entry(self.fingerprint) {
                Entry::Vacant(claim) => {
                    claim.insert(Vec::new());
                    drop(state);
                    return Some(Claim::new(self));
                }
                Entry::Occupied(mut claim) => {
                    let waiting = claim.get_mut();
                    // Those who gave up would add up while a commit takes long; before growing costs next to nothing.
                    if waiting.len() == waiting.capacity() {
                        waiting.retain(|waiting| !waiting.is_closed());
                    }
                    let (sender, next) = oneshot::channel();
                    waiting.push(sender);
                    next
                }
            }
        };
        // Whoever ends a claim answers, so there is always a next.
        let next = wait.await.ok().flatten();
        if next.is_none() {
            self.window.metrics.duplicates.inc();
        }
        next
    }
}

/// The right to append an event. Dropped without a commit, it goes to the next request that waits for it.
#[derive(Debug)]
pub(super) struct Claim {
    /// `None` once it has ended.
    identity: Option<Identity>,
}

impl Claim {
    fn new(identity: Identity) -> Self {
        Self {
            identity: Some(identity),
        }
    }

    /// Marks the event, which is committed: from now on others with its id are duplicates.
    pub(super) fn committed(mut self) {
        let Some(Identity {
            window,
            fingerprint,
        }) = self.identity.take()
        else {
            return;
        };
        let waiting = {
            let mut state = window.lock();
            let mark = Mark {
                fingerprint,
                ms: window.clock.now_ms(),
            };
            if state.table.insert(mark) {
                window.metrics.over_capacity.inc();
            }
            // Under the same lock, so that the marks are in their order.
            if let Some(queue) = window.queue.get()
                && !queue.push(&window, mark)
            {
                window.metrics.unsaved.inc();
            }
            state.claims.remove(&fingerprint)
        };
        for waiting in waiting.into_iter().flatten() {
            // Whoever has left needs no answer.
            let _ = waiting.send(None);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(identity) = self.identity.take() else {
            return;
        };
        let next = {
            let mut state = identity.window.lock();
            let Some(waiting) = state.claims.get_mut(&identity.fingerprint) else {
                return;
            };
            waiting.retain(|waiting| !waiting.is_closed());
            // The first has waited for longest.
            let next = (!waiting.is_empty()).then(|| waiting.remove(0));
            if next.is_none() {
                state.claims.remove(&identity.fingerprint);
            }
            next
        };
        if let Some(next) = next {
            // If it has left just now, the claim comes back and is dropped again, for the one after it.
            let _ = next.send(Some(Self::new(identity)));
        }
    }
}

#[cfg(test)]
mod tests;
