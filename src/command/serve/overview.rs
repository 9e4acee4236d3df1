//! What a started relay does, for the operator: one screen on a terminal, else one line of the log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::screen::Screen;
use crate::app::App;
use crate::command::render::{count, printable, size};
use crate::config::Config;
use crate::ingest::{KeyConfig, SourceConfig, Verify};
use crate::outage;
use crate::publish::Ack;

/// Events per second for which to say how long an outage is held: a small sender, and a busy one.
const RATES: [u32; 2] = [10, 100];

/// Everything that either form shows; the texts have no control characters and no secrets.
#[derive(Debug)]
pub struct Overview {
    webhooks: String,
    admin: SocketAddr,
    /// Of each: its name, its paths, and how requests are authenticated.
    sources: Vec<[String; 3]>,
    brokers: String,
    topics: String,
    journal: Option<Journal>,
}

#[derive(Debug)]
struct Journal {
    path: String,
    /// In bytes.
    budget: u64,
    /// What is not used yet, in bytes.
    room: u64,
    unpublished: u64,
}

impl Overview {
    pub fn of(app: &App) -> Self {
        let config = app.config();
        let scheme = if config.listen.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let room = app.journal().filter(|_| config.ack == Ack::Disk);
        Self {
            webhooks: format!("{scheme}://{}", app.address()),
            admin: app.admin_address(),
            sources: config.source.iter().map(describe).collect(),
            brokers: printable(config.kafka.client.brokers().unwrap_or_default()),
            topics: topics(config),
            journal: room.map(|now| Journal {
                path: printable(&absolute(&config.journal.path).display().to_string()),
                budget: now.budget,
                room: now.budget.saturating_sub(now.bytes),
                unpublished: now.unpublished,
            }),
        }
    }

    /// How long an outage is held, at each rate.
    fn outages(&self) -> Option<[(u32, String); 2]> {
        let room = self.journal.as_ref()?.room;
        Some(RATES.map(|rate| (rate, outage::words(outage::held_at(room, rate)))))
    }

    /// One line of the log.
    fn log(&self) {
        let sources: Vec<_> = self.sources.iter().map(|source| source.join(" ")).collect();
        let holds = self.outages().map(|outages| {
            outages
                .map(|(rate, held)| format!("{held} at {rate} events/s of 8 KiB"))
                .join(", ")
        });
        let journal = self.journal.as_ref();
        tracing::info!(
            webhooks = self.webhooks,
            admin = %self.admin,
            sources = sources.join("; "),
            brokers = self.brokers,
            topics = self.topics,
            path = journal.map(|journal| journal.path.as_str()),
            budget = journal.map(|journal| journal.budget),
            unpublished = journal.map(|journal| journal.unpublished),
            holds,
            "serving"
        );
    }

    /// Shows it on a terminal, else logs it.
    pub fn report(&self) {
        match Screen::on_terminal("ringback is ready. Ctrl-C stops it.") {
            Some(screen) => self.fill(screen).show(),
            None => self.log(),
        }
    }

    fn fill(&self, mut screen: Screen) -> Screen {
        let mut row = |name: &str, value: &str| screen.row(name, value);
        row("Webhooks", &self.webhooks);
        let width = |column: usize| {
            self.sources
                .iter()
                .map(|source| source[column].chars().count())
                .max()
        };
        let (names, paths) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
        for (index, [name, path, how]) in self.sources.iter().enumerate() {
            let title = if index == 0 { "Sources" } else { "" };
            row(title, &format!("{name:<names$}  {path:<paths$}  {how}"));
        }
        row("Kafka", &format!("{}, {}", self.brokers, self.topics));
        match (&self.journal, self.outages()) {
            (Some(journal), Some(outages)) => {
                let (budget, waiting) = (size(journal.budget), count(journal.unpublished, "event"));
                row(
                    "Journal",
                    &format!("{}, {budget}; {waiting} in it", journal.path),
                );
                let held = outages
                    .map(|(rate, held)| format!("{held} at {rate} events/s"))
                    .join(", ");
                row(
                    "Outage",
                    &format!("Kafka may be away for {held} (8 KiB each)"),
                );
            }
            _ => row(
                "Journal",
                "none: while Kafka is away, senders are answered 503",
            ),
        }
        row(
            "Admin",
            &format!(
                "http://{}/ (the status page), /readyz?verbose, /metrics",
                self.admin
            ),
        );
        screen
    }
}

fn topics(config: &Config) -> String {
    let topics = config.publish().topics();
    match topics.used() {
        [topic] => format!("topic {topic}"),
        topics => format!("topics {}", topics.join(", ")),
    }
}

fn describe(source: &SourceConfig) -> [String; 3] {
    let paths: Vec<_> = source.path.iter().collect();
    let how = match source.verify {
        Verify::None => String::from("not verified: accepts events from anybody"),
        verify => {
            let keys: Vec<_> = source.keys.iter().map(key).collect();
            format!("verify = {verify}, {}", keys.join(", "))
        }
    };
    [source.name.clone(), paths.join(", "), how].map(|text| printable(&text))
}

/// Names the key and says where ringback reads it. Never shows the key.
fn key(key: &KeyConfig) -> String {
    let origin = key
        .source()
        .map_or_else(String::new, |source| source.masked());
    match &key.name {
        Some(name) => format!("key {name} from {origin}"),
        None => format!("key from {origin}"),
    }
}
/// Where the path leads from here, so that nobody has to know in which folder ringback was started.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
