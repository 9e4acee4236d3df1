//! Why a broker cannot be used, in words that name the property to change.
//!
//! librdkafka names most causes once, in its log alone, and from then on only reports that all brokers are down. Its lines were taken
//! from connections to a real Kafka, and `tests/kafka/causes.rs` makes each mistake again.

mod kind;

use std::collections::BTreeMap;
use std::time::Duration;

use super::log::BrokerLine;
use super::oauth::settings::needs_token;

pub(super) use self::kind::Detail;
pub use self::kind::{Cause, CauseKind};

/// A broker that demands SASL closes a connection without it this soon after the handshakes; other ends come later.
const AT_ONCE: Duration = Duration::from_secs(2);

/// librdkafka's, for brokers of `bootstrap.servers` without one.
const DEFAULT_PORT: u16 = 9092;

/// What has worked before a connection failed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Past {
    /// Some broker was connected, so that the protocol is right: a proxy whose broker is away closes connections too.
    pub(super) was_any_connected: bool,
    /// This one was, so that its address is right.
    pub(super) was_connected: bool,
}

/// `security.protocol`.
#[derive(Debug, Clone, Copy, Default)]
struct Protocol {
    tls: bool,
    sasl: bool,
}

impl Protocol {
    fn name(self) -> &'static str {
        match (self.tls, self.sasl) {
            (false, false) => "PLAINTEXT",
            (true, false) => "SSL",
            (false, true) => "SASL_PLAINTEXT",
            (true, true) => "SASL_SSL",
        }
    }
}

/// What the client is configured to do when it connects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Security {
    protocol: Protocol,
    has_user: bool,
    /// The mechanism is OAUTHBEARER.
    has_token: bool,
    has_certificate: bool,
    /// The property that has the authorities' certificates.
    authorities: &'static str,
    /// `bootstrap.servers`.
    bootstrap: Vec<String>,
}

impl Security {
    /// From librdkafka's properties by their canonical names.
    pub(crate) fn of(properties: &BTreeMap<String, String>) -> Self {
        let value = |name: &str| properties.get(name).map_or("", String::as_str);
        let protocol = value("security.protocol").to_ascii_lowercase();
        let servers = value("bootstrap.servers").split(',').map(str::trim);
        // As librdkafka writes a broker's address: without the scheme and a path, and always with the port.
        let address = |server: &str| {
            let address = server.rsplit_once("://").map_or(server, |(_, rest)| rest);
            let address = address.split('/').next().unwrap_or(address);
            if address.contains(':') {
                return address.to_owned();
            }
            format!("{address}:{DEFAULT_PORT}")
        };
        let is_set = |prefix: &str| properties.keys().any(|name| name.starts_with(prefix));
        Self {
            protocol: Protocol {
                tls: protocol.ends_with("ssl"),
                sasl: protocol.starts_with("sasl"),
            },
            has_user: is_set("sasl.username"),
            has_token: needs_token(properties),
            has_certificate: is_set("ssl.certificate.") || is_set("ssl.keystore."),
            authorities: if is_set("ssl.ca.pem") {
                "ssl.ca.pem"
            } else {
                "ssl.ca.location"
            },
            bootstrap: servers.map(address).collect(),
        }
    }

    /// The addresses of `bootstrap.servers`, each with its port.
    pub(super) fn bootstrap(&self) -> &[String] {
        &self.bootstrap
    }

    /// `set "security.protocol" to …`.
    fn advice(&self, tls: bool, sasl: bool) -> String {
        let wanted = Protocol { tls, sasl }.name();
        let present = self.protocol.name();
        format!("set \"security.protocol\" to \"{wanted}\" (it is \"{present}\")")
    }

    /// Why the broker of this line cannot be used.
    pub(super) fn explain(&self, line: &BrokerLine<'_>, past: Past) -> Cause {
        let of_security = self.of_certificates(line);
        let of_security = of_security.or_else(|| self.of_sasl(line));
        let found = of_security.or_else(|| self.of_protocol(line, past));
        let found = found.or_else(|| self.of_address(line, past));
        let vague = || {
            Cause::new(
                CauseKind::Vague,
                format!("{}: {}", line.address, line.text),
                "",
            )
        };
        found.unwrap_or_else(vague)
    }

    fn of_certificates(&self, line: &BrokerLine<'_>) -> Option<Cause> {
        let (address, text) = (line.address, line.text);
        if text.contains("certificate verify failed") {
            let authorities = self.authorities;
            let what = format!(
                "the certificate of {address} cannot be verified with {authorities:?}: certificate verify failed"
            );
            return Some(Cause::new(CauseKind::CertificateUntrusted, what, ""));
        }
        let is_alert = text.contains(" alert ");
        let is_refused = is_alert && (text.contains("certificate") || text.contains("unknown ca"));
        if is_refused && self.has_certificate {
            return Some(Cause::new(
                CauseKind::ClientCertificateRefused,
                format!("{address} refuses this client's certificate"),
                format!(
                    "renew \"ssl.certificate.location\" and \"ssl.key.location\", or have the broker trust their authority \
                     ({text})"
                ),
            ));
        }
        if is_refused {
            return Some(Cause::new(
                CauseKind::ClientCertificateMissing,
                format!("{address} demands a client certificate"),
                format!("set \"ssl.certificate.location\" and \"ssl.key.location\" ({text})"),
            ));
        }
        None
    }

    fn of_sasl(&self, line: &BrokerLine<'_>) -> Option<Cause> {
        let (address, text) = (line.address, line.text);
        if text.contains("mechanism handshake failed") {
            if text.contains("not valid in current SASL state") {
                let advice = self.advice(self.protocol.tls, false);
                return Some(Cause::new(
                    CauseKind::SaslUnexpected,
                    format!("{address} does not use SASL"),
                    format!(
                        "{advice}, or name the broker's SASL listener in \"bootstrap.servers\""
                    ),
                ));
            }
            let accepted = text.rsplit_once("supported mechanisms: ")?.1.trim();
            let accepted = accepted.replace(',', ", ");
            return Some(Cause::new(
                CauseKind::MechanismNotOffered,
                format!("{address} does not accept this mechanism"),
                format!("set \"sasl.mechanisms\" to one of {accepted}"),
            ));
        }
        let is_refused = text.contains("SASL") && text.contains("uthentication");
        if self.has_token && is_refused {
            return Some(Cause::new(
                CauseKind::TokenRefused,
                format!("{address} refuses the token"),
                format!(
                    "have \"sasl.oauthbearer.token.endpoint.url\" be of the issuer that the broker trusts, and \
                     \"sasl.oauthbearer.client.id\" and \"sasl.oauthbearer.scope\" ask for the audience that it expects ({text})"
                ),
            ));
        }
        text.contains("SASL authentication error").then(|| {
            Cause::new(
                CauseKind::WrongPassword,
                format!("{address} refuses the user or the password"),
                format!("correct \"sasl.username\" and \"sasl.password\" ({text})"),
            )
        })
    }

    fn of_protocol(&self, line: &BrokerLine<'_>, past: Past) -> Option<Cause> {
        let (address, text) = (line.address, line.text);
        let is_doubtful = !past.was_any_connected;
        let is_closed = text.starts_with("Disconnected")
            || text.contains("onnection reset by peer")
            || text.contains("Broken pipe");
        let state = line.state.map(|(state, _)| state);
        let in_handshake = state == Some("SSL_HANDSHAKE") || text.contains("SSL handshake failed");
        let is_no_tls = text.contains("PLAINTEXT broker listener")
            || text.contains("wrong version number")
            || text.contains("packet length too long");
        if self.protocol.tls && in_handshake && (is_no_tls || is_closed) && is_doubtful {
            let advice = self.advice(false, self.protocol.sasl);
            return Some(Cause::new(
                CauseKind::TlsUnexpected,
                format!("{address} does not speak TLS"),
                format!("{advice}, or name the broker's TLS listener in \"bootstrap.servers\""),
            ));
        }
        let answer = text.split_once("Invalid response size ");
        let answer = answer.and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
        let answer = answer.map(u32::to_be_bytes);
        // A TLS alert begins with its type, 21, and the version's major number, 3.
        let is_tls = matches!(answer, Some([21, 3, ..]));
        if let Some(answer) = answer.filter(|_| !is_tls) {
            let protocol = if &answer == b"HTTP" {
                "HTTP"
            } else {
                "another protocol"
            };
            return Some(Cause::new(
                CauseKind::OtherProtocol,
                format!("{address} speaks {protocol} and not Kafka's"),
                "correct \"bootstrap.servers\"",
            ));
        }
        if !self.protocol.tls
            && (is_tls || (is_closed && is_doubtful && state == Some("APIVERSION_QUERY")))
        {
            let advice = self.advice(true, self.protocol.sasl);
            let sasl = if self.protocol.sasl {
                ""
            } else {
                ", or to \"SASL_SSL\" if the broker asks for a password too"
            };
            return Some(Cause::new(
                CauseKind::TlsMissing,
                format!(
                    "{address} closes the connection at the first request, as a TLS listener does"
                ),
                format!("{advice}{sasl}"),
            ));
        }
        let at_once = line.state.is_some_and(|(_, lasted)| lasted < AT_ONCE);
        if !self.protocol.sasl && is_closed && state == Some("UP") && at_once && is_doubtful {
            let advice = self.advice(self.protocol.tls, true);
            let credentials = if self.has_user {
                "; until then \"sasl.username\" is not used"
            } else {
                ", with \"sasl.mechanisms\", \"sasl.username\" and \"sasl.password\""
            };
            return Some(Cause::new(
                CauseKind::SaslMissing,
                format!(
                    "{address} closes the connection after its first answer, as a SASL listener does"
                ),
                format!("{advice}{credentials}"),
            ));
        }
        None
    }

    fn of_address(&self, line: &BrokerLine<'_>, past: Past) -> Option<Cause> {
        let (address, text) = (line.address, line.text);
        let reason = if text.starts_with("Failed to resolve") || text.starts_with("Connect to") {
            text.rsplit_once(": ")?.1
        } else if text.starts_with("Connection setup timed out in state CONNECT") {
            "no answer"
        } else if text.starts_with("Connection setup timed out") {
            "it accepts connections and answers nothing; is something else than a broker in between?"
        } else {
            return None;
        };
        // Until it is connected, only the cluster has named this address.
        let is_advertised =
            !past.was_connected && !self.bootstrap.iter().any(|server| server == address);
        let unreachable = |what| Some(Cause::new(CauseKind::Unreachable, what, ""));
        match line.number {
            Some(number) if is_advertised => Some(Cause::new(
                CauseKind::AdvertisedUnreachable,
                format!(
                    "Kafka advertises broker {number} at {address}, which cannot be reached from here ({reason})"
                ),
                "correct the broker's advertised.listeners, or make this address reachable",
            )),
            Some(number) => unreachable(format!(
                "broker {number} at {address} cannot be reached ({reason})"
            )),
            None => unreachable(format!(
                "{address}, of \"bootstrap.servers\", cannot be reached ({reason})"
            )),
        }
    }
}

#[cfg(test)]
mod tests;
