//! Ingest: from a sender's POST to an answer that keeps its promise.
//!
//! ```text
//! listener      a permit, then accept; at the end nothing that connected is reset
//!   connection  HTTP/1.1 or HTTP/2 by the first bytes; limits on heads, idleness, streams, stalled writes
//!     stack     measure → close → answer → handler
//!       handler 404, 405, 415, 413 by the head alone
//!         collect       the body: bounded in size and time, charged to one memory budget as it arrives
//!         authenticate  over the raw bytes, before anything is parsed
//!         validate      one pass over the JSON: `event`, and the key by the source's pointers (key)
//!         append        to the journal; 204 only after its sync
//! rejection     the one translation of every refusal to an answer and a metric label
//! ```
//!
//! Invariants that live here: nothing unauthenticated is parsed or reaches the disk; the body is stored byte for byte;
//! memory is bounded by configuration (a body's charge is given back only when the journal drops its bytes, after the
//! sync); an event is counted as accepted exactly when it is committed, whether or not its sender still waits; and
//! nothing here knows Kafka.

mod body;
mod config;
mod ingress;
mod memory;
mod metrics;
mod payload;
mod provenance;
mod refusal;
mod request;
mod scheme;
mod server;
mod stack;

pub use self::ingress::{Append, Observed, Verdict};
pub use self::payload::pointers::PointerError;
pub use self::scheme::{AuthenticateError, KeyError};
pub use config::{KeyConfig, ListenConfig, SourceConfig, Verify};
pub use metrics::Metrics;

use self::body::Limits;
use self::ingress::{Observer, Phase, Shared, Source};
use self::payload::pointers::Pointers;
use self::scheme::Authenticator;
use crate::journal::Appender;
use bytesize::ByteSize;
use memory::Budget;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The longest name of a source, in bytes.
const MAX_NAME: usize = 64;

/// Why the sources cannot be served; each names the source and what would do.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Nothing would ever be accepted.
    #[error("no [[source]] is configured: give at least one, with name, path and verify")]
    NoSource,
    /// Names stand in headers, logs and metrics.
    #[error(
        "source \"{name}\": a name has 1 to {MAX_NAME} characters of a-z, 0-9, \"-\" and \"_\""
    )]
    Name {
        /// As configured.
        name: String,
    },
    /// Two sources of one name could not be told apart.
    #[error("source \"{name}\": another source has this name; names must be unique")]
    DuplicateName {
        /// As configured.
        name: String,
    },
    /// Not the path of a URL.
    #[error(
        "source \"{name}\": path \"{path}\" must start with \"/\" and be visible ASCII without \"?\" and \"#\""
    )]
    Path {
        /// The source.
        name: String,
        /// As configured.
        path: String,
    },
    /// Two sources on one path could not be told apart.
    #[error("source \"{name}\": another source has path \"{path}\"; paths must be unique")]
    DuplicatePath {
        /// The source.
        name: String,
        /// As configured.
        path: String,
    },
    /// Not a JSON pointer.
    #[error("source \"{name}\": key pointer \"{pointer}\" is not a usable JSON pointer (RFC 6901)")]
    Pointer {
        /// The source.
        name: String,
        /// As configured.
        pointer: String,
        /// What is wrong with it.
        #[source]
        source: PointerError,
    },
    /// Keys are missing, unreadable or empty.
    #[error("source \"{name}\": its keys cannot be used")]
    Key {
        /// The source.
        name: String,
        /// Which key, and why.
        #[source]
        source: KeyError,
    },
}

impl IngestError {
    /// The configuration key that is at fault, where the source has this index, as `source.0.path`.
    pub fn key(&self, index: usize) -> String {
        let key = match self {
            Self::NoSource => return String::from("source"),
            Self::Name { .. } | Self::DuplicateName { .. } => "name",
            Self::Path { .. } | Self::DuplicatePath { .. } => "path",
            Self::Pointer { .. } => "key_pointers",
            Self::Key { .. } => "keys",
        };
        format!("source.{index}.{key}")
    }
}

/// Everything a request needs, shared by all connections; cheap to clone.
pub struct Ingest<A = Appender> {
    shared: Arc<Shared<A>>,
    configs: Arc<[SourceConfig]>,
}

impl<A> Clone for Ingest<A> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            configs: Arc::clone(&self.configs),
        }
    }
}

/// All that [`Ingest::new`] would find wrong with `sources`, their keys included; nothing is kept.
pub fn check_sources(sources: &[SourceConfig]) -> Result<(), IngestError> {
    build(sources).map(drop)
}

impl<A: Append> Ingest<A> {
    /// Reads the keys (fails closed), compiles the pointers, resolves the routes. `metrics` must have been registered
    /// with the same `sources`.
    pub fn new(
        listen: &ListenConfig,
        sources: &[SourceConfig],
        appender: A,
        metrics: Metrics,
    ) -> Result<Self, IngestError> {
        let (sources_built, routes) = build(sources)?;
        // A body as large as all memory for bodies still fits, with the head that is charged beside it.
        let room =
            bytes(listen.max_in_flight).saturating_add(self::server::connection::MAX_HEAD as usize);
        let budget = Budget::new(room, metrics.body_bytes.clone());
        let shared = Shared {
            appender,
            sources: sources_built,
            routes,
            metrics,
            limits: Limits {
                max_body: bytes(listen.max_body),
                timeout: listen.body_timeout,
                budget,
            },
            header_timeout: listen.header_timeout,
            commit_timeout: listen.commit_timeout,
            max_connections: listen.max_connections,
            trusted_proxies: listen.trusted_proxies.clone(),
            phase: watch::Sender::new(Phase::Serving),
            observer: OnceLock::new(),
            clock: OnceLock::new(),
            born: Instant::now(),
            warned: AtomicU64::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
            configs: sources.into(),
        })
    }

    /// Tells `tell` of each event just before it is appended, and of each refusal. `lenient` accepts events whatever
    /// their signature: for trying things out only. The first observer stays.
    #[must_use]
    pub fn observing(
        self,
        lenient: bool,
        tell: impl Fn(&Observed<'_>) + Send + Sync + 'static,
    ) -> Self {
        let tell = Box::new(tell);
        // A second observer has no effect, as documented.
        let _ = self.shared.observer.set(Observer { lenient, tell });
        self
    }

    /// Takes the time (Unix, in ms) from `clock` instead of the system: for signatures' age and events' time. The
    /// first clock stays.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        // A second clock has no effect, as documented.
        let _ = self.shared.clock.set(Box::new(clock));
        self
    }

    /// Reads all keys anew, from the same files and variables; on error all old ones stay. Running requests are not
    /// touched. Reads files, so briefly blocks.
    pub fn reload_keys(&self) -> Result<(), IngestError> {
        let fresh: Vec<_> = self
            .configs
            .iter()
            .map(|config| {
                Authenticator::read_again(config).map_err(|source| IngestError::Key {
                    name: config.name.clone(),
                    source,
                })
            })
            .collect::<Result<_, _>>()?;
        for (source, fresh) in self.shared.sources.iter().zip(fresh) {
            source.authenticator.replace(fresh);
        }
        Ok(())
    }

    /// Whether the source at `index` would take `body` for an event, had its sender signed it.
    pub fn validates(&self, index: usize, body: &[u8]) -> bool {
        let source = self.shared.sources.get(index);
        source.is_some_and(|source| self::payload::validate(body, &source.pointers).is_ok())
    }

    /// From now on answers carry `Connection: close` (HTTP/2: GOAWAY), while still being given as ever.
    pub fn shutting_down(&self) {
        self.shared.advance(Phase::Leaving);
    }
}

/// Serves until `shutdown` resolves, then accepts what has already connected, lets running requests finish (also one
/// whose head is on its way) and returns. The time that takes is bounded by the listen timeouts; dropping the future
/// cuts everything off. An error means that the listener itself is of no use.
pub async fn serve<A: Append>(
    listener: TcpListener,
    ingest: Ingest<A>,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    self::server::listener::serve(listener, ingest.shared, shutdown).await
}

fn build(configs: &[SourceConfig]) -> Result<(Vec<Source>, HashMap<String, usize>), IngestError> {
    if configs.is_empty() {
        return Err(IngestError::NoSource);
    }
    let mut names = HashSet::new();
    let mut routes = HashMap::new();
    let mut sources = Vec::with_capacity(configs.len());
    for (index, config) in configs.iter().enumerate() {
        let name = || config.name.clone();
        let path = || config.path.clone();
        if !is_name(&config.name) {
            return Err(IngestError::Name { name: name() });
        }
        if !names.insert(&config.name) {
            return Err(IngestError::DuplicateName { name: name() });
        }
        if !is_path(&config.path) {
            return Err(IngestError::Path {
                name: name(),
                path: path(),
            });
        }
        if routes.insert(path(), index).is_some() {
            return Err(IngestError::DuplicatePath {
                name: name(),
                path: path(),
            });
        }
        let pointers = match &config.key_pointers {
            Some(pointers) => Pointers::compile(pointers),
            None => Pointers::compile(&SourceConfig::RETELL_POINTERS),
        };
        let pointers = pointers.map_err(|(index, source)| IngestError::Pointer {
            name: name(),
            pointer: config
                .key_pointers
                .as_ref()
                .and_then(|pointers| pointers.get(index).cloned())
                .unwrap_or_default(),
            source,
        })?;
        let authenticator = Authenticator::new(config).map_err(|source| IngestError::Key {
            name: name(),
            source,
        })?;
        sources.push(Source {
            name: name(),
            authenticator,
            key_labels: (0..config.keys.len())
                .map(|index| config.key_label(index))
                .collect(),
            pointers,
        });
    }
    Ok((sources, routes))
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
}

/// On a 32-bit machine a larger limit than its memory is none.
fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
