//! What the machine is told of the topic.

use super::Machine;

impl Machine {
    /// A look at the topic has found so many partitions, 0 if it could not tell; true if records go by another number.
    pub(in crate::publish) fn partitions(&mut self, count: i32) -> bool {
        self.partitions.see(count)
    }

    /// False while nothing is sent because the number of the topic's partitions is not known.
    pub(in crate::publish) fn knows_partitions(&self) -> bool {
        self.partitions.is_known()
    }
}
