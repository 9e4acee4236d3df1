//! The publisher's decisions, pure: values and time come in, actions go out. Nothing here knows librdkafka, a clock or a disk.

pub(super) mod backoff;
pub(super) mod blame;
pub(super) mod machine;
pub(super) mod partitioner;
pub(super) mod stall;
pub mod timestamps;
pub(super) mod window;
