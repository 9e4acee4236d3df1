//! `ringback dead-letter list`.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;

use crate::command::place::{self, Place};
use crate::command::render::{columns, json, printable};
use crate::command::{CommandError, chain, ended};
use crate::journal::inspect::Folder;
use crate::publish::{DEAD_LETTERS, Letter, LetterError};
use crate::time;

/// Which journal's letters, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback dead-letter list --config /etc/ringback.toml
  ringback dead-letter list --path /var/lib/ringback --json | jq -r .body

A line has position, time received (UTC), reason, source, kind, key (- where there is none), the body's size in bytes \
and the file. With --json it is an object with every field of the envelope, and the body as a string.
Exit codes: 0, 1 where a file is damaged (it is named on standard error).")]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
}

/// Prints the letters.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let path = arguments.place.path()?;
    Folder::open(&path).map_err(place::failed(&path))?;
    let mut to = BufWriter::new(io::stdout().lock());
    let mut damaged = 0;
    for file in super::letters(&path.join(DEAD_LETTERS))? {
        let text = match describe(&file, arguments.json) {
            Ok(text) => text,
            Err(LetterError::Io(error)) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                damaged += 1;
                anstream::eprintln!("{}: {}", file.display(), chain(&error));
                continue;
            }
        };
        if let Err(error) = writeln!(to, "{text}") {
            return ended(Err(error));
        }
    }
    ended(to.flush())?;
    match damaged {
        0 => Ok(()),
        letters => Err(CommandError::DamagedLetters { letters }),
    }
}

fn describe(file: &Path, as_json: bool) -> Result<String, LetterError> {
    let letter = Letter::read(file)?;
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
        file.display()
    ))
}
