//! librdkafka's words, judged: which of them would only alarm, and which one names the cause.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rdkafka::types::RDKafkaErrorCode;

/// How librdkafka begins to say what it thinks of a property.
const ABOUT_PROPERTY: &str = "Configuration property ";
/// What a failed record makes of a gapless producer. It is asked for, and ringback says itself what failed and how it
/// goes on.
const GAPLESS: &str = "Gap-less ordering would not be guaranteed";

/// True of a line that would alarm where all goes as designed. `given` are the properties that the user has set.
pub(crate) fn is_by_design(
    facility: &str,
    message: &str,
    given: &BTreeMap<String, String>,
) -> bool {
    if facility == "CONFWARN" {
        let property = message
            .split_once(ABOUT_PROPERTY)
            .and_then(|(_, rest)| rest.split_whitespace().next());
        let name = |property: &str| property.trim_matches('`').to_owned();
        return property.is_some_and(|property| !given.contains_key(&name(property)));
    }
    is_gapless(message)
}

/// True where a producer says that it stops as it was asked to.
pub(crate) fn is_gapless(message: &str) -> bool {
    message.contains(GAPLESS)
}

/// Why brokers cannot be reached: librdkafka names the cause once, and from then on says only that all are down.
#[derive(Debug, Default)]
pub(crate) struct Cause(Mutex<Option<String>>);

impl Cause {
    /// What is to be told of this error: its code and reason, or the last reason beside a code that has none of its own.
    pub(crate) fn told(&self, code: Option<RDKafkaErrorCode>, words: &str, reason: &str) -> String {
        let mut cause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *cause = Some(reason.to_owned());
        }
        match cause.as_deref() {
            Some(reason) => format!("{words}: {reason}"),
            None => words.to_owned(),
        }
    }

    /// A broker was reached: what stood in the way does no longer.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_of_a_property_is_told_to_who_has_set_it_and_to_nobody_else() {
        let message = |name: &str| {
            format!(
                "[thrd:app]: Configuration property {name} is experimental: When set to `true`, …"
            )
        };
        let given = BTreeMap::from([(String::from("sasl.mechanism"), String::from("PLAIN"))]);
        let ours = message("enable.gapless.guarantee");
        assert!(is_by_design("CONFWARN", &ours, &given));
        for theirs in ["sasl.mechanism", "`sasl.mechanism`"] {
            assert!(!is_by_design("CONFWARN", &message(theirs), &given));
        }
        let other = "[thrd:app]: Configuration `retry.backoff.ms` with value 5 is greater than …";
        assert!(!is_by_design("CONFWARN", other, &given));
        assert!(!is_by_design("FAIL", &ours, &given));
    }

    #[test]
    fn that_a_gapless_producer_stops_is_by_design_and_other_fatal_errors_are_not() {
        let given = BTreeMap::new();
        let gapless = "[thrd:…]: Fatal error: Local: Gap-less ordering would not be guaranteed if proceeding: …";
        assert!(is_by_design("FATAL", gapless, &given));
        let other =
            "[thrd:…]: Fatal error: Broker: Producer attempted an operation with an old epoch";
        assert!(!is_by_design("FATAL", other, &given));
    }

    #[test]
    fn that_all_brokers_are_down_is_told_with_the_cause_until_one_is_reached() {
        let cause = Cause::default();
        let down = |cause: &Cause| {
            let code = Some(RDKafkaErrorCode::AllBrokersDown);
            cause.told(code, "all are down", "1/1 brokers are down")
        };
        assert_eq!(down(&cause), "all are down");
        let reason = "SSL handshake failed: connecting to a PLAINTEXT broker listener?";
        let told = cause.told(Some(RDKafkaErrorCode::SSL), "SSL error", reason);
        assert_eq!(told, format!("SSL error: {reason}"));
        assert_eq!(down(&cause), format!("all are down: {reason}"));
        cause.forget();
        assert_eq!(down(&cause), "all are down");
    }
}
