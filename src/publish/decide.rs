//! The publisher's decisions, pure: values and time in, actions out. Nothing here knows librdkafka, a clock or a disk.

pub(super) mod backoff;
pub(super) mod machine;
pub(super) mod partitioner;
pub(super) mod silence;
pub mod timestamps;
pub(super) mod window;
