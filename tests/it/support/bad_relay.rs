//! A relay that breaks the promise on purpose, with librdkafka's mock cluster.
//!
//! It answers 204 and produces at once, as a naive relay does. It commits each fault at known events and counts them, so
//! that a test knows the figures of the ledger.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde_json::Value;

/// The topic that it produces to.
pub const TOPIC: &str = "proof";
/// The mock deletes the oldest records beyond 5 MiB per partition.
const PARTITIONS: i32 = 64;
/// A fault is committed once per this many events.
const EVERY: u64 = 10;

type Producer = ThreadedProducer<DefaultProducerContext>;

/// A way to break, or not to break, the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Some events are answered 204 and never produced.
    Drop,
    /// Some events are produced after the next one of their call.
    Reorder,
    /// Every event is parsed and serialised again.
    Reserialise,
    /// Some events lose the end of their bodies.
    Truncate,
    /// Some events are produced twice.
    Duplicate,
    /// Some events are produced under their kind.
    WrongKey,
    /// Some events are produced and answered 503, so that the sender repeats them.
    RefuseWhatLanded,
    /// Some events are produced, and the connection is closed instead of an answer.
    HangUp,
    /// Every event is refused.
    RefuseAll,
}

/// The running relay and its Kafka; both stop when it is dropped.
pub struct BadRelay {
    /// The address of the webhooks.
    pub address: SocketAddr,
    /// Its Kafka.
    pub bootstrap: String,
    faults: Arc<AtomicU64>,
    stop: Option<mpsc::Sender<()>>,
    mock: Option<JoinHandle<()>>,
}

impl BadRelay {
    /// Starts with one fault.
    pub fn start(fault: Fault) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let (started, start) = mpsc::channel();
        // The mock cluster may not leave its thread.
        let mock = thread::spawn(move || {
            let cluster = MockCluster::new(1).expect("a mock cluster");
            cluster
                .create_topic(TOPIC, PARTITIONS, 1)
                .expect("a topic in it");
            started
                .send(cluster.bootstrap_servers())
                .expect("the test waits for it");
            // Returns when the handle is dropped; nothing is ever sent.
            let _ = stopped.recv();
        });
        let bootstrap = start.recv().expect("the mock cluster starts");
        let producer: Producer = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .set("linger.ms", "0")
            .create()
            .expect("a producer");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has an address");
        let faults = Arc::new(AtomicU64::new(0));
        let counted = faults.clone();
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = Connection {
                    fault,
                    faults: counted.clone(),
                    producer: producer.clone(),
                    events: 0,
                    held: HashMap::new(),
                };
                thread::spawn(move || connection.serve(stream));
            }
        });
        Self {
            address,
            bootstrap,
            faults,
            stop: Some(stop),
            mock: Some(mock),
        }
    }

    /// How often the fault was committed.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::SeqCst)
    }
}

impl Drop for BadRelay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(mock) = self.mock.take() {
            // If it has panicked, the test has failed already.
            let _ = mock.join();
        }
    }
}

struct Connection {
    fault: Fault,
    faults: Arc<AtomicU64>,
    producer: Producer,
    /// Counts on this connection.
    events: u64,
    /// Events to produce after the next event of their call, by call.
    held: HashMap<String, Vec<u8>>,
}

impl Connection {
    fn serve(mut self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(body) = request(&mut stream) {
            let Some(answer) = self.relay(&body) else {
                break;
            };
            let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            if stream.get_mut().write_all(head.as_bytes()).is_err() {
                break;
            }
        }
        for (call, body) in std::mem::take(&mut self.held) {
            self.produce(&call, &body);
        }
        let patience = std::time::Duration::from_secs(30);
        self.producer.flush(patience).expect("the mock answers");
    }

    /// The answer, or `None` to hang up.
    fn relay(&mut self, body: &[u8]) -> Option<&'static str> {
        const REFUSED: &str = "503 Service Unavailable";
        self.events += 1;
        let event: Value = serde_json::from_slice(body).expect("an event is JSON");
        let call = event["call"]["call_id"].as_str().expect("it has a call");
        let due = self.events.is_multiple_of(EVERY);
        match self.fault {
            Fault::Drop if due => self.commit(),
            Fault::Reorder => self.reorder(call, body, due),
            Fault::Reserialise => {
                self.commit();
                self.produce(call, &serde_json::to_vec(&event).expect("it was JSON"));
            }
            Fault::Truncate if due => {
                self.commit();
                self.produce(call, &body[..body.len() / 2]);
            }
            Fault::Duplicate if due => {
                self.commit();
                self.produce(call, body);
                self.produce(call, body);
            }
            Fault::WrongKey if due => {
                self.commit();
                self.produce(event["event"].as_str().expect("it has a kind"), body);
            }
            Fault::RefuseWhatLanded if due => {
                self.commit();
                self.produce(call, body);
                return Some(REFUSED);
            }
            // A new connection counts from the beginning, so that the retry is answered.
            Fault::HangUp if due => {
                self.commit();
                self.produce(call, body);
                return None;
            }
            Fault::RefuseAll => {
                self.commit();
                return Some(REFUSED);
            }
            _ => self.produce(call, body),
        }
        Some("204 No Content")
    }

    /// Holds back an event that is due until the next event of its call is produced.
    fn reorder(&mut self, call: &str, body: &[u8], due: bool) {
        if let Some(held) = self.held.remove(call) {
            self.commit();
            self.produce(call, body);
            self.produce(call, &held);
        } else if due {
            self.held.insert(call.to_owned(), body.to_vec());
        } else {
            self.produce(call, body);
        }
    }

    fn commit(&self) {
        self.faults.fetch_add(1, Ordering::SeqCst);
    }

    fn produce(&self, key: &str, body: &[u8]) {
        let record = BaseRecord::to(TOPIC).key(key).payload(body);
        let sent = self.producer.send(record);
        sent.map_err(|(error, _)| error)
            .expect("its queue has room");
    }
}

/// The body of the next request; `None` if the client has gone.
fn request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().expect("a number");
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}
