//! `ringback init`: a first configuration, from flags, or from answers on a terminal.

mod answers;
mod ask;
mod contradictions;
mod file;

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::render::{printable, printable_path, shell_path};
use super::terminal::{self, fitted};
use super::{CommandError, printed};
use crate::ingest::SourceConfig;
use answers::Answers;

/// What the Debian package's unit reads.
const ENVIRONMENT: &str = "/etc/ringback/environment";
/// Said if records would have no key.
const NO_KEY: &str = "The records will have no key, so Kafka keeps no order among them: if order matters, set key_pointers or \
                      key_header in the file.";

/// Where to write, and what is known already.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback init                                  asks, and writes ringback.toml
  ringback init --preset stripe --brokers kafka-0:9092
  ringback init --preset github --brokers kafka-0:9093 --sasl-user relay \\
    --topic github --output /etc/ringback/ringback.toml
  ringback init --yes --output -                 the defaults, printed

On a terminal it asks for what no flag says; elsewhere the sender and the brokers must be given, or --yes for the defaults.
No secret is asked for or written, only where ringback will read it.
Exit codes: 0 written, 1 cannot write, 2 something is missing or wrong, or the file exists.")]
pub struct InitArgs {
    /// The file to write; "-" is standard output
    #[arg(short, long, value_name = "FILE", default_value = "ringback.toml")]
    output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Ask nothing and take the defaults: Retell AI, and a Kafka at localhost:9092
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    answers: Answers,
}

/// Why there is no new configuration.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error(
        "nobody can be asked, because this is not a terminal: give {0}, or --yes for the defaults"
    )]
    NotAsked(String),
    #[error("this has no default: give {0}")]
    NoDefault(String),
    #[error("--set {line:?} is not a line of a source: {reason}")]
    Setting { line: String, reason: String },
    #[error("{0}")]
    Contradiction(String),
    #[error("a flag is wrong: {0}")]
    Invalid(file::Fault),
    #[error("{0} exists; replace it with --force, or name another file with --output")]
    Exists(String),
    #[error("the input has ended before the last question; nothing was written")]
    Ended,
    #[error("cannot write {0}")]
    Write(String, #[source] io::Error),
}

impl InitError {
    /// True if the command line or an answer is at fault.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Write(..))
    }
}

/// Writes the file, and prints what to do next.
pub fn run(arguments: &InitArgs) -> Result<(), CommandError> {
    let output = arguments.output.as_path();
    let to_stdout = output == Path::new("-");
    if !to_stdout && !arguments.force && output.exists() {
        return Err(InitError::Exists(printable_path(output)).into());
    }
    let mut answers = arguments.answers.clone();
    answers.prepare(output)?;
    file::check(&answers).map_err(InitError::Invalid)?;
    let is_interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
    if is_interactive && !arguments.yes {
        let mut stderr = io::stderr();
        let columns = terminal::columns(&stderr);
        ask::complete(&mut answers, &mut io::stdin().lock(), &mut stderr, columns)?;
    }
    answers.require(arguments.yes)?;
    let text = file::text(&answers);
    if to_stdout {
        return printed(anstream::stdout().write_all(text.as_bytes()));
    }
    let config = file::check(&answers).map_err(InitError::Invalid)?;
    write(output, &text, arguments.force)?;
    let columns = terminal::columns(io::stdout());
    let mut next = next_steps(output, &answers, columns);
    if !config.source.iter().all(SourceConfig::has_key) {
        next.push_str(&["\n", &fitted(NO_KEY, columns, 0), "\n"].concat());
    }
    printed(anstream::stdout().write_all(next.as_bytes()))
}

/// An existing file is replaced only on request, also if it has appeared since the questions began.
fn write(file: &Path, text: &str, force: bool) -> Result<(), InitError> {
    let shown = || printable_path(file);
    let written = if force {
        replace(file, text)
    } else {
        create(file, text)
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(shown()),
        _ => InitError::Write(shown(), error),
    })
}

/// Writes a temporary file beside it first: on a full disk nothing is left behind, and what was there stays.
fn beside(file: &Path, text: &str) -> io::Result<NamedTempFile> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let mut builder = tempfile::Builder::new();
    // As any new file; the umask applies.
    builder.permissions(fs::Permissions::from_mode(0o666));
    let mut new = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    Ok(new)
}

fn create(file: &Path, text: &str) -> io::Result<()> {
    // Before the disk is written to, and again when the file gets its name.
    if fs::symlink_metadata(file).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let new = beside(file, text)?;
    new.persist_noclobber(file)
        .map(drop)
        .map_err(|error| error.error)
}

/// The file that a link leads to is replaced, and keeps its mode.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let target = fs::canonicalize(file);
    let target = target.as_deref().unwrap_or(file);
    let present = fs::metadata(target).ok();
    if present.as_ref().is_some_and(|present| !present.is_file()) {
        return fs::write(target, text);
    }
    let new = beside(target, text)?;
    if let Some(present) = present {
        new.as_file().set_permissions(present.permissions())?;
    }
    new.persist(target).map(drop).map_err(|error| error.error)
}

fn next_steps(file: &Path, answers: &Answers, columns: Option<usize>) -> String {
    let file = shell_path(file);
    let secrets = answers.secrets();
    let is_system = answers.is_system;
    let steps = secrets.iter().map(|secret| match secret {
        // A unit does not see what a shell exports.
        answers::Secret::Variable(name, what) if is_system => {
            format!("  # {name}=… goes into {ENVIRONMENT}: {what}\n")
        }
        answers::Secret::Variable(name, what) => format!("  export {name}=…    # {what}\n"),
        answers::Secret::File(path, what) => format!("  # {what} goes into {}\n", printable(path)),
    });
    let secrets: String = steps.collect();
    let topic = answers.topic();
    let commands = if is_system {
        String::from(
            "  sudo systemctl enable --now ringback      # the relay
  systemctl status ringback                 # does it run? If not, why?
  curl 'localhost:9464/readyz?verbose'      # does it reach Kafka?
",
        )
    } else {
        let exports = if secrets.contains("export ") {
            ", after the same exports"
        } else {
            ""
        };
        format!(
            "  ringback check --config {file}     # is it right?
  ringback doctor --config {file}    # do Kafka and the disk suit it?
  ringback serve --config {file}     # the relay

  # in another terminal{exports}: sample events
  ringback send --config {file}
"
        )
    };
    let create =
        format!("ringback never creates a topic: create {topic:?} if Kafka does not have it yet.");
    let create = fitted(&create, columns, 0);
    format!("Wrote {file}. Next:\n\n{secrets}{commands}\n{create}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_the_system_the_next_steps_are_the_units() {
        let next = |output: &str| {
            let mut answers = Answers::default();
            answers.prepare(Path::new(output)).unwrap();
            next_steps(Path::new(output), &answers, None)
        };
        let system = next("/etc/ringback/ringback.toml");
        assert!(
            system.contains("RETELL_API_KEY=… goes into /etc/ringback/environment"),
            "{system}"
        );
        assert!(
            system.contains("systemctl enable --now ringback"),
            "{system}"
        );
        assert!(
            !system.contains("export") && !system.contains("ringback serve"),
            "{system}"
        );
        let own = next("ringback.toml");
        assert!(own.contains("export RETELL_API_KEY=…"), "{own}");
        assert!(own.contains("after the same exports"), "{own}");
    }
}
