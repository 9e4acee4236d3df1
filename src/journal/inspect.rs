//! Looking into a journal without owning it: nothing is made, cut, synced or removed, whether a relay runs on it or not.
//!
//! What is told is of one moment. A running relay goes on appending (what is read at the tail may not be synced yet),
//! writes its checkpoint about once a second, and removes what is published: a file that vanishes while it is being
//! opened was published, and one that is open stays readable, because the relay does not
//! cut what it removes while somebody looks ([`FileSystem::is_looked_into`]). A segment counts as what recovery would make of it.

mod folder;
mod walk;

use std::io;

use super::checkpoint::{Checkpoint, CheckpointFile};
use super::filesystem::{File, FileSystem, read_full};
use super::record::Codec;
use super::recovery::bounds::missing_between;
use super::scan;
use super::segment::{HEADER, HEADER_BYTES, Header, HeaderError, name, sequence_of};

pub use folder::Folder;
pub use walk::{Damage, Item, Located, Walk};

/// Copies of damage that the reader sets aside.
const QUARANTINE: &str = "quarantine-";
/// How often the folder is listed while segments vanish from it: a relay removes some every second at most.
const LISTINGS: u32 = 5;

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
        super::segment::VERSION
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
    /// Its header is damaged; records are looked for all the same.
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
    file: F,
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
}

/// A journal as it was found.
#[derive(Debug)]
pub struct Inspection<FS: FileSystem> {
    /// The journal's id.
    pub journal_id: [u8; 16],
    /// The newest checkpoint; `None` where it is lost, which costs duplicates, never events.
    pub checkpoint: Option<Checkpoint>,
    /// Oldest first.
    pub segments: Vec<SegmentFile<FS::File>>,
    /// Copies of damage: names and bytes, sorted by name.
    pub quarantine: Vec<(String, u64)>,
}

impl<FS: FileSystem> Inspection<FS> {
    /// Opens the segments and reads their headers, then the checkpoint.
    pub fn open(fs: &FS) -> Result<Self, InspectError> {
        let (mut names, mut opened) = (Vec::new(), Vec::new());
        for _ in 0..LISTINGS {
            names = fs.list().map_err(failed("list the folder"))?;
            if names.is_empty() {
                return Err(InspectError::Empty);
            }
            let vanished;
            (opened, vanished) = open_segments(fs, &names)?;
            // What has taken a removed segment's place is not in an old list.
            if !vanished {
                break;
            }
        }
        // After the listing: a segment leaves only when a checkpoint that covers it is written, so none seems missing.
        let checkpoint = CheckpointFile::read(fs).map_err(failed("read the checkpoint"))?;
        let checkpoint = checkpoint.map(|(_, checkpoint)| checkpoint);
        let headers = || opened.iter().filter_map(|opened| opened.header.as_ref());
        let journal_id = checkpoint
            .map(|checkpoint| checkpoint.journal_id)
            .or_else(|| headers().next().map(|header| header.journal_id))
            .ok_or(InspectError::NoJournal)?;
        if let Some(foreign) = headers().find(|header| header.journal_id != journal_id) {
            return Err(InspectError::Foreign {
                file: name(foreign.sequence),
            });
        }
        let segments = classify(Codec::new(&journal_id), opened)?;
        Ok(Self {
            journal_id,
            checkpoint,
            segments,
            quarantine: quarantine(fs, names)?,
        })
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
            Some(checkpoint) => missing_between(checkpoint.watermark, previous_end),
            None => 0,
        }
    }

    /// Every intact record from the segment on that holds `from`, and every damage between, in order.
    pub fn walk(&self, from: u64) -> Walk<'_, FS::File> {
        Walk::new(Codec::new(&self.journal_id), &self.segments, from)
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

struct Opened<F> {
    sequence: u64,
    length: u64,
    header: Option<Header>,
    file: F,
}

/// Open segments, and whether another was listed and is gone.
type Listed<F> = (Vec<Opened<F>>, bool);

/// Opens what is there, and tells whether something has been removed since it was listed.
fn open_segments<FS: FileSystem>(
    fs: &FS,
    names: &[String],
) -> Result<Listed<FS::File>, InspectError> {
    let mut sequences: Vec<_> = names.iter().filter_map(|name| sequence_of(name)).collect();
    sequences.sort_unstable();
    let mut all = Vec::with_capacity(sequences.len());
    let mut vanished = false;
    for sequence in sequences {
        let name = name(sequence);
        let failed = failed(&format!("read {name}"));
        let file = match fs.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                vanished = true;
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        let header = match read_header(&file).map_err(&failed)? {
            Err(HeaderError::Version(version)) => {
                return Err(InspectError::Version {
                    file: name,
                    version,
                });
            }
            // A file under another's name is as good as one without a header.
            header => header.ok().filter(|header| header.sequence == sequence),
        };
        let length = file.length().map_err(&failed)?;
        all.push(Opened {
            sequence,
            length,
            header,
            file,
        });
    }
    Ok((all, vanished))
}

fn read_header(file: &impl File) -> io::Result<Result<Header, HeaderError>> {
    let mut bytes = [0; HEADER_BYTES];
    let read = read_full(file, &mut bytes, 0)?;
    Ok(Header::decode(&bytes[..read]))
}

/// As recovery does it: without a header a file is damaged where it holds a record or stands before a sound one.
fn classify<F: File>(
    codec: Codec,
    opened: Vec<Opened<F>>,
) -> Result<Vec<SegmentFile<F>>, InspectError> {
    let last_sound = opened.iter().rposition(|opened| opened.header.is_some());
    let mut segments = Vec::with_capacity(opened.len());
    for (index, mut opened) in opened.into_iter().enumerate() {
        let failed = failed(&format!("read {}", name(opened.sequence)));
        let mut content = Content::Spare;
        if opened.header.is_none() {
            let garbage = scan::garbage(&opened.file, 0, opened.length).map_err(&failed)?;
            let bytes = HEADER..opened.length;
            if garbage > 0 {
                let holds = scan::find(&opened.file, codec, bytes, &(0..u64::MAX));
                let holds = holds.map_err(&failed)?.is_some();
                let damaged = holds || last_sound.is_some_and(|last| index < last);
                content = if damaged {
                    Content::Headless
                } else {
                    Content::Torn(garbage)
                };
                // A running writer may have begun the spare since its header was read.
                let again = read_header(&opened.file).map_err(&failed)?.ok();
                opened.header = again.filter(|header| header.sequence == opened.sequence);
            }
        }
        if let Some(header) = &opened.header {
            content = Content::Sound {
                first: header.first,
                previous_end: header.previous_end,
            };
        }
        segments.push(SegmentFile {
            sequence: opened.sequence,
            length: opened.length,
            content,
            file: opened.file,
        });
    }
    Ok(segments)
}

fn quarantine<FS: FileSystem>(
    fs: &FS,
    names: Vec<String>,
) -> Result<Vec<(String, u64)>, InspectError> {
    let mut found = Vec::new();
    for name in names
        .into_iter()
        .filter(|name| name.starts_with(QUARANTINE))
    {
        match fs.open(&name).and_then(|file| file.length()) {
            Ok(length) => found.push((name, length)),
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
