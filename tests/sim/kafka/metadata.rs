//! What clients learn of each topic: how many partitions it has. A topic may grow, and not every broker knows it at once.

use rdkafka::types::RDKafkaErrorCode as Code;
use ringback::publish::inbox::TopicState;

use super::state::Queue;
use super::{Event, Kafka};
use crate::coverage::{self, Seen};
use crate::random::{MS, SECOND};

/// A topic query that finds no broker gives up after this.
const QUERY_TIMEOUT: u64 = 10 * SECOND;
/// For this long after a growth some brokers may still report the former number of partitions.
const SPREAD: u64 = 3 * SECOND;
/// The most partitions of a topic.
const MAX_PARTITIONS: usize = 12;

/// The number of partitions before the last growth, and until when a broker may still report it.
#[derive(Default)]
pub struct Growth {
    topic: usize,
    before: usize,
    until: u64,
}

impl Kafka {
    /// Adds partitions to a topic.
    pub fn grow(&mut self) {
        let topic = self.growing_topic();
        let before = self.partitions_of(topic);
        if before >= MAX_PARTITIONS {
            return;
        }
        let now = self.clock.now();
        self.growth = Growth {
            topic,
            before,
            until: now + self.random.below(SPREAD),
        };
        let is_busy = self.clients.values().any(|state| state.bytes > 0);
        if is_busy {
            coverage::seen(Seen::GrownUnderBacklog);
        }
        if is_busy && topic > 0 {
            coverage::seen(Seen::SecondTopicGrown);
        }
        let more = self
            .random
            .range(1, (MAX_PARTITIONS - before).min(3) as u64);
        for _ in 0..more {
            let leader = self.random.index(self.brokers.len());
            let mut partition = self.replication.partition(leader);
            partition.topic = topic;
            self.partitions.push(partition);
        }
        self.clock
            .log(|| format!("{before} partitions become {}", self.partitions_of(topic)));
    }

    /// Lets the client query the topics, unless it does so already.
    pub fn query_topics(&mut self, id: u64) {
        let now = self.clock.now();
        let Some(state) = self.clients.get_mut(&id) else {
            return;
        };
        if state.query_until.replace(now + QUERY_TIMEOUT).is_none() {
            let transit = self.random.latency(5 * MS, 300 * MS);
            self.after(transit, Event::TopicQuery(id));
        }
    }

    pub(super) fn answer_topic_query(&mut self, id: u64) {
        let now = self.clock.now();
        let any_up = self.brokers.iter().any(|broker| broker.up);
        let is_stale = now < self.growth.until && self.random.percent(50);
        let again = self.random.range(100 * MS, SECOND);
        let Some(state) = self.clients.get_mut(&id) else {
            return;
        };
        let until = state.query_until.unwrap_or(now);
        if state.still_until > now {
            let still = state.still_until;
            return self.at(still, Event::TopicQuery(id));
        }
        if !any_up && now < until {
            return self.after(again, Event::TopicQuery(id));
        }
        state.query_until = None;
        if !any_up {
            return;
        }
        for topic in 0..self.topic_count() {
            let seen = if self.is_missing(topic) {
                Err(Self::missing_message(topic))
            } else {
                let mut partitions = self.growth.before;
                if is_stale && topic == self.growth.topic {
                    coverage::seen(Seen::StaleNumber);
                } else {
                    self.extend(id);
                    partitions = self.partitions_of(topic);
                }
                Ok(TopicState {
                    partitions: partitions as i32,
                    bounds: self.readable_bounds(),
                })
            };
            self.clock.log(|| format!("client {id} sees {seen:?}"));
            self.topic_states.push((topic, seen));
        }
    }

    /// True if nothing can be sent because there is no topic; after a time everything queued for the missing one fails.
    pub(super) fn topic_is_missing(&mut self, id: u64) -> bool {
        let now = self.clock.now();
        let refresh = self.random.range(300 * MS, SECOND);
        let (missing, propagation) = (self.missing_since, self.propagation);
        let has_other = self.second_topic.is_some();
        let Some(state) = self.clients.get_mut(&id) else {
            return true;
        };
        let Some(since) = missing else {
            state.no_topic = false;
            return false;
        };
        if now >= since.max(state.built_at) + propagation && !state.no_topic {
            state.no_topic = true;
            let mut failed = Vec::new();
            for (queue, partition) in state.queues.iter_mut().zip(&self.partitions) {
                if partition.topic != self.missing_topic {
                    continue;
                }
                let retries = std::mem::take(&mut queue.retries).into_values();
                failed.extend(retries.flat_map(|(batch, ..)| batch.to_vec()));
                failed.extend(queue.fresh.drain(..).map(|(message, _)| message));
            }
            let failed = failed
                .into_iter()
                .map(|message| (message, Code::UnknownTopic));
            self.fail(id, failed.collect(), 0);
        }
        self.poll_in(id, refresh);
        !has_other
    }

    /// Makes the topic's new partitions known to the client.
    pub(super) fn extend(&mut self, id: u64) {
        let leaders = self.partitions.iter().map(|partition| partition.leader);
        if let Some(state) = self.clients.get_mut(&id) {
            let known = state.queues.len();
            state.queues.extend(leaders.skip(known).map(Queue::led_by));
        }
    }
}
