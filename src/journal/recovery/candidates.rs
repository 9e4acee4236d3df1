//! The segments' files as recovery finds them: each is synced, its header read, and closed again.

use std::io;

use crate::journal::disk::filesystem::{File as _, FileSystem, ReadAt, read_full};
use crate::journal::disk::zero_fill::{Beyond, Holes, Tried, ZeroFilled};
use crate::journal::error::{OpenError, failed};
use crate::journal::format::segment::{
    self, HEADER_BYTES, Header, HeaderError, name, sequence_of, set_aside_sequence,
};

/// Pages of one file that may fail before the rest of it counts as unreadable. An open must not wait until a device has run
/// into its time-out for each of them; the reader waits later.
const FAILURES: u32 = 2;

/// One segment's file.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) sequence: u64,
    /// In bytes, reserved space included.
    pub(super) length: u64,
    pub(super) header: Result<Header, HeaderError>,
    /// The journal's id in a damaged header.
    pub(super) claimed_id: Option<[u8; 16]>,
    /// The header could not be read.
    pub(super) unreadable: bool,
    /// Nothing that could be read of it proves that it was ever written to.
    pub(super) may_be_spare: bool,
    /// It has a second name, under which it is kept whole: it must not be truncated.
    pub(super) is_set_aside: bool,
    /// What could not be read of it, so that no later reading tries that again.
    tried: Tried,
}

/// Opens and syncs every segment, oldest first, and reads its header.
pub(super) fn sync_and_read<FS: FileSystem>(fs: &FS) -> Result<Vec<Candidate>, OpenError> {
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
            Ok(read) => Header::decode_own(&bytes[..read], sequence),
            Err(error) => {
                tracing::error!(segment = name, %error, "the segment's header cannot be read");
                Err(HeaderError::Invalid)
            }
        };
        if let Err(error) = &header
            && let Some(error) = OpenError::of_header(sequence, error)
        {
            return Err(error);
        }
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
    /// Opens the file.
    pub(super) fn open<FS: FileSystem>(&self, fs: &FS) -> io::Result<FS::File> {
        fs.open(&name(self.sequence))
    }

    /// The open file, with zeros where it cannot be read.
    pub(super) fn view<'a, F: ReadAt>(&self, file: &'a F, page: u64) -> ZeroFilled<&'a F> {
        let beyond = Beyond::IsHole(self.length);
        ZeroFilled::resume(file, page, self.tried.clone(), beyond)
    }

    /// One past the last position of the previous segment, if this header is intact.
    pub(super) fn previous_end(&self) -> Option<u64> {
        self.header.as_ref().ok().map(|header| header.previous_end)
    }
}
