//! Lines that a command prints while it works. If nobody reads them any more (`| head`) or the file behind them is full, the
//! work goes on: the exit code says how it ended.
//!
//! What a command was asked for is written with [`printed`](super::printed), which reports a failure.

use std::fmt::Display;
use std::io::Write as _;

/// Prints a line on standard output.
pub fn tell(line: impl Display) {
    let _ = writeln!(anstream::stdout(), "{line}");
}

/// Prints a line on standard error.
pub fn warn(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}
