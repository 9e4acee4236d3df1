//! What the real-Kafka tests share.

pub mod balancer;
pub mod clock;
pub mod cluster;
pub mod events;
pub mod load;
pub mod preload;
pub mod prometheus;
pub mod relay;
pub mod sender;
pub mod token_server;
pub mod topic;

use std::time::{Duration, Instant};

/// Bounds every wait: long enough for two cores under load.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// True if a program of this name is on the path.
pub fn is_on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// True if the long forms are asked for.
pub fn is_long() -> bool {
    std::env::var_os("RINGBACK_TEST_LONG").is_some()
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
