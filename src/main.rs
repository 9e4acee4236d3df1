//! The binary: reads the command line, runs the command, and is the only place that decides an exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ringback::command::run(std::env::args_os())
}
