//! Prints a row for each event in the topic and for each refused request.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anstyle::Style;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::body;
use super::inspector::Store;
use super::output::Lines;
use super::row::{Layout, Row, header};
use super::signatures::SignatureNotes;
use crate::command::CommandError;
use crate::command::render::printable;
use crate::command::terminal::{self, fitted, shortened, width};
use crate::ingest::NotJson;

/// The most columns of a refused request's method and path on a terminal.
const MAX_METHOD: usize = 12;
const MAX_PATH: usize = 40;

/// The printer notices within this time that it is to stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Ids of events that are kept, to recognise those that come again.
const MAX_IDS: usize = 16_384;

/// What is shown of each event, and where else.
pub struct Shown {
    /// A row ends with the note on its event's signature.
    pub notes: Option<SignatureNotes>,
    /// The body follows its row.
    pub verbose: bool,
    /// Learns where each event is.
    pub store: Arc<Store>,
    pub lines: Lines,
}

/// The running consumer that prints events.
pub struct EventPrinter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl EventPrinter {
    /// Reads every partition of the topics from its beginning.
    pub fn start(
        bootstrap: &str,
        topics: &[String],
        partitions: i32,
        shown: Shown,
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
                let mut known = HashSet::new();
                while !stopped.load(Ordering::Relaxed) {
                    match consumer.poll(POLL_TIMEOUT) {
                        Some(Ok(message)) => {
                            shown.store.delivered(&message);
                            let id = header(&message, "ce_id").unwrap_or_default();
                            let notes = shown.notes.as_ref();
                            let note = notes.and_then(|notes| notes.take(id));
                            if known.len() >= MAX_IDS {
                                known.clear();
                            }
                            let is_first = known.insert(id.to_owned());
                            event(&message, note, is_first, &shown);
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

/// Prints a row for an event that has come to the topic. It is dimmed unless `is_first` of its id.
fn event(message: &BorrowedMessage<'_>, note: Option<String>, is_first: bool, shown: &Shown) {
    let columns = terminal::columns(io::stdout());
    let again = (!is_first).then(|| String::from("a duplicate: its id came before"));
    let notes: Vec<_> = again.into_iter().chain(note).collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    let (row_style, kind_style) = if is_first {
        (Style::new(), anstyle::AnsiColor::Green.on_default())
    } else {
        (Style::new().dimmed(), Style::new())
    };
    let row = Row::of(message, Layout::of(columns));
    let row = row.line(columns, kind_style, note.as_deref());
    let row = format!("{}{row}{}", row_style.render(), row_style.render_reset());
    shown.lines.print(row);
    if shown.verbose {
        let body = body::shown(message.payload().unwrap_or_default(), columns);
        shown.lines.print(body);
    }
}

/// Prints the names of the columns.
pub fn heading(lines: &Lines, with_notes: bool) {
    let dim = anstyle::Style::new().dimmed();
    let columns = terminal::columns(io::stdout());
    let heading = Row::heading(Layout::of(columns));
    let note = with_notes.then_some("signature");
    let line = |note| heading.line(columns, Style::new(), note);
    let whole = line(note);
    // Notes stand below the rows of a narrow terminal.
    let heading = if whole.contains('\n') {
        line(None)
    } else {
        whole
    };
    lines.print(format!("{}{heading}{}", dim.render(), dim.render_reset()));
}

/// Prints a row for a refused request; `request` is its method and path.
pub fn refusal(lines: &Lines, request: (&str, &str), status: u16, reason: &str, detail: &str) {
    let bad = anstyle::AnsiColor::Red.on_default();
    let columns = terminal::columns(io::stdout());
    let time = Layout::of(columns).now();
    let row = refusal_row(&time, request, status, reason, detail, columns);
    // Coloured afterwards: the terminal does not show the codes, so they take no room.
    let what = format!("refused {status}");
    let coloured = format!("{}{what}{}", bad.render(), bad.render_reset());
    lines.print(row.replacen(&what, &coloured, 1));
}

/// Prints a row for an accepted event that does not come to the topic.
pub fn unparsed(lines: &Lines, error: NotJson) {
    let warn = anstyle::AnsiColor::Yellow.on_default();
    let columns = terminal::columns(io::stdout());
    let time = Layout::of(columns).now();
    let what = "dead letter";
    let row = format!("{time}  {what}  unparsed: a signed body is not one JSON document: {error}");
    let row = fitted(&row, columns, width(&time) + 2);
    let coloured = format!("{}{what}{}", warn.render(), warn.render_reset());
    lines.print(row.replacen(what, &coloured, 1));
}

fn refusal_row(
    time: &str,
    (method, path): (&str, &str),
    status: u16,
    reason: &str,
    detail: &str,
    columns: Option<usize>,
) -> String {
    let (method, path) = match columns {
        Some(_) => (shortened(method, MAX_METHOD), shortened(path, MAX_PATH)),
        None => (printable(method), printable(path)),
    };
    let row = format!("{time}  refused {status}  {method} {path}  {reason}: {detail}");
    fitted(&row, columns, width(time) + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_refusal_is_longer_than_the_terminal() {
        let path = format!("/{}", "p".repeat(999));
        let detail = "The header X-Retell-Signature is missing.";
        for columns in 60..200 {
            let request = ("PROPFIND", path.as_str());
            let text = refusal_row(
                "00:00:00.000",
                request,
                401,
                "signature_missing",
                detail,
                Some(columns),
            );
            assert!(text.lines().all(|line| width(line) <= columns), "{text}");
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.ends_with(detail), "{text}");
        }
    }

    #[test]
    fn in_a_pipe_a_refused_request_is_whole() {
        let path = format!("/{}", "p".repeat(999));
        let row = refusal_row("t", ("PROPPATCH-LONGER", &path), 404, "r", "d", None);
        assert_eq!(
            row,
            format!("t  refused 404  PROPPATCH-LONGER {path}  r: d")
        );
    }

    #[test]
    fn a_refused_request_is_shown_with_its_method_and_path() {
        let row = |columns| {
            let request = ("POST", "/webhok\u{1b}[2J");
            refusal_row(
                "00:00:00",
                request,
                404,
                "unknown_path",
                "No source has it.",
                columns,
            )
        };
        assert_eq!(
            row(None),
            r"00:00:00  refused 404  POST /webhok\u001b[2J  unknown_path: No source has it."
        );
        assert_eq!(
            row(Some(60)),
            "00:00:00  refused 404  POST /webhok\\u001b[2J  unknown_path:\n          No source has it."
        );
    }
}
