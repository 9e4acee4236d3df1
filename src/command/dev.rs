//! `ringback dev`: everything on this machine, with nothing to install and nothing left behind.
//!
//! The relay is the real one, on a temporary journal. Kafka is librdkafka's in-process mock, to which other clients that use
//! librdkafka can connect too. Others ask for a newer list of API versions than it knows, and cannot read its answer.

mod body;
mod display;
mod kafka;
mod row;
mod signatures;
mod terminal;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anstream::println;

use super::{CommandError, DEFAULT_TOPIC, RETELL_KEY, block_on};
use crate::app::{App, AppError, Ports};
use crate::config::{Config, Environment};
use crate::ingest::Observation;
use crate::signal::Signals;
use crate::telemetry;
use display::EventPrinter;
use kafka::{EmbeddedKafka, PARTITIONS};
use signatures::SignatureNotes;

/// Everything else is fixed, so that the quick start's curl works word for word.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback dev
  ringback dev --port 9000 --admin-port 9001
  RETELL_API_KEY=key_… ringback dev
  RETELL_API_KEY=key_… ringback dev --require-signature

A row has the time at which the event arrived in the topic, its name, key, partition and offset, its size, and the \
time from the POST to Kafka. A terminal gets what fits its width, and colours unless NO_COLOR is set: refused requests are red, \
dead letters yellow, and events whose id came before dim. A pipe or file gets each row whole. The embedded Kafka is for kcat, confluent-kafka and other clients that use librdkafka; Java's \
clients wait for ever, and so does kafka-python without api_version=(2, 3).

With RETELL_API_KEY set, each row shows whether the event's signature is valid; with --require-signature, events \
without a valid signature are refused.")]
pub struct DevArgs {
    /// Port of the webhook listener on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Port of /metrics, /livez and /readyz on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 9464)]
    admin_port: u16,
    /// Refuse events without a valid signature (needs RETELL_API_KEY)
    #[arg(long)]
    require_signature: bool,
    /// Show each event's body below its row, at most 4 KiB of it
    #[arg(short, long)]
    verbose: bool,
}

/// Runs until Ctrl-C.
pub fn run(arguments: &DevArgs) -> Result<(), CommandError> {
    // The terminal belongs to the events; problems still show.
    // The journal is temporary: it may be on any kind of volume.
    telemetry::log("warn,librdkafka=error,ringback::journal::disk::volume=off")?;
    let key_is_set = std::env::var_os(RETELL_KEY).is_some_and(|key| !key.is_empty());
    if arguments.require_signature && !key_is_set {
        return Err(CommandError::NoKey);
    }
    block_on(None, relay(arguments, key_is_set))
}

async fn relay(arguments: &DevArgs, key_is_set: bool) -> Result<(), CommandError> {
    // First, so that an early signal leaves no temporary folder behind.
    let signals = Signals::listen()?.without_reload();
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ports = Ports::bind(local(arguments.admin_port), local(arguments.port));
    let ports = ports.map_err(name_option)?;
    let folder = tempfile::Builder::new().prefix("ringback-dev-").tempdir()?;
    let kafka = EmbeddedKafka::start(DEFAULT_TOPIC)?;
    let text = configuration(arguments, folder.path(), &kafka.bootstrap, key_is_set);
    let config = Config::parse(&text, "ringback dev", &Environment::default())?;

    let lenient = key_is_set && !arguments.require_signature;
    let notes = lenient.then(SignatureNotes::default);
    let printer = EventPrinter::start(
        &kafka.bootstrap,
        DEFAULT_TOPIC,
        PARTITIONS,
        notes.clone(),
        arguments.verbose,
    )?;
    let app = App::start(config, None, ports, |ingest| {
        ingest.observing(lenient, move |observation| match observation {
            Observation::Accepted {
                unparsed: Some(error),
                ..
            } => display::unparsed(*error),
            Observation::Accepted { id, signature, .. } => {
                if let Some(notes) = &notes {
                    notes.keep(id, signature.as_ref().err());
                }
            }
            Observation::Refused {
                status,
                reason,
                detail,
                method,
                path,
            } => display::refusal((method, path), *status, reason, detail),
        })
    })
    .await
    .map_err(name_option)?;
    greet(arguments, &app, &kafka.bootstrap, key_is_set);
    let outcome = app.run(signals).await;
    printer.stop();
    println!("\nStopped. The journal and the topic were temporary and are gone.");
    Ok(outcome?)
}

/// Replaces the configuration key in an error, which `dev` has no file for, by the option that chooses another port.
fn name_option(error: AppError) -> CommandError {
    match error {
        AppError::Bind {
            address,
            key,
            source,
        } => CommandError::Port {
            address,
            option: if key == "admin.address" {
                "--admin-port"
            } else {
                "--port"
            },
            source,
        },
        other => CommandError::App(other),
    }
}

/// A configuration file like a user's own, so that `dev` starts as `serve` does.
fn configuration(arguments: &DevArgs, folder: &Path, bootstrap: &str, key_is_set: bool) -> String {
    let source = if key_is_set {
        format!("verify = \"retell\"\nkeys = [{{ env = \"{RETELL_KEY}\" }}]")
    } else {
        String::from("verify = \"none\"")
    };
    let folder = toml::Value::String(folder.display().to_string());
    let DevArgs {
        port, admin_port, ..
    } = arguments;
    format!(
        r#"[listen]
address = "127.0.0.1:{port}"
[admin]
address = "127.0.0.1:{admin_port}"
[journal]
path = {folder}
segment_size = "16MiB"
budget = "256MiB"
[kafka]
topic = "{DEFAULT_TOPIC}"
[kafka.client]
"bootstrap.servers" = "{bootstrap}"
[shutdown]
readiness_delay = "0s"
drain_deadline = "3s"
[[source]]
name = "retell"
path = "/webhook"
{source}
"#
    )
}

fn greet(arguments: &DevArgs, app: &App, bootstrap: &str, key_is_set: bool) {
    let bold = anstyle::Style::new().bold();
    let (on, off) = (bold.render(), bold.render_reset());
    let port = app.address().port();
    let signatures = match (key_is_set, arguments.require_signature) {
        (false, _) => "not checked: set RETELL_API_KEY to check each one",
        (true, false) => "checked, not required (--require-signature refuses invalid ones)",
        (true, true) => "required",
    };
    println!(
        "{on}ringback dev{off}: relay, Kafka and journal on this machine; nothing is kept

  {on}Webhooks{off}    http://localhost:{port}/webhook
  {on}Signatures{off}  {signatures}
  {on}Kafka{off}       {bootstrap}, topic {DEFAULT_TOPIC}, {PARTITIONS} partitions: an embedded
              mock in memory, for kcat, confluent-kafka and other clients that
              use librdkafka (Java's clients wait for ever); beyond 5 MiB per
              partition it deletes the oldest events
  {on}Status{off}      http://localhost:{admin}/, with metrics at /metrics

  {try_it}
  Read the topic:
    kcat -C -b {bootstrap} -t {DEFAULT_TOPIC} -f '%k %h %s\\n'

  Below: each event as it arrives in the topic, and each refused request.
  Ctrl-C stops.
",
        try_it = try_it(arguments, port, bootstrap),
        admin = app.admin_address().port(),
    );
    display::heading(key_is_set && !arguments.require_signature);
}

/// A command for another terminal whose event is answered 204.
fn try_it(arguments: &DevArgs, port: u16, bootstrap: &str) -> String {
    if arguments.require_signature {
        // Few enough bytes for the mock's partitions.
        return format!(
            "Try it in another terminal. Set {RETELL_KEY} there too, because it signs
  the events:
    ringback prove --url http://localhost:{port}/webhook \\
      --bootstrap {bootstrap} --rate 20 --duration 5s --size 2KiB"
        );
    }
    format!(
        r#"Try it:
    curl --location 'localhost:{port}/webhook' --include \
      --header 'Content-Type: application/json' \
      --data '{{"event":"call_ended",
        "call":{{"call_id":"Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6"}}}}'"#
    )
}
