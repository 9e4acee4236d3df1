//! Looks into a journal without owning it: nothing is created, truncated, synced or removed, whether a relay runs on it or not.
//!
//! An inspection reports one moment, though a running relay appends, writes its checkpoint each second and removes what is
//! published. Three rules ensure that:
//! - It reads the files, then their headers, then the checkpoint, then the records, in the order that `view` explains.
//! - The relay does not truncate a removed file during an inspection ([`FileSystem::is_looked_into`]), and an [`Inspection`]
//!   owns its folder, so it lasts as long as its files are read.
//! - The walk reports no damage in a file that has been removed: the relay removes only what is published, and a relay that
//!   cannot see the inspection (on another machine of a network file system) truncates it.
//!
//! A segment counts as what recovery would make of it, by recovery's own rule.

mod folder;
mod segment_walk;
mod view;
mod walk;

use std::io;

use super::disk::filesystem::{File, FileSystem};
use super::disk::zero_fill::ZeroFilled;
use super::engine::checkpoint::{Checkpoint, CheckpointFile, unreadable_slots};
use super::engine::quarantine::DAMAGE_PREFIX;
use super::error::{OpenError, failed};
use super::format::record::Codec;
use super::format::scan;
use super::format::segment::{HEADER, name, set_aside_sequence};
use super::recovery::bounds;
use super::recovery::headerless::{self, Content as FileContent, Kind};
use view::Opened;

pub use folder::Folder;
pub use walk::{Damage, Item, Located, Walk};

/// Reads of the checkpoint before both slots count as lost: a relay writes one each second, so a slow inspection may find a
/// half-written slot twice in a row.
const CHECKPOINT_READS: u32 = 3;

/// Why a folder cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is no such folder: the path may be wrong, or its volume not mounted.
    #[error("there is no such folder; is the path right, and its volume mounted?")]
    Missing,
    /// The folder is empty: no relay has run on it, or everything was moved away.
    #[error("the folder is empty: no ringback has kept a journal in it")]
    Empty,
    /// There are files, but neither a checkpoint nor a segment's header could be read.
    #[error("it holds no journal: neither a checkpoint nor a segment whose header can be read")]
    NoJournal,
    /// A process creates and removes segments faster than they can be opened.
    #[error("the folder changes faster than it can be read; try again")]
    Restless,
    /// Opening the journal would fail for the same reason.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What a segment's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Records under a sound header.
    Sound {
        /// The first record's position.
        first: u64,
        /// One past the last position of the segment before.
        previous_end: u64,
    },
    /// Its header is damaged or cannot be read. It may hold records all the same.
    Headless,
    /// Zeros, reserved for the next segment.
    Spare,
    /// A torn first write of this many bytes, never acknowledged.
    Torn(u64),
}

/// One segment's file, open.
#[derive(Debug)]
pub struct SegmentFile<F> {
    /// The file's number.
    pub sequence: u64,
    /// Its length in bytes, reserved space included.
    pub length: u64,
    /// What it holds.
    pub content: Content,
    file: ZeroFilled<Box<F>>,
}

impl<F> SegmentFile<F> {
    /// The file's name.
    pub fn name(&self) -> String {
        name(self.sequence)
    }

    /// True if it may hold records.
    pub fn holds_records(&self) -> bool {
        matches!(self.content, Content::Sound { .. } | Content::Headless)
    }

    /// False if the disk could not read the header, which may be sound all the same.
    pub fn header_was_read(&self) -> bool {
        self.file.unreadable_within(0..HEADER).is_none()
    }
}

/// A journal as it was found. It owns the folder, because the relay keeps removed files whole only while that is locked.
#[derive(Debug)]
pub struct Inspection<FS: FileSystem> {
    /// The journal's id.
    pub journal_id: [u8; 16],
    /// The newest checkpoint; `None` if it is lost, which costs duplicates, never events.
    pub checkpoint: Option<Checkpoint>,
    /// Slots of the checkpoint that could not be read: the offset of each, with the operating system's error. Because of them,
    /// the checkpoint may be an older one.
    pub unreadable_slots: Vec<(u64, String)>,
    /// Oldest first.
    pub segments: Vec<SegmentFile<FS::File>>,
    /// Copies of damaged bytes: names and bytes, sorted by name.
    pub quarantine: Vec<(String, u64)>,
    /// Segments that are set aside because a place in them could not be read: names and bytes, sorted by name.
    pub set_aside: Vec<(String, u64)>,
    /// Unpublished records of the newest segment if its file is gone.
    missing_newest: u64,
    folder: FS,
}

impl<FS: FileSystem> Inspection<FS> {
    /// Opens the segments and reads their headers, then the checkpoint.
    pub fn open(folder: FS) -> Result<Self, InspectError> {
        let (opened, names) = view::open(&folder)?;
        // After the listing: the relay removes a segment only after it has written a checkpoint that covers it, so no segment
        // seems to be missing.
        let unreadable = unreadable_slots(&folder).map_err(failed("open the checkpoint"))?;
        let checkpoint = read_checkpoint(&folder).map_err(failed("open the checkpoint"))?;
        let headers = || opened.iter().filter_map(|opened| opened.header.as_ref());
        let journal_id = checkpoint
            .map(|checkpoint| checkpoint.journal_id)
            .or_else(|| headers().next().map(|header| header.journal_id))
            .ok_or_else(|| no_id(&opened, &unreadable))?;
        if let Some(foreign) = headers().find(|header| header.journal_id != journal_id) {
            return Err(OpenError::Foreign {
                file: name(foreign.sequence),
            }
            .into());
        }
        let codec = Codec::new(&journal_id);
        let segments = classify(codec, checkpoint, opened)?;
        let newest = segments.iter().rfind(|segment| segment.holds_records());
        let missing_newest = missing_newest(&folder, codec, checkpoint, newest)?;
        let is_copy = |name: &str| name.starts_with(DAMAGE_PREFIX);
        let is_set_aside = |name: &str| set_aside_sequence(name).is_some();
        Ok(Self {
            journal_id,
            checkpoint,
            unreadable_slots: unreadable,
            segments,
            quarantine: sizes(&folder, &names, is_copy)?,
            set_aside: sizes(&folder, &names, is_set_aside)?,
            missing_newest,
            folder,
        })
    }

    /// The inspected folder.
    pub fn folder(&self) -> &FS {
        &self.folder
    }

    /// The first position that is still to be published, according to the checkpoint.
    pub fn watermark(&self) -> u64 {
        self.checkpoint.map_or_else(
            || self.first().map_or(0, |(first, _)| first),
            |checkpoint| checkpoint.watermark,
        )
    }

    /// Unpublished records of segments that are gone.
    pub fn missing(&self) -> u64 {
        let previous_end = self.first().map_or(0, |(_, previous_end)| previous_end);
        match self.checkpoint {
            // The unreadable slot may be the one that covers them.
            _ if !self.unreadable_slots.is_empty() => 0,
            Some(checkpoint) => {
                bounds::missing_between(checkpoint.watermark, previous_end) + self.missing_newest
            }
            None => 0,
        }
    }

    /// All intact records, and all damage between them, in order, from the segment on that holds `from`.
    pub fn walk(&self, from: u64) -> Walk<'_, FS::File> {
        let codec = Codec::new(&self.journal_id);
        Walk::new(codec, &self.segments, self.checkpoint, from)
    }

    /// Where the oldest segment begins and the one before it ended, if its header is sound.
    fn first(&self) -> Option<(u64, u64)> {
        let oldest = self.segments.iter().find(|segment| segment.holds_records());
        match oldest?.content {
            Content::Sound {
                first,
                previous_end,
            } => Some((first, previous_end)),
            _ => None,
        }
    }
}

fn read_checkpoint(fs: &impl FileSystem) -> io::Result<Option<Checkpoint>> {
    for _ in 0..CHECKPOINT_READS {
        if let Some((_, checkpoint)) = CheckpointFile::read(fs)? {
            return Ok(Some(checkpoint));
        }
    }
    Ok(None)
}

/// Unpublished records of the newest segment in the checkpoint, if its file is gone and no newer one holds records. A running
/// relay creates and removes segments: only if no other checkpoint was written meanwhile is the file known to be missing.
fn missing_newest<FS: FileSystem>(
    fs: &FS,
    codec: Codec,
    checkpoint: Option<Checkpoint>,
    newest: Option<&SegmentFile<FS::File>>,
) -> Result<u64, OpenError> {
    let Some((before, synced)) = checkpoint.and_then(|last| Some((last, last.synced?))) else {
        return Ok(0);
    };
    if Some(synced.sequence) <= newest.map(|newest| newest.sequence) {
        return Ok(0);
    }
    let names = fs.list().map_err(failed("list the folder"))?;
    let is_there = names.contains(&name(synced.sequence));
    let now = read_checkpoint(fs).map_err(failed("open the checkpoint"))?;
    if is_there || now != Some(before) {
        return Ok(0);
    }
    let end = newest.map(|newest| {
        let Content::Sound { first, .. } = newest.content else {
            return Ok(synced.first);
        };
        scan::end(&newest.file, codec, fs.page(), HEADER, newest.length, first)
            .map(|found| found.end)
            .map_err(failed(&format!("read {}", newest.name())))
    });
    let gone = bounds::missing_newest(&before, &synced, end.transpose()?);
    Ok(gone.end - gone.start)
}

/// Why the journal's id is unknown.
fn no_id<F>(opened: &[Opened<F>], slots: &[(u64, String)]) -> InspectError {
    let header = opened.iter().find_map(|opened| {
        let is_unreadable = opened.file.unreadable_within(0..HEADER).is_some();
        is_unreadable.then(|| (name(opened.sequence), opened.file.reason()))
    });
    let slot = slots.first().cloned();
    let unreadable = header.or(slot.map(|(_, reason)| (String::from("the checkpoint"), reason)));
    match unreadable {
        Some((file, reason)) => OpenError::Io {
            operation: format!("read {file}, and nothing else shows which journal this is"),
            source: io::Error::other(reason),
        }
        .into(),
        None => InspectError::NoJournal,
    }
}

/// What each file holds, by recovery's rule.
///
/// Files are read from the newest to the oldest, as [`view`] does: if a file is still a spare, no newer one had been begun.
fn classify<F: File>(
    codec: Codec,
    checkpoint: Option<Checkpoint>,
    mut opened: Vec<Opened<F>>,
) -> Result<Vec<SegmentFile<F>>, OpenError> {
    let mut contents = Vec::with_capacity(opened.len());
    for opened in opened.iter_mut().rev() {
        let content = if opened.header.is_some() {
            FileContent::SOUND
        } else {
            let of = (opened.sequence, opened.length);
            FileContent::read(&opened.file, codec, of, checkpoint)
                .and_then(|content| {
                    // A running writer may have begun the spare since its header was read.
                    let _ = opened.read_again()?;
                    Ok(content)
                })
                .map_err(failed(&format!("read {}", name(opened.sequence))))?
        };
        contents.push(content);
    }
    contents.reverse();
    let kinds = headerless::kinds(&contents);
    let segments = opened.into_iter().zip(kinds).map(|(opened, kind)| {
        let content = opened.sound().unwrap_or(match kind {
            Kind::Records => Content::Headless,
            Kind::Torn(bytes) => Content::Torn(bytes),
            Kind::Spare => Content::Spare,
        });
        SegmentFile {
            sequence: opened.sequence,
            length: opened.length,
            content,
            file: opened.file,
        }
    });
    Ok(segments.collect())
}

/// The files of one kind, and their bytes.
fn sizes<FS: FileSystem>(
    fs: &FS,
    names: &[String],
    is_of_kind: impl Fn(&str) -> bool,
) -> Result<Vec<(String, u64)>, OpenError> {
    let mut found = Vec::new();
    for name in names.iter().filter(|name| is_of_kind(name)) {
        match fs.open(name).and_then(|file| file.length()) {
            Ok(length) => found.push((name.clone(), length)),
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&format!("open {name}"))(error)),
        }
    }
    found.sort_unstable();
    Ok(found)
}
