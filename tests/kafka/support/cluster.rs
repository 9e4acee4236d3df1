//! Three real brokers, by the script beside this folder.

use std::path::PathBuf;
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/cluster/kafka");

/// A running cluster; one for all tests.
pub struct Cluster {
    folder: PathBuf,
    /// All brokers' addresses.
    pub bootstrap: String,
}

impl Cluster {
    /// Starts three brokers; takes some seconds, and once the download of the jars.
    pub fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("ringback-kafka-{}", std::process::id()));
        // Away from other clusters on this machine, by the process's number; below the ephemeral ports.
        let base = 20_000 + std::process::id() % 100 * 100;
        let mut cluster = Self {
            folder,
            bootstrap: String::new(),
        };
        let output = cluster.script(&["up", "3", "--port-base", &base.to_string()]);
        let line = output
            .lines()
            .find_map(|line| line.strip_prefix("BOOTSTRAP="));
        line.expect("the script names the brokers")
            .clone_into(&mut cluster.bootstrap);
        cluster
    }

    /// Kills the brokers and removes their data.
    pub fn stop(&self) {
        self.script(&["down"]);
    }

    /// A topic of its own for each test, replicated three times.
    pub fn topic(&self, name: &str, partitions: u32) {
        self.script(&["topic", name, &partitions.to_string()]);
    }

    /// Takes all brokers away at once.
    pub fn kill_all(&self) {
        for node in ["1", "2", "3"] {
            self.script(&["kill", node]);
        }
    }

    /// Brings all brokers back; side by side, because one alone has no quorum.
    pub fn start_all(&self) {
        std::thread::scope(|scope| {
            for node in ["1", "2", "3"] {
                scope.spawn(|| self.script(&["start", node]));
            }
        });
    }

    fn script(&self, arguments: &[&str]) -> String {
        let output = Command::new(SCRIPT)
            .arg("--dir")
            .arg(&self.folder)
            .args(arguments)
            .output()
            .expect("the script runs");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
