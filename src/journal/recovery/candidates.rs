//! The segments' files as a start finds them: each is synced, its header read, and closed again.

use std::io;

use super::failed;
use crate::journal::disk::filesystem::{File as _, FileSystem, ReadAt, read_full};
use crate::journal::disk::zero_fill::{Beyond, Holes, Tried, ZeroFilled};
use crate::journal::error::OpenError;
use crate::journal::format::segment::{
    self, HEADER_BYTES, Header, HeaderError, name, sequence_of, set_aside_sequence,
};

/// How many pages of one file may fail before the rest of it counts as unreadable: a start must not wait for a device that
/// lets each of them run into a time-out. The reader finds out later.
const FAILURES: u32 = 2;

/// One segment's file.
pub(super) struct Candidate {
    /// The file's number.
    pub(super) sequence: u64,
    /// In bytes, reserved space included.
    pub(super) length: u64,
    /// What its header says.
    pub(super) header: Result<Header, HeaderError>,
    /// The journal's id as a damaged header claims it.
    pub(super) claimed_id: Option<[u8; 16]>,
    /// The header could not be read, so nothing is known of it.
    pub(super) unreadable: bool,
    /// Nothing that could be read of it says that it was ever written to.
    pub(super) may_be_spare: bool,
    /// It has a second name, under which it is kept whole: it must not be cut.
    pub(super) is_set_aside: bool,
    /// What could not be read of it: looking again waits for none of that.
    tried: Tried,
}

/// Opens and syncs every segment, oldest first, and reads its header.
pub(super) fn find<FS: FileSystem>(fs: &FS) -> Result<Vec<Candidate>, OpenError> {
    let names = fs.list().map_err(failed("list the folder"))?;
    let mut sequences: Vec<_> = names.iter().filter_map(|name| sequence_of(name)).collect();
    sequences.sort_unstable();
    let set_aside: Vec<_> = names
        .iter()
        .filter_map(|name| set_aside_sequence(name))
        .collect();
    let mut candidates = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        let name = name(sequence);
        let open = || {
            let file = fs.open(&name)?;
            file.sync()?;
            let mut bytes = [0; HEADER_BYTES];
            let read = read_full(&file, &mut bytes, 0);
            io::Result::Ok((file.length()?, read, bytes))
        };
        let (length, read, bytes) = open().map_err(failed(&format!("open and sync {name}")))?;
        let unreadable = read.is_err();
        let header = match read {
            Ok(read) => Header::decode(&bytes[..read]),
            Err(error) => {
                tracing::error!(segment = name, %error, "the segment's header cannot be read");
                Err(HeaderError::Invalid)
            }
        };
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
        let claims = header.is_err() && !unreadable;
        candidates.push(Candidate {
            sequence,
            length,
            claimed_id: claims.then(|| segment::id_in(&bytes)),
            header,
            unreadable,
            may_be_spare: unreadable,
            is_set_aside: set_aside.contains(&sequence),
            tried: Tried::new(Holes::default(), FAILURES),
        });
    }
    Ok(candidates)
}

impl Candidate {
    /// The open file.
    pub(super) fn open<FS: FileSystem>(&self, fs: &FS) -> io::Result<FS::File> {
        fs.open(&name(self.sequence))
    }

    /// The file with zeros where it cannot be read.
    pub(super) fn view<'a, F: ReadAt>(&self, file: &'a F, page: u64) -> ZeroFilled<'a, F> {
        ZeroFilled::go_on(file, page, self.tried.clone(), Beyond::IsHole(self.length))
    }
}
