//! The kept requests and their indices, behind the store's lock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::entry::{Answer, Captured, Entry, Place, Record, Row};
use super::{Bounds, Changes};
use crate::ingest::ObservedRequest;

/// See the module.
#[derive(Debug)]
pub struct Kept {
    bounds: Bounds,
    /// In the order of their numbers, without a gap.
    entries: VecDeque<Entry>,
    /// The number of the next one.
    next: u64,
    revision: u64,
    /// From each entry's last change to its number.
    changed: BTreeMap<u64, u64>,
    bytes: usize,
    /// From ingest's number of a request that is accepted and not answered yet.
    unanswered: HashMap<u64, u64>,
    /// The accepted events that are not in the topic yet, by source and id. Equal bodies have one id, hence the queues: their
    /// records come in the order in which they were accepted.
    waiting: HashMap<String, VecDeque<u64>>,
    /// The newest kept event of each source and id.
    newest_of: HashMap<String, u64>,
}

/// How one request ended.
pub struct Ending {
    pub answer: Option<Answer>,
    pub reason: Option<&'static str>,
    pub answer_us: Option<u64>,
    /// True if its record may come to the topic.
    pub is_awaited: bool,
}

impl Kept {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: VecDeque::new(),
            next: 1,
            revision: 0,
            changed: BTreeMap::new(),
            bytes: 0,
            unanswered: HashMap::new(),
            waiting: HashMap::new(),
            newest_of: HashMap::new(),
        }
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn first(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    fn index(&self, n: u64) -> Option<usize> {
        let index = usize::try_from(n.checked_sub(self.first())?).ok()?;
        (index < self.entries.len()).then_some(index)
    }

    pub fn get(&self, n: u64) -> Option<&Entry> {
        self.entries.get(self.index(n)?)
    }

    /// Adds a request, and drops the oldest ones if there are too many. An accepted one waits for its answer and its record.
    pub fn add(&mut self, request: &ObservedRequest<'_>, is_accepted: bool) -> u64 {
        let n = self.next;
        let mut entry = Entry::new(n, request, self.bounds.body);
        self.next += 1;
        if let Some(place) = place(&entry.row).filter(|_| is_accepted) {
            let repeats = self.newest_of.insert(place, n);
            Arc::make_mut(&mut entry.row).repeats = repeats;
        }
        self.bytes += entry.bytes();
        if is_accepted {
            self.unanswered.insert(request.number, n);
            if let Some(place) = place(&entry.row).filter(|_| !entry.row.dead_letter) {
                self.waiting.entry(place).or_default().push_back(n);
            }
        }
        self.entries.push_back(entry);
        self.change(n, |_| ());
        n
    }

    /// The number of the request that ingest has this number for.
    pub fn accepted(&mut self, number: u64) -> Option<u64> {
        self.unanswered.remove(&number)
    }

    pub fn end(&mut self, n: u64, ending: Ending) {
        if !ending.is_awaited {
            self.forget(n);
            self.give_up_id(n);
        }
        self.change(n, |entry| {
            let row = Arc::make_mut(&mut entry.row);
            row.status = ending.answer.as_ref().map(|answer| answer.status);
            row.reason = ending.reason;
            row.answer_us = ending.answer_us;
            entry.answer = ending.answer.map(Arc::new);
        });
    }

    /// The oldest event with this source and id has come to the topic; true if one was waited for.
    pub fn delivered(&mut self, source: &str, id: &str, record: Record, now_ms: u64) -> bool {
        let Some(n) = self.take(&waiting_place(source, id)) else {
            return false;
        };
        self.change(n, |entry| {
            let row = Arc::make_mut(&mut entry.row);
            row.kafka = Some(Place {
                topic: record.topic.clone(),
                partition: record.partition,
                offset: record.offset,
                ms: now_ms.saturating_sub(row.at_ms),
            });
            entry.record = Some(Arc::new(record));
        });
        true
    }

    fn take(&mut self, place: &str) -> Option<u64> {
        let queue = self.waiting.get_mut(place)?;
        let n = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(place);
        }
        n
    }

    /// Its record is not waited for any more.
    fn forget(&mut self, n: u64) {
        let place = self.get(n).and_then(|entry| place(&entry.row));
        let Some(place) = place else { return };
        if let Some(queue) = self.waiting.get_mut(&place) {
            queue.retain(|waiting| *waiting != n);
            if queue.is_empty() {
                self.waiting.remove(&place);
            }
        }
    }

    /// The next event with the same id is no duplicate of this one, but of the one before it, if that is kept.
    fn give_up_id(&mut self, n: u64) {
        let Some(row) = self.get(n).map(|entry| Arc::clone(&entry.row)) else {
            return;
        };
        let Some(place) = place(&row).filter(|place| self.newest_of.get(place) == Some(&n)) else {
            return;
        };
        match row.repeats.filter(|before| self.index(*before).is_some()) {
            Some(before) => self.newest_of.insert(place, before),
            None => self.newest_of.remove(&place),
        };
    }

    /// Changes an entry, if it is still kept, under a new revision.
    pub fn change(&mut self, n: u64, change: impl FnOnce(&mut Entry)) {
        let Some(index) = self.index(n) else { return };
        let entry = &mut self.entries[index];
        let before = entry.bytes();
        self.changed.remove(&entry.revision);
        change(entry);
        self.revision += 1;
        entry.revision = self.revision;
        self.changed.insert(self.revision, n);
        self.bytes = self.bytes - before + entry.bytes();
        self.shrink();
    }

    fn shrink(&mut self) {
        let Bounds {
            requests, bytes, ..
        } = self.bounds;
        while self.entries.len() > requests || self.bytes > bytes {
            let oldest = self.first();
            self.forget(oldest);
            self.give_up_id(oldest);
            let Some(entry) = self.entries.pop_front() else {
                return;
            };
            self.changed.remove(&entry.revision);
            self.bytes -= entry.bytes();
        }
    }

    /// The first `most` rows that changed after `revision`, in the order of their changes.
    pub fn changes(&self, revision: u64, most: usize) -> Changes {
        let changed = self.changed.range(revision.saturating_add(1)..).take(most);
        let changed = changed.filter_map(|(revision, n)| Some((*revision, self.get(*n)?)));
        let mut reached = revision;
        let rows = changed.map(|(revision, entry)| {
            reached = revision;
            Arc::clone(&entry.row)
        });
        let rows = rows.collect();
        Changes {
            revision: reached,
            first: self.first(),
            rows,
        }
    }

    /// Up to `most` kept requests with numbers below `before`, from the newest to the oldest.
    pub fn below(&self, before: u64, most: usize) -> Vec<(Arc<Row>, Arc<Captured>)> {
        let older = before.clamp(self.first(), self.next) - self.first();
        let older = usize::try_from(older).unwrap_or(self.entries.len());
        let entries = self.entries.range(..older).rev().take(most);
        let parts = entries.map(|entry| (Arc::clone(&entry.row), Arc::clone(&entry.request)));
        parts.collect()
    }

    /// The newest of the last `most` requests that is `wanted`.
    pub fn newest(&self, most: usize, wanted: impl Fn(&Captured) -> bool) -> Option<u64> {
        let mut entries = self.entries.iter().rev().take(most);
        let found = entries.find(|entry| wanted(&entry.request));
        found.map(|entry| entry.row.n)
    }

    /// The number that comes next.
    pub fn next(&self) -> u64 {
        self.next
    }
}

fn place(row: &Row) -> Option<String> {
    Some(waiting_place(row.source.as_ref()?, row.id.as_ref()?))
}

fn waiting_place(source: &str, id: &str) -> String {
    format!("{source} {id}")
}
