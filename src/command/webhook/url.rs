//! The URL that a command posts to, given or derived from a relay's configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;

use crate::config::Config;
use crate::ingest::{SourceConfig, Verify};

/// The URL of a relay's source, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    pub host: String,
    pub port: u16,
    pub authority: String,
    pub path: String,
    /// The file of the relay's certificate; `None` without TLS.
    pub certificate: Option<PathBuf>,
}

/// The address that the README's examples use.
impl Default for WebhookUrl {
    fn default() -> Self {
        Self {
            host: String::from("localhost"),
            port: 8080,
            authority: String::from("localhost:8080"),
            path: String::from("/webhook"),
            certificate: None,
        }
    }
}

impl FromStr for WebhookUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "give http://host:port/path; for a relay with listen.tls, give its --config and no URL; if a proxy terminates TLS \
                            in front of the relay, give the address behind it";
        let uri: Uri = text.parse().map_err(|error| format!("{error}; {FORM}"))?;
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let (Some("http"), Some(authority), Some(host)) = (uri.scheme_str(), authority, uri.host())
        else {
            return Err(String::from(FORM));
        };
        if authority.contains('@') {
            return Err(String::from("remove the user name from the URL"));
        }
        // `http` takes a port that is too large for none.
        let has_port = authority
            .rsplit(']')
            .next()
            .is_some_and(|rest| rest.contains(':'));
        if has_port && uri.port_u16().is_none() {
            return Err(String::from("the port must be a number from 1 to 65535"));
        }
        let path = uri.path_and_query();
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            authority: authority.to_owned(),
            path: path.map_or("/", |path| path.as_str()).to_owned(),
            certificate: None,
        })
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secure = if self.certificate.is_some() { "s" } else { "" };
        write!(formatter, "http{secure}://{}{}", self.authority, self.path)
    }
}

impl WebhookUrl {
    /// The URL of a relay with this configuration, seen from its own machine: of its first source that takes Retell's
    /// signatures, else of its first source that takes anything, else of its first source. `None` if port 0 is configured.
    pub fn of(relay: &Config) -> Option<Self> {
        let first = |verify: Verify| {
            let mut sources = relay.source.iter();
            sources.find(|source: &&SourceConfig| source.verify == verify)
        };
        let signed = first(Verify::Retell).or_else(|| first(Verify::None));
        Self::of_source(relay, signed.or_else(|| relay.source.first())?)
    }

    /// The URL of this source of a relay, seen from its own machine. `None` if port 0 is configured.
    pub fn of_source(relay: &Config, source: &SourceConfig) -> Option<Self> {
        let address = relay.listen.address;
        let port = Some(address.port()).filter(|port| *port != 0)?;
        let (host, authority) = if address.ip().is_unspecified() {
            (String::from("localhost"), format!("localhost:{port}"))
        } else {
            (address.ip().to_string(), address.to_string())
        };
        Some(Self {
            host,
            port,
            authority,
            path: source.path.iter().next()?.to_owned(),
            certificate: relay.listen.tls.as_ref().map(|tls| tls.certificate.clone()),
        })
    }

    /// The URL of a listener on this machine, without TLS, and without a path.
    pub fn of_listener(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
            authority: format!("localhost:{}", address.port()),
            path: String::from("/"),
            certificate: None,
        }
    }

    /// The path and the query, with `query` added to it.
    pub fn target(&self, query: Option<&str>) -> String {
        let mark = if self.path.contains('?') { '&' } else { '?' };
        let query = query.map_or_else(String::new, |query| format!("{mark}{query}"));
        format!("{}{query}", self.path)
    }

    /// The path without a query, which identifies a source.
    pub fn source_path(&self) -> &str {
        self.path
            .split_once('?')
            .map_or(self.path.as_str(), |(path, _)| path)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::config::{Environment, Purpose};

    #[test]
    fn a_url_must_be_plain_http() {
        let url: WebhookUrl = "http://[::1]:9000/a?b=c".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 9000));
        assert_eq!(url.path, "/a?b=c");
        assert_eq!(url.authority, "[::1]:9000");
        let url: WebhookUrl = "http://relay".parse().unwrap();
        assert_eq!((url.port, url.path.as_str()), (80, "/"));
        for bad in [
            "https://relay/webhook",
            "localhost:8080",
            "/webhook",
            "http://",
            "http://a@b/",
        ] {
            assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_configuration_gives_the_url_of_its_verifying_source() {
        let url = |listen: &str, sources: &[(&str, &str)]| {
            let mut text = format!(
                "[listen]\naddress = \"{listen}\"\n[kafka.client]\n\"bootstrap.servers\" = \"k:1\"\n"
            );
            for (path, rest) in sources {
                let name = path.trim_matches('/');
                let _ = write!(
                    text,
                    "[[source]]\nname = \"{name}\"\npath = \"{path}\"\n{rest}\n"
                );
            }
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let environment = Environment::of_process();
            let relay = Config::load(file.path(), &environment, Purpose::Publish).unwrap();
            WebhookUrl::of(&relay).map(|url| url.to_string())
        };
        let open = ("/open", "verify = \"none\"");
        let retell = "verify = \"retell\"\nkeys = [{ env = \"RINGBACK_TEST_NEVER_SET\" }]";
        let found = url("0.0.0.0:18080", &[open, ("/retell", retell)]);
        assert_eq!(found.as_deref(), Some("http://localhost:18080/retell"));
        let other = retell.replace("\"retell\"", "\"github\"");
        let found = url("0.0.0.0:1", &[("/github", &other), open]);
        assert_eq!(found.as_deref(), Some("http://localhost:1/open"));
        let found = url("[::1]:9000", &[open]);
        assert_eq!(found.as_deref(), Some("http://[::1]:9000/open"));
        let found = url("10.0.0.7:80", &[open]);
        assert_eq!(found.as_deref(), Some("http://10.0.0.7:80/open"));
        let found = url(
            "0.0.0.0:8443\"\ntls = { certificate = \"/a\", key = \"/b\" } #",
            &[open],
        );
        assert_eq!(found.as_deref(), Some("https://localhost:8443/open"));
        assert_eq!(url("0.0.0.0:0", &[open]), None);
        assert_eq!(
            WebhookUrl::default().to_string(),
            "http://localhost:8080/webhook"
        );
        assert_eq!(
            "http://localhost:8080/webhook".parse(),
            Ok(WebhookUrl::default())
        );
    }
}
