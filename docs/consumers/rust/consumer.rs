//! Keeps each of ringback's events exactly once in a table, in order per key.
//!
//! The row is the event's result and the mark that it was done, so no crash can come between the two. ../README.md says why these
//! columns tell a repetition from an event.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rusqlite::{Connection, params};
use signal_hook::consts::{SIGINT, SIGTERM};

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS events (
    journal TEXT NOT NULL, position INTEGER NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,
    type TEXT NOT NULL, time TEXT NOT NULL, key TEXT, body BLOB,
    PRIMARY KEY (journal, position), -- both are repeated by a resend of ringback
    UNIQUE (source, id)              -- both are repeated by a sender's retry
)";
const INSERT: &str = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
const MAX_BATCH: usize = 500;

/// Does the work for the events that are new, all in one transaction. Returns a line for each of them.
fn keep(
    database: &mut Connection,
    messages: &[BorrowedMessage<'_>],
) -> Result<Vec<String>, Box<dyn Error>> {
    let mut new = Vec::new();
    // It is rolled back if anything fails.
    let transaction = database.transaction()?;
    let mut insert = transaction.prepare(INSERT)?;
    for message in messages {
        let headers: HashMap<_, _> = message
            .headers()
            .iter()
            .flat_map(|headers| headers.iter())
            .filter_map(|header| Some((header.key, str::from_utf8(header.value?).ok()?)))
            .collect();
        let header = |name| headers.get(name).copied();
        let Some(position) = header("ringback_position") else {
            let (topic, partition, offset) =
                (message.topic(), message.partition(), message.offset());
            eprintln!("not ringback's: {topic}/{partition}@{offset}");
            continue;
        };
        let position: i64 = position.parse()?;
        let key = message.key().map(str::from_utf8).transpose()?;
        let row = params![
            header("ringback_journal"),
            position,
            header("ce_source"),
            header("ce_id"),
            header("ce_type"),
            header("ce_time"),
            key,
            message.payload(),
        ];
        if insert.execute(row)? == 1 {
            // Your own statements for this event go here: they are committed with its row or not at all.
            let line = serde_json::json!({
                "key": key, "event": header("ce_type"), "ce_id": header("ce_id"), "position": position
            });
            new.push(line.to_string());
        }
    }
    drop(insert);
    transaction.commit()?;
    Ok(new)
}

/// What the client has fetched, up to a batch; waits a moment if that is nothing.
fn fetched(consumer: &BaseConsumer) -> Result<Vec<BorrowedMessage<'_>>, Box<dyn Error>> {
    let mut messages = Vec::new();
    let mut patience = Duration::from_millis(200);
    while messages.len() < MAX_BATCH {
        match consumer.poll(patience) {
            None => break,
            Some(Ok(message)) => messages.push(message),
            // The client tries again, unless the error is fatal: a broker that is away, a leader that moves.
            Some(Err(error)) => match consumer.client().fatal_error() {
                Some((_, reason)) => return Err(reason.into()),
                None => eprintln!("{error}"),
            },
        }
        patience = Duration::ZERO;
    }
    Ok(messages)
}

fn main() -> Result<(), Box<dyn Error>> {
    let env = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let mut database = Connection::open(env("DATABASE", "events.db"))?;
    database.execute(TABLE, [])?;

    let consumer: BaseConsumer = ClientConfig::new()
        .set(
            "bootstrap.servers",
            env("BOOTSTRAP_SERVERS", "localhost:9092"),
        )
        .set("group.id", env("GROUP", "events"))
        // A new group begins with the oldest event.
        .set("auto.offset.reset", "earliest")
        // A timer would commit what is not in the table yet.
        .set("enable.auto.commit", "false")
        // Another consumer takes over from a dead one after this.
        .set("session.timeout.ms", "10000")
        .create()?;
    consumer.subscribe(&[&env("TOPIC", "retell-events")])?;

    while !stop.load(Ordering::Relaxed) {
        let messages = fetched(&consumer)?;
        if messages.is_empty() {
            continue;
        }
        for line in keep(&mut database, &messages)? {
            println!("{line}");
        }
        // It fails for example after a rebalance: the same events come once more, and are known by then.
        if let Err(error) = consumer.commit_consumer_state(CommitMode::Sync) {
            eprintln!("offsets not committed: {error}");
        }
    }
    Ok(())
}
