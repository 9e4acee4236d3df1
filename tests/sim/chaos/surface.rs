//! Places that cannot be read, for a while or for good, and damage of more than a bit.

use super::damage::records;
use super::kinds::Kind;
use super::{Chaos, Later};
use crate::disk::PAGE;
use crate::process::Process;
use crate::world::Surroundings;

impl Chaos {
    /// Makes one page unreadable, until this time or for good.
    pub(super) fn bad_sector(
        &mut self,
        around: &mut Surroundings,
        process: Option<&mut Process>,
        until: Option<u64>,
    ) {
        let Some(process) = process else {
            return;
        };
        let mut disk = around.disk.lock();
        let segments = disk.names_ending(".segment");
        if segments.is_empty() {
            return;
        }
        let name = if self.random.percent(15) {
            String::from("checkpoint")
        } else {
            self.random
                .pick(&segments.iter().collect::<Vec<_>>())
                .clone()
        };
        let records = records(process.engine().codec, disk.bytes(&name));
        let byte = match self.random.below(4) {
            // In the segment's header, or in a slot.
            0 => self.random.pick(&[0, 4_096]),
            1 => self.random.index(disk.bytes(&name).len().max(1)),
            _ if records.is_empty() => 0,
            _ => self.random.pick(&records).1,
        };
        let is_meta = name == "checkpoint" || byte < PAGE;
        if self.meta_damaged || self.spoilt {
            return;
        }
        let Some(place) = disk.make_bad(&name, byte) else {
            return;
        };
        drop(disk);
        self.meta_damaged |= is_meta;
        self.bad_sectors = true;
        let page = byte / PAGE * PAGE..(byte / PAGE + 1) * PAGE;
        let under = records
            .iter()
            .filter(|(_, start, end)| *start < page.end && page.start < *end);
        let mut ledger = around.ledger.borrow_mut();
        ledger.had_bad_sectors = true;
        let mut hit = Vec::new();
        for (position, ..) in under {
            ledger.excuse_unread((process.journal(), *position));
            hit.push(*position);
        }
        drop(ledger);
        around
            .clock
            .log(|| format!("bytes {page:?} of {name} cannot be read: {hit:?}"));
        if let Some(until) = until {
            self.later(until, Later::Heal(place));
        }
    }

    /// Writes garbage over some neighbouring records; over the last ones if the kind is to reach the tail.
    pub(super) fn spoil(
        &mut self,
        around: &mut Surroundings,
        process: Option<&mut Process>,
        kind: Kind,
    ) {
        let Some(process) = process.filter(|_| !self.bad_sectors && !self.spoilt) else {
            return;
        };
        let mut disk = around.disk.lock();
        let codec = process.engine().codec;
        let mut segments = disk.names_ending(".segment");
        segments.retain(|name| !records(codec, disk.bytes(name)).is_empty());
        let Some(newest) = segments.last() else {
            return;
        };
        let name = if kind == Kind::SpoilTailThenKill {
            newest.clone()
        } else {
            segments[self.random.index(segments.len())].clone()
        };
        let records = records(codec, disk.bytes(&name));
        let count = (self.random.range(1, 5) as usize).min(records.len());
        let at_end = kind == Kind::SpoilTailThenKill || self.random.percent(30);
        let first = if at_end {
            records.len() - count
        } else {
            self.random.index(records.len() - count + 1)
        };
        let hit = &records[first..first + count];
        let bytes = hit[0].1..hit[count - 1].2;
        let mut random = self.random.fork();
        if !disk.spoil(&name, bytes.clone(), &mut random) {
            return;
        }
        self.spoilt = true;
        around
            .clock
            .log(|| format!("bytes {bytes:?} of {name} are garbage now: {hit:?}"));
        let mut ledger = around.ledger.borrow_mut();
        for (position, ..) in hit {
            ledger.excuse((process.journal(), *position));
        }
    }
}
