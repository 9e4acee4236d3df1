//! Several damages at once, anywhere: intact records are delivered unchanged, no position is delivered twice, and if no file is
//! gone, losses are counted with a bounded error.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ringback::journal::format::record::{Codec, Decoded};

use crate::support::core::{Body, Core};
use crate::support::faulty_fs::FaultyFs;

const SEGMENT: u64 = 4096;
/// One record of 6,000 bytes has a segment of its own.
const LONGEST: u64 = 6_200;
const BUDGET: u64 = 64 << 20;
/// Bytes of a segment's header, and the byte that is damaged: one of its checksum, so that the id stays, which alone may show
/// that the records belong to this journal.
const HEADER: usize = 72;
const HEADER_BYTE: usize = 65;
/// Behind a record's head, so that the payload is hit: the shortest has four bytes.
const PAYLOAD: usize = 20;
/// A byte of a slot's watermark, and where the slots begin.
const SLOT_BYTE: usize = 40;
const SLOTS: [usize; 2] = [0, 4096];

type Places = BTreeMap<String, BTreeMap<u64, Range<usize>>>;

#[test]
fn several_damages_at_once_cost_nothing_that_is_intact() {
    let judged = (0..5_000).filter(|seed| History::new(*seed).run()).count();
    // The other histories end without a record on the disk.
    assert!(
        judged > 4_000,
        "only {judged} histories had something to lose"
    );
}

struct History {
    seed: u64,
    random: StdRng,
    disk: FaultyFs,
    /// What was acknowledged.
    all: BTreeMap<u64, Vec<u8>>,
    watermark: u64,
    /// Whole files, or the watermark, are gone, so that nothing may be left that shows the positions lost with them.
    file_lost: bool,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: StdRng::seed_from_u64(seed),
            disk: FaultyFs::default(),
            all: BTreeMap::new(),
            watermark: 0,
            file_lost: false,
        }
    }

    /// False if there is nothing to damage.
    fn run(mut self) -> bool {
        for _ in 0..self.random.random_range(1..4) {
            self.live();
        }
        let before: BTreeMap<_, _> = segments(&self.disk)
            .into_iter()
            .map(|name| (name.clone(), self.disk.bytes(&name)))
            .collect();
        let places: Places = before
            .iter()
            .map(|(name, bytes)| (name.clone(), records(bytes)))
            .filter(|(_, records)| !records.is_empty())
            .collect();
        let Some(last) = places.keys().next_back().cloned() else {
            return false;
        };
        for _ in 0..self.random.random_range(1..4) {
            self.damage(&places, &before, &last);
        }
        self.damage_checkpoint();
        let mut intact = BTreeSet::new();
        for name in segments(&self.disk) {
            let now = self.disk.bytes(&name);
            for (position, at) in places.get(&name).into_iter().flatten() {
                if now[at.clone()] == before[&name][at.clone()] && *position >= self.watermark {
                    intact.insert(*position);
                }
            }
        }
        self.judge(&intact);
        true
    }

    /// One process: some appends, perhaps some of it published.
    fn live(&mut self) {
        let mut core = Core::open(&self.disk, SEGMENT, BUDGET).expect("the journal opens");
        for _ in 0..self.random.random_range(0..20) {
            let size = match self.random.random_range(0..10) {
                0 => 6_000,
                1..=4 => 1_500,
                _ => self.random.random_range(4..200),
            };
            let body = Body((0..size).map(|_| self.random.random()).collect());
            let position = core.append(std::slice::from_ref(&body)).expect("room")[0];
            self.all.insert(position, body.0);
            core.upkeep.step();
        }
        let unpublished: Vec<_> = self
            .all
            .range(self.watermark..)
            .map(|(at, _)| *at)
            .collect();
        if self.random.random_range(0..3) == 0 && !unpublished.is_empty() {
            let upto = unpublished[self.random.random_range(0..unpublished.len())];
            core.truncate(upto);
            core.upkeep.step();
            self.watermark = upto + 1;
        }
    }

    fn damage(&mut self, places: &Places, before: &BTreeMap<String, Vec<u8>>, last: &str) {
        let names: Vec<_> = places.keys().collect();
        let name = names[self.random.random_range(0..names.len())];
        if !self.disk.names().contains(name) {
            return;
        }
        let records: Vec<_> = places[name].values().cloned().collect();
        let end = records[records.len() - 1].end;
        match self.random.random_range(0..10) {
            0..=4 => self.disk.damage(name, |bytes| bytes[HEADER_BYTE] ^= 1),
            5..=7 => {
                let record = records[self.random.random_range(0..records.len())].clone();
                // The very last record cannot be distinguished from a torn one.
                if name != last || record.end != end {
                    self.disk
                        .damage(name, |bytes| bytes[record.start + PAYLOAD] ^= 1);
                }
            }
            8 if name != last => {
                self.file_lost = true;
                self.disk.lose_file(name);
            }
            _ if name != last && end + 8 < before[name].len() => {
                self.disk.damage(name, |bytes| bytes[end + 8] ^= 1);
            }
            _ => {}
        }
    }

    fn damage_checkpoint(&mut self) {
        match self.random.random_range(0..6) {
            0 => self.disk.lose_file("checkpoint"),
            slot @ 1..=2 => self.disk.damage("checkpoint", |bytes| {
                bytes[SLOTS[slot - 1] + SLOT_BYTE] ^= 1;
            }),
            _ => return,
        }
        self.file_lost = true;
    }

    fn judge(&self, intact: &BTreeSet<u64>) {
        let seed = self.seed;
        let mut core = Core::open(&self.disk, SEGMENT, BUDGET).expect("the journal opens");
        let read = core.read_all();
        for record in &read {
            let sent = self.all.get(&record.position).map(|body| &body[..]);
            assert_eq!(sent, Some(&record.payload[..]), "seed {seed}: changed");
        }
        let in_order = read.windows(2).all(|two| two[0].position < two[1].position);
        assert!(in_order, "seed {seed}: out of order or twice");
        let read: BTreeSet<_> = read.iter().map(|record| record.position).collect();
        let skipped: Vec<_> = intact.difference(&read).collect();
        assert!(skipped.is_empty(), "seed {seed}: {skipped:?} skipped");
        assert_eq!(core.unpublished(), read.len() as u64, "seed {seed}");
        let positions = self.all.range(self.watermark..).map(|(at, _)| at);
        let lost = positions.filter(|at| !read.contains(at)).count() as u64;
        let counted = core.metric("journal_corrupt_records_total");
        if !self.file_lost {
            assert_eq!(lost == 0, counted == 0, "seed {seed}: {counted} of {lost}");
            // If two neighbouring headers are gone, their records' sizes bound how many there were.
            assert!(
                counted <= lost + LONGEST / 24,
                "seed {seed}: {counted} of {lost}"
            );
        }
        let next = core.append(&[Body(vec![1])]).expect("room")[0];
        let highest = self.all.keys().next_back();
        assert!(highest.is_none_or(|highest| *highest < next), "seed {seed}");
    }
}

fn segments(disk: &FaultyFs) -> Vec<String> {
    let names = disk.names().into_iter();
    names.filter(|name| name.ends_with(".segment")).collect()
}

fn records(bytes: &[u8]) -> BTreeMap<u64, Range<usize>> {
    let codec = Codec::new(b"0123456789abcdef");
    let (mut found, mut at) = (BTreeMap::new(), HEADER);
    while at < bytes.len() {
        match codec.decode(&bytes[at..]) {
            Decoded::Record(record) => {
                found.insert(record.position, at..at + record.size);
                at += record.size;
            }
            _ => at += 8,
        }
    }
    found
}
