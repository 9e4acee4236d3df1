//! The command line: one module per command.

mod check;
mod completions;
mod dead_letter;
mod dev;
mod doctor;
mod error;
mod init;
mod journal;
mod journal_path;
mod man;
mod output;
mod progress;
pub mod prove;
mod recording;
mod render;
mod send;
mod sender;
mod serve;
mod terminal;
mod usage;
mod verify;
mod webhook;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::runtime::Builder;

use crate::config::{Config, Environment, Purpose};
use crate::telemetry::{self, chain};
use error::{CommandError, EXIT_USAGE};
use output::warn;
use render::printable;

/// The environment variable that Retell's own samples take the key from.
const RETELL_KEY: &str = "RETELL_API_KEY";
const DEFAULT_TOPIC: &str = "retell-events";
const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

/// Answers webhooks at once and delivers their events to Kafka: a 2xx means that the event is synced to disk.
#[derive(Debug, Parser)]
#[command(name = "ringback", version = VERSION, propagate_version = true, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// What `--version` prints: the release and the commit.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("BUILD_COMMIT"),
    ")"
);

const EXAMPLES: &str = "Examples:
  ringback dev                                     try it: nothing to install
  ringback init                                    write a configuration
  ringback check --config ringback.toml            is this configuration good?
  ringback doctor --config ringback.toml           are Kafka and the disk?
  ringback serve --config ringback.toml            the relay
  ringback journal status --config ringback.toml   what its journal holds
  ringback dead-letter list -c ringback.toml       what was set aside
  ringback prove --config ringback.toml            does it lose anything?
  ringback send                                    what does it answer?
  ringback verify --request FILE                   why is it refused?

Exit codes: 0 success, 1 failed while running, 2 wrong usage, 78 bad configuration.
RINGBACK_LOG sets the log level (error, warn, info, debug, trace). Logs are JSON unless standard error is a terminal.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay
    Serve(serve::ServeArgs),
    /// Run relay, embedded Kafka and journal on this machine, and show each event as it arrives in the topic
    Dev(dev::DevArgs),
    /// Write a first configuration, from flags or from answers on the terminal
    Init(Box<init::InitArgs>),
    /// Read the configuration as `serve` does and print it, secrets redacted; bind nothing
    Check(check::Arguments),
    /// Ask the real cluster and the real disk what would go wrong, each finding with its remedy
    Doctor(doctor::DoctorArgs),
    /// Inspect a journal, running or stopped; publish one that a removed relay has left
    Journal(journal::JournalArgs),
    /// List the events that were set aside, and publish them: those that Kafka refused for good, and bodies that are not JSON
    DeadLetter(dead_letter::DeadLetterArgs),
    /// Send events to a running relay, signed if there is a key, read the topic, and print what was lost, reordered or changed
    Prove(Box<prove::ProveArgs>),
    /// Post samples of a sender's events, or a file, signed as the sender signs, and print the answers
    Send(Box<send::SendArgs>),
    /// Say why the signature of a captured request matches, or not, and what to do about it
    Verify(Box<verify::VerifyArgs>),
    /// Print the completions for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages into a folder
    Man(man::ManArgs),
}

/// The command line as clap knows it, for checks of what the documentation says.
pub fn command_line() -> clap::Command {
    CommandLine::command()
}

/// Runs the command that `arguments` (program name first) ask for; errors go to standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let line = match CommandLine::try_parse_from(&arguments) {
        Ok(line) => line,
        Err(error) => {
            if let Some(error) = CommandError::of_usage(&error) {
                return fail(&error);
            }
            let code = if error.use_stderr() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
            // Help and version are "errors" to clap, for standard output and with success. A closed pipe is ignored.
            let _ = usage::shown(error, &arguments).print();
            return code;
        }
    };
    // The first to initialize OpenSSL decides whether it cleans up while the process exits. With this call it does not:
    // threads that nobody waits for, librdkafka's and the publisher's, may still use it then.
    openssl::init();
    match dispatch(&line.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &CommandError) -> ExitCode {
    // A configuration has an error per line. What was typed, or read from a file, must not act on the terminal.
    for line in chain(error).lines().map(printable) {
        warn(format_args!(
            "{}error:{} {line}",
            ERROR.render(),
            ERROR.render_reset()
        ));
    }
    ExitCode::from(error.exit_code())
}

fn dispatch(command: &Command) -> Result<(), CommandError> {
    telemetry::check_level()?;
    match command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Init(arguments) => init::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Journal(arguments) => journal::run(arguments),
        Command::DeadLetter(arguments) => dead_letter::run(arguments),
        Command::Prove(arguments) => prove::run(arguments),
        Command::Send(arguments) => send::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Completions(arguments) => completions::run(arguments, CommandLine::command()),
        Command::Man(arguments) => man::run(arguments, CommandLine::command()),
    }
}

/// The configuration in `file` and in the environment, as far as `purpose` needs it.
fn load(file: &Path, purpose: Purpose) -> Result<Config, CommandError> {
    Ok(Config::load(file, &Environment::of_process(), purpose)?)
}

/// Runs `future` on a runtime of its own, with a thread per core or as many as `workers`.
fn block_on<T>(
    workers: Option<usize>,
    future: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    let runtime = builder.enable_all().build()?;
    let output = runtime.block_on(future);
    // Only connections that were cut off at a deadline still run; their clients get no reply either way.
    runtime.shutdown_background();
    output
}

/// Prints a line on standard output, coloured only on a terminal.
fn print_line(text: &str) -> Result<(), CommandError> {
    use io::Write as _;
    printed(writeln!(anstream::stdout(), "{text}"))
}

/// The result of printing; a reader that has closed the pipe (`head`) is not an error.
fn printed(result: io::Result<()>) -> Result<(), CommandError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that end the help of this command and of its subcommands.
    fn endings(command: &clap::Command) -> Vec<String> {
        let own = command.get_after_help().map(ToString::to_string);
        let below = command.get_subcommands().flat_map(endings);
        own.into_iter().chain(below).collect()
    }

    /// The `--config` options of this command and of its subcommands.
    fn configs(command: &clap::Command) -> Vec<&clap::Arg> {
        let own = command.get_arguments();
        let own = own.filter(|argument| argument.get_long() == Some("config"));
        let below = command.get_subcommands().flat_map(configs);
        own.chain(below).collect()
    }

    #[test]
    fn every_configuration_can_be_given_by_the_short_option() {
        let command = CommandLine::command();
        let configs = configs(&command);
        assert!(configs.len() >= 7, "{configs:?}");
        for config in configs {
            assert_eq!(config.get_short(), Some('c'), "{config:?}");
        }
    }

    #[test]
    fn help_is_wrapped_by_the_terminal_and_not_by_hand() {
        let endings = endings(&CommandLine::command());
        assert!(endings.len() > 8, "{endings:#?}");
        for line in endings.iter().flat_map(|text| text.lines()) {
            if line.starts_with("  ") {
                assert!(line.chars().count() <= 80, "an example too wide: {line}");
            } else {
                let whole = line.is_empty() || line.ends_with(['.', ':']);
                assert!(whole, "not a whole paragraph: {line}");
            }
        }
    }
}
