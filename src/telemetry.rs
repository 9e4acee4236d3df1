//! The process's logs and its registry of metrics.

mod level;
mod registry;

use std::error::Error;
use std::io::IsTerminal as _;

use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Opts, TextEncoder};

pub use level::LevelError;
pub use registry::{Family, Registry};

/// The namespace of ringback's own metrics.
const NAMESPACE: &str = "ringback";

/// The commit that this program was built from, or `unknown`.
pub const COMMIT: &str = env!("BUILD_COMMIT");

/// The environment variable that sets the log level, in tracing's directive syntax, such as `info` or
/// `ringback=debug`.
pub const LOG_VARIABLE: &str = "RINGBACK_LOG";

/// Starts logging to standard error: readable lines if that is a terminal, else JSON lines.
///
/// `default` is the level if [`LOG_VARIABLE`] is unset or empty. A second call changes nothing.
pub fn log(default: &str) -> Result<(), LevelError> {
    let filter = level::filter(log_variable().as_deref(), default)?;
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none());
    let lines = if terminal {
        lines.boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    let outcome = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    // Only tests set a second subscriber; the first one stays.
    drop(outcome);
    Ok(())
}

/// Checks [`LOG_VARIABLE`] as [`log`] does, so that commands that log nothing report a mistake in it too.
pub fn check_level() -> Result<(), LevelError> {
    level::filter(log_variable().as_deref(), "off").map(drop)
}

fn log_variable() -> Option<String> {
    let value = std::env::var_os(LOG_VARIABLE)?;
    Some(value.to_string_lossy().into_owned())
}

/// The error's text, followed by those of its causes.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Kafka's and TOML's errors repeat their source's text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// All metrics: ringback's own under `ringback_`, those of the process under Prometheus' usual `process_`.
#[derive(Clone, Debug)]
pub struct Metrics {
    ringback: Registry,
    process: prometheus::Registry,
    ready: IntGauge,
}

impl Metrics {
    /// Registers `ringback_build_info`, `ringback_ready` and the process's metrics.
    pub fn new() -> Result<Self, prometheus::Error> {
        let ringback = Registry::with_prefix(NAMESPACE)?;
        let process = prometheus::Registry::new();
        process.register(Box::new(ProcessCollector::for_self()))?;
        let build = Opts::new(
            "build_info",
            "Constant 1, labelled with the version and the commit of this ringback",
        )
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("commit", COMMIT);
        let build = IntGauge::with_opts(build)?;
        build.set(1);
        ringback.register(Box::new(build))?;
        let ready = ringback.gauge(
            "ready",
            "1 while /readyz answers 200; 0 while starting, after a failed write or sync, and while shutting down",
        )?;
        Ok(Self {
            ringback,
            process,
            ready,
        })
    }

    /// The registry for the modules' metrics; it adds the namespace to their names.
    pub fn registry(&self) -> &Registry {
        &self.ringback
    }

    /// All metrics in Prometheus' text format, version 0.0.4, with the present readiness.
    pub fn encode(&self, is_ready: bool) -> Result<String, prometheus::Error> {
        self.ready.set(i64::from(is_ready));
        let mut families = self.ringback.gather();
        families.extend(self.process.gather());
        TextEncoder::new().encode_to_string(&families)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ringback_s_metrics_have_the_namespace_and_the_process_s_their_usual_names()
    -> Result<(), prometheus::Error> {
        let text = Metrics::new()?.encode(true)?;
        let version = env!("CARGO_PKG_VERSION");
        let labels = format!("{{commit=\"{COMMIT}\",version=\"{version}\"}}");
        assert!(
            text.contains(&format!("ringback_build_info{labels} 1")),
            "{text}"
        );
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        Ok(())
    }
}
