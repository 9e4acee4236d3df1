//! Ingest: from a sender's POST to an answer that is true.
//!
//! ```text
//! server        connections: how many, HTTP/1.1 or HTTP/2, limits on heads, idleness, streams and stalled writes
//!   stack       one tower `ServiceBuilder`
//!     request   404, 405, 415, 413 by the head alone; then
//!       body        collected: bounded in size and time, charged to one memory budget as it arrives
//!       scheme      authenticated over the raw bytes, before anything is parsed
//!       payload     validated: one pass over the JSON finds the event's name and its key
//!       commit      appended to the journal; 204 only after its sync
//! refusal       translates every refusal to its answer and its metric label
//! ```
//!
//! Invariants that ingest keeps: nothing unauthenticated is parsed or reaches the disk; the body is stored byte for
//! byte; memory is bounded by configuration (a body's charge is returned only when the journal drops its bytes, after
//! the sync); an event is counted as accepted exactly when it is committed, whether or not its sender still waits; and
//! nothing here knows Kafka.

mod body;
mod commit;
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
mod source;
mod stack;

pub use self::config::{ListenConfig, SourceConfig};
pub use self::ingress::{Append, Observation};
pub use self::metrics::Metrics;
pub use self::payload::pointers::PointerError;
pub use self::scheme::{AuthenticateError, KeyConfig, KeyError, Verify};
pub use self::source::IngestError;

use std::sync::{Arc, OnceLock};

use bytesize::ByteSize;
use tokio::net::TcpListener;

use self::body::BodyLimits;
use self::ingress::{Ingress, Observer, WARN_INTERVAL};
use self::memory::Budget;
use self::server::{MAX_HEAD, Phase, Phases, Server, listener};
use crate::journal::Appender;
use crate::log_throttle::LogThrottle;

/// The ingest side; clones share everything.
pub struct Ingest<A = Appender> {
    ingress: Arc<Ingress<A>>,
    phases: Phases,
    listen: Arc<ListenConfig>,
    sources: Arc<[SourceConfig]>,
}

impl<A> Clone for Ingest<A> {
    fn clone(&self) -> Self {
        Self {
            ingress: Arc::clone(&self.ingress),
            phases: self.phases.clone(),
            listen: Arc::clone(&self.listen),
            sources: Arc::clone(&self.sources),
        }
    }
}

/// Everything that [`Ingest::new`] would find wrong with this source alone, its keys included.
pub fn source_faults(source: &SourceConfig) -> Vec<IngestError> {
    self::source::faults(source)
}

impl<A: Append> Ingest<A> {
    /// Reads the keys (a blank or unreadable one is an error), compiles the pointers, resolves the routes. `metrics`
    /// must have been registered with the same `sources`.
    pub fn new(
        listen: &ListenConfig,
        sources: &[SourceConfig],
        appender: A,
        metrics: Metrics,
    ) -> Result<Self, IngestError> {
        let (built, routes) = self::source::build(sources)?;
        // A body as large as all memory for bodies still fits, with the head that is charged beside it.
        let room = bytes(listen.max_in_flight).saturating_add(MAX_HEAD as usize);
        let ingress = Ingress {
            appender,
            sources: built,
            routes,
            limits: BodyLimits {
                max_body: bytes(listen.max_body),
                timeout: listen.body_timeout,
                budget: Budget::new(room, metrics.body_bytes.clone()),
            },
            metrics: Arc::new(metrics),
            commit_timeout: listen.commit_timeout,
            trusted_proxies: listen.trusted_proxies.clone(),
            observer: OnceLock::new(),
            clock: OnceLock::new(),
            warnings: LogThrottle::new(WARN_INTERVAL),
        };
        Ok(Self {
            ingress: Arc::new(ingress),
            phases: Phases::new(),
            listen: Arc::new(listen.clone()),
            sources: sources.into(),
        })
    }

    /// Calls `on_event` just before each event is appended, and for each refusal. If `lenient`, events are accepted
    /// whatever their signature, which only `dev` may do. The first observer stays.
    #[must_use]
    pub fn observing(
        self,
        lenient: bool,
        on_event: impl Fn(&Observation<'_>) + Send + Sync + 'static,
    ) -> Self {
        let on_event = Box::new(on_event);
        // A second observer has no effect, as documented.
        let _ = self.ingress.observer.set(Observer { lenient, on_event });
        self
    }

    /// Takes the time (milliseconds since the Unix epoch) from `clock` instead of the system, for the age of signatures
    /// and the time of events. The first clock stays.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        // A second clock has no effect, as documented.
        let _ = self.ingress.clock.set(Box::new(clock));
        self
    }

    /// Reads all keys again, from the same files and variables; on an error all old keys stay. Requests that are being
    /// served finish with the old keys. Blocks while it reads files.
    pub fn reload_keys(&self) -> Result<(), IngestError> {
        let fresh: Vec<_> = self
            .sources
            .iter()
            .zip(&self.ingress.sources)
            .map(|(config, source)| {
                let fresh = source.authenticator.read_again(&config.keys);
                fresh.map_err(|source| IngestError::Key {
                    name: config.name.clone(),
                    source,
                })
            })
            .collect::<Result<_, _>>()?;
        for (source, fresh) in self.ingress.sources.iter().zip(fresh) {
            source.authenticator.replace(fresh);
        }
        Ok(())
    }

    /// True if the source at `index` would accept `body`, provided that its signature matched.
    pub fn validates(&self, index: usize, body: &[u8]) -> bool {
        let source = self.ingress.sources.get(index);
        source.is_some_and(|source| self::payload::validate(body, &source.pointers).is_ok())
    }

    /// Begins to drain connections: requests are served as before, but their answers carry `Connection: close` (HTTP/2:
    /// GOAWAY).
    pub fn shutting_down(&self) {
        self.phases.advance(Phase::Draining);
    }
}

/// Serves until `shutdown` resolves, then accepts what is already connected, finishes the requests that have begun
/// (also one whose head is still arriving) and returns. The listen timeouts bound how long that takes; dropping the
/// future cuts everything off. An error means that the listener itself has failed.
pub async fn serve<A: Append>(
    listener: TcpListener,
    ingest: Ingest<A>,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (ingress, phases) = (ingest.ingress, ingest.phases);
    let server = Server {
        max_connections: ingest.listen.max_connections,
        header_timeout: ingest.listen.header_timeout,
        phases: phases.clone(),
        metrics: Arc::clone(&ingress.metrics),
        make_service: Box::new(move |peer, protocol| {
            self::stack::stack(&ingress, phases.clone(), peer, protocol)
        }),
    };
    listener::serve(listener, Arc::new(server), shutdown).await
}

/// A limit that does not fit into `usize` is larger than the machine's memory, so none.
fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
