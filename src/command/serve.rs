//! `ringback serve`: the relay.

use std::path::PathBuf;

use crate::app::{App, Ports};
use crate::config::{Config, Environment, Purpose};
use crate::signal::Signals;
use crate::telemetry;

use super::CommandError;

/// The relay's command line; everything else is configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback serve --config /etc/ringback/ringback.toml
  RINGBACK_KAFKA__TOPIC=calls ringback serve --config ringback.toml

Any key can be set by environment, as in the second example.
SIGTERM ends in order: unready, listener closed, requests answered, journal published, exit 0. \
SIGHUP reads the keys and Kafka's credentials anew.")]
pub struct Arguments {
    /// The configuration file (TOML); config/ringback.toml shows every key
    #[arg(long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: PathBuf,
}

/// The threads that take requests: half of the cores. The other half of an event's cost is the journal's and Kafka's
/// threads', and a worker too many costs more in handing work around than it gives.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// Runs until a signal ends it.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = Config::load(
        &arguments.config,
        &Environment::of_process(),
        Purpose::Relay,
    )?;
    telemetry::log("info")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let signals = Signals::listen()?;
        let ports = Ports::bind(config.admin.address, config.listen.address)?;
        let app = App::start(config, ports, |ingest| ingest).await?;
        app.run(signals).await.map_err(CommandError::from)
    });
    // What still runs is a connection cut off at the deadline; its client gets no answer either way.
    runtime.shutdown_background();
    outcome
}
