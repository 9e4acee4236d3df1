//! One consistent view of a folder's segments, while a relay begins some and removes others.
//!
//! A segment's end is known from the next one's header. So the view must not have a gap, and a file must be read after the
//! header that has its end:
//! - Files are opened until the folder lists exactly the open ones. A file newer than the first listing belongs to a later
//!   moment and is left out, so the rest only shrinks, however busy the relay is. A file that is open but no longer listed was
//!   published and is dropped, because the next one may be gone too.
//! - Headers are read from the newest file to the oldest. A relay begins a file only after the previous one is complete, so a
//!   header with an end was there before anything of the older file is read.
//! - A file's length is read after its header, because the relay reserves a file before it begins it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Content, InspectError};
use crate::journal::disk::filesystem::{File, FileSystem, PAGE};
use crate::journal::disk::zero_fill::{Beyond, Holes, ZeroFilled};
use crate::journal::error::{OpenError, failed};
use crate::journal::format::segment::{Header, HeaderError, name, sequence_of};

/// Listings of the folder before the inspection gives up. A busy relay costs a few; only a process that makes and removes
/// segments without end costs more.
const LISTINGS: u32 = 100;
/// Pages of one file that may fail before the rest of it counts as unreadable. Each can take as long as the device's own
/// time-out.
const FAILURES: u32 = 4096;

/// A segment's file, and its header if that is sound.
pub(super) struct Opened<F> {
    pub(super) sequence: u64,
    pub(super) length: u64,
    pub(super) header: Option<Header>,
    pub(super) file: ZeroFilled<Box<F>>,
}

/// The segments, oldest first, and the names of all files.
type View<F> = (Vec<Opened<F>>, Vec<String>);

/// Opens the segments that are there at one moment.
pub(super) fn open<FS: FileSystem>(fs: &FS) -> Result<View<FS::File>, InspectError> {
    let (files, names) = open_listed(fs)?;
    let mut opened = Vec::with_capacity(files.len());
    for (sequence, file) in files.into_iter().rev() {
        opened.push(Opened::read(sequence, file)?);
    }
    opened.reverse();
    Ok((opened, names))
}

/// Open files by their number, and the names of all.
type Listed<F> = (BTreeMap<u64, F>, Vec<String>);

fn open_listed<FS: FileSystem>(fs: &FS) -> Result<Listed<FS::File>, InspectError> {
    let mut open = BTreeMap::new();
    let mut newest = None;
    for _ in 0..LISTINGS {
        let names = fs.list().map_err(failed("list the folder"))?;
        if names.is_empty() {
            return Err(InspectError::Empty);
        }
        let mut listed: BTreeSet<_> = names.iter().filter_map(|name| sequence_of(name)).collect();
        if open.is_empty() {
            // In the first pass, and if everything listed before has been published meanwhile.
            newest = listed.last().copied();
        }
        listed.retain(|sequence| Some(*sequence) <= newest);
        open.retain(|sequence, _| listed.contains(sequence));
        if open.len() == listed.len() {
            return Ok((open, names));
        }
        for sequence in listed {
            if open.contains_key(&sequence) {
                continue;
            }
            match fs.open(&name(sequence)) {
                Ok(file) => {
                    open.insert(sequence, file);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let error = failed(&format!("open {}", name(sequence)))(error);
                    return Err(error.into());
                }
            }
        }
    }
    Err(InspectError::Restless)
}

impl<F: File> Opened<F> {
    fn read(sequence: u64, file: F) -> Result<Self, OpenError> {
        let mut opened = Self {
            sequence,
            length: 0,
            header: None,
            file: ZeroFilled::new(
                Box::new(file),
                PAGE,
                Holes::default(),
                FAILURES,
                Beyond::IsHole(0),
            ),
        };
        let read = opened
            .read_again()
            .map_err(failed(&format!("read {}", name(sequence))))?;
        let error = read
            .err()
            .as_ref()
            .and_then(|error| OpenError::of_header(sequence, error));
        error.map_or(Ok(opened), Err)
    }

    /// Reads header and length; returns why there is no header, if there is none.
    pub(super) fn read_again(&mut self) -> io::Result<Result<(), HeaderError>> {
        let header = Header::read(&self.file, self.sequence)?;
        self.length = self.file.file().length()?;
        self.file.set_length(self.length);
        let found = header.as_ref().map(drop).map_err(Clone::clone);
        self.header = header.ok();
        Ok(found)
    }

    /// What it holds, if its header is sound.
    pub(super) fn sound(&self) -> Option<Content> {
        self.header.as_ref().map(|header| Content::Sound {
            first: header.first,
            previous_end: header.previous_end,
        })
    }
}
