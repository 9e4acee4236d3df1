//! Logs and the metrics registry: what the process tells of itself.

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

/// The namespace of every metric of ours.
const NAMESPACE: &str = "ringback";

/// The environment variable that sets the log level, in tracing's directive syntax, as `info` or `ringback=debug`.
pub const LOG_VARIABLE: &str = "RINGBACK_LOG";

/// Starts logging to standard error: JSON lines where that is no terminal, readable lines where it is one.
///
/// `default` is the level where [`LOG_VARIABLE`] is unset or empty. A second call changes nothing.
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
    // A second subscriber is a test's; the first stays.
    drop(outcome);
    Ok(())
}

/// What [`log`] would say of [`LOG_VARIABLE`], for commands that log nothing: one mistake is told by all of them.
pub fn check_level() -> Result<(), LevelError> {
    level::filter(log_variable().as_deref(), "off").map(drop)
}

fn log_variable() -> Option<String> {
    let value = std::env::var_os(LOG_VARIABLE)?;
    Some(value.to_string_lossy().into_owned())
}

/// The error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        // Kafka's and TOML's errors repeat their source's words.
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// Every metric of the process: ringback's under `ringback_`, the process's own under Prometheus' usual `process_`.
#[derive(Clone, Debug)]
pub struct Metrics {
    ours: Registry,
    process: prometheus::Registry,
}

impl Metrics {
    /// Both registries, `ringback_build_info` registered.
    pub fn new() -> Result<Self, prometheus::Error> {
        let ours = Registry::with_prefix(NAMESPACE)?;
        let process = prometheus::Registry::new();
        process.register(Box::new(ProcessCollector::for_self()))?;
        let build = Opts::new(
            "build_info",
            "Constant 1, labelled with the version of this ringback",
        )
        .const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(build)?;
        build.set(1);
        ours.register(Box::new(build))?;
        Ok(Self { ours, process })
    }

    /// The registry in which modules register their metrics; it adds the namespace to each name.
    pub fn registry(&self) -> &Registry {
        &self.ours
    }

    /// The sum of one of our counters or gauges over all its labels, `name` without the namespace; 0 where there is none.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts, far below 2^52"
    )]
    pub fn total(&self, name: &str) -> u64 {
        let name = format!("{NAMESPACE}_{name}");
        let families = self.ours.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map_or(&[][..], |family| family.get_metric());
        let values = metrics
            .iter()
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value());
        values.sum::<f64>() as u64
    }

    /// The exposition in Prometheus' text format, version 0.0.4.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let mut families = self.ours.gather();
        families.extend(self.process.gather());
        TextEncoder::new().encode_to_string(&families)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_metrics_have_the_namespace_and_the_process_its_usual_names()
    -> Result<(), prometheus::Error> {
        let text = Metrics::new()?.encode()?;
        let version = env!("CARGO_PKG_VERSION");
        assert!(
            text.contains(&format!("ringback_build_info{{version=\"{version}\"}} 1")),
            "{text}"
        );
        assert_eq!(Metrics::new()?.total("build_info"), 1);
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        Ok(())
    }
}
