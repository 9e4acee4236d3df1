//! Which SASL mechanisms this build can use. librdkafka refuses some only when it connects, and for one waits in silence.

use std::collections::BTreeMap;

use super::properties::PropertyError;

/// What librdkafka can do without Cyrus SASL and curl, which this build has not.
const BUILT_IN: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
const REMEDY: &str = "set it to \"SCRAM-SHA-512\", \"SCRAM-SHA-256\" or \"PLAIN\"";
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
    let is = |name: &str| mechanism.eq_ignore_ascii_case(name);
    if BUILT_IN.iter().any(|name| is(name)) {
        return Ok(());
    }
    if !is("OAUTHBEARER") {
        return refuse(format!(
            "is {mechanism:?}, which this build does not have; {REMEDY}"
        ));
    }
    // librdkafka makes such tokens itself, for tests.
    let makes_tokens = properties.get("enable.sasl.oauthbearer.unsecure.jwt");
    if makes_tokens.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(());
    }
    refuse(format!(
        "is \"OAUTHBEARER\", for which this build has no source of tokens: it would wait for one forever; {REMEDY}"
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
        for mechanism in ["PLAIN", "scram-sha-256", "SCRAM-SHA-512"] {
            assert_eq!(refusal(&[SASL, ("sasl.mechanisms", mechanism)]), None);
        }
        for (mechanism, words) in [
            ("GSSAPI", "is \"GSSAPI\", which this build does not have"),
            ("OAUTHBEARER", "has no source of tokens"),
        ] {
            for name in NAMES {
                let said = refusal(&[SASL, (name, mechanism)]).expect("it is refused");
                assert!(said.starts_with(name) && said.contains(words), "{said}");
                assert!(said.ends_with(REMEDY), "{said}");
            }
        }
        let oidc = [
            SASL,
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc"),
        ];
        assert!(refusal(&oidc).is_some());
        let missing = refusal(&[SASL]).expect("it is refused");
        assert!(
            missing.starts_with("sasl.mechanisms is missing"),
            "{missing}"
        );
        let own = ("enable.sasl.oauthbearer.unsecure.jwt", "true");
        assert_eq!(
            refusal(&[SASL, ("sasl.mechanisms", "OAUTHBEARER"), own]),
            None
        );
        // Nothing is asked of a connection without SASL.
        assert_eq!(refusal(&[("sasl.mechanisms", "GSSAPI")]), None);
        assert_eq!(
            refusal(&[("security.protocol", "SSL"), ("sasl.mechanisms", "GSSAPI")]),
            None
        );
    }
}
