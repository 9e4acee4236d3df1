//! What the tests share.

pub mod core;
pub mod faulty_fs;
pub mod mock_kafka;
pub mod server;
