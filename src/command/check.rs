//! `ringback check`: is this configuration valid?

use std::io::Write as _;
use std::path::PathBuf;

use crate::app::NO_DEAD_LETTER_TOPIC;
use crate::config::{Config, Environment, Purpose};
use crate::ingest;
use crate::publish::Ack;

use super::CommandError;
use super::render::printable;

/// Which configuration to check.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback check --config config/ringback.toml
  ringback check --config ringback.toml && systemctl restart ringback

If it is valid, the last line says so, and what `serve` would do with it. The files that it names are opened; the journal \
and the ports are not, and no broker is asked, so `serve` may still fail at those.
Exit codes: 0 valid, 78 invalid (every mistake with its key, its line or variable, and a remedy).")]
pub struct Arguments {
    /// The configuration file (TOML)
    #[arg(short, long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: PathBuf,
}

/// Prints the effective configuration without secrets, and what would happen next. Binds no port and creates nothing.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = Config::load(
        &arguments.config,
        &Environment::of_process(),
        Purpose::Relay,
    )?;
    let mut out = anstream::stdout();
    write!(out, "{}\n{}\n", config.show(), conclusion(&config))?;
    // Read once more: `load` has refused what cannot be used, and keeps nothing of it.
    let validity = config.listen.tls.as_ref();
    let validity = validity.and_then(|tls| ingest::inspect_certificate(tls).ok());
    if let Some(validity) = validity {
        let words = validity.fault().map_or_else(
            || format!("TLS: the certificate is valid until {validity}."),
            |fault| format!("Warning: {fault}"),
        );
        writeln!(out, "# {}", printable(&words))?;
    }
    Ok(out.flush()?)
}

/// A comment, so that what is printed stays a configuration.
fn conclusion(config: &Config) -> String {
    let sources: Vec<_> = config.source.iter().map(|source| &*source.name).collect();
    let (sources, address) = (sources.join(", "), config.listen.address);
    let topics = config.publish().topics();
    let topic = match topics.used() {
        [topic] => format!("the topic {topic}"),
        topics => format!("the topics {}", topics.join(", ")),
    };
    let brokers = config.kafka.client.brokers().unwrap_or_default();
    let plan = match config.ack {
        Ack::Disk => format!(
            "keep their events in {} and publish them to {topic} at {brokers}",
            config.journal.path.display()
        ),
        Ack::Kafka => format!(
            "publish their events to {topic} at {brokers} and answer each once Kafka has acknowledged it: while Kafka \
             is away they are answered 503, and nothing is kept on disk"
        ),
    };
    let words = format!(
        "All is well. `ringback serve` would accept the webhooks of {sources} on {address}, {plan}. Kafka was not asked."
    );
    let mut lines = vec![format!("# {}", printable(&words))];
    let keyless = config.source.iter().filter(|source| !source.has_key());
    let keyless: Vec<_> = keyless.map(|source| &*source.name).collect();
    if !keyless.is_empty() {
        let words = format!(
            "Note: records of {} have no key, so Kafka keeps no order among them: set key_pointers or key_header, unless order \
             does not matter.",
            keyless.join(", ")
        );
        lines.push(format!("# {}", printable(&words)));
    }
    if config.ack == Ack::Kafka {
        if config.kafka.dead_letter_topic.is_none() {
            lines.push(format!("# {NO_DEAD_LETTER_TOPIC}"));
        }
        let times = [config.listen.commit_timeout, config.shutdown.drain_deadline];
        if times[0] > times[1] {
            let [patience, drain] = times.map(humantime::format_duration);
            lines.push(format!(
                "# Warning: listen.commit_timeout ({patience}) is longer than shutdown.drain_deadline ({drain}): at a shutdown, who \
                 still waits for Kafka then is answered 503 early; raise shutdown.drain_deadline"
            ));
        }
    }
    lines.join("\n")
}
