//! Brokers that go and come back, and who leads then.

use rdkafka::types::RDKafkaErrorCode as Code;

use super::{Event, Kafka};
use crate::coverage::{self, Seen};
use crate::random::{MS, SECOND};

/// How long the controller may take to notice that a broker is gone.
const NOTICE: u64 = 3 * SECOND;

impl Kafka {
    pub fn end_broker(&mut self, broker: usize) {
        self.brokers[broker].up = false;
        self.brokers[broker].ends += 1;
        for partition in &mut self.partitions {
            if partition.leader == broker {
                for id in std::mem::take(&mut partition.replicas.waiting).into_keys() {
                    self.next += 1;
                    let at = (self.clock.now() + MS, self.next);
                    let lost = Event::Answer(id, Err(Code::BrokerTransportFailure));
                    self.events.insert(at, lost);
                }
            }
        }
        let notice = self.random.range(100 * MS, NOTICE);
        self.after(notice, Event::Elect);
    }

    pub fn start_broker(&mut self, broker: usize) {
        self.brokers[broker].up = true;
        for partition in 0..self.partitions.len() {
            self.replicate(partition);
        }
    }

    /// Replaces leaders that are gone, if another broker can lead, and counts brokers that are gone as out of sync.
    pub(super) fn elect(&mut self) {
        for index in 0..self.partitions.len() {
            let brokers = &self.brokers;
            let partition = &mut self.partitions[index];
            let leader = partition.leader;
            let in_sync = &mut partition.replicas.in_sync;
            in_sync.retain(|broker| brokers[*broker].up || *broker == leader);
            if !brokers[leader].up {
                let able: Vec<_> = in_sync.iter().copied().filter(|it| *it != leader).collect();
                if !able.is_empty() {
                    let next = self.random.pick(&able);
                    self.lead(index, next);
                    self.partitions[index].replicas.in_sync.remove(&leader);
                }
            }
            self.commit(index);
            self.replicate(index);
        }
    }

    /// Makes another broker the leader, if it may be: one in sync, or a new replica, which first gets the leader's whole log.
    pub fn move_leader(&mut self, index: usize, to: usize) {
        let partition = &mut self.partitions[index];
        let (from, replicas) = (partition.leader, &mut partition.replicas);
        if to == from || !self.brokers[to].up {
            return;
        }
        if !replicas.logs.contains_key(&to) {
            let log = replicas.logs.remove(&from).unwrap_or_default();
            replicas.logs.insert(to, log);
            replicas.in_sync.remove(&from);
            replicas.in_sync.insert(to);
        }
        if replicas.in_sync.contains(&to) {
            self.lead(index, to);
            self.commit(index);
            self.replicate(index);
        }
    }

    /// Makes a broker the leader. Records that it lacks are lost, and requests that wait get NotLeaderForPartition.
    fn lead(&mut self, index: usize, to: usize) {
        let partition = &mut self.partitions[index];
        let end = partition.replicas.logs[&to];
        let had = partition.replicas.open.len();
        let lost = partition.shorten(end);
        partition.leader = to;
        self.clock.log(|| {
            format!("broker {to} leads partition {index}, {lost} of {had} batches are lost")
        });
        if lost > 0 {
            coverage::seen(Seen::LostWithLeader);
        }
        if had as u64 > lost {
            coverage::seen(Seen::KeptByNextLeader);
        }
        let replicas = &mut self.partitions[index].replicas;
        let waiting = replicas.begin();
        replicas.known.insert(to, end);
        for id in waiting {
            self.reply(id, Err(Code::NotLeaderForPartition));
        }
    }

    /// Creates the topic again, with other leaders.
    pub(super) fn remake(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        let leader = (partition.leader + 1) % self.brokers.len();
        let waiting = partition.replicas.begin();
        let epoch = partition.replicas.epoch();
        partition.leader = leader;
        partition.producers.clear();
        partition.replicas = self.replication.replicas(leader, epoch);
        for id in waiting {
            self.reply(id, Err(Code::UnknownTopicOrPartition));
        }
    }
}
