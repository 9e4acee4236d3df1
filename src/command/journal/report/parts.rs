//! What the report is made of, as `--json` prints it.

use serde::Serialize;

use crate::journal::engine::checkpoint;
use crate::journal::format::segment::HEADER;
use crate::journal::inspect::SegmentFile;

/// The checkpoint.
#[derive(Debug, Serialize)]
pub struct Watermark {
    /// The first position that is still to be published.
    pub watermark: u64,
    /// Which write of the checkpoint it is.
    pub number: u64,
}

/// Intact records at or past the watermark.
#[derive(Debug, Default, Serialize)]
pub struct Unpublished {
    /// How many.
    pub events: u64,
    /// On disk.
    pub bytes: u64,
    /// The first one's position.
    pub oldest_position: Option<u64>,
    /// When it was received, RFC 3339.
    pub oldest_received: Option<String>,
    /// How long ago that is.
    pub oldest_age_seconds: Option<u64>,
}

/// A number of files.
#[derive(Debug, Default, Serialize)]
pub struct Files {
    /// How many.
    pub count: u64,
    /// Together.
    pub bytes: u64,
}

impl Files {
    pub(super) fn of(files: &[(String, u64)]) -> Self {
        Self {
            count: files.len() as u64,
            bytes: files.iter().map(|(_, bytes)| bytes).sum(),
        }
    }
}

/// One damage.
#[derive(Debug, Serialize)]
pub struct Damaged {
    /// The segment's file.
    pub segment: String,
    /// The first damaged byte.
    pub from_byte: u64,
    /// One past the last.
    pub to_byte: u64,
    /// The first lost position.
    pub from_position: u64,
    /// One past the last; equal to the first where no record is lost.
    pub to_position: u64,
    /// How many of them had not been published.
    pub lost_events: u64,
}

/// One place that the disk does not give.
#[derive(Debug, Serialize)]
pub struct Unreadable {
    /// The segment's file, or `checkpoint`.
    pub file: String,
    /// The first byte that is missing for it.
    pub from_byte: u64,
    /// One past the last.
    pub to_byte: u64,
    /// The first position that lies there.
    pub from_position: u64,
    /// One past the last; equal to the first if nothing tells whether records lie there.
    pub to_position: u64,
    /// How many of them had not been published.
    pub unpublished_events: u64,
    /// The operating system's words.
    pub reason: String,
}

/// One segment's file.
#[derive(Debug, Serialize)]
pub struct Segment {
    /// Its name.
    pub name: String,
    /// `sealed`, `active`, `spare`, `torn`, `damaged` or `unreadable`.
    pub state: &'static str,
    /// The first intact record's position.
    pub first: Option<u64>,
    /// One past the last one's.
    pub end: Option<u64>,
    /// Intact ones.
    pub records: u64,
    /// Up to the end of the last record.
    pub used_bytes: u64,
    /// Of the file, reserved space included.
    pub size_bytes: u64,
}

impl Unreadable {
    pub(super) fn slot(from_byte: u64, reason: &str) -> Self {
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

impl Segment {
    pub(super) fn new<F>(file: &SegmentFile<F>) -> Self {
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
