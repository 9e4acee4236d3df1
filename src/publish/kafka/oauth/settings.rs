//! librdkafka's properties for OAUTHBEARER, which ringback reads itself, and what is wrong with them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use secrecy::SecretString;

use crate::publish::ClientProperties;
use crate::publish::kafka::properties::{PropertyError, canonical_names};
use crate::secret::SecretSource;

pub(super) const URL: &str = "sasl.oauthbearer.token.endpoint.url";
pub(super) const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
pub(super) const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";
pub(super) const SCOPE: &str = "sasl.oauthbearer.scope";
pub(super) const AUTHORITIES: &str = "https.ca.location";
const METHOD: &str = "sasl.oauthbearer.method";
const GRANT: &str = "sasl.oauthbearer.grant.type";

/// Properties that ringback reads in librdkafka's place.
const READ: [&str; 7] = [
    URL,
    CLIENT_ID,
    CLIENT_SECRET,
    SCOPE,
    AUTHORITIES,
    METHOD,
    GRANT,
];
/// Other ways to a token, which librdkafka has only with curl.
const REFUSED_PREFIXES: [&str; 4] = [
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.assertion.",
    "sasl.oauthbearer.metadata.",
    "https.ca.pem",
];
/// Both names of one property.
const MECHANISM: [&str; 2] = ["sasl.mechanisms", "sasl.mechanism"];
/// The value of [`AUTHORITIES`] that stands for the system's, as none does.
const PROBE: &str = "probe";

/// Where tokens come from, and what is shown for them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(super) endpoint: Endpoint,
    pub(super) client_id: String,
    /// As it was read at the start.
    pub(super) secret: SecretString,
    /// The file from which the secret is read again.
    pub(super) secret_file: Option<SecretSource>,
    pub(super) scope: Option<String>,
    /// A file or folder of certificates in PEM; `None` if the system's count.
    pub(super) authorities: Option<PathBuf>,
}

/// The token endpoint's URL, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) uri: Uri,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_tls: bool,
}

/// True if ringback reads this property, by its canonical name, or refuses it: librdkafka must not see it.
pub(crate) fn is_ours(name: &str) -> bool {
    READ.contains(&name) || is_refused(name)
}

fn is_refused(name: &str) -> bool {
    REFUSED_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// True if the client must have a token from ringback; `properties` by their canonical names.
pub(crate) fn needs_token(properties: &BTreeMap<String, String>) -> bool {
    let is = |name: &str, value: &str| {
        let given = properties.get(name);
        given.is_some_and(|given| given.eq_ignore_ascii_case(value))
    };
    let protocol = properties.get("security.protocol");
    let protocol = protocol.map(|protocol| protocol.to_ascii_lowercase());
    protocol.is_some_and(|protocol| protocol.starts_with("sasl"))
        && MECHANISM.iter().any(|name| is(name, "OAUTHBEARER"))
        // librdkafka makes such tokens itself, for tests.
        && !is("enable.sasl.oauthbearer.unsecure.jwt", "true")
}

impl Settings {
    /// `None` if the client needs no token. The error is everything that is wrong, each with its property.
    pub(crate) fn of(client: &ClientProperties) -> Result<Option<Self>, Vec<PropertyError>> {
        let values = canonical_names(&client.values);
        let mut errors = Vec::new();
        let mut refuse = |property: &str, reason: String| {
            errors.push(PropertyError {
                property: property.to_owned(),
                reason,
            });
        };
        for name in values.keys().filter(|name| is_refused(name)) {
            let reason = "is not supported: ringback gets tokens by client id and secret alone, and knows \
                          authorities from https.ca.location; remove it";
            refuse(name, reason.to_owned());
        }
        if !needs_token(&values) {
            for name in READ.iter().filter(|name| values.contains_key(**name)) {
                let reason = "is used only with \"sasl.mechanisms\" = \"OAUTHBEARER\" and with \"security.protocol\" = \
                              \"SASL_SSL\" (or \"SASL_PLAINTEXT\"): set both, or remove it";
                refuse(name, reason.to_owned());
            }
            return if errors.is_empty() {
                Ok(None)
            } else {
                Err(errors)
            };
        }
        for (name, only, without) in [
            (METHOD, "oidc", Some("is missing")),
            (GRANT, "client_credentials", None),
        ] {
            let reason = match values.get(name) {
                Some(value) if value.eq_ignore_ascii_case(only) => None,
                Some(_) => Some("is not supported"),
                None => without,
            };
            if let Some(reason) = reason {
                refuse(
                    name,
                    format!(
                        "{reason}: ringback gets tokens by client credentials; set it to {only:?}"
                    ),
                );
            }
        }
        let mut required = |name: &str, example: &str| {
            let value = values.get(name).filter(|value| !value.trim().is_empty());
            if value.is_none() {
                refuse(
                    name,
                    format!("is missing: OAUTHBEARER needs it; write {example}"),
                );
            }
            value.cloned()
        };
        let client_id = required(CLIENT_ID, "the client's id at the token endpoint");
        let secret = required(CLIENT_SECRET, "{ file = \"/path\" } or { env = \"NAME\" }");
        let url = required(URL, "one such as \"https://idp.example/oauth2/token\"");
        let endpoint = url.and_then(|url| {
            Endpoint::parse(&url)
                .map_err(|reason| refuse(URL, reason))
                .ok()
        });
        let (Some(client_id), Some(secret), Some(endpoint), true) =
            (client_id, secret, endpoint, errors.is_empty())
        else {
            return Err(errors);
        };
        let files = canonical_names(&client.secret_files);
        let authorities = values.get(AUTHORITIES).filter(|place| *place != PROBE);
        Ok(Some(Self {
            endpoint,
            client_id,
            secret: SecretString::from(secret),
            secret_file: files.get(CLIENT_SECRET).cloned().map(SecretSource::File),
            scope: values.get(SCOPE).cloned(),
            authorities: authorities.map(PathBuf::from),
        }))
    }
}

impl Endpoint {
    /// The error says what is wrong, without the URL, which may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let no_url =
            "is no URL of a token endpoint: write one such as \"https://idp.example/oauth2/token\"";
        let uri: Uri = url.trim().parse().map_err(|_| no_url.to_owned())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(no_url.to_owned());
        };
        if authority.as_str().contains('@') {
            return Err(format!(
                "has a user or a password before its host: remove them, and set {CLIENT_ID} and {CLIENT_SECRET}"
            ));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_tls = match scheme {
            "https" => true,
            "http" if is_loopback(&host) => false,
            "http" => {
                return Err(String::from(
                    "begins with http://, which would show the client's secret to the network: write https:// (http:// is \
                     for this machine alone: localhost, 127.0.0.1, [::1])",
                ));
            }
            _ => return Err(no_url.to_owned()),
        };
        let port = if is_tls { 443 } else { 80 };
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(port),
            is_tls,
            uri,
        })
    }
}

fn is_loopback(host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const BASE: [(&str, &str); 6] = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanisms", "OAUTHBEARER"),
        (METHOD, "oidc"),
        (CLIENT_ID, "relay"),
        (CLIENT_SECRET, "s3cret"),
        (URL, "https://idp.example/token"),
    ];

    /// Complete settings with this URL.
    pub fn settings(url: &str) -> Settings {
        let others = BASE.into_iter().filter(|(name, _)| *name != URL);
        let client = others.chain([(URL, url)]).collect();
        let read = Settings::of(&client).expect("they are sound");
        read.expect("they ask for tokens")
    }

    fn refused(changes: &[(&'static str, Option<&'static str>)]) -> Vec<(String, String)> {
        let mut values: BTreeMap<_, _> = BASE.into_iter().collect();
        for (name, value) in changes {
            match value {
                Some(value) => values.insert(name, value),
                None => values.remove(name),
            };
        }
        let errors = Settings::of(&values.into_iter().collect()).err();
        let errors = errors.unwrap_or_default().into_iter();
        errors.map(|error| (error.property, error.reason)).collect()
    }

    #[test]
    fn each_mistake_names_its_property_and_the_remedy() {
        assert_eq!(refused(&[]), []);
        assert_eq!(
            refused(&[(SCOPE, Some("kafka")), (AUTHORITIES, Some("probe"))]),
            []
        );
        for (name, value, words) in [
            (METHOD, None, "set it to \"oidc\""),
            (METHOD, Some("default"), "is not supported"),
            (GRANT, Some("jwt-bearer"), "\"client_credentials\""),
            (CLIENT_ID, None, "is missing"),
            (CLIENT_SECRET, Some(" "), "{ file = "),
            (URL, None, "is missing"),
            (URL, Some("idp.example/token"), "is no URL"),
            (URL, Some("ftp://idp.example/token"), "is no URL"),
            (URL, Some("/token"), "is no URL"),
            (
                URL,
                Some("https://relay:pw@idp.example/"),
                "before its host: remove",
            ),
            (URL, Some("http://idp.example/token"), "write https://"),
            (URL, Some("http://127.0.0.1.example/"), "write https://"),
            ("sasl.oauthbearer.extensions", Some("a=b"), "remove it"),
            (
                "sasl.oauthbearer.assertion.file",
                Some("/f"),
                "is not supported",
            ),
            ("https.ca.pem", Some("x"), "https.ca.location"),
        ] {
            let found = refused(&[(name, value)]);
            let [(property, reason)] = found.as_slice() else {
                panic!("{name} {value:?}: {found:?}");
            };
            assert_eq!(property, name);
            assert!(reason.contains(words), "{reason}");
            assert!(!reason.contains("pw"), "{reason}");
        }
    }

    #[test]
    fn without_the_mechanism_or_the_protocol_nothing_would_use_them() {
        for change in [
            ("sasl.mechanisms", Some("SCRAM-SHA-512")),
            ("security.protocol", Some("SSL")),
            ("security.protocol", None),
        ] {
            let found = refused(&[change]);
            assert_eq!(found.len(), 4, "{found:?}");
            for (_, reason) in found {
                assert!(reason.contains("\"OAUTHBEARER\""), "{reason}");
                assert!(reason.contains("\"security.protocol\""), "{reason}");
            }
        }
    }

    #[test]
    fn a_url_is_taken_apart_and_http_is_for_this_machine() {
        for (url, host, port, is_tls) in [
            ("https://idp.example/a?b=c", "idp.example", 443, true),
            ("https://[2001:db8::1]:8443/", "2001:db8::1", 8443, true),
            ("http://localhost:8080/token", "localhost", 8080, false),
            ("http://127.1.2.3/token", "127.1.2.3", 80, false),
            ("http://[::1]:1/token", "::1", 1, false),
        ] {
            let endpoint = Endpoint::parse(url).expect(url);
            assert_eq!(
                (endpoint.host.as_str(), endpoint.port, endpoint.is_tls),
                (host, port, is_tls)
            );
        }
    }
}
