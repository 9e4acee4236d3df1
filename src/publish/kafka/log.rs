//! Which of librdkafka's messages would only alarm, and which one names the cause.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rdkafka::types::RDKafkaErrorCode;

/// How librdkafka begins a warning about a property.
const ABOUT_PROPERTY: &str = "Configuration property ";
/// What a failed record makes of a gapless producer. ringback asks for it, and reports itself what failed and how it goes on.
const GAPLESS: &str = "Gap-less ordering would not be guaranteed";

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

/// Why brokers cannot be reached. librdkafka names the cause once, and from then on reports only that all brokers are down.
#[derive(Debug, Default)]
pub(crate) struct LastTransportError(Mutex<Option<String>>);

impl LastTransportError {
    /// Adds the reason to the error's `name`: its own, or the last known one if all brokers are down.
    pub(super) fn describe(
        &self,
        code: Option<RDKafkaErrorCode>,
        name: &str,
        reason: &str,
    ) -> String {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
        match last.as_deref() {
            Some(reason) => format!("{name}: {reason}"),
            None => name.to_owned(),
        }
    }

    /// A broker was reached, so the last cause is gone.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
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
    fn that_all_brokers_are_down_is_described_with_the_cause_until_one_is_reached() {
        let last = LastTransportError::default();
        let down = |last: &LastTransportError| {
            let code = Some(RDKafkaErrorCode::AllBrokersDown);
            last.describe(code, "all are down", "1/1 brokers are down")
        };
        assert_eq!(down(&last), "all are down");
        let reason = "SSL handshake failed: connecting to a PLAINTEXT broker listener?";
        let described = last.describe(Some(RDKafkaErrorCode::SSL), "SSL error", reason);
        assert_eq!(described, format!("SSL error: {reason}"));
        assert_eq!(down(&last), format!("all are down: {reason}"));
        last.forget();
        assert_eq!(down(&last), "all are down");
    }
}
