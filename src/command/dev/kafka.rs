//! librdkafka's mock cluster. It may not leave the thread that made it, so it has a thread of its own.

use std::convert::Infallible;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

use crate::command::CommandError;

/// The mock keeps 5 MiB per partition, so many partitions make room for long calls.
pub const PARTITIONS: i32 = 64;

/// The running cluster; dropping it stops it.
pub struct EmbeddedKafka {
    /// `bootstrap.servers` for clients on this machine that use librdkafka.
    pub bootstrap: String,
    stop: Option<mpsc::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedKafka {
    /// Starts one broker with these topics; returns when clients can connect.
    pub fn start(topics: Vec<String>) -> Result<Self, CommandError> {
        let (stop, stopped) = mpsc::channel::<Infallible>();
        let (started, start) = mpsc::channel::<Result<String, KafkaError>>();
        let thread = thread::Builder::new()
            .name(String::from("mock-kafka"))
            .spawn(move || {
                let made = MockCluster::new(1).and_then(|cluster| {
                    let mut topics = topics.iter();
                    topics
                        .try_for_each(|topic| cluster.create_topic(topic, PARTITIONS, 1))
                        .map(|()| cluster)
                });
                let _cluster = match made {
                    Ok(cluster) => {
                        // Fails only if the starting thread has gone.
                        let _ = started.send(Ok(cluster.bootstrap_servers()));
                        cluster
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                // Returns when the handle is dropped; nothing can be sent.
                let _ = stopped.recv();
            })?;
        let bootstrap = start
            .recv()
            .map_err(|_| std::io::Error::other("the embedded Kafka's thread has panicked"))??;
        Ok(Self {
            bootstrap,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for EmbeddedKafka {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, that is printed already.
            let _ = thread.join();
        }
    }
}
