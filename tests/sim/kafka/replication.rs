//! The replicas of a partition: followers copy the leader's log with a lag, and a record counts, for its producer and for
//! readers, once all replicas in sync have it. A record may be lost with a leader that ends before that.
//!
//! As in Kafka without unclean elections: only a replica in sync becomes the leader.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::{Event, Kafka, Message, Partition, Request};
use crate::coverage::{self, Seen};
use crate::random::{MS, Random, SECOND};

/// A follower's lag at the best of times.
pub const LAG: u64 = 30 * MS;
/// A follower that has not copied for so long is out of sync: `replica.lag.time.max.ms`, shorter than its default.
const OUT_OF_SYNC: u64 = 6 * SECOND;

/// How the topic is replicated.
pub struct Replication {
    /// Number of brokers.
    brokers: usize,
    /// Replicas of each partition.
    factor: usize,
    /// `min.insync.replicas`.
    min_in_sync: usize,
    /// How long a leader waits for its followers before it reports a failure: the producer's `request.timeout.ms`.
    patience: u64,
}

/// One partition's replicas.
pub struct Replicas {
    /// How many batches each has, by broker.
    pub(super) logs: BTreeMap<usize, u64>,
    /// The same as far as the leader knows, which learns it only with a follower's next request.
    pub(super) known: BTreeMap<usize, u64>,
    pub(super) in_sync: BTreeSet<usize>,
    /// How many batches all replicas in sync have: these stay.
    committed: u64,
    /// The leader's batches beyond the committed ones.
    pub(super) open: VecDeque<Batch>,
    /// Requests whose answers wait until so many batches are committed.
    pub(super) waiting: BTreeMap<u64, u64>,
    /// Counts the changes of the leader.
    epoch: u64,
    /// Followers that are copying at present.
    copying: BTreeSet<usize>,
}

/// One batch that may still be lost.
pub(super) struct Batch {
    producer: u64,
    sequence: u64,
    messages: Rc<Vec<Message>>,
    /// The producer's next sequence number before it, if the producer was known.
    before: Option<u64>,
}

/// A follower's copying of the leader's log as it is now, and its confirmation to the leader.
#[derive(Clone)]
pub struct Copying {
    partition: usize,
    follower: usize,
    end: u64,
    epoch: u64,
}

impl Replication {
    pub fn of(random: &mut Random, brokers: usize) -> Self {
        let factor = random.range(1, brokers as u64) as usize;
        Self {
            brokers,
            factor,
            min_in_sync: random.range(1, factor.min(2) as u64) as usize,
            patience: random.pick(&[3 * SECOND, 30 * SECOND]),
        }
    }

    /// A new partition.
    pub fn partition(&self, leader: usize) -> Partition {
        Partition {
            topic: 0,
            leader,
            producers: BTreeMap::new(),
            replicas: self.replicas(leader, 0),
            refusal: None,
            refuses_one: None,
        }
    }

    pub(super) fn replicas(&self, leader: usize, epoch: u64) -> Replicas {
        let on = (0..self.factor).map(|next| (leader + next) % self.brokers);
        let logs: BTreeMap<_, _> = on.map(|broker| (broker, 0)).collect();
        Replicas {
            in_sync: logs.keys().copied().collect(),
            known: logs.clone(),
            logs,
            committed: 0,
            open: VecDeque::new(),
            waiting: BTreeMap::new(),
            epoch,
            copying: BTreeSet::new(),
        }
    }
}

impl Replicas {
    fn end(&self) -> u64 {
        self.committed + self.open.len() as u64
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The length of the log up to the end of a batch that it already has.
    pub(super) fn end_of(&self, producer: u64, sequence: u64) -> u64 {
        let is_it = |batch: &Batch| batch.producer == producer && batch.sequence == sequence;
        let found = self.open.iter().position(is_it);
        found.map_or(self.committed, |at| self.committed + at as u64 + 1)
    }

    /// Forgets producers for good: a shorter log does not bring them back.
    pub(super) fn forget_producers(&mut self) {
        self.open.iter_mut().for_each(|batch| batch.before = None);
    }

    /// Begins the epoch of another leader; returns the requests that waited for the one before.
    pub(super) fn begin(&mut self) -> Vec<u64> {
        self.epoch += 1;
        self.copying.clear();
        self.known = self.logs.clone();
        for known in self.known.values_mut() {
            *known = self.committed.min(*known);
        }
        std::mem::take(&mut self.waiting).into_keys().collect()
    }
}

impl Partition {
    /// Appends a batch to the leader's log; returns the log's length with it.
    pub(super) fn append(&mut self, request: &Request) -> u64 {
        let next = request.sequence + request.batch.len() as u64;
        self.replicas.open.push_back(Batch {
            producer: request.producer,
            sequence: request.sequence,
            messages: request.batch.clone(),
            before: self.producers.insert(request.producer, next),
        });
        let end = self.replicas.end();
        self.replicas.logs.insert(self.leader, end);
        self.replicas.known.insert(self.leader, end);
        end
    }

    /// Cuts the log to this length; returns how many batches are lost.
    pub(super) fn shorten(&mut self, end: u64) -> u64 {
        let mut lost = 0;
        while self.replicas.end() > end {
            let Some(batch) = self.replicas.open.pop_back() else {
                break;
            };
            lost += 1;
            match batch.before {
                Some(next) => self.producers.insert(batch.producer, next),
                None => self.producers.remove(&batch.producer),
            };
        }
        for log in self.replicas.logs.values_mut() {
            *log = end.min(*log);
        }
        lost
    }
}

impl Kafka {
    /// True if too few replicas are in sync for the leader to write a batch at all.
    pub(super) fn lacks_replicas(&self, index: usize) -> bool {
        self.partitions[index].replicas.in_sync.len() < self.replication.min_in_sync
    }

    /// Answers the request once the log is committed up to there.
    pub(super) fn await_replicas(&mut self, id: u64, index: usize, end: u64) {
        self.partitions[index].replicas.waiting.insert(id, end);
        let patience = self.replication.patience;
        self.after(patience, Event::Unreplicated(index, id));
    }

    pub(super) fn unreplicated(&mut self, index: usize, id: u64) {
        let replicas = &mut self.partitions[index].replicas;
        if replicas.waiting.remove(&id).is_some() {
            coverage::seen(Seen::Unreplicated);
            self.reply(id, Err(Code::RequestTimedOut));
        }
    }

    /// Lets followers that lack something copy it.
    pub(super) fn replicate(&mut self, index: usize) {
        self.commit(index);
        let partition = &self.partitions[index];
        let replicas = &partition.replicas;
        if !self.brokers[partition.leader].up {
            return;
        }
        let (end, epoch) = (replicas.end(), replicas.epoch);
        let lacks = |broker: &usize, log: u64| log < end || !replicas.in_sync.contains(broker);
        let logs = replicas.known.iter();
        let behind: Vec<_> = logs
            .filter(|(broker, log)| self.brokers[**broker].up && lacks(broker, **log))
            .filter(|(broker, _)| !replicas.copying.contains(broker))
            .map(|(broker, _)| *broker)
            .collect();
        for follower in behind {
            let lag = self.brokers[follower].lag;
            let delay = self.random.range(lag / 4, lag);
            let copying = Copying {
                partition: index,
                follower,
                end,
                epoch,
            };
            if delay > OUT_OF_SYNC {
                self.after(OUT_OF_SYNC, Event::Lags(copying.clone()));
            }
            self.after(delay, Event::Copied(copying));
            self.partitions[index].replicas.copying.insert(follower);
        }
    }

    pub(super) fn copied(&mut self, copying: &Copying) {
        let partition = &mut self.partitions[copying.partition];
        let replicas = &mut partition.replicas;
        if replicas.epoch != copying.epoch {
            return;
        }
        let follower = copying.follower;
        if !self.brokers[follower].up || !self.brokers[partition.leader].up {
            replicas.copying.remove(&follower);
            return;
        }
        let log = copying.end.max(replicas.logs[&follower]);
        replicas.logs.insert(follower, log);
        let delay = self.random.below(self.brokers[follower].lag / 2);
        self.after(delay, Event::Confirmed(copying.clone()));
    }

    /// The leader learns what a follower has.
    pub(super) fn confirmed(&mut self, copying: &Copying) {
        let partition = &mut self.partitions[copying.partition];
        let replicas = &mut partition.replicas;
        if replicas.epoch != copying.epoch {
            return;
        }
        let follower = copying.follower;
        replicas.copying.remove(&follower);
        if !self.brokers[follower].up || !self.brokers[partition.leader].up {
            return;
        }
        let log = replicas.logs[&follower];
        replicas.known.insert(follower, log);
        if log == replicas.end() {
            replicas.in_sync.insert(follower);
        }
        self.replicate(copying.partition);
    }

    /// A follower that has been copying for too long is out of sync: the leader no longer waits for it.
    pub(super) fn lags(&mut self, copying: &Copying) {
        let partition = &mut self.partitions[copying.partition];
        let replicas = &mut partition.replicas;
        let is_up = self.brokers[partition.leader].up;
        let lacks = replicas.known.get(&copying.follower) < Some(&copying.end);
        if is_up && replicas.epoch == copying.epoch && lacks {
            let words = (copying.partition, copying.follower);
            self.clock
                .log(|| format!("partition, broker {words:?} are out of sync"));
            replicas.in_sync.remove(&copying.follower);
            coverage::seen(Seen::OutOfSync);
            self.replicate(copying.partition);
        }
    }

    /// Commits what all replicas in sync have, and answers the requests that waited for it.
    pub(super) fn commit(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        let replicas = &mut partition.replicas;
        if !self.brokers[partition.leader].up {
            return;
        }
        let in_sync = replicas.in_sync.iter();
        let least = in_sync.map(|broker| replicas.known[broker]).min();
        while Some(replicas.committed) < least {
            let Some(batch) = replicas.open.pop_front() else {
                break;
            };
            replicas.committed += 1;
            let mut ledger = self.ledger.borrow_mut();
            for message in &*batch.messages {
                ledger.appended(message);
            }
        }
        let mut outcome = Ok(());
        if replicas.in_sync.len() < self.replication.min_in_sync {
            outcome = Err(Code::NotEnoughReplicasAfterAppend);
        }
        let committed = replicas.committed;
        let waiting = replicas.waiting.iter();
        let due: Vec<_> = waiting
            .filter(|(_, end)| **end <= committed)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.partitions[index].replicas.waiting.remove(&id);
            if outcome.is_err() {
                coverage::seen(Seen::TooFewAfterwards);
            }
            self.reply(id, outcome);
        }
    }
}
