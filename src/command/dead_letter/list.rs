//! `ringback dead-letter list`: the dead letters of a journal, one per line.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;

use serde_json::json;

use crate::command::journal_path::JournalPath;
use crate::command::output::warn;
use crate::command::render::{columns, json, printable, printable_path};
use crate::command::{CommandError, chain, printed};
use crate::journal::inspect::Folder;
use crate::publish::{DEAD_LETTERS, DeadLetterError, DeadLetterFile};
use crate::time;

/// Of the columns of a line, as wide as [`describe`] and [`columns`] write them.
const HEADINGS: &str = "    position  received (UTC)            reason          source      kind                  key                                       bytes  file";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback dead-letter list --config /etc/ringback/ringback.toml
  ringback dead-letter list --path /var/lib/ringback --json | jq -r .body

A line has the position, the time received (UTC), reason, source, kind, key (- if there is none), the body's size in \
bytes and the file; a terminal shows these headings. With --json it is an object with every field of the envelope, and the body as a string. If there are none, a sentence \
says so; with --json nothing is printed.
Exit codes: 0 success, 1 a file is damaged (standard error names it).")]
pub struct ListArgs {
    #[command(flatten)]
    journal: JournalPath,
    /// Print a JSON object per line
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &ListArgs) -> Result<(), CommandError> {
    let path = arguments.journal.resolve()?;
    Folder::open(&path).map_err(CommandError::inspect(&path))?;
    let mut to = BufWriter::new(io::stdout().lock());
    // What reads lines from a pipe gets dead letters only.
    let mut headings = (!arguments.json && io::stdout().is_terminal()).then_some(HEADINGS);
    let mut listed = 0;
    let mut damaged = 0;
    for file in super::files(&path.join(DEAD_LETTERS))? {
        let text = match describe(&file, arguments.json) {
            Ok(text) => text,
            Err(DeadLetterError::Io(error)) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                damaged += 1;
                warn(format_args!("{}: {}", printable_path(&file), chain(&error)));
                continue;
            }
        };
        for line in headings.take().into_iter().chain([text.as_str()]) {
            if let Err(error) = writeln!(to, "{line}") {
                return printed(Err(error));
            }
        }
        listed += 1;
    }
    if listed + damaged == 0
        && !arguments.json
        && let Err(error) = writeln!(to, "There are no dead letters.")
    {
        return printed(Err(error));
    }
    printed(to.flush())?;
    match damaged {
        0 => Ok(()),
        files => Err(CommandError::DamagedDeadLetters(files)),
    }
}

fn describe(file: &Path, as_json: bool) -> Result<String, DeadLetterError> {
    let letter = DeadLetterFile::read(file)?;
    let event = letter.event()?;
    if as_json {
        let mut object = json(&event);
        let mut set = |name: &str, value| object.insert(name.to_owned(), value);
        set("position", json!(letter.position));
        set("reason", json!(letter.reason));
        set("journal_id", json!(letter.journal_id));
        set("file", json!(file.display().to_string()));
        return Ok(serde_json::Value::Object(object).to_string());
    }
    Ok(format!(
        "{:>12}  {}  {:<14}  {}  {:>9}  {}",
        letter.position,
        time::rfc3339(event.received_ms),
        printable(&letter.reason),
        columns(&event),
        event.body.len(),
        printable_path(file)
    ))
}
