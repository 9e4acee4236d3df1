//! A journal with a backlog, as an outage of Kafka leaves it.

use std::collections::VecDeque;
use std::path::Path;

use bytes::Bytes;
use bytesize::ByteSize;
use ringback::event::{Carried, Event};
use ringback::journal::{self, Config, Metrics};
use ringback::telemetry::Registry;

use super::bodies::{Size, bodies};

/// Events that wait for a sync at once.
const IN_FLIGHT: usize = 4_096;
/// Number of different events; then they repeat.
const POOL: usize = 1_024;

/// The configuration of a journal in this folder.
pub fn config(path: &Path) -> Config {
    Config {
        path: path.to_owned(),
        budget: ByteSize::gib(64),
        ..Config::default()
    }
}

/// Writes `events` events into a new journal and closes it.
pub fn fill(path: &Path, size: Size, events: u64) {
    let metrics = Metrics::register(&Registry::new()).expect("fresh metrics can be registered");
    let journal = journal::open(&config(path), metrics).expect("a fresh journal opens");
    let pool: Vec<_> = bodies(size, POOL, 2)
        .into_iter()
        .map(|body| (body.call_id, body.kind, Bytes::from(body.bytes)))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut commits = VecDeque::new();
        for (call_id, kind, body) in (0..events).zip(pool.iter().cycle()).map(|(_, event)| event) {
            let event = Event {
                received_ms: now_ms(),
                source: "retell",
                kind,
                key: Some(call_id),
                id: "0123456789abcdef0123456789abcdef",
                content_type: "application/json",
                traceparent: "",
                tracestate: "",
                carried: Carried::default(),
                is_unparsed: false,
                body: &[],
            };
            commits.push_back(
                journal
                    .appender
                    .append(event.encode_envelope(), body.clone())
                    .expect("there is room"),
            );
            if commits.len() >= IN_FLIGHT
                && let Some(commit) = commits.pop_front()
            {
                commit.await.expect("it is synced");
            }
        }
        for commit in commits {
            commit.await.expect("it is synced");
        }
    });
    drop(journal.appender);
    journal.truncator.close().expect("the journal closes");
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
