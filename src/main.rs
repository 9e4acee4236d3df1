//! The binary. [`ringback::command`] reads the command line, runs the command and returns the exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ringback::command::run(std::env::args_os())
}
