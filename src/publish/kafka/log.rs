//! What librdkafka's messages mean: which would only alarm, and what they say about one broker.

use std::collections::BTreeMap;
use std::time::Duration;

/// How librdkafka begins a warning about a property.
const ABOUT_PROPERTY: &str = "Configuration property ";
/// What a failed record makes of a gapless producer. ringback asks for it, and reports itself what failed and how it goes on.
const GAPLESS: &str = "Gap-less ordering would not be guaranteed";
/// How librdkafka begins an error if its application has no token.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";
/// The facility of log lines about a connection to a broker that has failed.
const CONNECTION_FAILED: &str = "FAIL";
/// What librdkafka calls a broker of `bootstrap.servers` until it knows its number.
const BOOTSTRAP: &str = "bootstrap";

/// True of a log line that would alarm though everything works as designed.
pub(super) fn is_expected(
    facility: &str,
    message: &str,
    user_properties: &BTreeMap<String, String>,
) -> bool {
    if facility == "CONFWARN" {
        let property = message
            .split_once(ABOUT_PROPERTY)
            .and_then(|(_, rest)| rest.split_whitespace().next());
        let by_user = |property: &str| user_properties.contains_key(property.trim_matches('`'));
        return property.is_some_and(|property| !by_user(property));
    }
    is_gapless(message)
}

/// True if a producer reports that it stops, as it was asked to, because of a failed record.
pub(super) fn is_gapless(message: &str) -> bool {
    message.contains(GAPLESS)
}

/// True if librdkafka reports that it was given no token.
pub(super) fn is_no_token(message: &str) -> bool {
    message.starts_with(NO_TOKEN)
}

/// What librdkafka says about its connection to one broker, as in
/// `[thrd:ssl://kafka-0:9093/1]: ssl://kafka-0:9093/1: Disconnected (after 7ms in state UP, 2 identical error(s) suppressed)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BrokerLine<'a> {
    /// librdkafka's name for the broker: `ssl://kafka-0:9093/1`.
    pub(super) broker: &'a str,
    /// Host and port.
    pub(super) address: &'a str,
    /// Its number; `None` for one of `bootstrap.servers` whose number is not known yet.
    pub(super) number: Option<&'a str>,
    /// What happened.
    pub(super) text: &'a str,
    /// The state of the connection in which it happened, and how long that had lasted; `UP` after the handshakes.
    pub(super) state: Option<(&'a str, Duration)>,
}

impl<'a> BrokerLine<'a> {
    /// From a log line; `None` unless it is about a connection that has failed.
    pub(super) fn of_log(facility: &str, message: &'a str) -> Option<Self> {
        let line = (facility == CONNECTION_FAILED).then(|| Self::parse(message));
        line.flatten()
    }

    /// `None` if the message is not about one broker.
    pub(super) fn parse(message: &'a str) -> Option<Self> {
        let line = if message.starts_with("[thrd:") {
            message.split_once("]: ")?.1
        } else {
            message
        };
        let (broker, text) = line.split_once(": ")?;
        let (url, number) = broker.rsplit_once('/')?;
        let number = (number != BOOTSTRAP).then_some(number);
        if broker.contains(' ') || number.is_some_and(|number| number.parse::<u32>().is_err()) {
            return None;
        }
        let (text, state) = match text.rsplit_once(" (after ") {
            Some((text, state)) => (text, parse_state(state)),
            None => (text, None),
        };
        Some(Self {
            broker,
            address: url.rsplit_once("://").map_or(url, |(_, address)| address),
            number,
            text,
            state,
        })
    }

    /// What to count repetitions by: the broker and the fault, without the numbers in it that differ each time.
    pub(super) fn fault(&self) -> String {
        let mut fault = format!("{} ", self.broker);
        let mut was_digit = false;
        for c in self.text.chars() {
            if !(c.is_ascii_digit() && was_digit) {
                fault.push(if c.is_ascii_digit() { '0' } else { c });
            }
            was_digit = c.is_ascii_digit();
        }
        fault
    }
}

/// From `7ms in state UP, 2 identical error(s) suppressed)`.
fn parse_state(text: &str) -> Option<(&str, Duration)> {
    let (ms, state) = text.split_once("ms in state ")?;
    let end = state.find([',', ')'])?;
    Some((&state[..end], Duration::from_millis(ms.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_about_a_property_is_expected_unless_the_user_has_set_it() {
        let message = |name: &str| {
            format!(
                "[thrd:app]: Configuration property {name} is experimental: When set to `true`, …"
            )
        };
        let given = BTreeMap::from([(String::from("sasl.mechanism"), String::from("PLAIN"))]);
        let ours = message("enable.gapless.guarantee");
        assert!(is_expected("CONFWARN", &ours, &given));
        for theirs in ["sasl.mechanism", "`sasl.mechanism`"] {
            assert!(!is_expected("CONFWARN", &message(theirs), &given));
        }
        let other = "[thrd:app]: Configuration `retry.backoff.ms` with value 5 is greater than …";
        assert!(!is_expected("CONFWARN", other, &given));
        assert!(!is_expected("FAIL", &ours, &given));
    }

    #[test]
    fn that_a_gapless_producer_stops_is_expected_and_other_fatal_errors_are_not() {
        let given = BTreeMap::new();
        let gapless = "[thrd:…]: Fatal error: Local: Gap-less ordering would not be guaranteed if proceeding: …";
        assert!(is_expected("FATAL", gapless, &given));
        let other =
            "[thrd:…]: Fatal error: Broker: Producer attempted an operation with an old epoch";
        assert!(!is_expected("FATAL", other, &given));
    }

    #[test]
    fn a_line_about_a_broker_has_its_address_the_fault_and_the_state_of_the_connection() {
        let line = "[thrd:ssl://[::1]:9093/12]: ssl://[::1]:9093/12: Disconnected: closed by peer \
                    (after 240ms in state APIVERSION_QUERY, 1 identical error(s) suppressed)";
        let parsed = BrokerLine {
            broker: "ssl://[::1]:9093/12",
            address: "[::1]:9093",
            number: Some("12"),
            text: "Disconnected: closed by peer",
            state: Some(("APIVERSION_QUERY", Duration::from_millis(240))),
        };
        assert_eq!(BrokerLine::parse(line), Some(parsed));
        // As the error callback has it.
        let line =
            "kafka-0:9092/bootstrap: Failed to resolve 'kafka-0:9092': Name or service not known";
        let parsed = BrokerLine::parse(line).expect("it is about a broker");
        assert_eq!((parsed.address, parsed.number), ("kafka-0:9092", None));
        assert_eq!(parsed.state, None);
        for other in [
            "2/2 brokers are down",
            "[thrd:app]: Configuration property enable.gapless.guarantee is experimental: …",
            "[thrd:main]: Failed to acquire idempotence PID from broker a:9092/bootstrap: Local: …",
        ] {
            assert_eq!(BrokerLine::parse(other), None, "{other}");
        }
    }

    #[test]
    fn repetitions_count_by_broker_and_fault_whatever_their_numbers() {
        let fault = |line| {
            BrokerLine::parse(line)
                .expect("it is about a broker")
                .fault()
        };
        let one = fault(
            "a:9092/1: 1 request(s) timed out: disconnect (average rtt 0.121ms) (after 9ms in state UP)",
        );
        let again = fault(
            "a:9092/1: 14 request(s) timed out: disconnect (average rtt 3.5ms) (after 61060ms in state UP)",
        );
        assert_eq!(one, again);
        assert_ne!(
            one,
            fault("a:9092/2: 1 request(s) timed out: disconnect (average rtt 0.121ms)")
        );
        assert_ne!(one, fault("a:9092/1: Disconnected (after 9ms in state UP)"));
    }
}
