//! Where `prove` posts to: a URL, or what a relay's configuration says.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use crate::config::Config;
use crate::ingest::{SourceConfig, Verify};

/// Where events are posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) authority: String,
    pub(super) path: String,
}

/// As the README's relay listens.
impl Default for Target {
    fn default() -> Self {
        Self {
            host: String::from("localhost"),
            port: 8080,
            authority: String::from("localhost:8080"),
            path: String::from("/webhook"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let (Some("http"), Some(authority), Some(host)) = (uri.scheme_str(), authority, uri.host())
        else {
            return Err(String::from(
                "give http://host:port/path; TLS is ended in front of the relay, so prove it behind that",
            ));
        };
        if authority.contains('@') {
            return Err(String::from("a user's name has no place in it"));
        }
        let path = uri.path_and_query();
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            authority: authority.to_owned(),
            path: path.map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}{}", self.authority, self.path)
    }
}

impl Target {
    /// Where a relay with this configuration takes webhooks, seen from its own machine: at its first source that verifies,
    /// else at its first one. `None` where it leaves the port to the system.
    pub fn of(relay: &Config) -> Option<Self> {
        let verifies = |source: &&SourceConfig| source.verify != Verify::None;
        let mut sources = relay.source.iter();
        let source = sources.clone().find(verifies).or_else(|| sources.next())?;
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
            path: source.path.clone(),
        })
    }

    /// The path without a query, by which a source is known.
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
    fn a_target_is_plain_http_and_says_so() {
        let target: Target = "http://[::1]:9000/a?b=c".parse().unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 9000));
        assert_eq!(target.path, "/a?b=c");
        assert_eq!(target.authority, "[::1]:9000");
        let target: Target = "http://relay".parse().unwrap();
        assert_eq!((target.port, target.path.as_str()), (80, "/"));
        for bad in [
            "https://relay/webhook",
            "localhost:8080",
            "/webhook",
            "http://",
            "http://a@b/",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_configured_relay_is_found_at_its_address_and_its_verifying_source() {
        let target = |listen: &str, sources: &[(&str, &str)]| {
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
            Target::of(&relay).map(|target| target.to_string())
        };
        let open = ("/open", "verify = \"none\"");
        let retell = "verify = \"retell\"\nkeys = [{ env = \"RINGBACK_TEST_NEVER_SET\" }]";
        let found = target("0.0.0.0:18080", &[open, ("/retell", retell)]);
        assert_eq!(found.as_deref(), Some("http://localhost:18080/retell"));
        let found = target("[::1]:9000", &[open]);
        assert_eq!(found.as_deref(), Some("http://[::1]:9000/open"));
        let found = target("10.0.0.7:80", &[open]);
        assert_eq!(found.as_deref(), Some("http://10.0.0.7:80/open"));
        assert_eq!(target("0.0.0.0:0", &[open]), None);
        assert_eq!(
            Target::default().to_string(),
            "http://localhost:8080/webhook"
        );
        assert_eq!(
            "http://localhost:8080/webhook".parse(),
            Ok(Target::default())
        );
    }
}
