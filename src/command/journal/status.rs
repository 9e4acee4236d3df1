//! `ringback journal status`: what a journal holds and whether it is sound.

use std::io::{self, Write};
use std::ops::Range;
use std::time::Duration;

use super::report::{FileCount, JournalReport};
use crate::command::journal_path::JournalPath;
use crate::command::render::{self, byte_range, count, grouped, printable, size};
use crate::command::{CommandError, printed};
use crate::words::about;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback journal status --config /etc/ringback/ringback.toml
  ringback journal status --path /var/lib/ringback
  ringback journal status --path /mnt/replica-2 --json | jq .unpublished.events

It reads the whole journal and changes nothing. Beside a running relay it shows the journal at one moment, and what was \
published by the last checkpoint, up to about a second before. With --config it also shows journal.budget.
Exit codes: 0 all of it could be read, even if damage was found; 1 a part could not be read, or there is no journal.")]
pub struct StatusArgs {
    #[command(flatten)]
    journal: JournalPath,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &StatusArgs) -> Result<(), CommandError> {
    let (path, budget) = arguments.journal.configured()?;
    let mut report = JournalReport::gather(&path)?;
    report.budget_bytes = budget.map(|budget| budget.as_u64());
    let mut text = Vec::new();
    if arguments.json {
        serde_json::to_writer_pretty(&mut text, &report).map_err(io::Error::from)?;
        text.push(b'\n');
    } else {
        print(&report, &mut text)?;
    }
    printed(io::stdout().lock().write_all(&text))?;
    match report.unreadable.len() {
        0 => Ok(()),
        places => Err(CommandError::Unreadable { places }),
    }
}

fn print(report: &JournalReport, to: &mut impl Write) -> io::Result<()> {
    let mut row = |name: &str, words: String| writeln!(to, "{name:<13} {}", printable(&words));
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
            || String::from("none is intact: everything would be published again"),
            |checkpoint| format!("published before position {}", checkpoint.watermark),
        ),
    )?;
    if let Some(budget) = report.budget_bytes {
        let words = format!("{}, or what the volume has room for", size(budget));
        row("Budget", words)?;
    }
    row("Unpublished", unpublished(report))?;
    row("Dead letters", files(&report.dead_letters))?;
    row("Quarantine", files(&report.quarantine))?;
    row("Set aside", files(&report.set_aside))?;
    row(
        "Torn tail",
        match report.torn_tail_bytes {
            0 => String::from("none"),
            bytes => format!("{bytes} bytes, never acknowledged; the next start truncates them"),
        },
    )?;
    row("Damage", damage(report))?;
    for damage in &report.damage {
        let place = byte_range(&damage.segment, &(damage.from_byte..damage.to_byte));
        let lost = positions(
            damage.from_position..damage.to_position,
            damage.lost_events,
            "no event is lost by it",
        );
        row("", format!("{place}: {lost}"))?;
    }
    if !report.unreadable.is_empty() {
        row("Unreadable", unreadable(report))?;
    }
    for unreadable in &report.unreadable {
        let place = byte_range(
            &unreadable.file,
            &(unreadable.from_byte..unreadable.to_byte),
        );
        let events = positions(
            unreadable.from_position..unreadable.to_position,
            unreadable.unpublished_events,
            "no event is known to be in it",
        );
        row("", format!("{place}: {events}: {}", unreadable.reason))?;
    }
    segments(report, to)
}

fn positions(positions: Range<u64>, unpublished: u64, none: &str) -> String {
    render::positions(&positions).map_or_else(
        || none.to_owned(),
        |positions| format!("{positions}, {unpublished} unpublished"),
    )
}

fn unreadable(report: &JournalReport) -> String {
    let places = count(report.unreadable.len() as u64, "place");
    match report.unreadable_events {
        0 => places,
        events => format!("{places}, with {}", count(events, "unpublished event")),
    }
}

fn unpublished(report: &JournalReport) -> String {
    let unpublished = &report.unpublished;
    if unpublished.events == 0 {
        return String::from("none");
    }
    let age = unpublished.oldest_age_seconds.map(|seconds| {
        let age = about(Duration::from_secs(seconds));
        format!("; the oldest has waited {age}")
    });
    let events = count(unpublished.events, "event");
    let age = age.unwrap_or_default();
    format!("{events}, {}{age}", size(unpublished.bytes))
}

fn files(files: &FileCount) -> String {
    match files.count {
        0 => String::from("none"),
        number => format!("{}, {}", count(number, "file"), size(files.bytes)),
    }
}

fn damage(report: &JournalReport) -> String {
    if report.damage.is_empty() && report.lost_events == 0 {
        return String::from(match report.quarantine.count {
            0 => "none found",
            _ => "none found now; what is in quarantine are copies of earlier damage",
        });
    }
    match report.lost_events {
        0 => String::from("found; nothing unpublished is lost by it"),
        lost => format!("found; {} lost", count(lost, "unpublished event")),
    }
}

fn segments(report: &JournalReport, to: &mut impl Write) -> io::Result<()> {
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
