//! The last specific cause for which each broker cannot be used, until it is connected.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Statistics;

use super::cause::{Cause, CauseKind, Detail, Past, Security};
use super::log::BrokerLine;

/// A fault that librdkafka last reported this long ago no longer counts while another broker is connected: librdkafka tries a broker
/// that it needs each second, and repeats its report each 30 seconds.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(2);

/// How long the result of an inspection counts: librdkafka may try a broker many times a second, and each inspection is a
/// connection too.
const INSPECT_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Of all brokers. Outlives the producers.
#[derive(Debug)]
pub(crate) struct BrokerFaults {
    security: Security,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By librdkafka's name for the broker.
    faults: BTreeMap<String, BrokerFault>,
    /// Addresses of brokers that were connected.
    reached: BTreeSet<String>,
    is_connected: bool,
    /// Faults so far, for their order.
    count: u64,
}

#[derive(Debug)]
struct BrokerFault {
    cause: Cause,
    /// The cause's number.
    number: u64,
    /// When it was last repeated.
    at: Instant,
    /// When the last inspection of the broker's certificate began.
    inspected: Option<Instant>,
}

impl BrokerFaults {
    pub(crate) fn new(security: Security) -> Self {
        Self {
            security,
            state: Mutex::default(),
        }
    }

    /// Keeps the cause unless a more detailed one is known. True if the broker's certificate shows more, and has not been
    /// inspected lately.
    pub(super) fn note(&self, line: &BrokerLine<'_>, now: Instant) -> bool {
        let mut state = self.lock();
        let past = Past {
            was_any_connected: !state.reached.is_empty(),
            was_connected: state.reached.contains(line.address),
        };
        let cause = self.security.explain(line, past);
        let is_untrusted = cause.detail() == Detail::Untrusted;
        let inspected = state.keep(line.broker, cause, now).inspected;
        is_untrusted && inspected.is_none_or(|then| now.duration_since(then) >= INSPECT_AGAIN_AFTER)
    }

    /// The broker's certificate is being inspected; what is wrong with it comes by [`BrokerFaults::note_certificate`].
    pub(super) fn inspecting(&self, broker: &str, now: Instant) {
        if let Some(fault) = self.lock().faults.get_mut(broker) {
            fault.inspected = Some(now);
        }
    }

    /// What is wrong with a broker's certificate.
    pub(super) fn note_certificate(&self, broker: &str, text: String, now: Instant) {
        let cause = Cause::new(CauseKind::CertificateOther, text, "");
        self.lock().keep(broker, cause, now);
    }

    /// No broker is connected.
    pub(super) fn all_down(&self) {
        self.lock().is_connected = false;
    }

    /// True if some broker was connected when librdkafka last reported on its connections.
    pub(super) fn is_connected(&self) -> bool {
        self.lock().is_connected
    }

    /// The last specific cause, or else the last one.
    pub(super) fn describe(&self) -> Option<String> {
        let state = self.lock();
        let order = |fault: &&BrokerFault| (fault.cause.detail() > Detail::Vague, fault.number);
        let last = state.faults.values().max_by_key(order)?;
        Some(last.cause.text())
    }

    /// Forgets the faults of brokers that are connected; true if any is.
    pub(super) fn on_statistics(&self, statistics: &Statistics, now: Instant) -> bool {
        let brokers = statistics.brokers.values();
        let up = brokers.filter(|broker| broker.nodeid >= 0 && broker.state == "UP");
        self.on_connected(
            up.map(|broker| (broker.name.as_str(), broker.nodename.as_str())),
            now,
        )
    }

    fn on_connected<'a>(&self, up: impl Iterator<Item = (&'a str, &'a str)>, now: Instant) -> bool {
        let mut state = self.lock();
        let mut is_connected = false;
        for (name, address) in up {
            is_connected = true;
            state.faults.remove(name);
            state.reached.insert(address.to_owned());
        }
        if is_connected {
            state.is_connected = true;
            // A bootstrap address has served its purpose once a broker is connected.
            state.faults.retain(|name, fault| {
                !name.ends_with("/bootstrap") && now.duration_since(fault.at) < FORGOTTEN_AFTER
            });
        }
        is_connected
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, broker: &str, cause: Cause, now: Instant) -> &BrokerFault {
        self.count += 1;
        let number = self.count;
        let known = match self.faults.entry(broker.to_owned()) {
            Entry::Vacant(entry) => {
                return entry.insert(BrokerFault {
                    cause,
                    number,
                    at: now,
                    inspected: None,
                });
            }
            Entry::Occupied(entry) => entry.into_mut(),
        };
        known.at = now;
        if !cause.says_less_than(&known.cause) {
            known.cause = cause;
            known.number = number;
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "a:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";
    const CLOSED: &str = "a:9092/1: Disconnected (after 90123ms in state UP)";

    fn note(faults: &BrokerFaults, line: &str, now: Instant) -> bool {
        faults.note(&BrokerLine::parse(line).expect("it is about a broker"), now)
    }

    #[test]
    fn the_last_specific_cause_stays_until_its_broker_is_connected() {
        let faults = BrokerFaults::new(Security::default());
        let now = Instant::now();
        assert_eq!(faults.describe(), None);
        note(&faults, CLOSED, now);
        assert_eq!(faults.describe().as_deref(), Some("a:9092: Disconnected"));
        note(&faults, REFUSED, now);
        note(&faults, CLOSED, now);
        note(
            &faults,
            "b:9092/2: Disconnected (after 90123ms in state UP)",
            now,
        );
        let described = faults.describe().expect("it is known");
        assert!(described.contains("Connection refused"), "{described}");
        assert!(!faults.is_connected());
        assert!(!faults.on_connected(std::iter::empty(), now));
        assert_eq!(faults.describe(), Some(described));
        assert!(faults.on_connected([("a:9092/1", "a:9092")].into_iter(), now));
        assert!(faults.is_connected());
        assert_eq!(faults.describe().as_deref(), Some("b:9092: Disconnected"));
        faults.all_down();
        assert!(!faults.is_connected());
        // Nobody takes it for a wrong advertised address any more.
        note(&faults, REFUSED, now);
        let described = faults.describe().expect("it is known");
        assert!(!described.contains("advertise"), "{described}");
    }

    #[test]
    fn what_a_certificate_tells_outlives_what_the_handshake_tells_and_no_other_cause() {
        let faults = BrokerFaults::new(Security::default());
        let now = Instant::now();
        let untrusted = "a:9092/1: error:0A000086:SSL routines::certificate verify failed";
        assert!(note(&faults, untrusted, now));
        assert!(note(&faults, untrusted, now), "nobody has looked yet");
        faults.inspecting("a:9092/1", now);
        faults.note_certificate("a:9092/1", String::from("it has expired"), now);
        // Once in a while only, because each look is another connection.
        assert!(!note(&faults, untrusted, now));
        assert!(note(&faults, untrusted, now + INSPECT_AGAIN_AFTER));
        assert_eq!(faults.describe().as_deref(), Some("it has expired"));
        assert!(!note(&faults, REFUSED, now));
        let described = faults.describe().expect("it is known");
        assert!(described.contains("Connection refused"), "{described}");
    }

    #[test]
    fn a_fault_that_is_not_repeated_is_forgotten_while_another_broker_is_connected() {
        let faults = BrokerFaults::new(Security::default());
        let now = Instant::now();
        note(&faults, REFUSED, now);
        note(
            &faults,
            "c:9092/bootstrap: Failed to resolve 'c:9092': Name or service not known",
            now,
        );
        let up = || [("b:9092/2", "b:9092")].into_iter();
        let soon = now + FORGOTTEN_AFTER / 2;
        assert!(faults.on_connected(up(), soon));
        let described = faults.describe().expect("it is known");
        assert!(described.contains("a:9092"), "{described}");
        faults.on_connected(up(), now + FORGOTTEN_AFTER);
        assert_eq!(faults.describe(), None);
    }
}
