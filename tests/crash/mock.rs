//! librdkafka's mock cluster, on a thread of its own because it may not leave the one that made it.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use rdkafka::mocking::MockCluster;

/// Each has room for 5 MiB, beyond which the mock drops the oldest records.
const PARTITIONS: i32 = 64;

/// A running cluster of one broker; dropping it ends it.
pub struct Mock {
    /// Its address.
    pub bootstrap: String,
    orders: Option<Sender<(Order, Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Topic(String),
    Down,
    Up,
}

impl Mock {
    /// Starts the cluster with one topic.
    pub fn start(topic: &str) -> Self {
        let (orders, receiver) = mpsc::channel();
        let (started, start) = mpsc::channel();
        let thread = std::thread::spawn(move || serve(&started, &receiver));
        let mock = Self {
            bootstrap: start.recv().expect("the mock cluster starts"),
            orders: Some(orders),
            thread: Some(thread),
        };
        mock.topic(topic);
        mock
    }

    /// Creates another topic.
    pub fn topic(&self, name: &str) {
        self.order(Order::Topic(name.to_owned()));
    }

    /// Stops the broker.
    pub fn down(&self) {
        self.order(Order::Down);
    }

    /// Starts the broker again.
    pub fn up(&self) {
        self.order(Order::Up);
    }

    fn order(&self, order: Order) {
        let (done, is_done) = mpsc::channel();
        let orders = self.orders.as_ref().expect("it runs until it is dropped");
        orders.send((order, done)).expect("the thread lives");
        is_done.recv().expect("the order is carried out");
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, that is printed already.
            let _ = thread.join();
        }
    }
}

fn serve(started: &Sender<String>, orders: &Receiver<(Order, Sender<()>)>) {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    started
        .send(cluster.bootstrap_servers())
        .expect("the test waits for it");
    for (order, done) in orders {
        match order {
            Order::Topic(name) => cluster.create_topic(&name, PARTITIONS, 1),
            Order::Down => cluster.broker_down(1),
            Order::Up => cluster.broker_up(1),
        }
        .expect("the mock carries the order out");
        // The test may have failed meanwhile.
        let _ = done.send(());
    }
}
