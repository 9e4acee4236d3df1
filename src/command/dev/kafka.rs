//! librdkafka's mock cluster. It may not leave the thread that made it, so it has a thread of its own.

use std::convert::Infallible;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

use crate::command::CommandError;

/// The mock keeps 5 MiB per partition, so many partitions make room for long calls.
pub const PARTITIONS: i32 = 64;

/// The mock throws away the wake-up for a command that comes before it is asleep again, and then sleeps for up to a second. It
/// goes to sleep within microseconds of its last answer.
const ASLEEP_AGAIN: Duration = Duration::from_millis(1);

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
                    for topic in topics {
                        thread::sleep(ASLEEP_AGAIN);
                        cluster.create_topic(&topic, PARTITIONS, 1)?;
                    }
                    Ok(cluster)
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn many_topics_do_not_make_the_start_slow() {
        let topics = (0..100).map(|number| format!("topic-{number}")).collect();
        let begun = Instant::now();
        drop(EmbeddedKafka::start(topics).unwrap());
        // A third of a second for each, when every wake-up may be lost.
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }
}
