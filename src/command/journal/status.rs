//! `ringback journal status`: what a journal holds and whether it is sound.

use std::io::{self, Write};
use std::ops::Range;
use std::time::Duration;

use super::report::{Files, Report, Unreadable};
use crate::command::place::Place;
use crate::command::render::{count, grouped, size};
use crate::command::{CommandError, ended};

/// Which journal, and how to say it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback journal status --config /etc/ringback.toml
  ringback journal status --path /var/lib/ringback
  ringback journal status --path /mnt/replica-2 --json | jq .unpublished.events

It reads the whole journal and changes nothing; beside a running relay it tells one moment, and what is \
published as of the last checkpoint, up to about a second ago.
Exit codes: 0 it could be read (also with damage), 1 not all of it could, or there is none.")]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// One JSON object instead of words
    #[arg(long)]
    json: bool,
}

/// Prints the report.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let report = Report::gather(&arguments.place.path()?)?;
    let mut text = Vec::new();
    if arguments.json {
        serde_json::to_writer_pretty(&mut text, &report).map_err(io::Error::from)?;
        text.push(b'\n');
    } else {
        print(&report, &mut text)?;
    }
    ended(io::stdout().lock().write_all(&text))?;
    match report.unreadable.len() {
        0 => Ok(()),
        places => Err(CommandError::Unreadable { places }),
    }
}

fn print(report: &Report, to: &mut impl Write) -> io::Result<()> {
    let mut row = |name: &str, words: String| writeln!(to, "{name:<13} {words}");
    row("Journal", report.path.clone())?;
    row("Id", report.journal_id.clone())?;
    let held = if report.locked {
        "by a running process"
    } else {
        "by nobody"
    };
    row("Held", held.to_owned())?;
    row(
        "Checkpoint",
        report.checkpoint.as_ref().map_or_else(
            || String::from("none that is sound: everything would be published again"),
            |checkpoint| format!("published before position {}", checkpoint.watermark),
        ),
    )?;
    row("Unpublished", unpublished(report))?;
    row("Dead letters", files(&report.dead_letters))?;
    row("Quarantine", files(&report.quarantine))?;
    row("Set aside", files(&report.set_aside))?;
    row(
        "Torn tail",
        match report.torn_tail_bytes {
            0 => String::from("none"),
            bytes => format!("{bytes} bytes, never acknowledged; the next start cuts them"),
        },
    )?;
    row("Damage", damage(report))?;
    for damage in &report.damage {
        let bytes = format!("bytes {} to {}", damage.from_byte, damage.to_byte);
        let lost = positions(
            damage.from_position..damage.to_position,
            damage.lost_events,
            "no event is lost by it",
        );
        row("", format!("{} {bytes}: {lost}", damage.segment))?;
    }
    if report.unreadable.is_empty() {
        return segments(report, to);
    }
    row("Unreadable", unreadable(report))?;
    for place in &report.unreadable {
        let bytes = format!("bytes {} to {}", place.from_byte, place.to_byte);
        let events = positions(
            place.from_position..place.to_position,
            place.unpublished_events,
            "no event is known to be in it",
        );
        let Unreadable { file, reason, .. } = place;
        row("", format!("{file} {bytes}: {events}: {reason}"))?;
    }
    segments(report, to)
}

fn positions(positions: Range<u64>, unpublished: u64, none: &str) -> String {
    let (from, to) = (positions.start, positions.end);
    match to.saturating_sub(from) {
        0 => none.to_owned(),
        1 => format!("position {from}, {unpublished} unpublished"),
        _ => format!("positions {from} to {}, {unpublished} unpublished", to - 1),
    }
}

fn unreadable(report: &Report) -> String {
    let places = count(report.unreadable.len() as u64, "place");
    match report.unreadable_events {
        0 => format!("{places} that the disk does not give"),
        events => format!(
            "{places} that the disk does not give, with {}",
            count(events, "unpublished event")
        ),
    }
}

fn unpublished(report: &Report) -> String {
    let unpublished = &report.unpublished;
    if unpublished.events == 0 {
        return String::from("none");
    }
    let age = unpublished.oldest_age_seconds.map(|seconds| {
        let age = humantime::format_duration(Duration::from_secs(seconds));
        format!("; the oldest has waited {age}")
    });
    let events = count(unpublished.events, "event");
    let age = age.unwrap_or_default();
    format!("{events}, {}{age}", size(unpublished.bytes))
}

fn files(files: &Files) -> String {
    match files.count {
        0 => String::from("none"),
        number => format!("{}, {}", count(number, "file"), size(files.bytes)),
    }
}

fn damage(report: &Report) -> String {
    if report.damage.is_empty() && report.lost_events == 0 {
        return String::from("none found");
    }
    match report.lost_events {
        0 => String::from("found; nothing unpublished is lost by it"),
        lost => format!("found; {} lost", count(lost, "unpublished event")),
    }
}

fn segments(report: &Report, to: &mut impl Write) -> io::Result<()> {
    writeln!(
        to,
        "\n{:<24}  {:<7}  {:>20}  {:>20}  {:>9}  {:>15}  {:>15}",
        "Segment", "State", "First", "Last", "Records", "Bytes used", "Bytes"
    )?;
    let position = |position: Option<u64>| position.map_or(String::from("-"), |it| it.to_string());
    for segment in &report.segments {
        writeln!(
            to,
            "{:<24}  {:<7}  {:>20}  {:>20}  {:>9}  {:>15}  {:>15}",
            segment.name,
            segment.state,
            position(segment.first),
            position(segment.end.map(|end| end - 1)),
            grouped(segment.records),
            grouped(segment.used_bytes),
            grouped(segment.size_bytes),
        )?;
    }
    Ok(())
}
