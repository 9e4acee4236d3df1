//! One progress line on standard error: redrawn on a terminal, else printed now and then.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Work that is done sooner shows no line on a terminal.
const FIRST_DRAW: Duration = Duration::from_secs(1);
const REDRAW: Duration = Duration::from_millis(200);

/// The line; dropping or hiding it erases it from a terminal.
pub struct ProgressLine {
    terminal: bool,
    last: Instant,
    interval: Duration,
    drawn: bool,
}

impl ProgressLine {
    /// Shows nothing yet. `interval` is the time between two lines if standard error is not a terminal.
    pub fn new(interval: Duration) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            terminal,
            last: Instant::now(),
            interval: if terminal { FIRST_DRAW } else { interval },
            drawn: false,
        }
    }

    /// True if the line is redrawn in place.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows `text` if the line is due.
    pub fn show(&mut self, text: impl FnOnce() -> String) {
        if self.last.elapsed() < self.interval {
            return;
        }
        self.last = Instant::now();
        let mut stderr = std::io::stderr().lock();
        // If standard error is closed, the work goes on without a progress line.
        let _ = if self.terminal {
            self.interval = REDRAW;
            self.drawn = true;
            write!(stderr, "\r\x1b[K{}", text())
        } else {
            writeln!(stderr, "{}", text())
        };
        let _ = stderr.flush();
    }

    /// Erases it from a terminal until it is due again, so that another line can be printed in its place.
    pub fn hide(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.hide();
    }
}
