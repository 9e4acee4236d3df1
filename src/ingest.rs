//! Ingest: from a sender's POST to an answer that is true.
//!
//! ```text
//! server        connections: how many, HTTP/1.1 or HTTP/2, limits on heads, idleness, streams and stalled writes
//!   stack       one tower `ServiceBuilder`
//!     request   404, 405, 415, 413, 429 by the head alone; then
//!       body        collected: bounded in size and time, charged to one memory budget as it arrives
//!       scheme      authenticated over the raw bytes, before anything is parsed
//!       payload     read: one pass over the JSON finds the event's name, its key and its id; a source may have them in headers
//!       carry       collected: headers and query parameters that go with the event
//!       dedup       answered at once if the source has a window and the event was committed within it
//!       commit      appended to the journal; 204 only after its sync, or after Kafka's acknowledgement (`ack = "kafka"`)
//! health        answers load balancers on a path of their own, before any of this
//! tls           the listener's certificate, and its exchange
//! refusal       translates every refusal to its answer and its metric label
//! refusal_log   logs refusals; checks reports them in `/readyz?verbose`; content_log logs what is accepted, but wrong
//! ```
//!
//! Invariants that ingest keeps: nothing unauthenticated is parsed or reaches the disk; nothing authenticated is refused
//! for what it says; the body is stored byte for byte; memory is bounded by configuration (a body's charge is returned
//! only when the journal drops its bytes, after that); an event is counted as accepted exactly when it is committed,
//! whether or not its sender still waits; and nothing here knows Kafka.

mod body;
mod carry;
mod checks;
mod commit;
mod config;
mod content_log;
mod dedup;
mod health;
mod ingress;
mod memory;
mod metrics;
mod observer;
mod payload;
mod provenance;
mod rate_limit;
mod refusal;
mod refusal_log;
mod request;
mod scheme;
mod server;
mod source;
mod stack;
mod table;
mod tls;
mod untrusted;

pub use self::config::{CarriedName, ContentType, EventTopics, ListenConfig, Paths, SourceConfig};
pub use self::ingress::Append;
pub use self::metrics::{Figures, Metrics};
pub use self::observer::{Observation, ObservedRefusal, ObservedRequest};
pub use self::payload::NotJson;
pub use self::payload::pointers::{PointerError, Role};
pub use self::rate_limit::RateLimit;
pub use self::refusal::advice;
pub(crate) use self::scheme::fill as fill_preset;
pub use self::scheme::{
    AuthenticateError, BearerConfig, HeaderForm, HmacConfig, KeyConfig, KeyError, PRESETS, Place,
    Preset, SettingsError, SignError, TwilioConfig, Verify,
};
pub(crate) use self::scheme::{Examined, SchemeConfig, Signer, UnverifiedRequest};
pub use self::source::IngestError;
pub use self::tls::{TlsConfig, TlsError, Validity};

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::time::Instant;

use self::ingress::Ingress;
use self::memory::Budget;
use self::observer::Observer;
use self::refusal_log::RefusalLog;
use self::server::{MAX_HEAD, Phase, Phases, Server, listener};
use self::source::bytes;
use self::table::Table;
use self::tls::Tls;
use crate::journal::Appender;
use crate::readiness::{Check, Readiness};

/// A body whose sender has not kept pace for this long is cut if its connection is needed for another: longer than
/// a lost packet delays it.
const STALLED_BODY: Duration = Duration::from_secs(1);

/// The ingest side; clones share everything.
pub struct Ingest<A = Appender> {
    ingress: Arc<Ingress<A>>,
    phases: Phases,
    /// `None` if TLS is terminated elsewhere, if at all.
    tls: Option<Arc<Tls>>,
    listen: Arc<ListenConfig>,
    check: Option<Check>,
}

/// Settings that nothing can refuse any more, and that no request is judged by yet.
#[must_use = "requests are judged by it only once it is opened"]
pub struct Prepared<'a, A> {
    ingress: &'a Ingress<A>,
    table: Table,
    sources: &'a [SourceConfig],
}

impl<A> Prepared<'_, A> {
    /// Judges the next requests by it. Those that have begun end as they began.
    pub fn open(self) {
        let table = self.table.with_windows(self.sources);
        // Requests that still run are a matter of seconds; what they are refused for is counted all the same.
        self.ingress.table.swap(Arc::new(table)).log_rest();
    }
}

impl<A> Clone for Ingest<A> {
    fn clone(&self) -> Self {
        Self {
            ingress: Arc::clone(&self.ingress),
            phases: self.phases.clone(),
            tls: self.tls.clone(),
            listen: Arc::clone(&self.listen),
            check: self.check.clone(),
        }
    }
}

/// Everything that [`Ingest::new`] would find wrong with this source alone, its keys included.
pub fn source_faults(source: &SourceConfig) -> Vec<IngestError> {
    self::source::faults(source)
}

/// When the listener's certificate is valid, or everything that [`Ingest::new`] would find wrong with it. Blocks while it
/// reads the files.
pub fn inspect_certificate(tls: &TlsConfig) -> Result<Validity, Vec<TlsError>> {
    self::tls::inspect(tls)
}

impl<A: Append> Ingest<A> {
    /// Reads the keys (a blank or unreadable one is an error) and the certificate, compiles the pointers, resolves the
    /// routes.
    pub fn new(
        listen: &ListenConfig,
        sources: &[SourceConfig],
        appender: A,
        metrics: Metrics,
    ) -> Result<Self, IngestError> {
        // A body as large as all memory for bodies still fits, with the head that is charged beside it.
        let room = bytes(listen.max_in_flight).saturating_add(MAX_HEAD as usize);
        let budget = Budget::new(room, metrics.body_bytes.clone());
        let table = Table::new(listen, sources, &budget, &metrics, None)?.with_windows(sources);
        let tls = listen.tls.as_ref();
        let tls = tls.map(|tls| Tls::new(tls, metrics.certificate_expiry()));
        let tls = tls.transpose()?.map(Arc::new);
        let ingress = Ingress {
            appender,
            table: ArcSwap::from_pointee(table),
            metrics: Arc::new(metrics),
            budget,
            readiness: OnceLock::new(),
            observer: OnceLock::new(),
            clock: OnceLock::new(),
        };
        Ok(Self {
            ingress: Arc::new(ingress),
            phases: Phases::new(),
            tls,
            listen: Arc::new(listen.clone()),
            check: None,
        })
    }

    /// Reads the windows of duplicates from `folder`, the journal's, and keeps them there from now on; without this they end
    /// with the process. An error means that a thread cannot start. Blocks while it reads.
    pub fn remembering(self, folder: &Path) -> io::Result<Self> {
        self.ingress.table.load().dedup.keep_in(folder)?;
        Ok(self)
    }

    /// Answers health checks from `readiness`, and adds a check to it with a line for each source, which reports what was
    /// refused in the last five minutes, and one for the certificate. These inform only, and [`serve`] keeps them up to date.
    #[must_use]
    pub fn reporting(mut self, readiness: &Readiness) -> Self {
        let table = self.ingress.table.load();
        let names = table.sources.iter().map(|source| source.name.as_str());
        self.check = Some(self::checks::add(readiness, names));
        if let Some(tls) = &self.tls {
            tls.add_check(readiness);
        }
        // A second one has no effect; there is one readiness.
        let _ = self.ingress.readiness.set(readiness.clone());
        self
    }

    /// Calls `on_event` just before each event is appended, and for each answer. Events of the source that `lenient` names
    /// are accepted whatever their signature, which only `dev` may do. The first observer stays.
    #[must_use]
    pub fn observing(
        self,
        lenient: Option<String>,
        on_event: impl Fn(&Observation<'_>) + Send + Sync + 'static,
    ) -> Self {
        // A second observer has no effect, as documented.
        let observer = Observer::new(lenient, Box::new(on_event));
        let _ = self.ingress.observer.set(observer);
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

    /// What has become of the requests so far.
    pub fn figures(&self) -> Figures {
        self.ingress.metrics.figures()
    }

    /// Makes ready to judge requests by these settings, and reads their keys again; until [`Prepared::open`] everything stays as
    /// it is. Of `listen`, what the sockets and all bodies share stays as it was at the start. Blocks while it reads files.
    pub fn prepare<'a>(
        &'a self,
        listen: &ListenConfig,
        sources: &'a [SourceConfig],
    ) -> Result<Prepared<'a, A>, IngestError> {
        let ingress = &*self.ingress;
        let present = ingress.table.load();
        let (budget, metrics) = (&ingress.budget, &ingress.metrics);
        let table = Table::new(listen, sources, budget, metrics, Some(&present))?;
        Ok(Prepared {
            ingress,
            table,
            sources,
        })
    }

    /// Reads the certificate and its key; on an error the present certificate stays. `None` without TLS. Handshakes
    /// that have begun keep theirs. Blocks while it reads the files.
    pub fn reload_certificate(&self, config: &TlsConfig) -> Option<Result<Validity, TlsError>> {
        let tls = self.tls.as_ref()?;
        let read = tls.reload(config);
        tls.report();
        Some(read)
    }

    /// True if `body` is an event of the source at `index`: JSON with a string where the event's name is expected.
    pub fn validates(&self, index: usize, body: &[u8]) -> bool {
        let table = self.ingress.table.load();
        let source = table.sources.get(index);
        source.is_some_and(|source| {
            let headers = HeaderMap::new();
            let content = source.reading.read(&headers, body);
            content.is_ok_and(|fields| fields.kind.is_some())
        })
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
) -> io::Result<()> {
    let (ingress, phases) = (ingest.ingress, ingest.phases);
    let logs = Arc::clone(&ingress);
    let budget = ingress.budget.clone();
    let tls = ingest.tls.clone();
    let connection_log = Arc::new(RefusalLog::new(std::iter::empty()));
    let server = Server {
        tls: ingest.tls,
        max_connections: ingest.listen.max_connections,
        header_timeout: ingest.listen.header_timeout,
        idle_timeout: ingest.listen.idle_timeout,
        body_timeout: ingest.listen.body_timeout,
        started: Instant::now(),
        phases: phases.clone(),
        metrics: Arc::clone(&ingress.metrics),
        // Of connections, which have no source.
        refusal_log: Arc::clone(&connection_log),
        make_service: Box::new(move |peer, protocol| {
            self::stack::stack(&ingress, phases.clone(), peer, protocol)
        }),
        cut_stalled_body: Box::new(move || {
            let stalled = Instant::now().checked_sub(STALLED_BODY);
            stalled.is_some_and(|stalled| budget.cut_slowest(stalled))
        }),
    };
    let metrics = Arc::clone(&server.metrics);
    let log_overdue = || {
        connection_log.log_overdue();
        logs.table.load().log_overdue();
        if let Some(tls) = &tls {
            tls.report();
        }
    };
    let totals = || (logs.table.load().refusals(), metrics.refusals_of_none());
    let ended = tokio::select! {
        biased;
        // Its first sample precedes the first request.
        never = self::checks::update(ingest.check.as_ref(), totals, log_overdue) => match never {},
        ended = listener::serve(listener, Arc::new(server), shutdown) => ended,
    };
    connection_log.log_rest();
    logs.table.load().log_rest();
    ended
}

#[cfg(test)]
mod tests;
