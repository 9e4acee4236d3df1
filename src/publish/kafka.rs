//! librdkafka, and everything that ringback knows about it.

mod cause;
mod certificate;
pub(super) mod cloudevents;
pub(super) mod connection;
pub(super) mod context;
pub(super) mod credentials;
pub(super) mod dead_letter_producer;
pub(super) mod dead_letter_sender;
pub(super) mod dead_letter_topic;
pub(super) mod env;
mod faults;
mod log;
mod mechanism;
pub(super) mod oauth;
pub(super) mod producer;
pub(super) mod properties;
pub(super) mod survey;
pub(super) mod timeout;
pub(super) mod topic_config;
mod validate;
pub(super) mod wall_clock;
