//! `ringback journal dump`: the events in a journal, one per line.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::ops::Range;

use serde_json::json;

use crate::command::journal_path::{JournalPath, inspect};
use crate::command::output::warn;
use crate::command::render::{byte_range, columns, json, positions};
use crate::command::{CommandError, chain, printed};
use crate::event::Event;
use crate::journal::format::segment::name;
use crate::journal::inspect::{Item, Located};
use crate::time;

/// Of the columns of a line, as wide as [`print`] and [`columns`] write them.
const HEADINGS: &str = "    position  received (UTC)            source      kind                  key                                       bytes";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback journal dump --config /etc/ringback/ringback.toml --unpublished
  ringback journal dump --path journal --key Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6
  ringback journal dump --path journal --from 1048576 --json | jq .kind
  ringback journal dump --path journal --from 7 --to 7 --body > event.json

A line has the position, the time received (UTC), source, kind, key (- if there is none) and the body's size in bytes; \
a terminal shows these headings.
With --json it is an object with every field of the envelope, and the body as a string.
Published events stay in the journal until their whole segment is published. Beside a running relay, the newest events \
may not be synced yet.
Damaged and unreadable places are skipped and reported on standard error. Bodies contain what callers said: protect the \
output.
Exit codes: 0 success, 1 the journal or a part of it cannot be read.")]
pub struct DumpArgs {
    #[command(flatten)]
    journal: JournalPath,
    /// Begin with this position
    #[arg(long, value_name = "POS", default_value_t = 0)]
    from: u64,
    /// End with this position
    #[arg(long, value_name = "POS", default_value_t = u64::MAX, hide_default_value = true)]
    to: u64,
    /// Only events that are not yet published, according to the checkpoint
    #[arg(long)]
    unpublished: bool,
    /// Only events with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Print a JSON object per line
    #[arg(long, conflicts_with = "body")]
    json: bool,
    /// Print only the bodies, byte for byte, with a newline after each
    #[arg(long)]
    body: bool,
}

pub fn run(arguments: &DumpArgs) -> Result<(), CommandError> {
    let path = arguments.journal.resolve()?;
    let inspection = inspect(&path)?;
    let watermark = inspection.watermark();
    let from = if arguments.unpublished {
        arguments.from.max(watermark)
    } else {
        arguments.from
    };
    let mut to = BufWriter::new(io::stdout().lock());
    // What reads lines from a pipe gets events only.
    let is_shown = !arguments.json && !arguments.body && io::stdout().is_terminal();
    let mut headings = is_shown.then_some(HEADINGS);
    let mut unreadable = 0;
    let mut is_empty = true;
    for item in inspection.walk(from) {
        match item {
            Ok(Item::Record(record)) if record.position > arguments.to => break,
            Ok(Item::Record(record)) if record.position < from => {}
            Ok(Item::Record(record)) => {
                match print(arguments, &record, watermark, &mut headings, &mut to) {
                    Ok(is_printed) => is_empty &= !is_printed,
                    Err(error) => return printed(Err(error)),
                }
            }
            Ok(Item::Damage(damage)) => {
                if damage.positions.start > arguments.to {
                    break;
                }
                // If both streams go to a terminal, the earlier events must be printed before this line.
                printed(to.flush())?;
                let place = byte_range(&name(damage.sequence), &damage.bytes);
                let lost = describe(&damage.positions, "lost");
                warn(format_args!("damaged: {place}: {lost}"));
            }
            Ok(Item::Unreadable {
                sequence,
                bytes: place,
                positions: hidden,
                reason,
            }) => {
                if hidden.start > arguments.to {
                    break;
                }
                unreadable += 1;
                printed(to.flush())?;
                let place = byte_range(&name(sequence), &place);
                let hidden = describe(&hidden, "unreadable");
                warn(format_args!("unreadable: {place}: {hidden}: {reason}"));
            }
            // Never acknowledged, or about to be written.
            Ok(Item::Tail { .. }) => {}
            Err(error) => {
                unreadable += 1;
                warn(format_args!("unreadable: {}", chain(&error)));
            }
        }
    }
    printed(to.flush())?;
    if is_empty {
        warn("The journal holds no such event.");
    }
    match unreadable {
        0 => Ok(()),
        places => Err(CommandError::Unreadable { places }),
    }
}

/// The positions of a place with what they are; a place may hold none, as far as its neighbours show.
fn describe(range: &Range<u64>, what: &str) -> String {
    let verb = if range.end == range.start + 1 {
        "is"
    } else {
        "are"
    };
    positions(range).map_or_else(
        || String::from("no event is known to be there"),
        |positions| format!("{positions} {verb} {what}"),
    )
}

/// Returns false if the event does not match the arguments.
fn print(
    arguments: &DumpArgs,
    record: &Located,
    watermark: u64,
    headings: &mut Option<&str>,
    to: &mut impl Write,
) -> io::Result<bool> {
    let position = record.position;
    let event = match Event::decode(&record.payload) {
        Ok(event) => event,
        // Intact, but written by a newer ringback.
        Err(error) if arguments.key.is_none() => {
            if arguments.json {
                let payload = hex::encode(&record.payload);
                let object = json!({
                    "position": position,
                    "error": error.to_string(),
                    "payload_hex": payload,
                });
                writeln!(to, "{object}")?;
            } else {
                warn(format_args!("position {position}: {error}"));
            }
            return Ok(true);
        }
        Err(_) => return Ok(false),
    };
    if arguments.key.is_some() && arguments.key.as_deref() != event.key {
        return Ok(false);
    }
    if arguments.body {
        to.write_all(event.body)?;
        to.write_all(b"\n")?;
    } else if arguments.json {
        let mut object = json(&event);
        object.insert(String::from("position"), json!(position));
        object.insert(String::from("segment"), json!(name(record.sequence)));
        object.insert(String::from("published"), json!(position < watermark));
        serde_json::to_writer(&mut *to, &object)?;
        to.write_all(b"\n")?;
    } else {
        if let Some(headings) = headings.take() {
            writeln!(to, "{headings}")?;
        }
        writeln!(
            to,
            "{position:>12}  {}  {}  {:>9}",
            time::rfc3339(event.received_ms),
            columns(&event),
            event.body.len()
        )?;
    }
    Ok(true)
}
