//! `ringback serve`: the relay.

mod ending;
mod overview;
mod screen;

use std::path::PathBuf;

use super::{CommandError, block_on, load};
use crate::app::{App, AppError, ConfigFile, Ports};
use crate::config::Purpose;
use crate::signal::Signals;
use crate::telemetry;
use overview::Overview;
use sd_notify::NotifyState;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback serve --config /etc/ringback/ringback.toml
  RINGBACK_KAFKA__TOPIC=calls ringback serve --config ringback.toml

Every key can be set by an environment variable, as in the second example.
SIGTERM or Ctrl-C stops it in order: not ready for shutdown.readiness_delay, listener closed, requests answered, journal \
published, exit 0. Another one skips what it waits for at the time: the rest of the delay, or Kafka; what is not published \
stays in the journal. \
A changed configuration is taken within seconds, also on SIGHUP: sources, keys and limits at once, the rest by a restart; a bad one is refused and the present one goes on. SIGHUP makes it read the listener's certificate, the admin token and Kafka's credentials again, too.")]
pub struct ServeArgs {
    /// The configuration file (TOML); config/ringback.toml shows every key
    #[arg(short, long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: PathBuf,
}

/// The number of threads that serve requests: half of the cores. The journal's and Kafka's threads need the other half;
/// with more workers, moving tasks between them costs more than they gain.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// Runs until a signal ends it.
pub fn run(arguments: &ServeArgs) -> Result<(), CommandError> {
    let path = &arguments.config;
    let file = ConfigFile::new(path.clone());
    let config = load(path, Purpose::Relay)?;
    telemetry::log("info")?;
    block_on(Some(workers()), async {
        let signals = Signals::listen()?;
        let admin = (config.admin.address, "admin.address");
        let ports = Ports::bind(admin, (config.listen.address, "listen.address"));
        let ports = ports.map_err(AppError::Bind)?;
        let app = App::start(config, Some(file), ports, |ingest| ingest).await?;
        Overview::of(&app).report();
        // Nothing unless systemd waits for it (Type=notify).
        if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
            tracing::warn!(%error, "systemd was not told that ringback is ready");
        }
        let (summary, outcome) = app.run(signals).await;
        ending::report(&summary);
        Ok(outcome?)
    })
}
