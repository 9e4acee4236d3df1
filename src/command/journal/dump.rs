//! `ringback journal dump`: the events in a journal, one a line.

use std::io::{self, BufWriter, Write};
use std::ops::Range;

use serde_json::json;

use crate::command::place::{self, Place};
use crate::command::render::{columns, json};
use crate::command::{CommandError, chain, ended};
use crate::event::Event;
use crate::journal::format::segment::name;
use crate::journal::inspect::{Item, Located};
use crate::time;

/// Which journal, which of its records, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback journal dump --config /etc/ringback.toml --unpublished
  ringback journal dump --path journal --key Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6
  ringback journal dump --path journal --from 1048576 --json | jq .kind
  ringback journal dump --path journal --from 7 --to 7 --body > event.json

A line has position, time received (UTC), source, kind, key (- where there is none) and the body's size in bytes.
With --json it is an object with every field of the envelope, and the body as a string: bodies are JSON, hence UTF-8.
Published events are there until their whole segment is; beside a running relay the newest may not be synced yet.
Damage, and what the disk does not give, is reported on standard error and passed over. Bodies hold what callers said: mind where the output goes.
Exit codes: 0, 1 where the journal or a part of it cannot be read.")]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Begin with this position
    #[arg(long, value_name = "POS", default_value_t = 0)]
    from: u64,
    /// End with this position
    #[arg(long, value_name = "POS", default_value_t = u64::MAX, hide_default_value = true)]
    to: u64,
    /// Only what is not yet published, as far as the checkpoint tells
    #[arg(long)]
    unpublished: bool,
    /// Only events with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A JSON object a line
    #[arg(long, conflicts_with = "body")]
    json: bool,
    /// Only the bodies, byte for byte, with a newline after each
    #[arg(long)]
    body: bool,
}

/// Prints the records.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let path = arguments.place.path()?;
    let inspection = place::inspect(&path)?;
    let watermark = inspection.watermark();
    let from = if arguments.unpublished {
        arguments.from.max(watermark)
    } else {
        arguments.from
    };
    let mut to = BufWriter::new(io::stdout().lock());
    let mut unreadable = 0;
    for item in inspection.walk(from) {
        match item {
            Ok(Item::Record(record)) if record.position > arguments.to => break,
            Ok(Item::Record(record)) if record.position < from => {}
            Ok(Item::Record(record)) => {
                if let Err(error) = print(arguments, &record, watermark, &mut to) {
                    return ended(Err(error));
                }
            }
            Ok(Item::Damage(damage)) => {
                if damage.positions.start > arguments.to {
                    break;
                }
                // In its place among the records if both go to a terminal.
                ended(to.flush())?;
                let place = bytes(damage.sequence, &damage.bytes);
                let lost = positions(&damage.positions, "is lost", "are lost");
                anstream::eprintln!("damaged: {place}: {lost}");
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
                ended(to.flush())?;
                let place = bytes(sequence, &place);
                let hidden = positions(&hidden, "cannot be read", "cannot be read");
                anstream::eprintln!("unreadable: {place}: {hidden}: {reason}");
            }
            // Never acknowledged, or being written just now.
            Ok(Item::Tail { .. }) => {}
            Err(error) => {
                unreadable += 1;
                anstream::eprintln!("unreadable: {}", chain(&error));
            }
        }
    }
    ended(to.flush())?;
    match unreadable {
        0 => Ok(()),
        places => Err(CommandError::Unreadable { places }),
    }
}

fn bytes(sequence: u64, bytes: &Range<u64>) -> String {
    format!("{} bytes {} to {}", name(sequence), bytes.start, bytes.end)
}

fn positions(positions: &Range<u64>, one: &str, many: &str) -> String {
    match positions.end.saturating_sub(positions.start) {
        0 => String::from("no position is known to lie there"),
        1 => format!("position {} {one}", positions.start),
        _ => format!(
            "positions {} to {} {many}",
            positions.start,
            positions.end - 1
        ),
    }
}

fn print(
    arguments: &Arguments,
    record: &Located,
    watermark: u64,
    to: &mut impl Write,
) -> io::Result<()> {
    let position = record.position;
    let event = match Event::decode(&record.payload) {
        Ok(event) => event,
        // Intact, but of a newer ringback.
        Err(error) if arguments.key.is_none() => {
            if arguments.json {
                let payload = hex::encode(&record.payload);
                let object = json!({
                    "position": position,
                    "error": error.to_string(),
                    "payload_hex": payload,
                });
                return writeln!(to, "{object}");
            }
            anstream::eprintln!("position {position}: {error}");
            return Ok(());
        }
        Err(_) => return Ok(()),
    };
    if arguments.key.is_some() && arguments.key.as_deref() != event.key {
        return Ok(());
    }
    if arguments.body {
        to.write_all(event.body)?;
        return to.write_all(b"\n");
    }
    if arguments.json {
        let mut object = json(&event);
        object.insert(String::from("position"), json!(position));
        object.insert(String::from("segment"), json!(name(record.sequence)));
        object.insert(String::from("published"), json!(position < watermark));
        serde_json::to_writer(&mut *to, &object)?;
        return to.write_all(b"\n");
    }
    writeln!(
        to,
        "{position:>12}  {}  {}  {:>9}",
        time::rfc3339(event.received_ms),
        columns(&event),
        event.body.len()
    )
}
