//! The write-ahead journal: bytes in, synced to disk, bytes out in the same order. It knows neither HTTP nor Kafka.
//!
//! # On disk
//!
//! One flat folder, locked by one process:
//!
//! ```text
//! lock                                  held for as long as the journal is open
//! checkpoint                            two slots: up to which position everything is published   (checkpoint)
//! 0000000000000007.segment              header, then records, then reserved zeros                 (segment, record)
//! 0000000000000008.segment              all zeros: the spare
//! quarantine-<segment>-<offset>         a copy of what was damaged
//! ```
//!
//! A *position* numbers a record for good. Positions are contiguous within a segment; between two segments there may be
//! a gap, which holds nothing and counts as done. Each start leaves [`recovery::LEAP`] positions out.
//!
//! # Invariants
//!
//! 1. A record is acknowledged after one `pwrite` and one completed `fdatasync` that cover it. The file's name was
//!    synced when the file was the spare, and its header goes with the first batch: rotation costs a commit nothing.
//! 2. The reader sees only what is synced. Recovery syncs files and folder before it believes anything.
//! 3. A segment is unlinked only after a checkpoint that covers it was synced.
//! 4. After a failed write or sync nothing is acknowledged and no sync is tried again: the journal is *poisoned*. What
//!    was synced before stays readable.
//! 5. After a start, writing goes to a new segment: there are no torn bytes under the write point. A tail is cut as torn
//!    only where nothing intact follows it; every other damage is copied, counted and passed over, record by record.
//! 6. An append is refused before it could fail: by the budget (unpublished records and dead letters), by the disk's
//!    room (the next segment is reserved ahead), by the queue's length. Room comes back by itself.
//!
//! # Limits
//!
//! Memory: the queue (65,536 records, 1 GiB; ingest's own limit is usually smaller), one batch of 8 MiB or one larger
//! record, one chunk of 256 KiB or one larger record in the reader. Disk: the budget, and three segments; while a
//! backlog leaves, also what was published within some two seconds, unless the disk is full.
//!
//! # Parts
//!
//! The core is synchronous and has no thread, clock or randomness of its own: [`writer`], [`maintenance`], [`reader`],
//! [`recovery`] over a [`filesystem::FileSystem`], sharing [`state`]. [`appender`] and [`truncator`] put threads
//! around it. [`open`] hands out three handles, so that a type, not a custom, keeps ingest from reading. [`inspect`] looks
//! into a journal that somebody else may hold, and changes nothing.

pub mod appender;
pub mod disk;
pub mod engine;
pub mod error;
pub mod format;
pub mod inspect;
pub mod metrics;
pub mod recovery;
pub mod set_aside;
pub mod truncator;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use self::disk::filesystem::{DiskFileSystem, FileSystem};
use self::engine::Shared;
use self::engine::admission::Gate;
use self::engine::upkeep::Maintenance;
use metrics::Snapshot;

pub use self::engine::reader::{Reader, Record};
pub use appender::{Appender, Commit};
pub use error::{AppendError, OpenError, ReadError};
pub use metrics::Metrics;
pub use recovery::Recovery;
pub use truncator::Truncator;

/// `[journal]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder, made if missing. Default `/var/lib/ringback`.
    pub path: PathBuf,
    /// The size of one file. Default 64 MiB; 1 MiB to 4 GiB. A larger record gets a file of its own size.
    pub segment_size: ByteSize,
    /// Bytes of unpublished records, dead letters and segments set aside that may be kept. Default 8 GiB; 4 MiB to 1 TiB.
    pub budget: ByteSize,
    /// How long a place may stay unreadable, while others can be read, before it is passed over. Default 10 minutes; 1 s
    /// to 1 day.
    #[serde(with = "humantime_serde")]
    pub read_patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/ringback"),
            segment_size: ByteSize::mib(64),
            budget: ByteSize::gib(8),
            read_patience: Duration::from_mins(10),
        }
    }
}

/// An open journal.
pub struct Journal<FS: FileSystem = DiskFileSystem> {
    /// For ingest.
    pub appender: Appender,
    /// For publish: reads.
    pub reader: Reader<FS>,
    /// For publish: removes.
    pub truncator: Truncator<FS>,
    /// What was found.
    pub recovery: Recovery,
}

/// Opens the journal on the real disk; blocks for as long as syncing and reading the tail take.
pub fn open(config: &Config, metrics: Metrics) -> Result<Journal, OpenError> {
    let fs = DiskFileSystem::lock(&config.path)?;
    open_with(fs, config, metrics)
}

/// Opens the journal on any file system; `config.path` has been used by then.
pub fn open_with<FS: FileSystem>(
    fs: FS,
    config: &Config,
    metrics: Metrics,
) -> Result<Journal<FS>, OpenError> {
    let (shared, mut maintenance, recovery) = recover_with(fs, config, metrics, rand::random())?;
    let thread = |source| OpenError::Io {
        operation: String::from("start a thread"),
        source,
    };
    // The first spare, so that the first request does not wait for it; a full disk is not a reason not to start.
    maintenance.step();
    let reader = Reader::new(shared.clone());
    let (appender, queue, writer) = appender::start(shared.clone()).map_err(thread)?;
    let truncator = Truncator::start(shared, queue, writer, maintenance).map_err(thread)?;
    Ok(Journal {
        appender,
        reader,
        truncator,
        recovery,
    })
}

/// What the threads share, what one of them does, and what was found.
pub type Recovered<FS> = (Arc<Shared<FS>>, Maintenance<FS>, Recovery);

/// The synchronous half of [`open_with`]: the core's parts without a thread, for tests and simulators as well.
pub fn recover_with<FS: FileSystem>(
    fs: FS,
    config: &Config,
    metrics: Metrics,
    fresh_id: [u8; 16],
) -> Result<Recovered<FS>, OpenError> {
    let recovered = recovery::recover(&fs, fresh_id)?;
    let recovery = recovered.recovery;
    metrics.recovered(recovery.recovered_events, recovery.missing_events);
    tracing::info!(
        journal = recovery.journal_id,
        unpublished = recovery.recovered_events,
        torn_bytes = recovery.torn_bytes,
        resume_at = recovery.resume_at,
        "the journal is recovered"
    );
    let shared = Arc::new(Shared::new(
        fs,
        recovered.journal_id,
        config.segment_size.as_u64(),
        config.read_patience,
        Gate::new(config.budget.as_u64()),
        metrics,
        recovered.state,
    ));
    let weak = Arc::downgrade(&shared);
    shared
        .metrics
        .set_source(Box::new(move || Some(snapshot(&*weak.upgrade()?))));
    let maintenance = Maintenance::new(shared.clone(), recovered.checkpoint, recovered.leftovers);
    Ok((shared, maintenance, recovery))
}

fn snapshot<FS: FileSystem>(shared: &Shared<FS>) -> Snapshot {
    let now = shared.fs.now_ms();
    let budget = shared.gate.budget();
    let state = shared.lock();
    #[allow(
        clippy::cast_precision_loss,
        reason = "an age in milliseconds is far below 2^52"
    )]
    let oldest_seconds = state.oldest_age_ms(now) as f64 / 1_000.0;
    Snapshot {
        bytes: state.budget_used(),
        budget,
        unpublished: state.unpublished(),
        oldest_seconds,
        // Refusing is full, though the last bytes below the budget were too few for the next record.
        exhaustion_seconds: if shared.gate.is_full() {
            0.0
        } else {
            state.exhaustion_seconds(budget, now)
        },
        poisoned: shared.gate.is_poisoned(),
    }
}
