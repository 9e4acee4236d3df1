//! Ingest (interface agreed on; the body is being built).
#![allow(missing_docs, clippy::pedantic, unused)]

use crate::journal::Appender;
use bytesize::ByteSize;
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// `[listen]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    pub address: SocketAddr,
    pub max_connections: usize,
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    pub max_body: ByteSize,
    #[serde(with = "humantime_serde")]
    pub commit_timeout: Duration,
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
/// `[[source]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    pub name: String,
    pub path: String,
    pub verify: Verify,
    #[serde(default)]
    pub keys: Vec<KeyConfig>,
    #[serde(default)]
    pub key_pointers: Option<Vec<String>>,
}
/// The schemes of issue 3; later ones (standard-webhooks, github, stripe, …) get their place in `authenticate`.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    None,
    Retell,
}
/// Where a secret is to be read: exactly one of `env` and `file`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    pub env: Option<String>,
    pub file: Option<PathBuf>,
    pub name: Option<String>,
}

pub struct Metrics;
impl Metrics {
    pub fn register(
        registry: &prometheus::Registry,
        sources: &[SourceConfig],
    ) -> Result<Self, prometheus::Error> {
        todo!()
    }
}
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Names the source and what would do; `config` reports it with exit 78.
    #[error("todo")]
    Todo,
}
/// Everything a request needs, shared by all connections.
#[derive(Clone)]
pub struct Ingest;
impl Ingest {
    /// Reads the keys (fails closed), resolves routes and metric handles.
    pub fn new(
        listen: &ListenConfig,
        sources: &[SourceConfig],
        appender: Appender,
        metrics: Metrics,
    ) -> Result<Self, IngestError> {
        todo!()
    }
    /// Reads the keys anew; on error the old ones stay. Running requests are not touched.
    pub fn reload_keys(&self) -> Result<(), IngestError> {
        todo!()
    }
    /// From now on answers carry `Connection: close` (HTTP/2: GOAWAY), while still being given as ever.
    pub fn shutting_down(&self) {
        todo!()
    }
}
/// Serves until `shutdown` resolves, then stops accepting, lets running requests finish and returns.
pub async fn serve(
    listener: tokio::net::TcpListener,
    ingest: Ingest,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    todo!()
}

pub fn check_sources(sources: &[SourceConfig]) -> Result<(), IngestError> {
    todo!()
}
impl std::fmt::Display for Verify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("none")
    }
}
