//! What lies beside the journal: segments that are set aside, copies, and files that an earlier journal has left in the folder.

use std::collections::BTreeMap;

use ringback::journal::format::record::Codec;
use ringback::journal::format::set_aside::SetAsideName;

use crate::chaos;
use crate::coverage::{self, Seen};
use crate::disk::Disk;
use crate::random::Random;
use crate::world::Surroundings;

/// Kinds of names that do not change when a journal is made again, or that another journal may have had.
const KINDS: [&str; 3] = ["quarantine-", "torn-", "unreadable-"];
/// The content of an earlier journal's file.
const FOREIGN: [u8; 64] = [0xe1; 64];

/// The files of an earlier journal. They are there from the beginning, but which names they have is only decided when the
/// journal asks for a name: almost no other would ever matter.
pub struct EarlierFiles {
    random: Random,
    /// How many of the names that the journal asks for are taken, in percent.
    chance: u64,
    /// Each with its inode.
    files: BTreeMap<String, usize>,
}

impl EarlierFiles {
    /// For a history without a disk.
    pub fn none() -> Self {
        Self {
            random: Random::new(0),
            chance: 0,
            files: BTreeMap::new(),
        }
    }

    /// In every other history. Drawn apart from all other chance, so that the other histories stay as they are.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(!seed);
        let chance = if random.percent(50) { 50 } else { 0 };
        Self {
            random,
            chance,
            files: BTreeMap::new(),
        }
    }
}

/// True for the name of a file beside the journal.
pub fn is_beside(name: &str) -> bool {
    KINDS.iter().any(|kind| name.starts_with(kind))
}

impl Disk {
    /// Decides whether an earlier journal's file has this name.
    pub fn ask_name(&mut self, name: &str) {
        let earlier = &mut self.earlier;
        let is_known = self.names.contains_key(name) || earlier.files.contains_key(name);
        if is_known || !is_beside(name) || !earlier.random.percent(earlier.chance) {
            return;
        }
        coverage::seen(Seen::NameTaken);
        let inode = self.add_at_rest(name, &FOREIGN);
        self.earlier.files.insert(name.to_owned(), inode);
    }

    /// True for the inode of a copy.
    pub fn is_copy(&self, inode: usize) -> bool {
        let names = self.names.iter().filter(|(_, named)| **named == inode);
        let mut names = names.map(|(name, _)| is_beside(name)).peekable();
        names.peek().is_some() && names.all(|is_beside| is_beside)
    }

    /// An earlier journal's file that is gone or changed. Only the newest copies of torn writes are kept.
    fn changed_earlier_file(&self) -> Option<&str> {
        let mut files = self.earlier.files.iter();
        let changed = files.find(|(name, inode)| {
            let is_there = self.names.get(*name) == Some(inode);
            let is_pruned = !is_there && name.starts_with("torn-");
            !is_pruned && (!is_there || self.bytes(name) != FOREIGN)
        });
        changed.map(|(name, _)| name.as_str())
    }

    /// Removes what the journal has put beside itself.
    fn clear_beside(&mut self) {
        let earlier = &self.earlier.files;
        let stays = |name: &String| !is_beside(name) || earlier.contains_key(name);
        self.names.retain(|name, _| stays(name));
        self.durable_names.retain(|name, _| stays(name));
        self.pending.retain(|(name, _)| stays(name));
    }
}

impl Surroundings {
    /// An operator looks at what lies beside the journal.
    pub fn look_beside(&self) {
        let disk = self.disk.lock();
        let mut ledger = self.ledger.borrow_mut();
        for (file, _) in disk.files() {
            let Some(known) = SetAsideName::parse(&file).and_then(|name| name.known) else {
                continue;
            };
            let journal = ledger.journal(&hex::encode(known.journal_id));
            let codec = Codec::new(&known.journal_id);
            let records = chaos::records(codec, disk.bytes(&file)).into_iter();
            let held = records.map(|(position, ..)| position);
            ledger.found_set_aside(journal, known.first..known.end, held);
        }
        if let Some(name) = disk.changed_earlier_file() {
            ledger.violate(format!("{name} of an earlier journal is changed or gone"));
        }
    }

    /// An operator examines what lies beside the journal, and removes what is of this one.
    pub fn clear_beside(&self) {
        self.look_beside();
        self.disk.lock().clear_beside();
    }
}
