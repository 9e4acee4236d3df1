//! All that can be said of a journal, gathered in one walk over its records.

mod parts;

use std::ops::Range;
use std::path::Path;

use serde::Serialize;

use crate::command::CommandError;
use crate::command::place;
use crate::command::progress::Progress;
use crate::event::Event;
use crate::journal::error::ReadError;
use crate::journal::format::segment::name;
use crate::journal::inspect::{Content, Damage, Folder, Inspection, Item, Located, SegmentFile};
use crate::publish;
use crate::time;

pub use parts::{Damaged, Files, Segment, Unpublished, Unreadable, Watermark};

/// The report, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The journal's folder.
    pub path: String,
    /// 32 hex digits.
    pub journal_id: String,
    /// A process holds it.
    pub locked: bool,
    /// `None` where it is lost.
    pub checkpoint: Option<Watermark>,
    /// What is still to be published.
    pub unpublished: Unpublished,
    /// Files of `dead-letters/`.
    pub dead_letters: Files,
    /// Copies of damage.
    pub quarantine: Files,
    /// Segments kept whole because a place in them could not be read; `journal drain` publishes them once it can be.
    pub set_aside: Files,
    /// What a write that never got whole has left; never acknowledged. 0 while a process is writing.
    pub torn_tail_bytes: u64,
    /// Unpublished events that are gone: damaged, or in segments that are missing.
    pub lost_events: u64,
    /// Every damage found.
    pub damage: Vec<Damaged>,
    /// Unpublished events that the disk does not give; they are not known to be damaged.
    pub unreadable_events: u64,
    /// Every place that the disk does not give.
    pub unreadable: Vec<Unreadable>,
    /// Oldest first.
    pub segments: Vec<Segment>,
}

impl Report {
    /// Reads the whole journal; its disk sees one sequential reading.
    pub fn gather(path: &Path) -> Result<Self, CommandError> {
        let failed = place::failed(path);
        let folder = Folder::open(path).map_err(&failed)?;
        let held_before = folder.is_locked().map_err(&failed)?;
        let inspection = Inspection::open(folder).map_err(&failed)?;
        let mut report = Self::new(path, &inspection)?;
        let torn = report.walk(&inspection);
        // A process that has begun or ended meanwhile may have been writing all the same.
        report.locked = held_before || inspection.folder().is_locked().map_err(&failed)?;
        if !report.locked {
            report.torn_tail_bytes = torn;
        }
        report.name_states(&inspection);
        Ok(report)
    }

    fn new(path: &Path, inspection: &Inspection<Folder>) -> Result<Self, CommandError> {
        let letters = path.join(publish::DEAD_LETTERS);
        let counted = || {
            std::io::Result::Ok(Files {
                count: publish::letters(&letters)?.len() as u64,
                bytes: publish::letter_bytes(&letters)?,
            })
        };
        Ok(Self {
            path: path.display().to_string(),
            journal_id: hex::encode(inspection.journal_id),
            locked: false,
            checkpoint: inspection.checkpoint.map(|checkpoint| Watermark {
                watermark: checkpoint.watermark,
                number: checkpoint.number,
            }),
            unpublished: Unpublished::default(),
            dead_letters: counted().map_err(|source| CommandError::DeadLetters {
                path: letters.display().to_string(),
                source,
            })?,
            quarantine: Files::of(&inspection.quarantine),
            set_aside: Files::of(&inspection.set_aside),
            torn_tail_bytes: 0,
            lost_events: inspection.missing(),
            damage: Vec::new(),
            unreadable_events: 0,
            unreadable: inspection
                .unreadable_slots
                .iter()
                .map(|(from_byte, reason)| Unreadable::slot(*from_byte, reason))
                .collect(),
            segments: inspection.segments.iter().map(Segment::new).collect(),
        })
    }

    /// Returns what a torn write has left, which means something only where nobody is writing.
    fn walk(&mut self, inspection: &Inspection<Folder>) -> u64 {
        let watermark = inspection.watermark();
        let mut progress = Progress::new();
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
                    self.unreadable.push(Unreadable {
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
                ) => self.unreadable.push(Unreadable {
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
        self.damage.push(Damaged {
            segment: name(damage.sequence),
            from_byte: damage.bytes.start,
            to_byte: damage.bytes.end,
            from_position: positions.start,
            to_position: positions.end,
            lost_events: lost,
        });
    }

    fn segment(&mut self, sequence: u64) -> Option<&mut Segment> {
        let name = name(sequence);
        // The walk goes from the oldest to the newest; there are few of them.
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
                // Somebody is beginning it.
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

/// How many of these positions had not been published.
fn unpublished(positions: &Range<u64>, watermark: u64) -> u64 {
    positions.end.saturating_sub(positions.start.max(watermark))
}

fn seconds_since(unix_ms: u64) -> u64 {
    time::now_ms().saturating_sub(unix_ms) / 1_000
}
