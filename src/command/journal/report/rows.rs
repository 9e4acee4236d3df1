//! The parts of the report; `--json` prints these member names.

use serde::Serialize;

use crate::journal::engine::checkpoint;
use crate::journal::format::segment::HEADER;
use crate::journal::inspect::SegmentFile;

#[derive(Debug, Serialize)]
pub struct CheckpointRow {
    /// The first position that is still to be published.
    pub watermark: u64,
    /// How often the checkpoint has been written.
    pub number: u64,
}

/// Intact records at or past the watermark.
#[derive(Debug, Default, Serialize)]
pub struct UnpublishedRow {
    pub events: u64,
    /// On disk, framing and padding included.
    pub bytes: u64,
    pub oldest_position: Option<u64>,
    /// RFC 3339, UTC.
    pub oldest_received: Option<String>,
    pub oldest_age_seconds: Option<u64>,
}

#[derive(Debug, Default, Serialize)]
pub struct FileCount {
    pub count: u64,
    pub bytes: u64,
}

impl FileCount {
    pub fn of(files: &[(String, u64)]) -> Self {
        Self {
            count: files.len() as u64,
            bytes: files.iter().map(|(_, bytes)| bytes).sum(),
        }
    }
}

/// A damaged place. Every `to_` is exclusive.
#[derive(Debug, Serialize)]
pub struct DamageRow {
    /// The segment's file.
    pub segment: String,
    pub from_byte: u64,
    pub to_byte: u64,
    pub from_position: u64,
    /// Equal to `from_position` if no record is lost.
    pub to_position: u64,
    /// How many of the positions had not been published.
    pub lost_events: u64,
}

/// A place that cannot be read. Every `to_` is exclusive.
#[derive(Debug, Serialize)]
pub struct UnreadableRow {
    /// The segment's file, or `checkpoint`.
    pub file: String,
    pub from_byte: u64,
    pub to_byte: u64,
    pub from_position: u64,
    /// Equal to `from_position` if it is not known whether the place holds records.
    pub to_position: u64,
    /// How many of the positions had not been published.
    pub unpublished_events: u64,
    /// The operating system's error text.
    pub reason: String,
}

#[derive(Debug, Serialize)]
pub struct SegmentRow {
    /// The file's name.
    pub name: String,
    /// `sealed`, `active`, `spare`, `torn`, `damaged` or `unreadable`.
    pub state: &'static str,
    /// The position of the first intact record.
    pub first: Option<u64>,
    /// The position after the last intact record.
    pub end: Option<u64>,
    /// Intact records.
    pub records: u64,
    /// Up to the end of the last record.
    pub used_bytes: u64,
    /// The length of the file, reserved space included.
    pub size_bytes: u64,
}

impl UnreadableRow {
    pub fn slot(from_byte: u64, reason: &str) -> Self {
        Self {
            file: String::from(checkpoint::NAME),
            from_byte,
            to_byte: from_byte + checkpoint::STRIDE,
            from_position: 0,
            to_position: 0,
            unpublished_events: 0,
            reason: reason.to_owned(),
        }
    }
}

impl SegmentRow {
    pub fn new<F>(file: &SegmentFile<F>) -> Self {
        Self {
            name: file.name(),
            state: "",
            first: None,
            end: None,
            records: 0,
            used_bytes: if file.holds_records() { HEADER } else { 0 },
            size_bytes: file.length,
        }
    }
}
