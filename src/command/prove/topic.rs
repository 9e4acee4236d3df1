//! Reads the topic from before the first post and enters each record in the ledger. Partitions that are added to the
//! topic during the run are read too.

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

use super::error::ProveError;
use super::ledger::TopicRecord;
use super::run_state::RunState;
use super::workload::{Recognised, Workload};
use crate::publish::TokenContext;

/// The reader notices within this time that it is to stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// How long the cluster may take before the run to report the topic's partitions and where each ends.
const METADATA_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the cluster may take during and after the run, when brokers may be down.
const SHORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the cluster is asked for added partitions. A relay uses them later than that, so the first record of one is
/// mostly read at once.
const GROWTH_INTERVAL: Duration = Duration::from_secs(2);

/// librdkafka's properties; the user may override each.
const PROPERTIES: [(&str, &str); 11] = [
    ("client.id", "ringback-prove"),
    // librdkafka requires one; nothing is committed, and the group is never joined.
    ("group.id", "ringback-prove"),
    ("enable.auto.commit", "false"),
    ("enable.partition.eof", "true"),
    // If a partition must be read again, then from its beginning: the ledger ignores records that it has seen.
    ("auto.offset.reset", "earliest"),
    // For each partition; librdkafka's default is 64 MiB.
    ("queued.max.messages.kbytes", "16384"),
    // Brokers come and go during a proof.
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.timeout.ms", "10000"),
    // Kafka answers as soon as there is a record. A mock waits this long, which must not count as the relay's latency.
    ("fetch.wait.max.ms", "50"),
    ("topic.metadata.refresh.interval.ms", "5000"),
    ("ssl.ca.location", "probe"),
];

/// A topic, ready to be read from its present end.
pub struct TopicReader {
    consumer: BaseConsumer<TokenContext>,
    name: String,
    /// The partitions that are read.
    partitions: Mutex<BTreeSet<i32>>,
}

/// A [`TopicReader`] that runs on a thread of its own.
pub struct RunningReader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<TopicSummary>,
    /// Dropping it ends the thread that looks for added partitions.
    _growth: mpsc::Sender<()>,
}

/// The topic at the end of a run.
#[derive(Debug)]
pub struct TopicSummary {
    pub partitions: usize,
    /// Why the topic was not read to its end; only set if acknowledged events are missing.
    pub unread: Option<String>,
}

impl TopicReader {
    /// Finds each partition's end; every record after that is read.
    pub fn open(given: &BTreeMap<String, String>, name: &str) -> Result<Self, ProveError> {
        let mut given = given.clone();
        let tokens = TokenContext::take(&mut given)
            .map_err(|error| ProveError::Property(error.to_string()))?;
        tokens.prepare()?;
        let mut config = ClientConfig::new();
        for (property, value) in PROPERTIES {
            config.set(property, value);
        }
        for (property, value) in given {
            config.set(property, value);
        }
        let consumer: BaseConsumer<_> = config
            .create_with_context(tokens)
            .map_err(ProveError::property)?;
        // librdkafka asks for a token, without which it does not connect; there is no record yet.
        consumer.poll(Duration::ZERO);
        let unreachable = |source| ProveError::Unreachable {
            topic: name.to_owned(),
            source,
        };
        let metadata = consumer
            .fetch_metadata(Some(name), METADATA_TIMEOUT)
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
                .fetch_watermarks(name, *partition, METADATA_TIMEOUT)
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

    /// The number of partitions that are read.
    pub fn partitions(&self) -> usize {
        self.lock_partitions().len()
    }

    fn lock_partitions(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the reader's threads. While brokers fail, the reader tries again.
    pub fn start(self, workload: Arc<Workload>, state: Arc<RunState>) -> io::Result<RunningReader> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let reader = Arc::new(self);
        let growth = reader.clone().watch_growth(state.clone())?;
        let thread = thread::Builder::new()
            .name(String::from("prove-topic"))
            .spawn(move || {
                let mut at_end = BTreeSet::new();
                while !stopped.load(Ordering::Relaxed) {
                    match reader.consumer.poll(POLL_TIMEOUT) {
                        Some(Ok(message)) => {
                            at_end.remove(&message.partition());
                            enter(&workload, &state, &message);
                        }
                        Some(Err(KafkaError::PartitionEOF(partition))) => {
                            at_end.insert(partition);
                        }
                        Some(Err(error)) => tracing::debug!(%error, "cannot read the topic"),
                        None => {}
                    }
                }
                reader.summary(&state, &at_end)
            })?;
        Ok(RunningReader {
            stop,
            thread,
            _growth: growth,
        })
    }

    /// Looks for added partitions until the returned handle is dropped; on a thread of its own, because brokers may answer
    /// late.
    fn watch_growth(self: Arc<Self>, state: Arc<RunState>) -> io::Result<mpsc::Sender<()>> {
        let (handle, end) = mpsc::channel();
        thread::Builder::new()
            .name(String::from("prove-growth"))
            .spawn(move || {
                while end.recv_timeout(GROWTH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    if let Err(error) = self.add_partitions(&state) {
                        tracing::debug!(%error, "cannot ask for the topic's partitions");
                    }
                }
            })?;
        Ok(handle)
    }

    /// Begins to read partitions that were added to the topic, from their first record.
    fn add_partitions(&self, state: &RunState) -> KafkaResult<()> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.name), SHORT_TIMEOUT)?;
        let mut known = self.lock_partitions();
        let new: BTreeSet<_> = ids(&metadata).difference(&known).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        state.ledger().on_growth();
        let mut more = TopicPartitionList::new();
        for partition in &new {
            more.add_partition_offset(&self.name, *partition, Offset::Beginning)?;
        }
        self.consumer.incremental_assign(&more)?;
        known.extend(new);
        Ok(())
    }

    /// Asks the brokers only if events are missing or out of order, which a partition not read yet may explain.
    fn summary(&self, state: &RunState, at_end: &BTreeSet<i32>) -> TopicSummary {
        let missing = state.ledger().outstanding() > 0;
        let mut unread = None;
        if missing || state.ledger().figures().out_of_order > 0 {
            if let Err(error) = self.add_partitions(state) {
                tracing::debug!(%error, "cannot ask for the topic's partitions");
            }
            unread = missing.then(|| self.unread(at_end)).flatten();
        }
        TopicSummary {
            partitions: self.partitions(),
            unread,
        }
    }

    /// Why missing events may be in the topic nevertheless.
    fn unread(&self, at_end: &BTreeSet<i32>) -> Option<String> {
        self.lock_partitions().iter().find_map(|partition| {
            let ends = self
                .consumer
                .fetch_watermarks(&self.name, *partition, SHORT_TIMEOUT);
            match ends {
                Err(error) => Some(format!("partition {partition} does not answer: {error}")),
                Ok(_) if at_end.contains(partition) => None,
                Ok((_, end)) => Some(format!(
                    "partition {partition} was not read to its end, {end}"
                )),
            }
        })
    }
}

impl RunningReader {
    pub fn stop(self) -> io::Result<TopicSummary> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| io::Error::other("the reader of the topic has panicked"))
    }
}

/// The topic's partitions; empty if there is no such topic.
fn ids(metadata: &Metadata) -> BTreeSet<i32> {
    let topic = metadata.topics().first();
    let partitions = topic.iter().flat_map(|topic| topic.partitions());
    partitions.map(MetadataPartition::id).collect()
}

fn enter(workload: &Workload, state: &RunState, message: &BorrowedMessage<'_>) {
    let record = TopicRecord {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key(),
        value: message.payload().unwrap_or_default(),
        at: state.elapsed(),
    };
    let recognised = workload.recognise(record.key, record.value);
    let mut ledger = state.ledger();
    match recognised {
        Recognised::Event(call, number) => ledger.on_record(&call, number, &record),
        Recognised::Mangled(call) => ledger.on_mangled_record(call, &record),
        Recognised::Foreign => ledger.on_foreign_record(),
    }
}
