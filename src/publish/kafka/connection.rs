//! Reports the state of the client's connections to the worker and to the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rdkafka::Statistics;

use super::cause::Security;
use super::certificate::{Trust, inspect};
use super::faults::BrokerFaults;
use super::log::BrokerLine;
use super::oauth::TokenSource;
use super::timeout::SideThread;
use crate::log_throttle::LogThrottle;
use crate::publish::Ack;
use crate::publish::inbox::{ConnectionState, Mailbox};

/// Outlives the producers.
pub(crate) struct Connection {
    faults: Arc<BrokerFaults>,
    tokens: Option<Arc<TokenSource>>,
    trust: Mutex<Trust>,
    mailbox: Arc<Mailbox>,
    throttle: Arc<LogThrottle>,
    /// What becomes of events while no broker is connected.
    meanwhile: &'static str,
    /// Inspects certificates, which may take seconds.
    inspection: SideThread,
}

impl Connection {
    /// `properties`: librdkafka's, by their canonical names.
    pub(crate) fn new(
        ack: Ack,
        properties: &BTreeMap<String, String>,
        tokens: Option<Arc<TokenSource>>,
        mailbox: Arc<Mailbox>,
        throttle: Arc<LogThrottle>,
    ) -> Self {
        Self {
            faults: Arc::new(BrokerFaults::new(Security::of(properties))),
            tokens,
            trust: Mutex::new(Trust::of(properties)),
            mailbox,
            throttle,
            meanwhile: ack.meanwhile(),
            inspection: SideThread::default(),
        }
    }

    /// A producer is built with these properties, some of which may have been read again.
    pub(super) fn set_trust(&self, properties: &BTreeMap<String, String>) {
        *self.trust.lock().unwrap_or_else(PoisonError::into_inner) = Trust::of(properties);
    }

    /// Keeps why a connection has failed. If that is the broker's certificate, has it inspected, and reports the result later.
    pub(super) fn note(&self, line: &BrokerLine<'_>) {
        let now = Instant::now();
        if !self.faults.note(line, now) {
            return;
        }
        let trust = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        let trust = trust.clone();
        // If the publisher has ended meanwhile, nobody is interested any more.
        let faults = Arc::downgrade(&self.faults);
        let (mailbox, throttle) = (self.mailbox.clone(), self.throttle.clone());
        let meanwhile = self.meanwhile;
        let (broker, address) = (line.broker.to_owned(), line.address.to_owned());
        let is_started = self.inspection.spawn(move || {
            if let Some(fault) = inspect(&address, &trust)
                && let Some(faults) = faults.upgrade()
            {
                faults.note_certificate(&broker, fault, Instant::now());
                let cause = faults.describe();
                report_down(&faults, cause, &mailbox, &throttle, meanwhile);
            }
        });
        if is_started {
            self.faults.inspecting(line.broker, now);
        }
    }

    /// No broker is connected.
    pub(super) fn all_down(&self) {
        self.faults.all_down();
        self.report_down();
    }

    /// A broker is not connected. While another one is, statistics report it.
    pub(super) fn one_down(&self) {
        self.report_down();
    }

    /// What is wrong with the brokers, or with the next token. Without a valid one no broker is connected, whatever that looks like.
    fn cause(&self) -> Option<String> {
        let faults = self.faults.describe();
        let Some(tokens) = &self.tokens else {
            return faults;
        };
        let failure = tokens.failure();
        if tokens.has_valid() {
            return faults.or(failure);
        }
        failure.or(faults)
    }

    fn report_down(&self) {
        report_down(
            &self.faults,
            self.cause(),
            &self.mailbox,
            &self.throttle,
            self.meanwhile,
        );
    }

    /// The client has failed for another reason than a connection.
    pub(super) fn report(&self, error: &str) {
        let state = ConnectionState::Down(error.to_owned());
        self.mailbox.put(|inbox| inbox.connection = Some(state));
    }

    /// librdkafka's regular report on its connections.
    pub(super) fn on_statistics(&self, statistics: &Statistics) {
        if self.faults.on_statistics(statistics, Instant::now()) {
            let fault = self.cause();
            let state = ConnectionState::Connected { fault };
            self.mailbox.put(|inbox| inbox.connection = Some(state));
        }
    }
}

/// Unless a broker is connected.
fn report_down(
    faults: &BrokerFaults,
    cause: Option<String>,
    mailbox: &Mailbox,
    throttle: &LogThrottle,
    meanwhile: &str,
) {
    if faults.is_connected() {
        return;
    }
    let message = match cause {
        Some(cause) => format!("no broker is connected: {cause}"),
        None => String::from("no broker is connected"),
    };
    if let Some(permit) = throttle.permit(&message) {
        tracing::warn!(suppressed = permit.suppressed(), "{message}; {meanwhile}");
    }
    mailbox.put(|inbox| inbox.connection = Some(ConnectionState::Down(message)));
}
