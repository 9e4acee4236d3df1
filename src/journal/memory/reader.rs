//! Publish's reading handle: the records in order, without those that are done.

use std::sync::Arc;

use super::Memory;
use crate::journal::engine::Wake;
use crate::journal::engine::reader::Record;

/// Reads a journal in memory.
pub struct MemoryReader {
    pub(super) memory: Arc<Memory>,
    /// The next position to be returned.
    from: u64,
}

impl MemoryReader {
    pub(in crate::journal) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, from: 0 }
    }

    /// The next record that is not done; `None` if there is none at present.
    pub(in crate::journal) fn next_record(&mut self) -> Option<Record> {
        let mut state = self.memory.lock();
        let from = self.from.max(state.first);
        let index = usize::try_from(from - state.first).unwrap_or(usize::MAX);
        let mut behind = (from..).zip(state.records.iter().skip(index));
        let next = behind.find(|(_, record)| record.done.is_some());
        let record = next.map(|(position, record)| Record {
            position,
            payload: record.head.clone(),
            body: record.body.clone(),
        });
        if let Some(record) = &record {
            self.from = record.position + 1;
        } else {
            self.from = state.first + state.records.len() as u64;
            state.awaits_append = true;
        }
        record
    }

    /// Goes to the first record at or after `position` that is not done.
    pub(in crate::journal) fn seek(&mut self, position: u64) {
        self.from = position;
    }

    pub(in crate::journal) fn on_append(&self, wake: Wake) {
        self.memory.set_wake(wake);
    }
}
