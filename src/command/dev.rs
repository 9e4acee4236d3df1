//! `ringback dev`: everything on this machine, with nothing to install and nothing left behind.
//!
//! The relay is the real one, on a temporary journal; only Kafka is librdkafka's in-process mock, which other clients
//! can connect to as well.

mod kafka;
mod verdicts;
mod watch;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anstream::println;

use crate::app::{App, AppError, Ports};
use crate::config::{Config, Environment};
use crate::signal::Signals;
use crate::telemetry;

use super::CommandError;
use crate::ingest::Observation;
use verdicts::Verdicts;

const TOPIC: &str = "retell-events";
/// The variable that the sender's own samples use.
const KEY_VARIABLE: &str = "RETELL_API_KEY";

/// What can be chosen; the rest is fixed so that the quick start's curl works word for word.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback dev
  ringback dev --port 9000 --admin-port 9001
  RETELL_API_KEY=key_… ringback dev
  RETELL_API_KEY=key_… ringback dev --require-signature

With RETELL_API_KEY it tells of each signature whether it is right, with --require-signature it refuses where it is not.")]
pub struct Arguments {
    /// Port of the webhook listener on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Port of /metrics, /livez and /readyz on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 9464)]
    admin_port: u16,
    /// Refuse events without a valid signature (needs RETELL_API_KEY)
    #[arg(long)]
    require_signature: bool,
}

/// Runs until Ctrl-C.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    // The terminal belongs to the events; faults still show.
    telemetry::log("warn,librdkafka=error")?;
    let key_is_set = std::env::var_os(KEY_VARIABLE).is_some_and(|key| !key.is_empty());
    if arguments.require_signature && !key_is_set {
        return Err(CommandError::NoKey);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // Before anything is made that an early signal would leave behind.
    let signals = {
        let _entered = runtime.enter();
        Signals::listen()?.without_reload()
    };
    // Before anything that would have to be undone, and has a log of its own.
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ports = Ports::bind(local(arguments.admin_port), local(arguments.port));
    let ports = ports.map_err(in_dev_s_words)?;
    let folder = tempfile::Builder::new().prefix("ringback-dev-").tempdir()?;
    let cluster = kafka::Cluster::start(TOPIC)?;
    let text = configuration(arguments, folder.path(), &cluster.bootstrap, key_is_set);
    let config = Config::parse(&text, "ringback dev", &Environment::default())?;

    let outcome = runtime.block_on(async {
        let lenient = key_is_set && !arguments.require_signature;
        let verdicts = lenient.then(Verdicts::default);
        let (bootstrap, partitions) = (&cluster.bootstrap, kafka::PARTITIONS);
        let watch = watch::Watch::start(bootstrap, TOPIC, partitions, verdicts.clone())?;
        let app = App::start(config, ports, |ingest| {
            ingest.observing(lenient, move |observation| match observation {
                Observation::Accepted { id, signature } => {
                    if let Some(verdicts) = &verdicts {
                        verdicts.keep(id, *signature);
                    }
                }
                Observation::Refused {
                    status,
                    reason,
                    detail,
                } => watch::refusal(*status, reason, detail),
            })
        })
        .await
        .map_err(in_dev_s_words)?;
        greet(arguments, &app, &cluster.bootstrap, key_is_set);
        let outcome = app.run(signals).await;
        watch.stop();
        println!("\nStopped. The journal and the topic were temporary and are gone.");
        outcome.map_err(CommandError::from)
    });
    runtime.shutdown_background();
    outcome
}

/// A port is an option here, not a key of a file.
fn in_dev_s_words(error: AppError) -> CommandError {
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

/// The same way into the program as a user's own file.
fn configuration(
    arguments: &Arguments,
    folder: &Path,
    bootstrap: &str,
    key_is_set: bool,
) -> String {
    let source = if key_is_set {
        format!("verify = \"retell\"\nkeys = [{{ env = \"{KEY_VARIABLE}\" }}]")
    } else {
        String::from("verify = \"none\"")
    };
    let folder = toml::Value::String(folder.display().to_string());
    let Arguments {
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
topic = "{TOPIC}"
[kafka.client]
"bootstrap.servers" = "{bootstrap}"
[shutdown]
readiness_delay = "0s"
drain_deadline = "3s"
[[source]]
name = "retell"
path = "/webhook"
key_pointers = ["/call/call_id", "/data/call_id", "/chat/chat_id"]
{source}
"#
    )
}

fn greet(arguments: &Arguments, app: &App, bootstrap: &str, key_is_set: bool) {
    let bold = anstyle::Style::new().bold();
    let (on, off) = (bold.render(), bold.render_reset());
    let port = app.address().port();
    let signatures = match (key_is_set, arguments.require_signature) {
        (false, _) => "not checked: set RETELL_API_KEY to see each one's verdict",
        (true, false) => "checked and told, not required (--require-signature refuses)",
        (true, true) => "required",
    };
    println!(
        "{on}ringback dev{off}: relay, Kafka and journal on this machine; nothing is kept

  {on}Webhooks{off}    http://localhost:{port}/webhook
  {on}Signatures{off}  {signatures}
  {on}Kafka{off}       {bootstrap}, topic {TOPIC}, {partitions} partitions, for any Kafka client on this machine
              (an embedded mock: memory only, 5 MiB a partition, beyond which the oldest events go)
  {on}Metrics{off}     http://localhost:{admin}/metrics

  {try_it}
  Read along:
    kcat -C -b {bootstrap} -t {TOPIC} -f '%k %h %s\\n'

  Each event as it arrives in the topic, each refused request; Ctrl-C ends.
",
        try_it = try_it(arguments, port, bootstrap),
        partitions = kafka::PARTITIONS,
        admin = app.admin_address().port(),
    );
    watch::heading(key_is_set && !arguments.require_signature);
}

/// A command that is answered 204, for another terminal.
fn try_it(arguments: &Arguments, port: u16, bootstrap: &str) -> String {
    if arguments.require_signature {
        // Small enough for the mock's partitions.
        return format!(
            "Try it, with {KEY_VARIABLE} set there too, since it signs:
    ringback prove --url http://localhost:{port}/webhook --bootstrap {bootstrap} \\
      --rate 20 --duration 5s --size 2KiB"
        );
    }
    format!(
        r#"Try it:
    curl --location 'localhost:{port}/webhook' --header 'Content-Type: application/json' \
      --data '{{"event":"call_ended","call":{{"call_id":"Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6"}}}}' --include"#
    )
}
