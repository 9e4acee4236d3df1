//! Which SASL mechanisms this build can use. librdkafka refuses some only when it connects, and for one waits in silence.

use std::collections::BTreeMap;

use super::properties::PropertyError;

/// What librdkafka can do without Cyrus SASL, which this build has not; its tokens come from [`super::oauth`].
const BUILT_IN: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
const REMEDY: &str = "set it to \"SCRAM-SHA-512\", \"SCRAM-SHA-256\", \"OAUTHBEARER\" or \"PLAIN\"";
/// Both names of one property.
const NAMES: [&str; 2] = ["sasl.mechanisms", "sasl.mechanism"];

/// Refuses a mechanism that this build cannot use; `properties` are librdkafka's.
pub(super) fn check(properties: &BTreeMap<String, String>) -> Result<(), PropertyError> {
    let protocol = properties.get("security.protocol");
    if !protocol.is_some_and(|protocol| protocol.to_ascii_lowercase().starts_with("sasl")) {
        return Ok(());
    }
    let given = NAMES
        .iter()
        .find_map(|name| Some((*name, properties.get(*name)?)));
    let refuse = |reason: String| {
        Err(PropertyError {
            property: given.map_or(NAMES[0], |(name, _)| name).to_owned(),
            reason,
        })
    };
    let Some((_, mechanism)) = given else {
        return refuse(format!(
            "is missing: librdkafka would use GSSAPI (Kerberos), which this build does not have; {REMEDY}"
        ));
    };
    let mut built_in = BUILT_IN.iter();
    if built_in.any(|name| mechanism.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    refuse(format!(
        "is {mechanism:?}, which this build does not have; {REMEDY}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(pairs: &[(&str, &str)]) -> Option<String> {
        let pairs = pairs.iter();
        let owned = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        check(&owned.collect()).err().map(|error| error.to_string())
    }

    #[test]
    fn what_this_build_cannot_do_is_refused_with_what_it_can() {
        const SASL: (&str, &str) = ("security.protocol", "SASL_SSL");
        for mechanism in ["PLAIN", "scram-sha-256", "SCRAM-SHA-512", "oauthbearer"] {
            assert_eq!(refusal(&[SASL, ("sasl.mechanisms", mechanism)]), None);
        }
        for name in NAMES {
            let said = refusal(&[SASL, (name, "GSSAPI")]).expect("it is refused");
            assert!(said.starts_with(name), "{said}");
            assert!(said.contains("is \"GSSAPI\", which this build does not have"));
            assert!(said.ends_with(REMEDY), "{said}");
        }
        let missing = refusal(&[SASL]).expect("it is refused");
        assert!(
            missing.starts_with("sasl.mechanisms is missing"),
            "{missing}"
        );
        // Nothing is asked of a connection without SASL.
        assert_eq!(refusal(&[("sasl.mechanisms", "GSSAPI")]), None);
        assert_eq!(
            refusal(&[("security.protocol", "SSL"), ("sasl.mechanisms", "GSSAPI")]),
            None
        );
    }
}
