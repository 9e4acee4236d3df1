//! The topic, read from before the first post: each record is recognised and entered in the ledger. Partitions that the topic
//! gets meanwhile are read too.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::metadata::{Metadata, MetadataPartition, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};

use super::events::{Recognised, Run};
use super::ledger::Record;
use super::{Books, ProveError};

/// How soon a stop is noticed.
const POLL: Duration = Duration::from_millis(100);
/// How long the cluster may take to tell where the topic begins and ends.
const ANSWER: Duration = Duration::from_secs(15);
/// The same at the end, when brokers may still be down; one that does not answer ends the asking.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// How often it is asked for partitions that the topic has got since: sooner than a relay may take them up, so that a record
/// that has moved is mostly read at once.
const GROWTH: Duration = Duration::from_secs(2);

/// librdkafka's properties, each of which may be set otherwise.
const PROPERTIES: [(&str, &str); 11] = [
    ("client.id", "ringback-prove"),
    // Asked for by librdkafka; nothing is committed, and the group is never joined.
    ("group.id", "ringback-prove"),
    ("enable.auto.commit", "false"),
    ("enable.partition.eof", "true"),
    // Should a partition have to be read anew, then from where it begins: the ledger knows what it has seen.
    ("auto.offset.reset", "earliest"),
    // A partition's share; 64 MiB by default, for each.
    ("queued.max.messages.kbytes", "16384"),
    // Brokers come and go here.
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.timeout.ms", "10000"),
    // Kafka answers as soon as there is a record; a mock waits for this long, which is not the relay's time.
    ("fetch.wait.max.ms", "50"),
    ("topic.metadata.refresh.interval.ms", "5000"),
    ("ssl.ca.location", "probe"),
];

/// A topic, ready to be read from its present end.
pub struct Topic {
    consumer: BaseConsumer,
    name: String,
    /// Those that are read.
    partitions: Mutex<BTreeSet<i32>>,
}

/// The running reader.
pub struct Reading {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Read>,
    /// Ends the thread that looks for more partitions.
    _looks: mpsc::Sender<()>,
}

/// What there is to say of the topic at the end.
#[derive(Debug)]
pub struct Read {
    /// How many partitions there are.
    pub partitions: usize,
    /// If acknowledged events are missing and the topic was not read to its end: why.
    pub unread: Option<String>,
}

impl Topic {
    /// Finds each partition's end; what is posted after that will be read.
    pub fn open(given: &BTreeMap<String, String>, name: &str) -> Result<Self, ProveError> {
        let mut config = ClientConfig::new();
        for (property, value) in PROPERTIES {
            config.set(property, value);
        }
        for (property, value) in given {
            config.set(property, value);
        }
        let consumer: BaseConsumer = config.create().map_err(ProveError::Property)?;
        let unreachable = |source| ProveError::Unreachable {
            topic: name.to_owned(),
            source,
        };
        let metadata = consumer
            .fetch_metadata(Some(name), ANSWER)
            .map_err(unreachable)?;
        let partitions = ids(&metadata);
        if let Some(error) = metadata.topics().first().and_then(MetadataTopic::error) {
            let code = RDKafkaErrorCode::from(error);
            if code != RDKafkaErrorCode::UnknownTopicOrPartition {
                return Err(unreachable(KafkaError::MetadataFetch(code)));
            }
        }
        if partitions.is_empty() {
            return Err(ProveError::NoTopic(name.to_owned()));
        }
        let mut assignment = TopicPartitionList::new();
        for partition in &partitions {
            let (_, end) = consumer
                .fetch_watermarks(name, *partition, ANSWER)
                .map_err(unreachable)?;
            assignment
                .add_partition_offset(name, *partition, Offset::Offset(end))
                .map_err(unreachable)?;
        }
        consumer.assign(&assignment).map_err(unreachable)?;
        Ok(Self {
            consumer,
            name: name.to_owned(),
            partitions: Mutex::new(partitions),
        })
    }

    /// How many partitions are read.
    pub fn partitions(&self) -> usize {
        self.known().len()
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads on a thread of its own until it is stopped; a broker's faults are waited out.
    pub fn read(self, run: Arc<Run>, books: Arc<Books>) -> io::Result<Reading> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let topic = Arc::new(self);
        let looks = topic.clone().look_for_growth(books.clone())?;
        let thread = thread::Builder::new()
            .name(String::from("prove-topic"))
            .spawn(move || {
                let mut at_end = BTreeSet::new();
                while !stopped.load(Ordering::Relaxed) {
                    match topic.consumer.poll(POLL) {
                        Some(Ok(message)) => {
                            at_end.remove(&message.partition());
                            enter(&run, &books, &message);
                        }
                        Some(Err(KafkaError::PartitionEOF(partition))) => {
                            at_end.insert(partition);
                        }
                        Some(Err(error)) => tracing::debug!(%error, "cannot read the topic"),
                        None => {}
                    }
                }
                topic.conclude(&books, &at_end)
            })?;
        Ok(Reading {
            stop,
            thread,
            _looks: looks,
        })
    }

    /// Looks for more partitions, on a thread of its own because brokers may take their time to answer, until the handle is
    /// dropped.
    fn look_for_growth(self: Arc<Self>, books: Arc<Books>) -> io::Result<mpsc::Sender<()>> {
        let (looks, end) = mpsc::channel();
        thread::Builder::new()
            .name(String::from("prove-growth"))
            .spawn(move || {
                while end.recv_timeout(GROWTH) == Err(RecvTimeoutError::Timeout) {
                    if let Err(error) = self.take_up_new(&books) {
                        tracing::debug!(%error, "cannot ask for the topic's partitions");
                    }
                }
            })?;
        Ok(looks)
    }

    /// Begins to read partitions that the topic has got, from their first record.
    fn take_up_new(&self, books: &Books) -> KafkaResult<()> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.name), LAST_ANSWER)?;
        let mut known = self.known();
        let new: BTreeSet<_> = ids(&metadata).difference(&known).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        books.ledger().grown();
        let mut more = TopicPartitionList::new();
        for partition in &new {
            more.add_partition_offset(&self.name, *partition, Offset::Beginning)?;
        }
        self.consumer.incremental_assign(&more)?;
        known.extend(new);
        Ok(())
    }

    /// Asks the brokers only if something is amiss, which a partition that nobody has seen yet may explain.
    fn conclude(&self, books: &Books, at_end: &BTreeSet<i32>) -> Read {
        let missing = books.ledger().outstanding() > 0;
        let mut unread = None;
        if missing || books.ledger().figures().out_of_order > 0 {
            if let Err(error) = self.take_up_new(books) {
                tracing::debug!(%error, "cannot ask for the topic's partitions");
            }
            unread = missing.then(|| self.unread(at_end)).flatten();
        }
        Read {
            partitions: self.partitions(),
            unread,
        }
    }

    /// Why what is missing may be in the topic all the same.
    fn unread(&self, at_end: &BTreeSet<i32>) -> Option<String> {
        self.known().iter().find_map(|partition| {
            let ends = self
                .consumer
                .fetch_watermarks(&self.name, *partition, LAST_ANSWER);
            match ends {
                Err(error) => Some(format!("partition {partition} cannot be asked: {error}")),
                Ok(_) if at_end.contains(partition) => None,
                Ok((_, end)) => Some(format!(
                    "partition {partition} was not read to its end, {end}"
                )),
            }
        })
    }
}

impl Reading {
    /// Ends the reading.
    pub fn stop(self) -> io::Result<Read> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| io::Error::other("the reader of the topic has panicked"))
    }
}

/// The topic's partitions; none if there is no such topic.
fn ids(metadata: &Metadata) -> BTreeSet<i32> {
    let topic = metadata.topics().first();
    let partitions = topic.iter().flat_map(|topic| topic.partitions());
    partitions.map(MetadataPartition::id).collect()
}

fn enter(run: &Run, books: &Books, message: &BorrowedMessage<'_>) {
    let record = Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key(),
        value: message.payload().unwrap_or_default(),
        at: books.now(),
    };
    let what = run.recognise(record.key, record.value);
    let mut ledger = books.ledger();
    match what {
        Recognised::Event(call, number) => ledger.seen(&call, number, &record),
        Recognised::Mangled(call) => ledger.mangled(call, &record),
        Recognised::Foreign => ledger.foreign(),
    }
}
