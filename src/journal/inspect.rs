//! Looking into a journal without owning it: nothing is made, cut, synced or removed, whether a relay runs on it or not.
//!
//! A look reports one moment, though a running relay appends, writes its checkpoint each second and removes what is
//! published. Three rules make that so:
//! - The files, then their headers, then the checkpoint, then the records are read, in the order that [`view`] explains.
//! - The relay does not cut a removed file while somebody looks ([`FileSystem::is_looked_into`]), and an [`Inspection`]
//!   owns its folder, so that the look lasts as long as the files are read.
//! - The walk reports no damage in a file that has been removed: the relay removes only what is published, and a relay
//!   that cannot see the look (on another machine of a network file system) cuts it.
//!
//! A segment counts as what recovery would make of it.

mod folder;
mod place;
mod readable;
mod view;
mod walk;

use std::io;

use super::disk::filesystem::{File, FileSystem};
use super::engine::checkpoint::{Checkpoint, CheckpointFile, Synced, unreadable_slots};
use super::engine::quarantine::QUARANTINE;
use super::format::record::Codec;
use super::format::scan;
use super::format::segment::{HEADER, name, set_aside_sequence};
use super::recovery::bounds;
use readable::Readable;
use view::Opened;

pub use folder::Folder;
pub use walk::{Damage, Item, Located, Walk};

/// Reads of the checkpoint before both slots count as lost: a relay writes one a second, so that a slow look may meet a
/// half-written slot twice in a row.
const CHECKPOINT_READS: u32 = 3;

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No such folder: mind the path, or the volume that is not mounted.
    #[error("there is no such folder; is the path right, and its volume mounted?")]
    Missing,
    /// Nothing in it: no relay has run on it, or everything was moved away.
    #[error("the folder is empty: no ringback has kept a journal in it")]
    Empty,
    /// Files, but neither a checkpoint nor a segment's header that could be read.
    #[error("it holds no journal: neither a checkpoint nor a segment whose header can be read")]
    NoJournal,
    /// Written by another version of the format: look with the ringback that wrote it.
    #[error(
        "{file} has format version {version}, this ringback reads {}",
        super::format::segment::VERSION
    )]
    Version {
        /// The segment's name.
        file: String,
        /// Its version.
        version: u32,
    },
    /// Two journals' files in one folder: take the one apart that does not belong.
    #[error("{file} belongs to another journal; one folder holds one journal")]
    Foreign {
        /// The segment's name.
        file: String,
    },
    /// Something makes and removes segments faster than they can be opened.
    #[error("the folder changes faster than it can be read; try again")]
    Restless,
    /// The disk or its permissions.
    #[error("cannot {operation}")]
    Io {
        /// What was tried, with the file's name.
        operation: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
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
    /// Its header is damaged or cannot be read; records are looked for all the same.
    Headless,
    /// Zeros: reserved for what comes next.
    Spare,
    /// A first write that never got whole, this many bytes; never acknowledged.
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
    file: Readable<F>,
}

impl<F> SegmentFile<F> {
    /// The file's name.
    pub fn name(&self) -> String {
        name(self.sequence)
    }

    /// True where there may be records in it.
    pub fn holds_records(&self) -> bool {
        matches!(self.content, Content::Sound { .. } | Content::Headless)
    }

    /// True unless the disk did not give the header, which may be sound all the same.
    pub fn header_was_read(&self) -> bool {
        self.file.unreadable_within(0..HEADER).is_none()
    }
}

/// A journal as it was found. It holds the folder, because the relay keeps removed files whole only while that lives.
#[derive(Debug)]
pub struct Inspection<FS: FileSystem> {
    /// The journal's id.
    pub journal_id: [u8; 16],
    /// The newest checkpoint; `None` where it is lost, which costs duplicates, never events.
    pub checkpoint: Option<Checkpoint>,
    /// Slots of the checkpoint that could not be read: their first bytes, with the operating system's words. The
    /// checkpoint may be an older one for that.
    pub unreadable_slots: Vec<(u64, String)>,
    /// Oldest first.
    pub segments: Vec<SegmentFile<FS::File>>,
    /// Copies of damage: names and bytes, sorted by name.
    pub quarantine: Vec<(String, u64)>,
    /// Segments that are kept whole because a place in them could not be read: names and bytes, sorted by name.
    pub set_aside: Vec<(String, u64)>,
    /// Unpublished records of the newest segment, if its file is gone.
    missing_newest: u64,
    folder: FS,
}

impl<FS: FileSystem> Inspection<FS> {
    /// Opens the segments and reads their headers, then the checkpoint.
    pub fn open(folder: FS) -> Result<Self, InspectError> {
        let (opened, names) = view::open(&folder)?;
        // After the listing: the relay removes a segment only when a checkpoint that covers it is written, so that no
        // segment seems to be missing.
        let unreadable = unreadable_slots(&folder).map_err(failed("open the checkpoint"))?;
        let checkpoint = read_checkpoint(&folder).map_err(failed("open the checkpoint"))?;
        let headers = || opened.iter().filter_map(|opened| opened.header.as_ref());
        let journal_id = checkpoint
            .map(|checkpoint| checkpoint.journal_id)
            .or_else(|| headers().next().map(|header| header.journal_id))
            .ok_or_else(|| no_id(&opened, &unreadable))?;
        if let Some(foreign) = headers().find(|header| header.journal_id != journal_id) {
            return Err(InspectError::Foreign {
                file: name(foreign.sequence),
            });
        }
        let synced = checkpoint.and_then(|checkpoint| checkpoint.synced);
        let codec = Codec::new(&journal_id);
        let segments = classify(codec, synced, opened)?;
        let newest = segments.iter().rfind(|segment| segment.holds_records());
        let missing_newest = missing_newest(&folder, codec, checkpoint, newest)?;
        let is_copy = |name: &str| name.starts_with(QUARANTINE);
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

    /// The folder that is looked into.
    pub fn folder(&self) -> &FS {
        &self.folder
    }

    /// The first position that is still to be published, as far as the checkpoint tells.
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
            // The slot that covers them may be the one that cannot be read.
            _ if !self.unreadable_slots.is_empty() => 0,
            Some(checkpoint) => {
                bounds::missing_between(checkpoint.watermark, previous_end) + self.missing_newest
            }
            None => 0,
        }
    }

    /// Every intact record from the segment on that holds `from`, and every damage between, in order.
    pub fn walk(&self, from: u64) -> Walk<'_, FS::File> {
        let codec = Codec::new(&self.journal_id);
        Walk::new(codec, &self.segments, self.checkpoint, from)
    }

    /// Where the oldest segment begins, and the one before it ended, if its header tells.
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

/// Unpublished records of the newest segment that the checkpoint knows, if its file is gone and no newer one holds records.
/// A running relay makes and
/// removes segments: only if no other checkpoint was written since is the file known to be missing.
fn missing_newest<FS: FileSystem>(
    fs: &FS,
    codec: Codec,
    checkpoint: Option<Checkpoint>,
    newest: Option<&SegmentFile<FS::File>>,
) -> Result<u64, InspectError> {
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

/// Why nothing tells the journal's id.
fn no_id<F>(opened: &[Opened<F>], slots: &[(u64, String)]) -> InspectError {
    let header = opened.iter().find_map(|opened| {
        let is_unreadable = opened.file.unreadable_within(0..HEADER).is_some();
        is_unreadable.then(|| (name(opened.sequence), opened.file.reason()))
    });
    let slot = slots.first().cloned();
    let unreadable = header.or(slot.map(|(_, reason)| (String::from("the checkpoint"), reason)));
    match unreadable {
        Some((file, reason)) => InspectError::Io {
            operation: format!("read {file}, and nothing else tells which journal this is"),
            source: io::Error::other(reason),
        },
        None => InspectError::NoJournal,
    }
}

/// As recovery does it: a file without a header is damaged if it holds a record or is older than a sound one.
///
/// From the newest to the oldest, as [`view`] reads them: if a file is still a spare, no newer one had been begun.
fn classify<F: File>(
    codec: Codec,
    synced: Option<Synced>,
    opened: Vec<Opened<F>>,
) -> Result<Vec<SegmentFile<F>>, InspectError> {
    let last_sound = opened.iter().rposition(|opened| opened.header.is_some());
    let mut segments = Vec::with_capacity(opened.len());
    for (index, mut opened) in opened.into_iter().enumerate().rev() {
        let is_synced = synced.is_some_and(|synced| opened.sequence <= synced.sequence);
        let is_before_sound = last_sound.is_some_and(|last| index < last);
        let content = match opened.sound() {
            Some(sound) => sound,
            None => without_header(codec, &mut opened, is_before_sound, is_synced)
                .map_err(failed(&format!("read {}", name(opened.sequence))))?,
        };
        segments.push(SegmentFile {
            sequence: opened.sequence,
            length: opened.length,
            content,
            file: opened.file,
        });
    }
    segments.reverse();
    Ok(segments)
}

fn without_header<F: File>(
    codec: Codec,
    opened: &mut Opened<F>,
    is_before_sound: bool,
    is_synced: bool,
) -> io::Result<Content> {
    let garbage = scan::garbage(&opened.file, 0, opened.length)?;
    // If the header cannot be read, nothing says that the file is a spare.
    let is_unreadable = opened.file.unreadable_within(0..HEADER).is_some();
    if garbage == 0 && !is_unreadable && !is_synced {
        return Ok(Content::Spare);
    }
    let bytes = HEADER..opened.length;
    let holds = scan::find(&opened.file, codec, bytes, &(0..u64::MAX))?.is_some();
    // A running writer may have begun the spare since its header was read.
    opened.read_again()?;
    Ok(match opened.sound() {
        Some(sound) => sound,
        None if holds || is_before_sound || is_unreadable || is_synced => Content::Headless,
        None => Content::Torn(garbage),
    })
}

/// The files of one kind, and their bytes.
fn sizes<FS: FileSystem>(
    fs: &FS,
    names: &[String],
    is_of_kind: impl Fn(&str) -> bool,
) -> Result<Vec<(String, u64)>, InspectError> {
    let mut found = Vec::new();
    for name in names.iter().filter(|name| is_of_kind(name)) {
        match fs.open(name).and_then(|file| file.length()) {
            Ok(length) => found.push((name.clone(), length)),
            // Looked at and tidied away by somebody.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&format!("open {name}"))(error)),
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn failed(operation: &str) -> impl Fn(io::Error) -> InspectError + use<> {
    let operation = operation.to_owned();
    move |source| InspectError::Io {
        operation: operation.clone(),
        source,
    }
}
