//! A real Kafka of one broker where there are Java and Maven, librdkafka's mock where not.

use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rdkafka::mocking::MockCluster;

#[allow(unused_imports, reason = "not every bench starts a relay")]
pub use real::relay::{Relay, Site};

#[path = "../../tests/kafka/support/mod.rs"]
mod real;

/// The mock keeps 5 MiB a partition, so many partitions make room.
const MOCK_PARTITIONS: i32 = 64;
/// As a topic for one sender would have.
const PARTITIONS: i32 = 12;

/// A running cluster, ended with its handle.
pub enum Kafka {
    /// Apache's own, on the same machine.
    Real(real::cluster::Cluster),
    /// In a thread of this process.
    Mock(Mock),
}

impl Kafka {
    /// Starts it and says which it is.
    pub fn start() -> Self {
        if ["java", "mvn"].into_iter().all(real::is_on_path) {
            println!("Kafka: Apache's, one broker");
            // In memory, where it can be had: in production Kafka's disk is another's.
            let memory = Path::new("/dev/shm");
            let place = if memory.is_dir() {
                memory.to_owned()
            } else {
                std::env::temp_dir()
            };
            return Self::Real(real::cluster::Cluster::start_alone(&place));
        }
        println!("Kafka: librdkafka's mock, for want of Java and Maven");
        Self::Mock(Mock::start())
    }

    pub fn bootstrap(&self) -> &str {
        match self {
            Self::Real(cluster) => &cluster.bootstrap,
            Self::Mock(mock) => &mock.bootstrap,
        }
    }

    /// A topic that keeps little: only its writing is of interest. The mock has one, which is this one's name.
    pub fn topic(&self, name: &str) -> String {
        match self {
            Self::Real(cluster) => {
                let settings = [
                    ("max.message.bytes", "8454144"),
                    ("retention.bytes", "67108864"),
                    ("segment.bytes", "33554432"),
                ];
                cluster.topic(name, PARTITIONS, &settings);
                name.to_owned()
            }
            Self::Mock(_) => String::from(MOCK_TOPIC),
        }
    }
}

const MOCK_TOPIC: &str = "bench";

/// librdkafka's in-process cluster, on a thread of its own because it may not leave the one that made it.
pub struct Mock {
    bootstrap: String,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mock {
    fn start() -> Self {
        let (stop, stopped) = mpsc::channel();
        let (started, start) = mpsc::channel();
        let thread = thread::spawn(move || {
            let cluster = MockCluster::new(1).expect("a mock cluster can be had");
            cluster
                .create_topic(MOCK_TOPIC, MOCK_PARTITIONS, 1)
                .expect("a topic can be made");
            started
                .send(cluster.bootstrap_servers())
                .expect("somebody waits for it");
            // Ends when the handle is dropped.
            let _ = stopped.recv();
        });
        Self {
            bootstrap: start.recv().expect("it starts"),
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed already.
            let _ = thread.join();
        }
    }
}
