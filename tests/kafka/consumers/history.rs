//! What senders, the relay and Kafka do to a topic, and what of it a consumer should keep.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::{CALLS, DEAD_LETTER, KEYLESS};
use crate::support::cluster::Cluster;
use crate::support::relay::{KEY, Relay, Site};
use crate::support::sender::Sender;
use crate::support::topic::{self, Record};
use crate::support::{PATIENCE, events, eventually};

/// Each event whose number is a multiple of this is posted twice.
const RETRIED: u64 = 50;
/// What the topic takes in the end: Kafka's default, in bytes.
const LIMIT: &str = "1048588";
/// Each of so many records is repeated.
const REPEATED: usize = 7;

/// A topic's history. Every request in it is answered 204.
pub struct History<'a> {
    cluster: &'a Cluster,
    topic: String,
    site: Site,
    relay: Option<Relay>,
    bodies: BTreeSet<Vec<u8>>,
    accepted: usize,
    resent: usize,
}

impl<'a> History<'a> {
    pub fn begin(cluster: &'a Cluster, topic: &str) -> Self {
        let site = Site::new(cluster, topic, "");
        let relay = Some(site.start());
        Self {
            cluster,
            topic: topic.to_owned(),
            site,
            relay,
            bodies: BTreeSet::new(),
            accepted: 0,
            resent: 0,
        }
    }

    /// Posts the events with these numbers, some of them twice.
    pub fn post(&mut self, numbers: Range<u64>) {
        let mut sender = Sender::connect(self.relay().address, KEY).expect("it listens");
        for number in numbers {
            let body = body(number);
            let times = if number % RETRIED == 0 { 2 } else { 1 };
            for _ in 0..times {
                self.accept(&mut sender, &body);
            }
            self.bodies.insert(body);
        }
    }

    /// Posts events that were posted before.
    pub fn post_again(&mut self, numbers: Range<u64>) {
        let mut sender = Sender::connect(self.relay().address, KEY).expect("it listens");
        for number in numbers {
            self.accept(&mut sender, &body(number));
        }
    }

    fn relay(&self) -> &Relay {
        self.relay.as_ref().expect("it is started again at once")
    }

    fn accept(&mut self, sender: &mut Sender, body: &[u8]) {
        let answer = sender.post(body).expect("an answer comes");
        assert_eq!(answer.code, 204);
        self.accepted += 1;
    }

    /// `kill -9` of the relay, and another start. What it had published since its last checkpoint comes again.
    pub fn kill_relay(&mut self) {
        self.relay.take().expect("it runs").kill();
        self.relay = Some(self.site.start());
    }

    /// Repeats records with all their headers, as a resend does, and adds one that is not ringback's.
    pub fn repeat_records(&mut self) {
        self.relay().await_drained();
        let records = self.records();
        self.resent = records.len() - positions(&records).len();
        let repeated = records.iter().step_by(REPEATED);
        let none = BTreeMap::new();
        let foreign = (&records[0], &none);
        let copies = repeated.map(|record| (record, &record.headers));
        self.produce(copies.chain([foreign]).collect());
    }

    /// Publishes the event that the topic has refused, now that it takes it, twice: as if the first replay had been killed before
    /// it removed the file.
    pub fn replay_dead_letter(&mut self) {
        self.cluster
            .configure_topic(&self.topic, "max.message.bytes", LIMIT);
        let mut command = self.site.tool(&["dead-letter", "replay", "--all"]);
        let output = command.output().expect("the binary runs");
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(words.ends_with("\n1 replayed, 0 not\n"), "{output:?}");
        let records = self.records();
        let replayed = |record: &&Record| {
            let mark = record.headers.get("ringback_dead_letter");
            mark.is_some_and(|mark| mark == "replayed")
        };
        let replayed = records.iter().find(replayed).expect("it was published");
        self.produce(vec![(replayed, &replayed.headers)]);
        // `ringback_journal` with `ringback_position` names each accepted request once, whatever was repeated.
        assert_eq!(positions(&records).len(), self.accepted);
    }

    /// All that is in the topic.
    pub fn records(&self) -> Vec<Record> {
        let end = self.end();
        topic::read_until(&self.cluster.bootstrap, &self.topic, |records| {
            records.len() >= end
        })
    }

    /// The bodies that were sent, each once.
    pub fn bodies(&self) -> BTreeSet<&[u8]> {
        self.bodies.iter().map(Vec::as_slice).collect()
    }

    /// How many requests were answered 204.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    /// How many records the relay itself has repeated.
    pub fn resent(&self) -> usize {
        self.resent
    }

    /// Publishes these records once more, with these headers.
    fn produce(&self, copies: Vec<(&Record, &BTreeMap<String, String>)>) {
        let before = self.end();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.cluster.bootstrap)
            .set("message.max.bytes", LIMIT)
            // Far below what the topic takes at first.
            .set("batch.num.messages", "10")
            .create()
            .expect("a producer");
        let count = copies.len();
        for (record, headers) in copies {
            let headers = headers
                .iter()
                .fold(OwnedHeaders::new(), |all, (key, value)| {
                    let value = Some(value);
                    all.insert(Header { key, value })
                });
            let mut copy = BaseRecord::to(&self.topic)
                .partition(record.partition)
                .payload(&record.value)
                .headers(headers);
            copy.key = record.key.as_deref();
            let queued = producer.send(copy).map_err(|(error, _)| error);
            queued.expect("there is room");
        }
        producer.flush(PATIENCE).expect("all are sent");
        eventually("all copies are there", || self.end() == before + count);
    }

    /// How many records there are.
    fn end(&self) -> usize {
        let counts = topic::counts(&self.cluster.bootstrap, &self.topic);
        usize::try_from(counts.iter().sum::<i64>()).expect("a test's count")
    }
}

/// The event with this number: one of its call's ten.
fn body(number: u64) -> Vec<u8> {
    let call = format!("call-{}", number % CALLS);
    match number {
        DEAD_LETTER => events::noisy_event(&call, number, 70_000),
        KEYLESS => br#"{"event":"transcript_updated"}"#.to_vec(),
        _ => events::event(&call, number, 200),
    }
}

/// What identifies each record of ringback's.
fn positions(records: &[Record]) -> BTreeSet<(&str, &str)> {
    let headers = records.iter().map(|record| &record.headers);
    let both = headers.filter_map(|headers| {
        let journal = headers.get("ringback_journal")?;
        Some((journal.as_str(), headers.get("ringback_position")?.as_str()))
    });
    both.collect()
}
