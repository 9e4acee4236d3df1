//! The report of `journal status`, gathered in one walk over all records.

mod rows;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::command::CommandError;
use crate::command::progress::ProgressLine;
use crate::event::Event;
use crate::journal::error::ReadError;
use crate::journal::format::segment::name;
use crate::journal::inspect::{Content, Damage, Folder, Inspection, Item, Located, SegmentFile};
use crate::publish;
use crate::time;

pub use rows::{CheckpointRow, DamageRow, FileCount, SegmentRow, UnpublishedRow, UnreadableRow};

/// Between two progress lines if standard error is not a terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// The report; `--json` prints these member names.
#[derive(Debug, Serialize)]
pub struct JournalReport {
    pub path: String,
    /// 32 hex digits.
    pub journal_id: String,
    /// True if a process holds the journal.
    pub locked: bool,
    /// `None` if it is lost.
    pub checkpoint: Option<CheckpointRow>,
    /// `journal.budget`; `None` if no configuration was read.
    pub budget_bytes: Option<u64>,
    pub unpublished: UnpublishedRow,
    pub dead_letters: FileCount,
    /// Copies of damage.
    pub quarantine: FileCount,
    /// Segments kept whole because a place in them could not be read; `journal drain` publishes them when it can be.
    pub set_aside: FileCount,
    /// Left by a write that did not complete; never acknowledged. 0 while a process holds the journal.
    pub torn_tail_bytes: u64,
    /// Unpublished events that are gone: damaged, or in segments that are missing.
    pub lost_events: u64,
    pub damage: Vec<DamageRow>,
    /// Unpublished events that cannot be read; they are not known to be damaged.
    pub unreadable_events: u64,
    pub unreadable: Vec<UnreadableRow>,
    /// Oldest first.
    pub segments: Vec<SegmentRow>,
}

impl JournalReport {
    /// Reads the whole journal once, from its beginning to its end.
    pub fn gather(path: &Path) -> Result<Self, CommandError> {
        let failed = CommandError::inspect(path);
        let folder = Folder::open(path).map_err(&failed)?;
        let held_before = folder.is_locked().map_err(&failed)?;
        let inspection = Inspection::open(folder).map_err(&failed)?;
        let mut report = Self::new(path, &inspection)?;
        let torn = report.walk(&inspection);
        // A process that started or ended meanwhile may have been writing during the walk.
        report.locked = held_before || inspection.folder().is_locked().map_err(&failed)?;
        if !report.locked {
            report.torn_tail_bytes = torn;
        }
        report.name_states(&inspection);
        Ok(report)
    }

    fn new(path: &Path, inspection: &Inspection<Folder>) -> Result<Self, CommandError> {
        let folder = path.join(publish::DEAD_LETTERS);
        let failed = CommandError::dead_letters(&folder);
        let dead_letters = FileCount {
            count: publish::dead_letter_files(&folder).map_err(&failed)?.len() as u64,
            bytes: publish::dead_letter_bytes(&folder).map_err(&failed)?,
        };
        Ok(Self {
            path: path.display().to_string(),
            journal_id: hex::encode(inspection.journal_id),
            locked: false,
            checkpoint: inspection.checkpoint.map(|checkpoint| CheckpointRow {
                watermark: checkpoint.watermark,
                number: checkpoint.number,
            }),
            budget_bytes: None,
            unpublished: UnpublishedRow::default(),
            dead_letters,
            quarantine: FileCount::of(&inspection.quarantine),
            set_aside: FileCount::of(&inspection.set_aside),
            torn_tail_bytes: 0,
            lost_events: inspection.missing(),
            damage: Vec::new(),
            unreadable_events: 0,
            unreadable: inspection
                .unreadable_slots
                .iter()
                .map(|(from_byte, reason)| UnreadableRow::slot(*from_byte, reason))
                .collect(),
            segments: inspection.segments.iter().map(SegmentRow::new).collect(),
        })
    }

    /// Returns the bytes of torn writes, which are only meaningful if no process is writing.
    fn walk(&mut self, inspection: &Inspection<Folder>) -> u64 {
        let watermark = inspection.watermark();
        let mut progress = ProgressLine::new(PROGRESS_INTERVAL);
        let mut torn = 0;
        for item in inspection.walk(0) {
            match item {
                Ok(Item::Record(record)) => {
                    progress.show(|| format!("reading {}", name(record.sequence)));
                    self.record(&record, watermark);
                }
                Ok(Item::Damage(damage)) => self.damaged(&damage, watermark),
                Ok(Item::Unreadable {
                    sequence,
                    bytes,
                    positions,
                    reason,
                }) => {
                    let unpublished = unpublished(&positions, watermark);
                    self.unreadable_events += unpublished;
                    self.unreadable.push(UnreadableRow {
                        file: name(sequence),
                        from_byte: bytes.start,
                        to_byte: bytes.end,
                        from_position: positions.start,
                        to_position: positions.end,
                        unpublished_events: unpublished,
                        reason,
                    });
                }
                Ok(Item::Tail { bytes, .. }) => torn += bytes.end - bytes.start,
                Err(
                    ReadError::Io {
                        file,
                        offset,
                        source,
                    }
                    | ReadError::Unreadable {
                        file,
                        offset,
                        source,
                        ..
                    },
                ) => self.unreadable.push(UnreadableRow {
                    file,
                    from_byte: offset,
                    to_byte: offset,
                    from_position: 0,
                    to_position: 0,
                    unpublished_events: 0,
                    reason: source.to_string(),
                }),
            }
        }
        for segment in &inspection.segments {
            if let Content::Torn(bytes) = segment.content {
                torn += bytes;
            }
        }
        torn
    }

    fn record(&mut self, record: &Located, watermark: u64) {
        if let Some(segment) = self.segment(record.sequence) {
            segment.first = segment.first.or(Some(record.position));
            segment.end = Some(record.position + 1);
            segment.records += 1;
            segment.used_bytes = record.bytes.end;
        }
        if record.position < watermark {
            return;
        }
        let unpublished = &mut self.unpublished;
        unpublished.events += 1;
        unpublished.bytes += record.bytes.end - record.bytes.start;
        if unpublished.oldest_position.is_none() {
            unpublished.oldest_position = Some(record.position);
            if let Ok(event) = Event::decode(&record.payload) {
                unpublished.oldest_received = Some(time::rfc3339(event.received_ms));
                unpublished.oldest_age_seconds = Some(seconds_since(event.received_ms));
            }
        }
    }

    fn damaged(&mut self, damage: &Damage, watermark: u64) {
        let positions = &damage.positions;
        let lost = unpublished(positions, watermark);
        self.lost_events += lost;
        self.damage.push(DamageRow {
            segment: name(damage.sequence),
            from_byte: damage.bytes.start,
            to_byte: damage.bytes.end,
            from_position: positions.start,
            to_position: positions.end,
            lost_events: lost,
        });
    }

    fn segment(&mut self, sequence: u64) -> Option<&mut SegmentRow> {
        let name = name(sequence);
        // A linear search, because there are few segments.
        self.segments
            .iter_mut()
            .find(|segment| segment.name == name)
    }

    fn name_states(&mut self, inspection: &Inspection<Folder>) {
        let holding = |segment: &SegmentFile<_>| segment.holds_records();
        let last = inspection.segments.iter().rposition(holding);
        for (index, file) in inspection.segments.iter().enumerate() {
            let segment = &mut self.segments[index];
            let damaged = self
                .damage
                .iter()
                .any(|damage| damage.segment == segment.name);
            let unreadable = self
                .unreadable
                .iter()
                .any(|unreadable| unreadable.file == segment.name);
            segment.state = match file.content {
                Content::Spare => "spare",
                // A process is about to write its first records.
                Content::Torn(_) if self.locked => "spare",
                Content::Torn(_) => "torn",
                Content::Headless | Content::Sound { .. } if damaged => "damaged",
                Content::Headless | Content::Sound { .. } if unreadable => "unreadable",
                Content::Headless => "damaged",
                Content::Sound { .. } if self.locked && Some(index) == last => "active",
                Content::Sound { .. } => "sealed",
            };
        }
    }
}

/// How many of these positions are not published.
fn unpublished(positions: &Range<u64>, watermark: u64) -> u64 {
    positions.end.saturating_sub(positions.start.max(watermark))
}

fn seconds_since(unix_ms: u64) -> u64 {
    time::now_ms().saturating_sub(unix_ms) / 1_000
}
