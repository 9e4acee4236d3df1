//! librdkafka's mock cluster, on a thread of its own because it may not leave the one that made it.

use std::convert::Infallible;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

use crate::command::CommandError;

/// The mock keeps 5 MiB a partition, so many partitions make room for long calls.
pub const PARTITIONS: i32 = 64;

/// The running cluster; dropping it ends it.
pub struct Cluster {
    /// For any Kafka client on this machine.
    pub bootstrap: String,
    stop: Option<mpsc::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Cluster {
    /// One broker with one topic; returns when it can be connected to.
    pub fn start(topic: &'static str) -> Result<Self, CommandError> {
        let (stop, stopped) = mpsc::channel::<Infallible>();
        let (started, start) = mpsc::channel::<Result<String, KafkaError>>();
        let thread = thread::Builder::new()
            .name(String::from("mock-kafka"))
            .spawn(move || {
                let made = MockCluster::new(1).and_then(|cluster| {
                    cluster.create_topic(topic, PARTITIONS, 1).map(|()| cluster)
                });
                let _cluster = match made {
                    Ok(cluster) => {
                        // Nobody waits any more only where the starting thread has gone away.
                        let _ = started.send(Ok(cluster.bootstrap_servers()));
                        cluster
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                // Ends when the handle is dropped, whatever is said meanwhile: nothing can be.
                let _ = stopped.recv();
            })?;
        let bootstrap = start
            .recv()
            .map_err(|_| std::io::Error::other("the mock cluster's thread has died"))??;
        Ok(Self {
            bootstrap,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; there is nothing left to undo.
            let _ = thread.join();
        }
    }
}
