//! What a producer's callbacks do: delivery reports, errors and statistics become mail and metrics, log lines become
//! ringback's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;

use super::log::{LastTransportError, is_expected, is_gapless};
use crate::log_throttle::LogThrottle;
use crate::publish::error::DeliveryError;
use crate::publish::inbox::{Mailbox, Report};
use crate::publish::metrics::Metrics;

/// Outlives the producers.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) metrics: Metrics,
    pub(crate) throttle: Arc<LogThrottle>,
    pub(crate) last_error: Arc<LastTransportError>,
    /// The properties that the user has set.
    pub(crate) user_properties: Arc<BTreeMap<String, String>>,
}

/// The callbacks of one producer.
pub(super) struct Context {
    generation: u64,
    /// Callbacks so far: a poll does not report whether it ran any.
    calls: AtomicU64,
    shared: Shared,
}

impl Context {
    pub(super) fn new(generation: u64, shared: Shared) -> Self {
        Self {
            generation,
            calls: AtomicU64::new(0),
            shared,
        }
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count_call();
        if is_expected(facility, message, &self.shared.user_properties) {
            tracing::debug!(target: "librdkafka", facility, "{message}");
            return;
        }
        let Some(suppressed) = self.shared.throttle.permit(facility) else {
            return;
        };
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", facility, suppressed, "{message}");
            }
            RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", facility, suppressed, "{message}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, suppressed, "{message}");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count_call();
        if is_gapless(reason) {
            // The failed report that comes with it names the cause.
            tracing::debug!(target: "librdkafka", %error, "{reason}");
            return;
        }
        let code = error.rdkafka_error_code();
        let name = code.map_or_else(|| error.to_string(), |code| code.to_string());
        if let Some(suppressed) = self.shared.throttle.permit(&name) {
            tracing::warn!(target: "librdkafka", %error, suppressed, "{reason}");
        }
        if code == Some(RDKafkaErrorCode::GaplessGuarantee) {
            // The error concerns a record, whose failed report comes too, and not a connection.
            return;
        }
        let message = self.shared.last_error.describe(code, &name, reason);
        let mailbox = &self.shared.mailbox;
        mailbox.put(|inbox| inbox.client_error = Some(message));
    }

    fn stats(&self, statistics: rdkafka::Statistics) {
        self.count_call();
        self.shared.metrics.brokers.update(&statistics);
        let mut brokers = statistics.brokers.values();
        if brokers.any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.shared.last_error.forget();
            self.shared.mailbox.put(|inbox| inbox.is_connected = true);
        }
    }
}

impl ProducerContext for Context {
    /// The position: librdkafka carries the integer itself, so nothing is allocated for it.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, position: usize) {
        self.count_call();
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, message)) => Err(DeliveryError::of(error, message.key().is_some())),
        };
        let report = Report {
            generation: self.generation,
            position: position as u64,
            outcome,
        };
        let mailbox = &self.shared.mailbox;
        mailbox.put(|inbox| inbox.reports.push(report));
    }
}
