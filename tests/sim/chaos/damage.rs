//! Bits that flip at rest.

use ringback::journal::format::record::{Codec, Decoded};
use ringback::journal::format::segment::HEADER;

use super::Chaos;
use super::kinds::Target;
use crate::process::Process;
use crate::world::Surroundings;

impl Chaos {
    /// Flips a bit at rest.
    pub(super) fn flip(
        &mut self,
        around: &mut Surroundings,
        process: Option<&mut Process>,
        target: Target,
    ) {
        // Without a process, the journal's id is not known here.
        let Some(process) = process else {
            return;
        };
        let mut disk = around.disk.lock();
        let segments = disk.names_ending(".segment");
        let (mut name, mut byte) = (String::from("checkpoint"), self.random.index(4_200));
        let codec = process.engine().codec;
        let mut hit = None;
        if target != Target::Anything || self.random.percent(70) {
            if segments.is_empty() {
                return;
            }
            name = segments[self.random.index(segments.len())].clone();
            let records = records(codec, disk.bytes(&name));
            byte = self.random.index(disk.bytes(&name).len().max(1));
            if target == Target::Header {
                byte = self.random.index(HEADER as usize);
            } else if target == Target::Record && !records.is_empty() {
                // Damage of the last record looks like a torn tail.
                let (_, start, end) = if self.random.percent(30) {
                    records[records.len() - 1]
                } else {
                    self.random.pick(&records)
                };
                // Heads are short, so most random bytes would miss them.
                let length = if self.random.percent(60) {
                    20
                } else {
                    end - start
                };
                byte = start + self.random.index(length);
            }
            let found = records
                .iter()
                .find(|(_, start, end)| (*start..*end).contains(&byte));
            hit = found.map(|(position, ..)| *position);
        }
        let is_meta = hit.is_none() && (name == "checkpoint" || byte < HEADER as usize);
        if is_meta && (self.meta_damaged || self.bad_sectors) {
            return;
        }
        let bit = self.random.below(8) as u8;
        if disk.flip(&name, byte, bit) {
            around
                .clock
                .log(|| format!("bit {bit} of byte {byte} of {name} flips: {hit:?}"));
            self.meta_damaged |= is_meta;
            let mut ledger = around.ledger.borrow_mut();
            ledger.checkpoint_damaged |= name == "checkpoint";
            ledger.header_damaged |= is_meta && name != "checkpoint";
            if let Some(position) = hit {
                ledger.excuse((process.journal(), position));
            }
        }
    }

    /// Flips bits as one bad place of the disk may, if a segment ends and the next begins in it.
    pub(super) fn flip_seam(&mut self, around: &mut Surroundings, process: Option<&mut Process>) {
        let Some(process) = process.filter(|_| !self.meta_damaged && !self.bad_sectors) else {
            return;
        };
        let mut disk = around.disk.lock();
        let segments = disk.names_ending(".segment");
        let codec = process.engine().codec;
        let of = |name: &String| records(codec, disk.bytes(name));
        let mut seams: Vec<_> = segments
            .windows(2)
            .filter_map(|seam| Some((seam, of(&seam[0]).pop()?, of(&seam[1]).first()?.0)))
            .collect();
        // Prefer a seam with a start in it: there the second segment shows least about the end of the first.
        if seams.iter().any(|(_, last, next)| last.0 + 1 < *next) {
            seams.retain(|(_, last, next)| last.0 + 1 < *next);
        }
        if seams.is_empty() {
            return;
        }
        let (seam, (position, start, end), _) = self.random.pick(&seams);
        let (byte, bit) = (self.random.index(HEADER as usize), self.random.below(8));
        if disk.flip(&seam[1], byte, bit as u8) {
            self.meta_damaged = true;
            let byte = start + self.random.index(end - start);
            let hit = disk.flip(&seam[0], byte, bit as u8);
            around
                .clock
                .log(|| format!("bits flip where {seam:?} meet, in record {position}: {hit}"));
            let mut ledger = around.ledger.borrow_mut();
            ledger.header_damaged = true;
            if hit {
                ledger.excuse((process.journal(), position));
            }
        }
    }
}

/// The intact records of a segment: position, start, end.
pub fn records(codec: Codec, bytes: &[u8]) -> Vec<(u64, usize, usize)> {
    let mut records = Vec::new();
    let mut at = HEADER as usize;
    while at + 20 <= bytes.len() {
        match codec.decode(&bytes[at..]) {
            Decoded::Record(record) => {
                records.push((record.position, at, at + record.size));
                at += record.size;
            }
            _ => at += 8,
        }
    }
    records
}
