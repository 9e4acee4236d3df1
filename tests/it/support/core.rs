//! The journal's synchronous core, single-stepped over the faulty disk.

use std::time::Instant;

use std::sync::Arc;

use bytesize::ByteSize;
use ringback::journal::engine::Engine;
use ringback::journal::engine::upkeep::Upkeep;
use ringback::journal::engine::writer::{CommitResult, Payload, Writer};
use ringback::journal::{Config, Metrics, OpenError, Reader, Record, Recovery, recover_with};

use super::faulty_fs::FaultyFs;

/// A record's payload in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(pub Vec<u8>);

impl Payload for Body {
    fn parts(&self) -> (&[u8], &[u8]) {
        self.0.split_at(self.0.len() / 3)
    }
}

/// Bytes of a segment, small enough that a test fills it.
pub const SEGMENT: u64 = 4096;
/// Bytes of the budget, as small as [`SEGMENT`] for the same reason.
pub const BUDGET: u64 = 64 << 10;

/// A record of so many bytes.
pub fn body(size: usize) -> Body {
    Body((0..size).map(|at| (at % 251) as u8).collect())
}

/// The journal on this disk.
pub fn open(disk: &FaultyFs) -> Core {
    Core::open(disk, SEGMENT, BUDGET).expect("the journal opens")
}

/// The names of its segments, oldest first.
pub fn segments(disk: &FaultyFs) -> Vec<String> {
    let names = disk.names().into_iter();
    names.filter(|name| name.ends_with(".segment")).collect()
}

/// A journal without threads.
pub struct Core {
    pub engine: Arc<Engine<FaultyFs>>,
    pub upkeep: Upkeep<FaultyFs>,
    pub writer: Writer<FaultyFs>,
    pub reader: Reader<FaultyFs>,
    pub recovery: Recovery,
    pub registry: ringback::telemetry::Registry,
}

impl Core {
    /// Recovers what the disk holds and makes the spare.
    pub fn open(disk: &FaultyFs, segment_size: u64, budget: u64) -> Result<Self, OpenError> {
        Self::open_as(disk, segment_size, budget, *b"0123456789abcdef")
    }

    /// As [`Core::open`], with the id of the journal if the disk has none.
    pub fn open_as(
        disk: &FaultyFs,
        segment_size: u64,
        budget: u64,
        fresh_id: [u8; 16],
    ) -> Result<Self, OpenError> {
        let registry = ringback::telemetry::Registry::new();
        let metrics = Metrics::register(&registry).expect("fresh metrics can be registered");
        let config = Config {
            segment_size: ByteSize::b(segment_size),
            budget: ByteSize::b(budget),
            ..Config::default()
        };
        let (engine, mut upkeep, recovery) =
            recover_with(disk.clone(), &config, metrics, fresh_id)?;
        upkeep.step();
        Ok(Self {
            writer: Writer::new(engine.clone()),
            reader: Reader::new(engine.clone()),
            engine,
            upkeep,
            recovery,
            registry,
        })
    }

    /// Commits all, with upkeep if a segment is needed; returns the positions, or `None` if the journal is poisoned or full.
    pub fn append(&mut self, batch: &[Body]) -> Option<Vec<u64>> {
        let mut positions = Vec::new();
        let mut tries = 0;
        while positions.len() < batch.len() {
            match self.writer.commit(&batch[positions.len()..], 1_000) {
                CommitResult::Committed { first, count } => {
                    positions.extend(first..first + count as u64)
                }
                CommitResult::NeedsSegment if tries < 2 => {
                    tries += 1;
                    self.upkeep.step();
                }
                CommitResult::NeedsSegment | CommitResult::Poisoned => return None,
            }
        }
        Some(positions)
    }

    /// Reads to the synced tail.
    pub fn read_all(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        while let Some(record) = self
            .reader
            .next_record(Instant::now())
            .expect("the disk in memory can be read")
        {
            records.push(record);
        }
        records
    }

    /// As `Truncator::truncate`.
    pub fn truncate(&self, upto: u64) {
        let mut state = self.engine.lock();
        state.advance(upto + 1);
        self.engine.publish_room(&state);
    }

    pub fn unpublished(&self) -> u64 {
        self.engine.lock().unpublished()
    }

    /// A counter's or gauge's value.
    pub fn metric(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .expect("a registered metric");
        let metric = &family.get_metric()[0];
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts"
        )]
        let value = (metric.get_counter().get_value() + metric.get_gauge().get_value()) as u64;
        value
    }
}
