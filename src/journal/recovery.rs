//! What a start makes of the files that it finds.
//!
//! Everything is synced before anything is believed: what a killed process had written but not synced must not be
//! published and then vanish. The last batch is written anew for that: after a failed sync Linux takes its pages for
//! clean, and another sync says that all is well though nothing has reached the disk. Only headers are read, and the last segment to its end; what lies between is checked when
//! it is read. A tail is torn, and cut, only where nothing intact follows it.

pub(super) mod bounds;
mod identity;
mod unused;

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::{CheckpointFile, read_full};
use super::error::OpenError;
use super::filesystem::{File as _, FileSystem};
use super::record::Codec;
use super::scan;
use super::segment::{self, HEADER, HEADER_BYTES, Header, HeaderError, Segment, name, sequence_of};
use super::state::State;
use super::writer::BATCH_BYTES;
use crate::fault::{self, Fault};

/// Each start leaves this many positions unused, more than a queue can hold: a record that was never synced, or has
/// rotted, must not lend its position to another. It counts from the start before as well, since nothing may be left of
/// what that one wrote.
pub const LEAP: u64 = 1 << 20;
/// Bytes written anew at once.
const CHUNK: usize = 1 << 20;

/// What recovery found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The journal's id, made once: 32 hex digits.
    pub journal_id: String,
    /// The first position that is still to be published.
    pub resume_at: u64,
    /// Records that are still to be published, as far as headers tell; damage among them is found when they are read.
    pub recovered_events: u64,
    /// Records of segments that are gone, or cannot be read any more, though they were not published.
    pub missing_events: u64,
    /// Bytes cut from the tail that were never acknowledged.
    pub torn_bytes: u64,
}

/// A recovered journal, not yet running.
pub struct Recovered<FS: FileSystem> {
    /// The journal's id.
    pub journal_id: [u8; 16],
    /// All segments, none of them active.
    pub state: State<FS::File>,
    /// The open checkpoint.
    pub checkpoint: CheckpointFile<FS::File>,
    /// For the log and the metrics.
    pub recovery: Recovery,
}

struct Candidate<F> {
    sequence: u64,
    file: F,
    length: u64,
    header: Result<Header, HeaderError>,
    /// The journal's id as a damaged header tells it.
    told: Option<[u8; 16]>,
}

/// Reads the folder. `fresh_id` is the journal's id if there is none yet.
pub fn recover<FS: FileSystem>(fs: &FS, fresh_id: [u8; 16]) -> Result<Recovered<FS>, OpenError> {
    fs.sync_directory().map_err(failed("sync the folder"))?;
    let checkpoint = CheckpointFile::read(fs).map_err(failed("read the checkpoint"))?;
    let mut candidates = candidates(fs)?;
    let known_id = checkpoint
        .as_ref()
        .map(|(_, checkpoint)| checkpoint.journal_id);
    let headers = || {
        candidates
            .iter()
            .filter_map(|candidate| candidate.header.as_ref().ok())
    };
    let found_id = match known_id.or_else(|| headers().next().map(|header| header.journal_id)) {
        Some(id) => Some(id).filter(|_| known_id.is_some() || !fault::is_on(Fault::IdForgotten)),
        None => {
            identity::of_records(fs, &candidates).map_err(failed("look for the journal's id"))?
        }
    };
    let journal_id = found_id.unwrap_or(fresh_id);
    if let Some(foreign) = headers().find(|header| header.journal_id != journal_id) {
        return Err(OpenError::Foreign {
            file: name(foreign.sequence),
        });
    }
    let codec = Codec::new(&journal_id);
    let sequence = candidates.last().map_or(0, |last| last.sequence + 1);
    let unidentified = match found_id {
        None => identity::set_aside(fs, &candidates)?,
        Some(_) => 0,
    };
    let (mut unused, torn_files) = unused::take_from(codec, &mut candidates)?;
    let torn_files = if unidentified > 0 { 0 } else { torn_files };
    let published = checkpoint.as_ref().map_or(0, |(_, last)| last.watermark);
    let (mut segments, torn_tail) = segments::<FS>(codec, candidates, published)?;
    // A first write that got its header to disk and no record.
    let mut begun_at = checkpoint.as_ref().map_or(0, |(_, last)| last.begun_at);
    while let Some((_, empty)) = segments.pop_back_if(|(_, segment)| segment.end == segment.first) {
        begun_at = begun_at.max(unused.push_begun(empty.sequence, empty.first));
    }
    let last = segments.back().map(|(_, segment)| segment.sequence);
    let starts = found_id.map_or(0, |_| unused.starts_behind(last));
    let discarded = unused.discard(fs, starts)?;

    let first = segments.front().map_or(0, |segment| segment.1.first);
    let watermark = checkpoint
        .as_ref()
        .map_or(first, |(_, checkpoint)| checkpoint.watermark);
    let end = segments.back().map_or(0, |(_, segment)| segment.end);
    // An id that was found has had positions, though nothing may be left of them.
    let next = found_id.map_or(0, |_| {
        if fault::is_on(Fault::PositionReused) || fault::is_on(Fault::WriteIntoTornSegment) {
            return end.max(watermark).max(begun_at);
        }
        let known = end.max(watermark) + LEAP;
        if fault::is_on(Fault::LeapFromTailOnly) {
            return known;
        }
        // Without a segment, starts are counted from what the checkpoint tells, whose newest slot may be lost.
        let counted = last.map_or(end.max(watermark).max(begun_at), |_| end);
        known
            .max(begun_at + LEAP)
            .max(counted + LEAP * (1 + starts))
    });
    // The next file's number tells as many leaps, should the records under it rot and the checkpoint be lost.
    let told = last.map_or(0, |last| last + next.saturating_sub(end).div_ceil(LEAP));
    let sequence = sequence.max(told);
    let checkpoint = match checkpoint {
        Some((file, last)) => CheckpointFile::resume(file, last, next),
        None => CheckpointFile::create(fs, journal_id, watermark, next),
    }
    .map_err(failed("write the checkpoint"))?;
    // The oldest segment says where the one before it ended; what lies between that and the watermark is gone.
    let missing_events = segments.front().map_or(0, |(previous_end, _)| {
        bounds::missing_between(watermark, *previous_end)
    });
    if missing_events > 0 {
        tracing::error!(
            count = missing_events,
            "a segment with unpublished records is missing"
        );
    }
    let missing_events = missing_events + unidentified;
    if discarded {
        fs.sync_directory().map_err(failed("sync the folder"))?;
    }
    let segments = segments.into_iter().map(|(_, segment)| segment).collect();
    let mut state = State::new(segments, next, watermark, sequence);
    if fault::is_on(Fault::WriteIntoTornSegment) {
        state.active = state.segments.back().is_some_and(|last| last.end == next);
    }
    let recovery = Recovery {
        journal_id: hex::encode(journal_id),
        resume_at: state.watermark,
        recovered_events: state.unpublished() + missing_events,
        missing_events,
        torn_bytes: torn_files + torn_tail,
    };
    Ok(Recovered {
        journal_id,
        state,
        checkpoint,
        recovery,
    })
}

/// Opens and syncs every segment, oldest first, and reads its header.
fn candidates<FS: FileSystem>(fs: &FS) -> Result<Vec<Candidate<FS::File>>, OpenError> {
    let names = fs.list().map_err(failed("list the folder"))?;
    let mut sequences: Vec<_> = names.iter().filter_map(|name| sequence_of(name)).collect();
    sequences.sort_unstable();
    let mut candidates = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        let name = name(sequence);
        let open = || {
            let file = fs.open(&name)?;
            if !fault::is_on(Fault::RecoveryWithoutSync) {
                file.sync()?;
            }
            let mut bytes = [0; HEADER_BYTES];
            let read = read_full(&file, &mut bytes, 0)?;
            let length = file.length()?;
            io::Result::Ok((file, length, Header::decode(&bytes[..read]), bytes))
        };
        let (file, length, header, bytes) =
            open().map_err(failed(&format!("open and sync {name}")))?;
        let header = match header {
            Err(HeaderError::Version(version)) => {
                return Err(OpenError::Version {
                    file: name,
                    version,
                });
            }
            // A file under another's name is as good as one without a header.
            Ok(header) if header.sequence != sequence => Err(HeaderError::Invalid),
            header => header,
        };
        let told = header.is_err().then(|| segment::id_in(&bytes));
        candidates.push(Candidate {
            sequence,
            file,
            length,
            header,
            told,
        });
    }
    Ok(candidates)
}

type Found<F> = VecDeque<(u64, Segment<F>)>;

/// Each segment with the end that its header says the one before it had, before the first all is `published`; and the bytes cut from the last one's tail.
fn segments<FS: FileSystem>(
    codec: Codec,
    candidates: Vec<Candidate<FS::File>>,
    published: u64,
) -> Result<(Found<FS::File>, u64), OpenError> {
    let mut segments: Found<FS::File> = VecDeque::new();
    let mut torn = 0;
    let ends: Vec<_> = candidates
        .iter()
        .skip(1)
        .map(|next| next.header.as_ref().ok().map(|header| header.previous_end))
        .chain([None])
        .collect();
    let count = candidates.len();
    for (index, (candidate, next_says)) in candidates.into_iter().zip(ends).enumerate() {
        let failed_read = failed(&format!("read {}", name(candidate.sequence)));
        let from = segments.back().map_or(0, |(_, before)| before.end);
        let (first, previous_end, opened_ms) = if let Ok(header) = &candidate.header {
            (header.first, header.previous_end, header.opened_ms)
        } else {
            let least = segments.back().map_or(published, |_| from);
            let found = bounds::first(&candidate.file, codec, candidate.length, from, least)
                .map_err(&failed_read)?;
            let previous_end = match segments.back_mut() {
                Some((_, before)) => {
                    bounds::close(before, found, published).map_err(&failed_read)?
                }
                // What lies between is gone with its segment.
                None => found
                    .filter(|first| first.saturating_sub(published) < LEAP)
                    .map_or(published, |first| first.max(published)),
            };
            let none = || bounds::first_of_none(candidate.length, previous_end, next_says);
            (found.unwrap_or_else(none), previous_end, 0)
        };
        let base = segments
            .back()
            .map_or(0, |(_, before)| before.base + before.used);
        let scanned = match next_says {
            // The last one has no next.
            Some(end) if end >= first => scan::End {
                end,
                used: candidate.length,
                last: HEADER,
            },
            _ => scan::end(&candidate.file, codec, HEADER, candidate.length, first)
                .map_err(&failed_read)?,
        };
        let is_last = index + 1 == count;
        let mut capacity = scanned.used;
        if is_last {
            torn = scan::garbage(&candidate.file, scanned.used, candidate.length)
                .map_err(&failed_read)?;
            if fault::is_on(Fault::WriteIntoTornSegment) {
                capacity = candidate.length;
            } else if scanned.used < candidate.length {
                candidate
                    .file
                    .truncate(scanned.used)
                    .map_err(failed("cut the tail"))?;
            }
            // A batch is so many bytes or one larger record, and its segment's header.
            let from = scanned.last.min(scanned.used.saturating_sub(BATCH_BYTES));
            let from = if from <= HEADER { 0 } else { from };
            if !fault::is_on(Fault::FailedSyncTrusted) && !fault::is_on(Fault::RecoveryWithoutSync)
            {
                write_anew(&candidate.file, from..scanned.used)
                    .map_err(failed("write the last batch anew"))?;
            }
        }
        segments.push_back((
            previous_end,
            Segment {
                sequence: candidate.sequence,
                first,
                end: scanned.end,
                used: scanned.used,
                capacity,
                base,
                opened_ms,
                file: Arc::new(candidate.file),
            },
        ));
    }
    Ok((segments, torn))
}

/// Writes the same bytes again, so that the sync after it is about them; torn or not, they stay what they were.
fn write_anew<F: super::filesystem::File>(file: &F, bytes: Range<u64>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK.min(usize::try_from(bytes.end).unwrap_or(CHUNK))];
    let mut offset = bytes.start;
    while offset < bytes.end {
        let left = usize::try_from(bytes.end - offset).unwrap_or(CHUNK);
        let length = chunk.len().min(left);
        let read = read_full(file, &mut chunk[..length], offset)?;
        if read == 0 {
            break;
        }
        file.write_all_at(&chunk[..read], offset)?;
        offset += read as u64;
    }
    file.sync()
}

fn failed(operation: &str) -> impl Fn(io::Error) -> OpenError + use<> {
    let operation = operation.to_owned();
    move |source| OpenError::Io {
        operation: operation.clone(),
        source,
    }
}
