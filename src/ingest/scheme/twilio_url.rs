//! `twilio.url`: the URL that Twilio was given.

use crate::settings::{Decoder, Kind, SettingValue, Shown};

/// An `http` or `https` URL without a query. It may hold a password, so it is never shown whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TwilioUrl {
    given: String,
    with_port: String,
    without_port: String,
}

impl TwilioUrl {
    /// `None` if it is not one that Twilio can post to.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let default = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return None,
        };
        let is_plain =
            rest.bytes().all(|byte| byte.is_ascii_graphic()) && !rest.contains(['?', '#']);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // A colon begins the port only behind an IPv6 address and a password.
        let behind = authority.rfind([']', '@']).map_or(0, |at| at + 1);
        let colon = authority[behind..].find(':').map(|at| behind + at);
        let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
        let port = if port.is_empty() { default } else { port };
        (is_plain && !host.is_empty()).then(|| Self {
            given: url.to_owned(),
            with_port: format!("{scheme}://{host}{port}{path}"),
            without_port: format!("{scheme}://{host}{path}"),
        })
    }

    /// As Twilio may have signed it: with and without its port.
    pub(super) fn forms(&self) -> [&str; 2] {
        [&self.with_port, &self.without_port]
    }
}

impl SettingValue for TwilioUrl {
    fn kind() -> Kind {
        Kind::scalar(
            "URL",
            "write the one that Twilio was given, without its query, such as \"https://hooks.example.com/twilio\"",
            r#"{"type": "string"}"#,
        )
    }

    fn decode(value: toml::Value, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.parse(&value, Self::parse)
    }

    fn show(&self) -> Option<Shown> {
        let (scheme, rest) = self.given.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Some(match authority.rsplit_once('@') {
            Some((_, host)) => Shown::quoted(&format!("{scheme}://***@{host}{path}")),
            None => Shown::quoted(&self.given),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_counts_with_and_without_its_port() {
        for (url, forms) in [
            (
                "https://a.example/b",
                Some(["https://a.example:443/b", "https://a.example/b"]),
            ),
            (
                "https://a.example:8443/b",
                Some(["https://a.example:8443/b", "https://a.example/b"]),
            ),
            (
                "http://a.example",
                Some(["http://a.example:80", "http://a.example"]),
            ),
            (
                "https://u:p@[::1]:1/b:c",
                Some(["https://u:p@[::1]:1/b:c", "https://u:p@[::1]/b:c"]),
            ),
            ("ftp://a/b", None),
            ("https://", None),
            ("https:///b", None),
            ("https://a/b?c", None),
            ("https://a/b c", None),
            ("a.example/b", None),
        ] {
            let parsed = TwilioUrl::parse(url);
            assert_eq!(parsed.as_ref().map(TwilioUrl::forms), forms, "{url}");
        }
    }

    #[test]
    fn a_password_in_it_is_not_shown() {
        let shown = |url| TwilioUrl::parse(url).unwrap().show().unwrap().to_string();
        assert_eq!(
            shown("https://ann:tell@h.example/a@b"),
            "\"https://***@h.example/a@b\""
        );
        assert_eq!(shown("https://h.example/a@b"), "\"https://h.example/a@b\"");
    }
}
