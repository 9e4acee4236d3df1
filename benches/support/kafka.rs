//! A real Kafka of one broker if there are Java and Maven, else librdkafka's mock.

use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rdkafka::mocking::MockCluster;

#[allow(unused_imports, reason = "not every bench starts a relay")]
pub use real::relay::{Relay, Site};

#[path = "../../tests/kafka/support/mod.rs"]
mod real;

/// The mock keeps 5 MiB per partition, so many partitions make room.
const MOCK_PARTITIONS: i32 = 64;
/// As many as a topic for one sender has.
const PARTITIONS: i32 = 12;

/// A running cluster, stopped when it is dropped.
pub enum Kafka {
    /// Apache Kafka on the same machine.
    Real(real::cluster::Cluster),
    /// librdkafka's mock in a thread of this process.
    Mock(Mock),
}

impl Kafka {
    /// Starts a cluster and prints which one it is.
    pub fn start() -> Self {
        if ["java", "mvn"].into_iter().all(real::is_on_path) {
            println!("Kafka: Apache's, one broker");
            // In memory if possible, because in production Kafka has disks of its own.
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

    /// Creates a topic that keeps little, because only writing to it is measured. With the mock, returns its only topic.
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

/// librdkafka's mock cluster. It may not leave the thread that made it, so it has a thread of its own.
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
                .expect("the bench waits for it");
            // Returns when the handle is dropped.
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
            // If it has panicked, that is printed already.
            let _ = thread.join();
        }
    }
}
