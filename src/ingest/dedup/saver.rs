//! The thread that writes marks to their windows' files, behind the answers.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Window;
use super::files::Files;
use super::table::Mark;
use crate::log_throttle::LogThrottle;

/// Marks that may wait for the thread: some seconds of a busy relay, in 2 MiB.
const MAX_WAITING: usize = 1 << 16;
/// Between two log lines about one source.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The marks that wait for the thread.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    marks: Vec<(Arc<Window>, Mark)>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if too many marks wait already.
    pub(super) fn push(&self, window: &Arc<Window>, mark: Mark) -> bool {
        let mut state = self.lock();
        if state.marks.len() >= MAX_WAITING {
            return false;
        }
        state.marks.push((Arc::clone(window), mark));
        // Otherwise the thread is awake.
        if state.marks.len() == 1 {
            self.changed.notify_one();
        }
        true
    }
}

/// The running thread. Dropped, it writes what waits and ends.
#[derive(Debug)]
pub(super) struct Saver {
    pub(super) queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    /// `files` are those that are open already, by their source.
    pub(super) fn start(folder: &Path, files: HashMap<String, Files>) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let mut run = Run {
            queue: Arc::clone(&queue),
            folder: folder.to_owned(),
            files,
            log: LogThrottle::new(LOG_INTERVAL),
        };
        let thread = thread::Builder::new()
            .name(String::from("dedup"))
            .spawn(move || run.run())?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic is reported already, and costs only what was not written.
            let _ = thread.join();
        }
    }
}

struct Run {
    queue: Arc<Queue>,
    folder: PathBuf,
    files: HashMap<String, Files>,
    log: LogThrottle,
}

impl Run {
    fn run(&mut self) {
        let queue = Arc::clone(&self.queue);
        let is_idle = |state: &mut QueueState| state.marks.is_empty() && !state.closed;
        loop {
            let state = queue.changed.wait_while(queue.lock(), is_idle);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            let mut marks = std::mem::take(&mut state.marks);
            drop(state);
            if marks.is_empty() {
                return;
            }
            // Stable: the marks of one window keep their order.
            marks.sort_by(|(one, _), (other, _)| one.source.cmp(&other.source));
            for marks in marks.chunk_by(|(one, _), (other, _)| one.source == other.source) {
                self.save(marks);
            }
        }
    }

    /// Writes marks of one source.
    fn save(&mut self, marks: &[(Arc<Window>, Mark)]) {
        let Some((window, _)) = marks.last() else {
            return;
        };
        let marks: Vec<_> = marks.iter().map(|(_, mark)| *mark).collect();
        let Err(error) = self.append(window, &marks) else {
            return;
        };
        window.metrics.unsaved.inc_by(marks.len() as u64);
        if let Some(permit) = self.log.permit(&window.source) {
            tracing::warn!(
                source = window.source,
                %error,
                suppressed = permit.suppressed(),
                "accepted events cannot be written to the file of their window: after a restart they are not known as duplicates"
            );
        }
    }

    fn append(&mut self, window: &Window, marks: &[Mark]) -> io::Result<()> {
        if !self.files.contains_key(&window.source) {
            let files = Files::open(&self.folder, &window.source)?;
            self.files.insert(window.source.clone(), files);
        }
        let (length, capacity) = window.settings();
        let files = self.files.get_mut(&window.source);
        files.map_or(Ok(()), |files| files.append(marks, length, capacity))
    }
}
