//! The disk's surface: places that cannot be read, and bytes that are no longer what was written.

use std::io;
use std::ops::Range;

use super::{Disk, PAGE, eio};
use crate::random::Random;

impl Disk {
    /// How many of these bytes can be read: up to the first bad page, or an error if they begin in one.
    pub(super) fn readable(&mut self, inode: usize, bytes: &Range<usize>) -> io::Result<usize> {
        let checkpoint = self.is_checkpoint(Some(inode));
        let first = if self.reads_fail {
            Some(bytes.start / PAGE)
        } else {
            let pages = (inode, bytes.start / PAGE)..(inode, bytes.end.div_ceil(PAGE));
            self.bad.range(pages).next().map(|(_, page)| *page)
        };
        let Some(page) = first else {
            return Ok(bytes.len());
        };
        self.checkpoint_unread |= checkpoint;
        match (page * PAGE).saturating_sub(bytes.start) {
            0 => Err(eio()),
            before => Ok(before),
        }
    }

    /// Fails while the volume is unreachable: names cannot be looked up either.
    pub(super) fn check_reachable(&self) -> io::Result<()> {
        if self.reads_fail { Err(eio()) } else { Ok(()) }
    }

    /// Makes the page of this byte unreadable until it is written again; `None` unless the page is at rest.
    pub fn make_bad(&mut self, name: &str, byte: usize) -> Option<(usize, usize)> {
        let inode = *self.names.get(name)?;
        let page = byte / PAGE;
        if !self.is_at_rest(inode, page) {
            return None;
        }
        self.had_bad.insert(inode);
        self.bad.insert((inode, page));
        Some((inode, page))
    }

    pub fn heal(&mut self, place: (usize, usize)) {
        self.bad.remove(&place);
    }

    pub fn heal_all(&mut self) {
        self.bad.clear();
    }

    /// Replaces these bytes with random ones; false unless all their pages are at rest.
    pub fn spoil(&mut self, name: &str, bytes: Range<usize>, random: &mut Random) -> bool {
        let Some(inode) = self.names.get(name).copied() else {
            return false;
        };
        let mut pages = bytes.start / PAGE..bytes.end.div_ceil(PAGE);
        if bytes.is_empty() || !pages.all(|page| self.is_at_rest(inode, page)) {
            return false;
        }
        let inode = &mut self.inodes[inode];
        if bytes.end > inode.durable.len() {
            return false;
        }
        for at in bytes {
            inode.now[at] = random.next() as u8;
            inode.durable[at] = inode.now[at];
        }
        true
    }

    fn is_at_rest(&self, inode: usize, page: usize) -> bool {
        let inode = &self.inodes[inode];
        !inode.dirty.contains(&page) && page * PAGE < inode.durable.len()
    }

    /// Forgets the bad pages of removed files.
    pub(super) fn forget_bad(&mut self) {
        let names = &self.names;
        self.bad
            .retain(|(inode, _)| names.values().any(|named| named == inode));
    }
}
