//! The write-ahead journal: bytes in, synced to disk, the same bytes out in the same order. It knows neither HTTP nor Kafka.
//!
//! # On disk
//!
//! One flat folder, locked by one process:
//!
//! ```text
//! lock                                  held while the journal is open
//! checkpoint                            two slots: the position up to which everything is published   (checkpoint)
//! 0000000000000007.segment              header, then records, then reserved zeros                     (segment, record)
//! 0000000000000008.segment              all zeros: the spare
//! quarantine-<segment>-<offset>         a copy of damaged bytes
//! torn-<segment>-<offset>               a copy of a write that a crash cut short
//! unreadable-<segment>-<extent>-<id>    a second name that keeps a segment with an unreadable place      (set_aside)
//! dedup-<source>-<generation>           not the journal's: ingest's windows of duplicates
//! ```
//!
//! A *position* numbers a record for good. Positions are contiguous within a segment. Between two segments there may be a gap,
//! which holds nothing and counts as done: each open skips [`recovery::POSITION_STRIDE`] positions.
//!
//! # Invariants
//!
//! 1. A record is acknowledged after one `pwrite` and one completed `fdatasync` that cover it. The file's name was synced when
//!    the file was the spare, and its header is written with the first batch: rotation adds no sync to a commit.
//! 2. The reader sees only what is synced. Recovery syncs files and folder before it trusts them.
//! 3. A segment is unlinked only after a checkpoint that covers it was synced.
//! 4. After a failed write or sync the journal is *poisoned*: it acknowledges nothing and syncs nothing again. What was synced
//!    before stays readable.
//! 5. An opened journal writes to a new segment, so no torn bytes lie under its writes. A tail is truncated as torn only if
//!    nothing intact follows it; all other damage is copied, counted and passed over, record by record.
//! 6. An append is refused before it could fail: by the budget (unpublished records and dead letters), by the disk's room
//!    (the next segment is reserved ahead), by the queue's length. Once there is room again, appends are accepted again.
//!
//! # Limits
//!
//! Memory: the queue (65,536 records, 1 GiB; ingest's own limit is usually smaller), one batch of 8 MiB or one larger record,
//! one chunk of 256 KiB or one larger record in the reader. Disk: the budget, which is never more than the volume can hold
//! ([`engine::capacity`]), and three segments; during a backlog's
//! publication also what was published within some two seconds, unless the disk is full.
//!
//! # Parts
//!
//! The [`engine`] is synchronous and has no thread, clock or randomness of its own: writer, upkeep and reader share one state
//! over a [`FileSystem`]. [`recovery`] builds that state from what is on the disk. [`commit_loop`] and `threads` run the
//! engine. [`open`] hands out three handles, so that ingest cannot read. [`inspect`] looks into a journal that another process
//! may hold, and changes nothing; [`probe`] measures the disk below it. [`memory`] is a journal without a disk behind the same handles, for `ack = "kafka"`: all of the
//! above is about the one on disk.

pub mod appender;
pub mod commit_loop;
pub mod disk;
pub mod engine;
pub mod error;
pub mod format;
pub mod inspect;
pub mod memory;
pub mod metrics;
pub mod probe;
pub mod reader;
pub mod recovery;
pub mod set_aside;
pub mod threads;
pub mod truncator;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;

use self::disk::filesystem::FileSystem;
use self::disk::real::DiskFileSystem;
use self::engine::Engine;
use self::engine::upkeep::Upkeep;
use self::memory::{Memory, MemoryReader};
use self::threads::Threads;
use crate::settings::settings;

pub use self::appender::{Appender, Commit};
pub use self::engine::quarantine::CORRUPT_RUNBOOK;
pub use self::engine::reader::Record;
pub use self::engine::set_aside::UNREADABLE_RUNBOOK;
pub use self::error::{AppendError, OpenError, ReadError};
pub use self::metrics::{Losses, Metrics, Snapshot};
pub use self::reader::Reader;
pub use self::recovery::Recovery;
pub use self::truncator::Truncator;

settings! {
    /// Where an event is kept from its 204 until Kafka has acknowledged it. With `ack = "kafka"` there is no journal, and this
    /// section is an error.
    pub struct Config {
        /// A folder on a disk of its own that survives the process: in Kubernetes a volume claim; never tmpfs, and never a
        /// network file system that does not honour fsync. Created if missing. Write an absolute path: a relative one begins in the
        /// folder in which ringback is started, and started in another, it has another journal.
        path: PathBuf = PathBuf::from("/var/lib/ringback"), check(|path| is_given(path));
        /// The size of one segment file, allocated whole. A larger record gets a file of its own size.
        segment_size: ByteSize = ByteSize::mib(64), bounds(ByteSize::mib(1)..=ByteSize::gib(4));
        /// How many bytes of unpublished events, dead letters and segments set aside may be kept; at least twice
        /// `max_body`. Beyond it webhooks are answered 503 until there is room. The disk needs this and three segments more;
        /// if it has less, its room less three segments is the budget.
        budget: ByteSize = ByteSize::gib(8), bounds(ByteSize::mib(4)..=ByteSize::tib(1));
        /// How long a place on the disk may stay unreadable, while others can be read, before publishing passes over it.
        /// Then its records are counted (`ringback_journal_unreadable_records_total`) and its segment is kept whole
        /// for `ringback journal drain`. Until then publishing waits there, and webhooks are accepted as usual.
        read_patience: Duration = Duration::from_mins(10),
            bounds(Duration::from_secs(1)..=Duration::from_hours(24));
    }
}

fn is_given(path: &Path) -> Result<(), String> {
    if path.as_os_str().is_empty() {
        return Err(String::from("is empty; name a folder on a disk of its own"));
    }
    Ok(())
}

/// An open journal: a handle for each side, and what recovery found.
pub struct Journal<FS: FileSystem = DiskFileSystem> {
    /// For ingest.
    pub appender: Appender,
    /// For publish.
    pub reader: Reader<FS>,
    /// For publish.
    pub truncator: Truncator<FS>,
    /// What was found.
    pub recovery: Recovery,
}

/// Opens the journal on the real disk. Blocks while it syncs the files and reads the tail.
pub fn open(config: &Config, metrics: Metrics) -> Result<Journal, OpenError> {
    let fs = DiskFileSystem::lock(&config.path)?;
    open_with(fs, config, metrics)
}

/// A journal in memory, for `ack = "kafka"`. Its id is this process's, and its positions begin at 0.
pub fn open_in_memory(limits: memory::Limits, metrics: &Metrics) -> Journal {
    let clock = Box::new(Instant::now);
    in_memory_with(limits, metrics, rand::random(), clock)
}

/// As [`open_in_memory`], with this id and clock.
pub fn in_memory_with<FS: FileSystem>(
    limits: memory::Limits,
    metrics: &Metrics,
    id: [u8; 16],
    clock: memory::Clock,
) -> Journal<FS> {
    let memory = Memory::new(limits, clock);
    let weak = Arc::downgrade(&memory);
    metrics.set_source(Box::new(move || Some(weak.upgrade()?.snapshot())));
    Journal {
        appender: Appender::in_memory(memory.clone()),
        reader: Reader::Memory(MemoryReader::new(memory.clone())),
        truncator: Truncator::in_memory(memory),
        recovery: Recovery {
            journal_id: hex::encode(id),
            ..Recovery::default()
        },
    }
}

/// Opens the journal on any file system, which stands for `config.path`.
pub fn open_with<FS: FileSystem>(
    fs: FS,
    config: &Config,
    metrics: Metrics,
) -> Result<Journal<FS>, OpenError> {
    let (engine, mut upkeep, recovery) = recover_with(fs, config, metrics, rand::random())?;
    // Makes the first spare, so that the first request does not wait for it, and measures the room. A full disk is no reason
    // not to open.
    upkeep.step();
    let reader = Reader::new(engine.clone());
    let (appender, threads) =
        Threads::start(engine.clone(), upkeep).map_err(|source| OpenError::Io {
            operation: String::from("start a thread"),
            source,
        })?;
    Ok(Journal {
        appender,
        reader,
        truncator: Truncator::new(engine, threads),
        recovery,
    })
}

/// The engine, its upkeep, and what recovery found.
pub type RecoveredEngine<FS> = (Arc<Engine<FS>>, Upkeep<FS>, Recovery);

/// The synchronous half of [`open_with`]: the engine without threads, for tests and simulators too. `fresh_id` becomes the
/// journal's id if it has none yet.
pub fn recover_with<FS: FileSystem>(
    fs: FS,
    config: &Config,
    metrics: Metrics,
    fresh_id: [u8; 16],
) -> Result<RecoveredEngine<FS>, OpenError> {
    let recovered = recovery::recover(&fs, fresh_id)?;
    let recovery = recovered.recovery;
    metrics.recovered(recovery.recovered_events, recovery.missing_events);
    if recovered.journal_id == fresh_id {
        // An operator who expected events in it has started ringback with another path.
        tracing::info!(
            journal = recovery.journal_id,
            "made a new, empty journal: there was none in its folder"
        );
    } else {
        tracing::info!(
            journal = recovery.journal_id,
            unpublished = recovery.recovered_events,
            torn_bytes = recovery.torn_bytes,
            resume_at = recovery.resume_at,
            "recovered the journal"
        );
    }
    let engine = Arc::new(Engine::new(
        fs,
        recovered.journal_id,
        config,
        metrics,
        recovered.state,
    ));
    let weak = Arc::downgrade(&engine);
    engine
        .metrics
        .set_source(Box::new(move || Some(snapshot(&*weak.upgrade()?))));
    let upkeep = Upkeep::new(engine.clone(), recovered.checkpoint, recovered.leftovers);
    Ok((engine, upkeep, recovery))
}

fn snapshot<FS: FileSystem>(engine: &Engine<FS>) -> Snapshot {
    let now = engine.fs.now_ms();
    let budget = engine.admission.budget();
    let state = engine.lock();
    #[allow(
        clippy::cast_precision_loss,
        reason = "an age in milliseconds is far below 2^52"
    )]
    let oldest_seconds = state.oldest_age_ms(now) as f64 / 1_000.0;
    Snapshot {
        bytes: state.budget_used(),
        budget,
        written: state.bytes_written(),
        unpublished: state.unpublished(),
        oldest_seconds,
        // A journal that refuses is full, even if some bytes, too few for the last record, are left. On a full disk the forecast
        // is for the room that is still reserved.
        exhaustion_seconds: if engine.admission.shortage().is_some() {
            0.0
        } else if state.is_disk_full() {
            let room = state.budget_used() + state.room(engine.page);
            state.exhaustion_seconds(budget.min(room), now)
        } else {
            state.exhaustion_seconds(budget, now)
        },
        poisoned: engine.admission.is_poisoned(),
    }
}
