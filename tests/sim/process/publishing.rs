//! The publisher's thread.

use std::cell::RefCell;
use std::rc::Rc;

use ringback::publish::inbox::Inbox;
use ringback::publish::worker::{Next, Worker};

use super::writing::{Nearby, Writing};
use crate::coverage::{self, Seen};
use crate::env::SimEnv;
use crate::interleave;
use crate::lies::{self, Lie};
use crate::random::Random;

pub struct Publishing {
    pub worker: Option<Worker<SimEnv>>,
    pub inbox: Inbox,
    /// When the thread runs next.
    pub at: Option<u64>,
    /// Until when it may drain.
    pub drain: Option<u64>,
    pub random: Random,
}

impl Publishing {
    /// Lets the thread run at this time, if not before.
    pub fn wake(&mut self, at: u64) {
        self.at = Some(self.at.map_or(at, |before| before.min(at)));
    }

    /// Runs a step, with turns of the writer's thread inside it; true once the publisher's thread has ended.
    pub fn step(&mut self, nearby: &Nearby, writing: &Rc<RefCell<Writing>>) -> bool {
        let now = nearby.clock.now();
        self.at = None;
        let Some(worker) = &mut self.worker else {
            return true;
        };
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.drain_deadline = self.drain.map(|until| nearby.clock.at(until));
        inbox.replace_producer &= !lies::is_on(Lie::RenewIgnored);
        let beside = {
            let (writing, nearby) = (writing.clone(), nearby.clone());
            move || writing.borrow_mut().step_beside(&nearby)
        };
        nearby.disk.lock().publishing = true;
        let next = interleave::with(beside, || worker.step(inbox));
        nearby.disk.lock().publishing = false;
        // One more if a record to be sent again turns out to be damaged: the one behind it is known by then.
        if worker.ahead() > nearby.ahead {
            let words = format!("{} positions are ahead of the watermark", worker.ahead());
            nearby.ledger.borrow_mut().violate(words);
        }
        match next {
            Next::At(at) => {
                let at = at.map(|at| nearby.clock.of(at).max(now + 10));
                let at = at.map(|at| at + self.random.below(nearby.slow_publisher));
                self.at = at;
                false
            }
            Next::End => true,
        }
    }

    /// Takes a turn inside a step of the upkeep, at random, if there is something to do.
    pub fn step_beside(&mut self, nearby: &Nearby, writing: &Rc<RefCell<Writing>>) {
        if self.at.is_none() || nearby.disk.lock().dead.is_some() || !self.random.percent(30) {
            return;
        }
        coverage::seen(Seen::PublisherBeside);
        if self.step(nearby, writing) {
            // At its own turn it reports its end again.
            self.at = Some(nearby.clock.now());
        }
    }
}
