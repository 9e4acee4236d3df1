//! What goes wrong at Kafka and on the way there.

use rdkafka::types::RDKafkaErrorCode as Code;

use super::kinds::{Kind, REFUSALS};
use super::{Chaos, Later};
use crate::kafka::replication::LAG;
use crate::random::{MS, SECOND};
use crate::world::Surroundings;

impl Chaos {
    pub(super) fn begin_at_kafka(
        &mut self,
        kind: Kind,
        around: &mut Surroundings,
        soon: u64,
        until: u64,
    ) {
        let mut kafka = around.kafka.borrow_mut();
        let broker = self.random.index(kafka.brokers.len());
        let partition = self.random.index(kafka.partitions.len());
        let mut at = broker;
        match kind {
            Kind::BrokerDown => kafka.end_broker(broker),
            Kind::AllDown => (0..kafka.brokers.len()).for_each(|broker| kafka.end_broker(broker)),
            Kind::SlowBroker => {
                let slowest = self.random.pick(&[SECOND, 6 * SECOND, 25 * SECOND]);
                kafka.brokers[broker].slowest = slowest;
            }
            Kind::LostAnswers => kafka.lost_answers = self.random.pick(&[10, 50, 100]),
            Kind::MoveLeaders => {
                let count = kafka.brokers.len();
                kafka.move_leader(partition, self.random.index(count));
                return;
            }
            Kind::SlowFollower => {
                kafka.brokers[broker].lag = self.random.pick(&[SECOND, 8 * SECOND, 25 * SECOND]);
            }
            Kind::LeaderLost => {
                // Batches that only the leader has are lost with it.
                let lag = self.random.pick(&[SECOND, 4 * SECOND, 9 * SECOND]);
                for broker in &mut kafka.brokers {
                    broker.lag = if self.random.percent(70) { lag } else { LAG };
                }
                return self.later(soon, Later::EndLeader(partition));
            }
            Kind::Grow => {
                let broker = kafka.partitions[partition].leader;
                kafka.grow();
                kafka.brokers[broker].slowest = 6 * SECOND;
                drop(kafka);
                return self.later(until, Later::Repair(Kind::SlowBroker, broker));
            }
            Kind::Refusal => {
                at = partition;
                kafka.partitions[partition].refusal = Some(self.random.pick(&REFUSALS));
            }
            Kind::RefusalOfOne => {
                let refusal = Some(self.random.pick(&REFUSALS));
                for partition in &mut kafka.partitions {
                    partition.refuses_one = refusal;
                }
                around.slow_publisher = self.random.pick(&[100 * MS, SECOND]);
                let later = until + 2 * SECOND;
                drop(kafka);
                return self.later(later, Later::Repair(Kind::SlowPublisher, 0));
            }
            Kind::NoTopic => kafka.missing_since = Some(around.clock.now()),
            Kind::NoClients => kafka.no_clients = true,
            Kind::SlowPurge => {
                kafka.slow_purge = self.random.pick(&[2 * SECOND, 8 * SECOND, 30 * SECOND])
            }
            Kind::Freeze => {
                kafka.brokers[broker].slowest = 90 * SECOND;
                kafka.slow_purge = 12 * SECOND;
                kafka.partitions[partition].refusal = Some(Code::TopicAuthorizationFailed);
                let thaw = around.clock.now() + 60 * SECOND;
                self.later(thaw, Later::Repair(Kind::SlowBroker, broker));
                self.later(thaw, Later::Repair(Kind::SlowPurge, 0));
                at = partition;
            }
            Kind::NoDeadLetters => around.disk.lock().no_dead_letters = true,
            Kind::TopicRemade | Kind::StaleLeaders => {
                kafka.leave_behind(kind == Kind::TopicRemade);
                return;
            }
            Kind::HungClient => {
                kafka.hang_clients();
                return;
            }
            Kind::SilentBroker => kafka.brokers[broker].silent = true,
            Kind::ProducersExpire => {
                kafka.forget_producers(self.random.percent(50));
                return;
            }
            _ => {}
        }
        drop(kafka);
        self.later(until, Later::Repair(kind, at));
    }

    /// Ends a leader, with the batches that its followers have not copied yet, and starts it again later.
    pub(super) fn end_leader(&mut self, partition: usize, around: &mut Surroundings) {
        let mut kafka = around.kafka.borrow_mut();
        let leader = kafka.partitions[partition].leader;
        kafka.end_broker(leader);
        let back = self.random.pick(&[MS, 4 * SECOND, 20 * SECOND]);
        let back = around.clock.now() + back;
        self.later(back, Later::Repair(Kind::LeaderLost, leader));
    }
}

/// Ends one fault.
pub(super) fn repair(around: &mut Surroundings, kind: Kind, at: usize) {
    let kafka = &mut *around.kafka.borrow_mut();
    match kind {
        Kind::DiskFull | Kind::DiskTaken => around.disk.lock().capacity = around.setup.disk,
        Kind::BadCheckpoint => around.disk.lock().fail = None,
        Kind::ReadsFail | Kind::ReadsFailThenKill => around.disk.lock().reads_fail = false,
        Kind::SlowPublisher => around.slow_publisher = around.setup.throttled,
        Kind::SlowDisk => around.slow_sync = 5 * MS,
        Kind::BrokerDown => kafka.start_broker(at),
        Kind::AllDown => (0..kafka.brokers.len()).for_each(|broker| kafka.start_broker(broker)),
        Kind::SlowBroker => kafka.brokers[at].slowest = 20 * MS,
        Kind::SlowFollower => kafka.brokers[at].lag = LAG,
        Kind::LeaderLost => {
            kafka.start_broker(at);
            kafka.brokers.iter_mut().for_each(|broker| broker.lag = LAG);
        }
        Kind::SilentBroker => kafka.brokers[at].silent = false,
        Kind::LostAnswers => kafka.lost_answers = 0,
        Kind::NoDeadLetters => around.disk.lock().no_dead_letters = false,
        Kind::Refusal | Kind::Freeze => kafka.partitions[at].refusal = None,
        Kind::NoTopic => kafka.missing_since = None,
        Kind::NoClients => kafka.no_clients = false,
        Kind::SlowPurge => kafka.slow_purge = 0,
        _ => {}
    }
}
