//! What a producer's callbacks do: delivery reports, errors and statistics become mail and metrics, log lines become
//! ringback's.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;

use super::connection::Connection;
use super::log::{BrokerLine, is_expected, is_gapless, is_no_token};
use super::oauth::{self, TokenSource};
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
    pub(crate) connection: Arc<Connection>,
    /// The properties that the user has set.
    pub(crate) user_properties: Arc<BTreeMap<String, String>>,
}

/// The callbacks of one producer.
pub(super) struct Context {
    generation: u64,
    /// Callbacks so far: a poll does not report whether it ran any.
    calls: AtomicU64,
    tokens: Option<Arc<TokenSource>>,
    shared: Shared,
}

impl Context {
    pub(super) fn new(generation: u64, tokens: Option<Arc<TokenSource>>, shared: Shared) -> Self {
        Self {
            generation,
            calls: AtomicU64::new(0),
            tokens,
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
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count_call();
        if is_expected(facility, message, &self.shared.user_properties) {
            tracing::debug!(target: "librdkafka", facility, "{message}");
            return;
        }
        let fault = BrokerLine::of_log(facility, message).map(|line| {
            self.shared.connection.note(&line);
            line.fault()
        });
        let throttle = &self.shared.throttle;
        let Some(permit) = throttle.permit(fault.as_deref().unwrap_or(facility)) else {
            return;
        };
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", facility, suppressed = permit.suppressed(), "{message}");
            }
            RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", facility, suppressed = permit.suppressed(), "{message}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, suppressed = permit.suppressed(), "{message}");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count_call();
        let code = error.rdkafka_error_code();
        if is_gapless(reason) {
            // The failed report that comes with it names the cause.
            tracing::debug!(target: "librdkafka", %error, "{reason}");
            return;
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            // librdkafka's numbers are left out: they count addresses and brokers together.
            self.shared.connection.all_down();
            return;
        }
        if BrokerLine::parse(reason).is_some() {
            // Logged already, with the cause noted.
            self.shared.connection.one_down();
            return;
        }
        if is_no_token(reason) {
            // The source of tokens has logged why.
            let failure = self.tokens.as_ref().and_then(|tokens| tokens.failure());
            self.shared
                .connection
                .report(failure.as_deref().unwrap_or(reason));
            return;
        }
        let name = code.map_or_else(|| error.to_string(), |code| code.to_string());
        if let Some(permit) = self.shared.throttle.permit(&name) {
            tracing::warn!(target: "librdkafka", %error, suppressed = permit.suppressed(), "{reason}");
        }
        if code != Some(RDKafkaErrorCode::GaplessGuarantee) {
            // That one concerns a record, whose failed report comes too, and not the client.
            self.shared.connection.report(&format!("{name}: {reason}"));
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.count_call();
        oauth::token(self.tokens.as_ref())
    }

    fn stats(&self, statistics: rdkafka::Statistics) {
        self.count_call();
        self.shared.metrics.brokers.update(&statistics);
        self.shared.connection.on_statistics(&statistics);
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
