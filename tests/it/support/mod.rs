//! What the tests share.

pub mod bad_relay;
pub mod core;
pub mod dev;
pub mod faulty_fs;
pub mod mock_kafka;
pub mod publisher;
pub mod server;
