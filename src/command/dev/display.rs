//! Prints a row for each event in the topic and for each refused request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anstream::println;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::inspector::Store;
use super::signatures::SignatureNotes;
use super::terminal::{columns, shortened, width, wrapped};
use crate::command::CommandError;
use crate::command::render::{printable, size};
use crate::ingest::NotJson;
use crate::time::{now_ms, rfc3339};

/// From this width on, rows have their full columns.
const WIDE: usize = 115;
/// The columns for a key: Retell's ids of calls have 32 characters.
const KEY: usize = 36;
/// The most columns of a refused request's method and path.
const MAX_METHOD: usize = 12;
const MAX_PATH: usize = 40;

/// The printer notices within this time that it is to stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// The running consumer that prints events.
pub struct EventPrinter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl EventPrinter {
    /// Reads every partition of the topics from its beginning. With `notes`, a row ends with the note on its event's signature. `store` learns
    /// where each event is.
    pub fn start(
        bootstrap: &str,
        topics: &[String],
        partitions: i32,
        notes: Option<SignatureNotes>,
        store: Arc<Store>,
    ) -> Result<Self, CommandError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "ringback-dev")
            .set("enable.auto.commit", "false")
            // The mock answers a fetch only after this time, which the rows show as part of the latency.
            .set("fetch.wait.max.ms", "20")
            .create()?;
        let mut assignment = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..partitions {
                assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&assignment)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name(String::from("event-printer"))
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    match consumer.poll(POLL_TIMEOUT) {
                        Some(Ok(message)) => {
                            store.delivered(&message);
                            let id = header(&message, "ce_id").unwrap_or_default();
                            let note = notes.as_ref().and_then(|notes| notes.take(id));
                            let row = Row::of(&message).line(columns(), note.as_deref());
                            println!("{row}");
                        }
                        Some(Err(error)) => tracing::warn!(%error, "cannot read the topic"),
                        None => {}
                    }
                }
            })?;
        Ok(Self { stop, thread })
    }

    /// Stops the consumer and waits for it.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // If it has panicked, that is printed already.
        let _ = self.thread.join();
    }
}

/// Prints the names of the columns.
pub fn heading(with_notes: bool) {
    let dim = anstyle::Style::new().dimmed();
    let columns = columns();
    let text = |text: &str| text.to_owned();
    let names = if is_wide(columns) {
        ["time (UTC)", "partition@offset", "POST→Kafka"]
    } else {
        ["UTC", "p@offset", "to Kafka"]
    };
    let [time, place, took] = names.map(text);
    let heading = Row {
        time,
        kind: text("event"),
        key: text("key"),
        place,
        size: text("size"),
        took,
    };
    let heading = heading.line(columns, with_notes.then_some("signature"));
    println!("{}{heading}{}", dim.render(), dim.render_reset());
}

/// Prints a row for a refused request; `request` is its method and path.
pub fn refusal(request: (&str, &str), status: u16, reason: &str, detail: &str) {
    let bad = anstyle::AnsiColor::Red.on_default();
    let row = refusal_row(now_ms(), request, status, reason, detail, columns());
    // Coloured afterwards: the terminal does not show the codes, so they take no room.
    let what = format!("refused {status}");
    let coloured = format!("{}{what}{}", bad.render(), bad.render_reset());
    println!("{}", row.replacen(&what, &coloured, 1));
}

/// Prints a row for an accepted event that does not come to the topic.
pub fn unparsed(error: NotJson) {
    let warn = anstyle::AnsiColor::Yellow.on_default();
    let columns = columns();
    let time = time_of_day(now_ms(), is_wide(columns));
    let what = "dead letter";
    let row = format!("{time}  {what}  unparsed: a signed body is not one JSON document: {error}");
    let row = match columns {
        Some(columns) => wrapped(&row, columns, width(&time) + 2),
        None => row,
    };
    let coloured = format!("{}{what}{}", warn.render(), warn.render_reset());
    println!("{}", row.replacen(what, &coloured, 1));
}

fn refusal_row(
    now_ms: u64,
    (method, path): (&str, &str),
    status: u16,
    reason: &str,
    detail: &str,
    columns: Option<usize>,
) -> String {
    let time = time_of_day(now_ms, is_wide(columns));
    let (method, path) = (shortened(method, MAX_METHOD), shortened(path, MAX_PATH));
    let row = format!("{time}  refused {status}  {method} {path}  {reason}: {detail}");
    match columns {
        Some(columns) => wrapped(&row, columns, width(&time) + 2),
        None => row,
    }
}

/// The time of day in UTC, with milliseconds if there is room.
fn time_of_day(unix_ms: u64, milliseconds: bool) -> String {
    let time = rfc3339(unix_ms);
    let end = if milliseconds { 23 } else { 19 };
    time.get(11..end).unwrap_or_default().to_owned()
}

/// True if every column has its full width.
fn is_wide(columns: Option<usize>) -> bool {
    columns.is_none_or(|columns| columns >= WIDE)
}

/// The cells of one event's row.
struct Row {
    time: String,
    kind: String,
    key: String,
    place: String,
    size: String,
    took: String,
}

impl Row {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let kind = header(message, "ce_type").unwrap_or_default();
        let kind = kind.split_once('.').map_or(kind, |(_source, kind)| kind);
        let key = message.key().map_or_else(
            || String::from("(no key)"),
            |key| printable(&String::from_utf8_lossy(key)),
        );
        let now = now_ms();
        let posted = message.timestamp().to_millis().unwrap_or_default();
        Self {
            time: time_of_day(now, is_wide(columns())),
            kind: printable(kind),
            key,
            place: format!("{}@{}", message.partition(), message.offset()),
            size: size(message.payload_len() as u64),
            took: format!("{} ms", now.cast_signed() - posted),
        }
    }

    /// The row in at most `columns`: the key gets what the other cells leave, up to the length of a call's id. A note that
    /// does not fit beside them goes below.
    fn line(&self, columns: Option<usize>, note: Option<&str>) -> String {
        let Self {
            time,
            kind,
            key,
            place,
            size,
            took,
        } = self;
        let (time_width, kind_width, right) = if is_wide(columns) {
            (12, 20, format!("  {place:>16}  {size:>9}  {took:>12}"))
        } else {
            (8, 18, format!(" {place:>9} {size:>9} {took:>8}"))
        };
        let time = format!("{time:<time_width$}");
        let fit = |text: &str, columns: usize| {
            let text = shortened(text, columns);
            let padding = columns.saturating_sub(width(&text));
            format!("{text}{}", " ".repeat(padding))
        };
        let line = match columns {
            None => format!("{time}  {kind:<kind_width$}  {key:<KEY$}{right}"),
            Some(columns) => {
                let left = format!("{time}  {}  ", fit(kind, kind_width));
                let room = columns.saturating_sub(width(&left) + width(&right));
                format!("{left}{}{right}", fit(key, room.min(KEY)))
            }
        };
        let indent = time_width + 2;
        match (note, columns) {
            (None, _) => line,
            (Some(note), Some(columns)) if width(&line) + 2 + width(note) > columns => {
                let note = wrapped(note, columns.saturating_sub(indent), 0);
                let note = note.replace('\n', &format!("\n{:indent$}", ""));
                format!("{line}\n{:indent$}{note}", "")
            }
            (Some(note), _) => format!("{line}  {note}"),
        }
    }
}

fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, key: &str, wide: bool) -> Row {
        Row {
            time: time_of_day(0, wide),
            kind: kind.into(),
            key: key.into(),
            place: "63@1048576".into(),
            size: "1023.9 KiB".into(),
            took: "86400000 ms".into(),
        }
    }

    #[test]
    fn no_line_of_a_row_is_longer_than_the_terminal() {
        const NOTE: &str = "signature is malformed: accepted without --require-signature";
        for columns in 75..200 {
            for key in [
                "",
                "(no key)",
                "Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6",
                &"ü".repeat(99),
            ] {
                for kind in ["none", "transfer_cancelled", &"x".repeat(99)] {
                    let row = row(kind, key, is_wide(Some(columns)));
                    for note in [None, Some(NOTE)] {
                        let text = row.line(Some(columns), note);
                        for line in text.lines() {
                            assert!(width(line) <= columns, "{columns}: {line}");
                        }
                        assert_eq!(text.contains(NOTE), note.is_some(), "{text}");
                    }
                }
            }
            let path = format!("/{}", "p".repeat(999));
            let detail = "The header X-Retell-Signature is missing.";
            let request = ("PROPFIND", path.as_str());
            let text = refusal_row(0, request, 401, "signature_missing", detail, Some(columns));
            assert!(text.lines().all(|line| width(line) <= columns), "{text}");
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.ends_with(detail), "{text}");
        }
    }

    #[test]
    fn a_row_keeps_the_ends_of_its_key_in_80_columns_and_all_of_it_in_a_pipe() {
        let call = "Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6";
        let mut row = row("call_ended", call, false);
        (row.place, row.size, row.took) = ("7@0".into(), "166 B".into(), "3 ms".into());
        assert_eq!(
            row.line(Some(80), None),
            "00:00:00  call_ended          Jabr9TXYYJ…rdAHYHmcq6       7@0     166 B     3 ms"
        );
        assert!(row.line(None, None).contains(&format!("  {call}  ")));
    }

    #[test]
    fn a_refused_request_is_shown_with_its_method_and_path() {
        let row = |columns| {
            let request = ("POST", "/webhok\u{1b}[2J");
            refusal_row(
                0,
                request,
                404,
                "unknown_path",
                "No source has it.",
                columns,
            )
        };
        assert_eq!(
            row(None),
            "00:00:00.000  refused 404  POST /webhok\u{fffd}[2J  unknown_path: No source has it."
        );
        assert_eq!(
            row(Some(60)),
            "00:00:00  refused 404  POST /webhok\u{fffd}[2J  unknown_path: No\n          source has it."
        );
    }
}
