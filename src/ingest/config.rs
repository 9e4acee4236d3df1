//! `[listen]` and `[[source]]` of the configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use super::scheme::retell::events::{EVENT_POINTER, KEY_POINTERS, KINDS};

/// `[listen]`: the webhook listener and its limits. `config::bounds` checks the bounds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// Where to listen. Default: `0.0.0.0:8080`.
    pub address: SocketAddr,
    /// Connections served at once; further ones wait in the kernel's backlog. Default: 10,000; at least 1.
    pub max_connections: usize,
    /// Time for the first byte, for a request's whole head, and between two requests. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// Time for a request's whole body. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// Bytes of one body. Default: 8 MiB.
    pub max_body: ByteSize,
    /// Time for the journal's sync; shorter than the sender's timeout of 10 s. Default: 8 s.
    #[serde(with = "humantime_serde")]
    pub commit_timeout: Duration,
    /// Bytes of all bodies in memory together, until they are synced. Default: 64 MiB; at least `max_body`.
    pub max_in_flight: ByteSize,
    /// Proxies (CIDR) whose `X-Forwarded-For` is trusted, read from the right. Default: none.
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
    /// How senders are authenticated. No default: accepting everybody must be explicit.
    pub verify: Verify,
    /// The live keys. A signature under any of them is valid, so that a key can be replaced without a gap.
    #[serde(default)]
    pub keys: Vec<KeyConfig>,
    /// JSON pointers to the record's key; the first that leads to a string wins. Default: [`Verify::key_pointers`]; an
    /// empty list means no key.
    #[serde(default)]
    pub key_pointers: Option<Vec<String>>,
}

impl SourceConfig {
    /// The metric label of each key: its configured name, else its index.
    pub(super) fn key_labels(&self) -> impl Iterator<Item = String> {
        let keys = self.keys.iter().enumerate();
        keys.map(|(index, key)| key.name.clone().unwrap_or_else(|| index.to_string()))
    }
}

/// How a source's senders are authenticated.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// Not at all; the events are Retell's.
    None,
    /// By `X-Retell-Signature`.
    Retell,
}

impl Verify {
    /// The default of `key_pointers`.
    pub fn key_pointers(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::Retell => &KEY_POINTERS,
        }
    }

    /// JSON pointer to the event's name.
    pub(super) fn event_pointer(self) -> &'static str {
        match self {
            Self::None | Self::Retell => EVENT_POINTER,
        }
    }

    /// The documented names of events, each a metric label of its own.
    pub(super) fn event_kinds(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::Retell => &KINDS,
        }
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Retell => "retell",
        })
    }
}

/// Where a secret is read from: exactly one of `env` and `file`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// An environment variable.
    pub env: Option<String>,
    /// A file; one newline at its end is not part of the key.
    pub file: Option<PathBuf>,
    /// The key's label in the metrics, which show when an old key is no longer used. Default: the key's index.
    pub name: Option<String>,
}
