//! What the tests share.

pub mod bad_relay;
pub mod certificates;
pub mod core;
pub mod dev;
pub mod faulty_fs;
pub mod mock_kafka;
pub mod page;
#[path = "../../kafka/support/prometheus.rs"]
#[allow(dead_code, reason = "the tests on a real Kafka use the rest of it")]
pub mod prometheus;
pub mod publisher;
pub mod server;
pub mod terminal;

use std::time::{Duration, Instant};

pub use server::PATIENCE;

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
