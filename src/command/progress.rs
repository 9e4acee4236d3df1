//! One line on standard error that tells how long work goes: rewritten on a terminal, now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Work that is done before this needs no line.
const QUIET: Duration = Duration::from_secs(1);
/// Between two lines where standard error is no terminal.
const LINES: Duration = Duration::from_secs(10);
/// Between two rewritings on a terminal.
const REDRAW: Duration = Duration::from_millis(200);

/// The line.
pub struct Progress {
    terminal: bool,
    last: Instant,
    every: Duration,
    drawn: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            terminal,
            last: Instant::now(),
            every: if terminal { QUIET } else { LINES },
            drawn: false,
        }
    }

    /// Shows `text` if it is time to.
    pub fn show(&mut self, text: impl FnOnce() -> String) {
        if self.last.elapsed() < self.every {
            return;
        }
        self.last = Instant::now();
        let mut stderr = std::io::stderr().lock();
        // Nobody reads along any more: the work goes on all the same.
        let _ = if self.terminal {
            self.every = REDRAW;
            self.drawn = true;
            write!(stderr, "\r\x1b[K{}", text())
        } else {
            writeln!(stderr, "{}", text())
        };
        let _ = stderr.flush();
    }

    /// Takes a rewritten line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
