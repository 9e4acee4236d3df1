//! `[listen]` and `[[source]]`: what the floor above reads and ingest is built from.

use bytesize::ByteSize;
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `[listen]`: the webhook listener and its limits. The configuration's own checks hold the bounds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// Where to listen. Default: `0.0.0.0:8080`.
    pub address: SocketAddr,
    /// Connections served at once; further ones wait in the kernel's backlog. Default: 10,000; at least 1.
    pub max_connections: usize,
    /// For the first byte, for a request's whole head, and between two requests. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// For a request's whole body. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// Bytes of one body. Default: 8 MiB.
    pub max_body: ByteSize,
    /// For the journal's sync; inside the sender's own 10 s. Default: 8 s.
    #[serde(with = "humantime_serde")]
    pub commit_timeout: Duration,
    /// Bytes of all bodies in memory together, until they are synced. Default: 64 MiB; at least `max_body`.
    pub max_in_flight: ByteSize,
    /// Peers (CIDR) whose `X-Forwarded-For` is believed, read from the right. Default: none.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([0, 0, 0, 0], 8080)),
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            max_body: ByteSize::mib(8),
            commit_timeout: Duration::from_secs(8),
            max_in_flight: ByteSize::mib(64),
            trusted_proxies: Vec::new(),
        }
    }
}

/// `[[source]]`: one sender's webhook.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// In headers, logs and metrics: 1 to 64 of `a-z`, `0-9`, `-`, `_`; unique.
    pub name: String,
    /// The URL's path, starting with `/`; compared exactly, without the query; unique.
    pub path: String,
    /// How senders prove themselves. No default: accepting everybody must be spelled out.
    pub verify: Verify,
    /// The live keys; any of them will do, so that keys can be exchanged without a gap.
    #[serde(default)]
    pub keys: Vec<KeyConfig>,
    /// JSON pointers to the record's key, the first that hits a string wins. Default: Retell's three
    /// ([`SourceConfig::RETELL_POINTERS`]); an empty list means no key.
    #[serde(default)]
    pub key_pointers: Option<Vec<String>>,
}

impl SourceConfig {
    /// Where Retell AI puts a call's or a chat's id; the second is an older sample's shape.
    pub const RETELL_POINTERS: [&'static str; 3] =
        ["/call/call_id", "/data/call_id", "/chat/chat_id"];

    /// The metric label of the key at `index`: its configured name, else its index.
    pub(super) fn key_label(&self, index: usize) -> String {
        let name = self.keys.get(index).and_then(|key| key.name.clone());
        name.unwrap_or_else(|| index.to_string())
    }
}

/// How a source's senders prove themselves.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// Not at all.
    None,
    /// `X-Retell-Signature`.
    Retell,
}

impl fmt::Display for Verify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Retell => "retell",
        })
    }
}

/// Where a secret is to be read: exactly one of `env` and `file`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// An environment variable.
    pub env: Option<String>,
    /// A file; one newline at its end is not part of the key.
    pub file: Option<PathBuf>,
    /// In the metrics, so that one sees when an old key has gone out of use; the key's index by default.
    pub name: Option<String>,
}
