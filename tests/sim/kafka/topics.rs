//! A second topic, in one history of ten: it grows and is missing apart from the first, and the same keys are in both.
//!
//! All its chance is drawn apart from the others', so that histories with one topic stay as they are.

use ringback::publish::{SourceTopics, Topics};

use super::Kafka;
use crate::random::Random;

/// The topics' names, in the order of their indices.
pub const NAMES: [&str; 2] = ["events", "moved-events"];
/// The event whose topic is the second one.
const MOVED: &str = "call_moved";
/// The source of all events.
pub const SOURCE: &str = "sim";
/// Distinguishes the draws of [`SecondTopic`] from the history's others: "topic".
const TOPIC: u64 = 0x0074_6f70_6963;

/// What is drawn for a history with two topics.
pub struct SecondTopic {
    random: Random,
    /// Of a hundred events.
    share: u64,
}

impl SecondTopic {
    pub fn of(seed: u64) -> Option<Self> {
        let mut random = Random::new(seed ^ TOPIC);
        let is_there = random.percent(10);
        let share = random.pick(&[10, 50, 50, 90]);
        is_there.then_some(Self { random, share })
    }

    /// The index of the next event's topic.
    pub fn next_topic(&mut self) -> usize {
        usize::from(self.random.percent(self.share))
    }

    /// The chance that Kafka needs for it.
    pub fn fork(&mut self) -> Random {
        self.random.fork()
    }
}

/// The index of the topic of this name.
pub fn index(name: &str) -> usize {
    let found = NAMES.iter().position(|known| *known == name);
    found.expect("there is no such topic")
}

/// The name of events that go to the topic at this index.
pub fn event_of(topic: usize) -> &'static str {
    if topic == 0 { "call_ended" } else { MOVED }
}

/// As a relay is configured for so many topics.
pub fn configured(topics: usize) -> Topics {
    let sources = SourceTopics {
        source: String::from(SOURCE),
        topic: None,
        by_event: [(String::from(MOVED), String::from(NAMES[1]))].into(),
    };
    let sources = if topics > 1 {
        vec![sources]
    } else {
        Vec::new()
    };
    Topics::new(NAMES[0], &sources)
}

impl Kafka {
    /// Creates the second topic.
    pub fn add_topic(&mut self, mut random: Random) {
        for _ in 0..random.range(1, 3) {
            let leader = random.index(self.brokers.len());
            let mut partition = self.replication.partition(leader);
            partition.topic = 1;
            self.partitions.push(partition);
        }
        self.missing_topic = random.index(NAMES.len());
        self.second_topic = Some(random);
    }

    pub fn topic_count(&self) -> usize {
        1 + usize::from(self.second_topic.is_some())
    }

    /// How many partitions the topic has.
    pub fn partitions_of(&self, topic: usize) -> usize {
        let partitions = self.partitions.iter();
        partitions
            .filter(|partition| partition.topic == topic)
            .count()
    }

    /// Where the topic's partition of this number is among all.
    pub(super) fn find_partition(&self, topic: usize, number: usize) -> Option<usize> {
        let all = self.partitions.iter().enumerate();
        let mut own = all.filter(|(_, partition)| partition.topic == topic);
        own.nth(number).map(|(index, _)| index)
    }

    /// True while this topic does not exist.
    pub(super) fn is_missing(&self, topic: usize) -> bool {
        self.missing_since.is_some() && self.missing_topic == topic
    }

    /// The topic that grows next.
    pub(super) fn growing_topic(&mut self) -> usize {
        let random = self.second_topic.as_mut();
        random.map_or(0, |random| random.index(NAMES.len()))
    }

    pub(super) fn missing_message(topic: usize) -> String {
        format!("Kafka has no topic {:?}", NAMES[topic])
    }
}
