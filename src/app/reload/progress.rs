//! What the relay and the thread that reads changed files know of each other: how long a reading takes, and that its result is not
//! wanted any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::readiness::{Check, CheckLine};

/// A reading that takes longer is reported. A local disk needs milliseconds.
const HANGS_AFTER: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone)]
pub(in crate::app) struct Progress(Arc<Mutex<State>>);

struct State {
    /// `configuration`.
    check: Check,
    /// What the check says of the configuration, whether or not files hang.
    configuration: CheckLine,
    /// When the reading began that goes on.
    reading_since: Option<Instant>,
    /// That is reported.
    hangs: bool,
    is_over: bool,
}

impl Progress {
    pub(super) fn new(check: Check) -> Self {
        let state = State {
            check,
            configuration: line(false, "ok"),
            reading_since: None,
            hangs: false,
            is_over: false,
        };
        state.show();
        Self(Arc::new(Mutex::new(state)))
    }

    /// What the check says of the configuration from now on.
    pub(super) fn set(&self, is_failing: bool, message: &str) {
        let mut state = self.lock();
        state.configuration = line(is_failing, message);
        state.show();
    }

    /// Files are read from now on.
    pub(super) fn begin(&self) {
        self.lock().reading_since = Some(Instant::now());
    }

    /// No file is read any more.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.reading_since = None;
        if std::mem::take(&mut state.hangs) {
            state.show();
        }
    }

    /// Reports a reading that hangs, once. To be called again and again.
    pub(super) fn report_hanging(&self) {
        let mut state = self.lock();
        let since = state.reading_since;
        if !state.hangs && since.is_some_and(|since| since.elapsed() >= HANGS_AFTER) {
            state.hangs = true;
            state.show();
            drop(state);
            tracing::warn!("{}; what is in use goes on", hanging());
        }
    }

    /// What is read from now on is not taken any more.
    pub(super) fn give_up(&self) {
        self.lock().is_over = true;
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn show(&self) {
        let mut lines = vec![self.configuration.clone()];
        if self.hangs {
            lines.push(line(true, &hanging()));
        }
        self.check.set(lines);
    }
}

fn line(is_failing: bool, message: &str) -> CheckLine {
    CheckLine {
        is_failing,
        message: message.to_owned(),
    }
}

fn hanging() -> String {
    format!(
        "what is to be read again is still being read after {}: look at the disks of the configuration's file and of the files that \
         it names",
        humantime::format_duration(HANGS_AFTER)
    )
}
