//! What a consumer group has committed, seen from outside of it.

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::{PATIENCE, eventually, topic};

/// The group that has its topic's name.
pub struct Group {
    client: BaseConsumer,
    bootstrap: String,
    topic: String,
}

impl Group {
    /// Joins nothing.
    pub fn new(bootstrap: &str, topic: &str) -> Self {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", bootstrap);
        client.set("group.id", topic);
        Self {
            client: client.create().expect("a consumer"),
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
        }
    }

    fn partitions(&self, offset: Offset) -> TopicPartitionList {
        let metadata = self.client.fetch_metadata(Some(&self.topic), PATIENCE);
        let metadata = metadata.expect("the cluster answers");
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(&self.topic, partition.id(), offset)
                .expect("a new partition");
        }
        list
    }

    /// How many records the group has committed, in all partitions.
    pub fn committed(&self) -> i64 {
        let all = self.partitions(Offset::Invalid);
        let committed = self.client.committed_offsets(all, PATIENCE);
        let committed = committed.expect("the coordinator answers");
        let offsets = committed.elements();
        let offsets = offsets.iter().map(|element| match element.offset() {
            Offset::Offset(offset) => offset,
            _ => 0,
        });
        offsets.sum()
    }

    /// How many records there are.
    pub fn end(&self) -> i64 {
        topic::counts(&self.bootstrap, &self.topic).iter().sum()
    }

    /// Takes all that was committed back, as soon as the broker has given up the member that died.
    pub fn forget(&self) {
        let all = self.partitions(Offset::Offset(0));
        eventually("the group is empty", || {
            self.client.commit(&all, CommitMode::Sync).is_ok()
        });
        assert_eq!(self.committed(), 0);
    }
}
