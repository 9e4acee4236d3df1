//! `[listen]` and `[[source]]`: their keys, from which ingest is built.

use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;

use super::scheme::{KeyConfig, Verify, labels};
use super::tls::TlsConfig;
use crate::settings::{Decoder, Kind, SettingValue, Shown, settings};

settings! {
    /// Where senders post their webhooks, and the limits that keep memory bounded. HTTP/1.1 and HTTP/2 share the port.
    pub struct ListenConfig {
        /// Where ringback listens for webhooks. Set `tls`, or terminate TLS in front of it (ingress, load balancer).
        address: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8080));
        /// Connections served at once. If there are more, the one that has been idle for longest is closed for each new
        /// one; if none is idle, one whose request has stalled for a second; else the new ones wait in the kernel's
        /// backlog. Each costs a file descriptor and, while its head arrives, up to 100 KiB: in the worst case memory
        /// holds `max_in_flight` + `max_connections` x 100 KiB + 100 MiB. With `tls` each costs 60 KiB more at worst. If
        /// the process may not open that many descriptors, ringback serves fewer connections and logs that.
        max_connections: usize = 10_000, bounds(1..=1_000_000);
        /// A request's head must be complete within this time after its first byte, the first head of a connection
        /// within this time after the connection was accepted.
        header_timeout: Duration = Duration::from_secs(10),
            bounds(Duration::from_millis(100)..=Duration::from_mins(5));
        /// A connection on which no request has come for this long is closed. Keep this longer than the time after which a
        /// load balancer or proxy in front closes its idle connections (usually 60 s): if ringback closes first, a request
        /// may cross the close and be lost.
        idle_timeout: Duration = Duration::from_secs(75),
            bounds(Duration::from_secs(1)..=Duration::from_hours(1));
        /// A request's body must be complete within this time; otherwise the answer is 408.
        body_timeout: Duration = Duration::from_secs(10),
            bounds(Duration::from_millis(100)..=Duration::from_mins(10));
        /// The largest body; a larger one is answered 413. The topic's `max.message.bytes` should allow it.
        max_body: ByteSize = ByteSize::mib(8), bounds(ByteSize::kib(1)..=ByteSize::mib(512));
        /// An event that is not synced within this time (with `ack = "kafka"`: not acknowledged by Kafka) is answered 503. It may
        /// still be published: the sender's retry carries the same id. Keep this below the sender's own timeout (Retell AI: 10 s).
        commit_timeout: Duration = Duration::from_secs(8),
            bounds(Duration::from_millis(100)..=Duration::from_mins(1));
        /// Memory for the bodies of all requests together; at least `max_body`. A body is charged as its bytes arrive and
        /// until they are synced; a request whose body is awaited costs its head and 3 KiB besides. For a request that
        /// does not fit, the bodies that arrive most slowly are cut (408); if that is not enough, it is answered 503 at
        /// once. With `ack = "kafka"` a body is charged until Kafka has acknowledged it, also if its sender was answered 503
        /// meanwhile, and all such events, with their headers and 1 KiB each, may have seven eighths of this.
        max_in_flight: ByteSize = ByteSize::mib(64), bounds(ByteSize::kib(1)..=ByteSize::gib(64));
        /// Proxies whose X-Forwarded-For is trusted to give the client's address; it is read from the right. Networks in
        /// CIDR notation, such as `["10.0.0.0/8"]`. If there are none, the client's address is the connection's.
        trusted_proxies: Vec<IpNet> = Vec::new();
        /// The certificate with which ringback itself takes HTTPS, and nothing else, on this port: TLS 1.2 and 1.3, HTTP/2
        /// by ALPN. Both files are read again when one changes and on SIGHUP; while they do not fit each other, the present
        /// certificate stays. Without `tls`, terminate TLS in front of ringback.
        tls: Option<TlsConfig> = None, reloaded,
            remedy("write tls = { certificate = \"/path\", key = \"/path\" }"),
            example("# tls = { certificate = \"/etc/ringback/tls/tls.crt\", key = \"/etc/ringback/tls/tls.key\" }");
        /// A path on which GET and HEAD answer readiness as `/readyz` does, 200 or 503: for load balancers that check the
        /// port to which they send. No source may have it. Its requests are neither counted nor logged.
        health_path: Option<String> = None, check(|path| path.iter().try_for_each(|path| check_health_path(path))),
            example("# health_path = \"/healthz\"");
    }
}

settings! {
    /// One sender and its path. There must be at least one.
    pub struct SourceConfig {
        /// The source's name in metrics and in the records' `ce_source` and `ce_type`. Unique; 1 to 64 of a-z, 0-9, "-"
        /// and "_".
        name: String = String::new(), required, example("name = \"retell\"");
        /// The URL's path or a list of paths, compared without the query; one more or one less "/" at the end makes no
        /// difference unless another source has that path. Unique; begins with "/".
        path: Paths = Paths::default(), required, check(Paths::check),
            example("path = \"/webhook\"");
        /// How requests are authenticated: `"retell"` (X-Retell-Signature), or `"none"`, which accepts requests
        /// from anybody, but only events: JSON with an event's name. What is authenticated is never refused for what it
        /// says: a body that is not JSON becomes a dead letter.
        verify: Verify = Verify::Retell, required, example("verify = \"retell\"");
        /// The signing keys that are valid at present: a request must be signed with any one of them.
        /// `ringback_signature_matches_total` shows which are still in use. Each key is read from either an environment
        /// variable (`env`) or a file (`file`); `name` is its label in the metrics, by default its index. White space around a key is
        /// trimmed; quotes around it, a byte order mark, and line breaks or control characters inside are errors. Keys are read
        /// again on SIGHUP and when a file changes. Required unless `verify = "none"`, which allows none.
        keys: Vec<KeyConfig> = Vec::new(), secret, reloaded,
            remedy("write where to read each key, for example keys = [{ env = \"RETELL_API_KEY\" }] or [{ file = \"…\", name = \"…\" }]"),
            example("keys = [{ env = \"RETELL_API_KEY\" }]
# keys = [{ file = \"/etc/ringback/secrets/retell\", name = \"2026\" }, { file = \"/etc/ringback/secrets/retell-old\", name = \"2025\" }]");
        /// Where to find an event's Kafka key: JSON pointers (RFC 6901), of which the first that leads to a string wins.
        /// An empty list means no key. The default depends on the sender's scheme; for Retell AI it is as below.
        key_pointers: Option<Vec<String>> = None,
            example("key_pointers = [\"/call/call_id\", \"/data/call_id\", \"/chat/chat_id\", \"/call_inbound/call_id\", \"/chat_inbound/chat_id\"]");
    }
}

fn check_health_path(path: &str) -> Result<(), String> {
    if is_url_path(path) {
        return Ok(());
    }
    Err(format!(
        "{path:?} is not the path of a URL; write one such as \"/healthz\", of visible ASCII without \"?\" and \"#\""
    ))
}

/// True if `path` can be the path of a URL.
pub(super) fn is_url_path(path: &str) -> bool {
    let may_be_in_path = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    path.starts_with('/') && path.bytes().all(may_be_in_path)
}

/// The paths of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths(Vec<String>);

impl Paths {
    /// In the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// True if a request with this path is for this source, provided that no other source has the path.
    pub fn contains(&self, path: &str) -> bool {
        self.matching(path).is_some()
    }

    /// The configured path that a request with this path matches.
    pub fn matching(&self, path: &str) -> Option<&str> {
        let mut paths = self.iter();
        paths.find(|known| *known == path || toggled(known).as_deref() == Some(path))
    }

    fn check(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Err(String::from(
                "is empty; write a path such as \"/webhook\", or a list of paths",
            ));
        }
        Ok(())
    }
}

/// `path` with a slash at its end if it has none, else without; `None` for the root.
pub(super) fn toggled(path: &str) -> Option<String> {
    match path.strip_suffix('/') {
        Some("") => None,
        Some(path) => Some(path.to_owned()),
        None => Some(format!("{path}/")),
    }
}

impl From<&str> for Paths {
    fn from(path: &str) -> Self {
        Self(vec![path.to_owned()])
    }
}

impl SettingValue for Paths {
    fn kind() -> Kind {
        Kind::scalar(
            "text or list of texts",
            "write a path such as \"/webhook\", or a list of paths",
            r#"{"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1}"#,
        )
    }

    fn decode(value: toml::Value, decoder: &mut Decoder<'_>) -> Option<Self> {
        match value {
            toml::Value::Array(_) => Vec::decode(value, decoder).map(Self),
            _ => decoder.parse(&value, |path| Some(path.into())),
        }
    }

    fn show(&self) -> Option<Shown> {
        match self.0.as_slice() {
            [path] => path.show(),
            paths => paths.to_vec().show(),
        }
    }
}

impl SourceConfig {
    /// The metric label of each key: its configured name, else its index.
    pub(super) fn key_labels(&self) -> impl Iterator<Item = String> {
        labels(&self.keys)
    }
}
