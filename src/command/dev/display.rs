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

use super::signatures::SignatureNotes;
use crate::command::CommandError;
use crate::command::render::{printable, size};
use crate::ingest::NotJson;
use crate::time::{now_ms, rfc3339};

/// The printer notices within this time that it is to stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// The running consumer that prints events.
pub struct EventPrinter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl EventPrinter {
    /// Reads every partition from its beginning. With `notes`, a row ends with the note on its event's signature.
    pub fn start(
        bootstrap: &str,
        topic: &str,
        partitions: i32,
        notes: Option<SignatureNotes>,
    ) -> Result<Self, CommandError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "ringback-dev")
            .set("enable.auto.commit", "false")
            // The mock answers a fetch only after this time, which the rows show as part of the latency.
            .set("fetch.wait.max.ms", "20")
            .create()?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
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
                            let id = header(&message, "ce_id").unwrap_or_default();
                            let note = notes.as_ref().and_then(|notes| notes.take(id));
                            println!("{}", row(&message, note.as_deref()));
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
    println!(
        "{}{:<12}  {:<20}  {:<36}  {:>16}  {:>9}  {:>12}{}{}",
        dim.render(),
        "time (UTC)",
        "event",
        "key",
        "partition@offset",
        "size",
        "POST→Kafka",
        if with_notes { "  signature" } else { "" },
        dim.render_reset()
    );
}

/// Prints a row for a refused request.
pub fn refusal(status: u16, reason: &str, detail: &str) {
    let bad = anstyle::AnsiColor::Red.on_default();
    println!(
        "{:<12}  {}refused {status}{}  {reason}: {detail}",
        time_of_day(now_ms()),
        bad.render(),
        bad.render_reset()
    );
}

/// Prints a row for an accepted event that does not come to the topic.
pub fn unparsed(error: NotJson) {
    let warn = anstyle::AnsiColor::Yellow.on_default();
    println!(
        "{:<12}  {}dead letter{}  unparsed: a signed body is not one JSON document: {error}",
        time_of_day(now_ms()),
        warn.render(),
        warn.render_reset()
    );
}

/// The time of day in UTC, with milliseconds.
fn time_of_day(unix_ms: u64) -> String {
    let time = rfc3339(unix_ms);
    time.get(11..23).unwrap_or_default().to_owned()
}

fn row(message: &BorrowedMessage<'_>, note: Option<&str>) -> String {
    let kind = header(message, "ce_type").unwrap_or_default();
    let kind = kind.split_once('.').map_or(kind, |(_source, kind)| kind);
    let key = message.key().map_or_else(
        || String::from("(no key)"),
        |key| printable(&String::from_utf8_lossy(key)),
    );
    let now = now_ms();
    let posted = message.timestamp().to_millis().unwrap_or_default();
    let took = now.cast_signed() - posted;
    let time = time_of_day(now);
    let (gap, note) = note.map_or(("", ""), |note| ("  ", note));
    let place = format!("{}@{}", message.partition(), message.offset());
    let size = size(message.payload_len() as u64);
    let kind = printable(kind);
    format!("{time:<12}  {kind:<20}  {key:<36}  {place:>16}  {size:>9}  {took:>9} ms{gap}{note}")
}

fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}
