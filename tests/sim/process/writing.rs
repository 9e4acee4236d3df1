//! The writer's thread, its queue, and the requests that wait for its answers.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ringback::journal::commit_loop::{CommitLoop, Step};
use ringback::journal::engine::Engine;
use ringback::journal::{AppendError, Appender};

use super::requests::Pending;
use crate::disk::SimDisk;
use crate::ledger::Ledger;
use crate::random::{Clock, MS, Random};
use crate::world::Surroundings;

/// What a thread's step needs of the history, also inside another thread's step.
#[derive(Clone)]
pub struct Nearby {
    pub clock: Rc<Clock>,
    pub disk: SimDisk,
    pub ledger: Rc<RefCell<Ledger>>,
    slow_sync: u64,
    /// The journal's budget in bytes.
    budget: u64,
    pub slow_publisher: u64,
    /// How many positions may lie above the watermark.
    pub ahead: usize,
}

impl Nearby {
    pub fn of(around: &Surroundings) -> Self {
        Self {
            clock: around.clock.clone(),
            disk: around.disk.clone(),
            ledger: around.ledger.clone(),
            slow_sync: around.slow_sync,
            budget: around.setup.journal.budget.as_u64(),
            slow_publisher: around.slow_publisher,
            ahead: around.setup.ahead,
        }
    }
}

pub struct Writing {
    pub engine: Arc<Engine<SimDisk>>,
    pub appender: Option<Appender>,
    pub commits: Option<CommitLoop<SimDisk>>,
    pub pending: Vec<Pending>,
    /// The journal's number in the ledger.
    pub journal: usize,
    /// When the thread runs next.
    pub at: Option<u64>,
    pub awaits_segment: bool,
    pub was_poisoned: bool,
    /// How many more requests may arrive inside steps of the upkeep.
    pub extra_requests: u64,
    pub random: Random,
}

impl Writing {
    /// Runs a step.
    pub fn step(&mut self, nearby: &Nearby) {
        let now = nearby.clock.now();
        self.at = None;
        let Some(commits) = &mut self.commits else {
            return;
        };
        match commits.step() {
            Step::Idle => {}
            Step::Written => self.at = Some(now + self.random.latency(MS, nearby.slow_sync)),
            Step::Answered => {
                self.at = Some(now);
                let (used, budget) = (self.engine.lock().budget_used(), nearby.budget);
                // Segments' headers and the padding of pages come on top, and weigh much in segments this small.
                if used > budget + budget / 8 {
                    let words = format!("{used} bytes are unpublished, {budget} may be");
                    nearby.ledger.borrow_mut().violate(words);
                }
            }
            Step::NeedsSegment => self.awaits_segment = true,
            Step::End => self.commits = None,
        }
    }

    /// Takes a turn inside a step of another thread, at random, if there is something to do.
    pub fn step_beside(&mut self, nearby: &Nearby) {
        if self.at.is_none() || nearby.disk.lock().dead.is_some() || !self.random.percent(40) {
            return;
        }
        let publishing = std::mem::take(&mut nearby.disk.lock().publishing);
        self.step(nearby);
        let mut disk = nearby.disk.lock();
        disk.publishing = publishing;
        let is_dead = disk.dead.is_some();
        drop(disk);
        // Answers count as of this step: a later failure does not make them wrong.
        if !is_dead {
            self.answers(nearby);
        }
    }

    pub fn answers(&mut self, nearby: &Nearby) {
        let now = nearby.clock.now();
        let mut context = Context::from_waker(Waker::noop());
        let was_poisoned = self.was_poisoned || nearby.disk.lock().failed;
        let journal = self.journal;
        let mut last = None;
        self.pending.retain_mut(|pending| {
            let Poll::Ready(outcome) = Pin::new(&mut pending.commit).poll(&mut context) else {
                // After its time-out a request gets a 503; its event may be written all the same.
                let waits = pending.until > now;
                nearby.ledger.borrow_mut().torn += u64::from(!waits);
                return waits;
            };
            let number = pending.number;
            nearby.clock.log(|| format!("event {number}: {outcome:?}"));
            let mut ledger = nearby.ledger.borrow_mut();
            if let Ok(position) = outcome {
                if was_poisoned {
                    ledger.violate(format!("event {number} was acknowledged after the poison"));
                }
                if last.is_some_and(|last| last >= position) {
                    ledger.violate(format!("position {position} came after {last:?}"));
                }
                last = Some(position);
                ledger.acknowledge(number, (journal, position));
            } else {
                ledger.torn += u64::from(outcome == Err(AppendError::Poisoned));
            }
            false
        });
        if self.commits.is_none() && !self.pending.is_empty() {
            let mut ledger = nearby.ledger.borrow_mut();
            ledger.violate(format!("{} requests wait for nobody", self.pending.len()));
        }
    }
}
