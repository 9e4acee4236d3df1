//! A Kafka cluster of one topic, or two: leaders, sequence numbers, refusals, and a network that loses and delays.
//!
//! What a broker does with an idempotent producer's batch: any first sequence of a producer that it does not know is
//! accepted, then only the next one; a batch seen before is acknowledged without being written again.

mod answers;
mod append;
pub mod client;
mod leaders;
mod lost;
pub mod lying;
pub mod message;
pub mod metadata;
pub mod replication;
mod state;
pub mod times;
pub mod topics;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rdkafka::types::RDKafkaErrorCode as Code;
use ringback::publish::inbox::{Report, TopicState};

use crate::ledger::Ledger;
use crate::random::{Clock, MS, Random, SECOND};
pub use message::{Headers, Message};
use metadata::Growth;
use replication::{Copying, Replicas, Replication};
use state::State;
use times::Times;

pub struct Broker {
    pub up: bool,
    /// How often it has ended: an answer in transit is lost with its connection.
    ends: u64,
    /// The longest transit time of a request or an answer, in microseconds.
    pub slowest: u64,
    /// It takes requests and answers none; some it carries out.
    pub silent: bool,
    /// The longest time that it takes to copy new batches from a leader, in microseconds.
    pub lag: u64,
}

pub struct Partition {
    /// The topic's index.
    topic: usize,
    pub leader: usize,
    /// The next sequence number of each producer that has written.
    producers: BTreeMap<u64, u64>,
    replicas: Replicas,
    /// The error with which it refuses every batch.
    pub refusal: Option<Code>,
    /// The error with which it refuses the next batch.
    pub refuses_one: Option<Code>,
}

/// A request in transit.
#[derive(Clone)]
struct Request {
    client: u64,
    /// The id that its producer had when it was first sent.
    producer: u64,
    broker: usize,
    ends: u64,
    partition: usize,
    sequence: u64,
    batch: Rc<Vec<Message>>,
    is_retry: bool,
    /// Its answer waits for all replicas in sync.
    all: bool,
}

enum Event {
    Arrive(u64, Request),
    Answer(u64, Result<(), Code>),
    Timeout(u64),
    Poll(u64),
    TopicQuery(u64),
    Mail(u64, Report),
    Copied(Copying),
    Confirmed(Copying),
    Lags(Copying),
    /// The controller checks which brokers are up.
    Elect,
    /// A leader stops waiting for its followers.
    Unreplicated(usize, u64),
}

/// The cluster, its clients, and the network between them.
pub struct Kafka {
    /// Bytes that a client's queue takes, if that is less than its properties allow.
    pub queue_bytes: usize,
    pub brokers: Vec<Broker>,
    pub partitions: Vec<Partition>,
    pub replication: Replication,
    growth: Growth,
    pub times: Times,
    /// The chance of the second topic, if there is one.
    second_topic: Option<Random>,
    /// Since when a topic is missing.
    pub missing_since: Option<u64>,
    /// Which topic that is.
    missing_topic: usize,
    /// Percentage of answers that are lost.
    pub lost_answers: u64,
    /// Batches larger than this are refused; so are records marked as too large.
    pub largest_batch: usize,
    /// How long a client assumes that an unknown topic is only not known yet.
    pub propagation: u64,
    /// A producer that a broker does not know must begin at 0.
    strict: bool,
    /// Building a producer fails.
    pub no_clients: bool,
    /// A purge's reports may be this late.
    pub slow_purge: u64,
    /// The largest delay of a report.
    pub report_delay: u64,
    requests: BTreeMap<u64, Request>,
    clients: BTreeMap<u64, State>,
    events: BTreeMap<(u64, u64), Event>,
    next: u64,
    /// When the last report of each client arrives, so that they stay in order.
    last_mail: BTreeMap<u64, u64>,
    /// Reports that have reached the process, with their client.
    pub mail: Vec<(u64, Report)>,
    /// Answers to topic queries that have reached the process.
    pub topic_states: Vec<(usize, Result<TopicState, String>)>,
    pub random: Random,
    clock: Rc<Clock>,
    ledger: Rc<RefCell<Ledger>>,
}

/// How long a client waits for an answer: `socket.timeout.ms`.
const SOCKET_TIMEOUT: u64 = 10 * SECOND;

impl Kafka {
    pub fn new(mut random: Random, clock: Rc<Clock>, ledger: Rc<RefCell<Ledger>>) -> Self {
        let count = random.range(1, 3) as usize;
        let brokers = (0..count).map(|_| Broker {
            up: true,
            ends: 0,
            slowest: 20 * MS,
            silent: false,
            lag: replication::LAG,
        });
        let replication = Replication::of(&mut random, count);
        let partitions =
            (0..random.range(1, 4)).map(|_| replication.partition(random.index(count)));
        Self {
            queue_bytes: usize::MAX,
            brokers: brokers.collect(),
            partitions: partitions.collect(),
            replication,
            growth: Growth::default(),
            times: Times::of(&mut random),
            second_topic: None,
            missing_since: None,
            missing_topic: 0,
            lost_answers: 0,
            largest_batch: usize::MAX,
            propagation: random.pick(&[2 * SECOND, 10 * SECOND, 30 * SECOND]),
            strict: false,
            no_clients: false,
            slow_purge: 0,
            report_delay: 5 * MS,
            requests: BTreeMap::new(),
            clients: BTreeMap::new(),
            events: BTreeMap::new(),
            next: 0,
            last_mail: BTreeMap::new(),
            mail: Vec::new(),
            topic_states: Vec::new(),
            random,
            clock,
            ledger,
        }
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<u64> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    /// True if a report arrives by then.
    pub fn is_mail_due(&self, by: u64) -> bool {
        let mut due = self.events.range(..(by, 0));
        due.any(|(_, event)| matches!(event, Event::Mail(..)))
    }

    /// Handles the next event.
    pub fn step(&mut self) {
        let Some((_, event)) = self.events.pop_first() else {
            return;
        };
        match event {
            Event::Arrive(id, request) => self.arrive(id, &request),
            Event::Answer(request, outcome) => self.answer(request, outcome),
            Event::Timeout(request) => self.answered(request, Err(Code::RequestTimedOut)),
            Event::Poll(client) => self.poll(client),
            Event::TopicQuery(client) => self.answer_topic_query(client),
            Event::Mail(client, report) => self.mail.push((client, report)),
            Event::Copied(copying) => self.copied(&copying),
            Event::Confirmed(copying) => self.confirmed(&copying),
            Event::Lags(copying) => self.lags(&copying),
            Event::Elect => self.elect(),
            Event::Unreplicated(partition, id) => self.unreplicated(partition, id),
        }
    }

    /// Ends all faults.
    pub fn repair(&mut self) {
        for broker in &mut self.brokers {
            broker.slowest = 20 * MS;
            broker.silent = false;
            broker.lag = replication::LAG;
        }
        for partition in &mut self.partitions {
            partition.refusal = None;
            partition.refuses_one = None;
        }
        self.missing_since = None;
        self.lost_answers = 0;
        self.no_clients = false;
        self.slow_purge = 0;
        (0..self.brokers.len()).for_each(|broker| self.start_broker(broker));
    }

    /// Live producers; one process has at most one.
    pub fn live_clients(&self) -> usize {
        self.clients.len()
    }

    /// Stops the threads of all present clients until then.
    pub fn stand_still(&mut self, until: u64) {
        for state in self.clients.values_mut() {
            state.still_until = state.still_until.max(until);
        }
    }

    fn still_until(&self, client: u64) -> u64 {
        let state = self.clients.get(&client);
        state.map_or(0, |state| state.still_until)
    }

    fn at(&mut self, time: u64, event: Event) {
        self.next += 1;
        self.events.insert((time, self.next), event);
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.at(self.clock.now() + delay, event);
    }

    /// Sends a client's report to the mailbox, in order.
    fn report(&mut self, client: u64, report: Report) {
        let delay = self.random.latency(MS, self.report_delay.max(MS));
        self.report_after(client, report, delay);
    }

    fn report_after(&mut self, client: u64, report: Report, delay: u64) {
        let still = self.still_until(client);
        let last = self.last_mail.entry(client).or_default();
        let time = (self.clock.now() + delay).max(*last).max(still);
        *last = time;
        self.at(time, Event::Mail(client, report));
    }

    fn transit_time(&mut self, broker: usize) -> u64 {
        let slowest = self.brokers[broker].slowest;
        self.random.latency(slowest / 4, slowest)
    }

    fn transmit(&mut self, request: Request) -> u64 {
        self.next += 1;
        let id = self.next;
        let transit = self.transit_time(request.broker);
        self.requests.insert(id, request.clone());
        self.after(transit, Event::Arrive(id, request));
        self.after(SOCKET_TIMEOUT, Event::Timeout(id));
        id
    }

    fn answer(&mut self, id: u64, outcome: Result<(), Code>) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let broker = &self.brokers[request.broker];
        let connected = broker.up && broker.ends == request.ends;
        let outcome = if connected {
            outcome
        } else {
            Err(Code::BrokerTransportFailure)
        };
        self.answered(id, outcome);
    }

    fn answered(&mut self, id: u64, outcome: Result<(), Code>) {
        let client = self.requests.get(&id).map_or(0, |request| request.client);
        let still = self.still_until(client);
        if still > self.clock.now() {
            return self.at(still, Event::Answer(id, outcome));
        }
        if let Some(request) = self.requests.remove(&id) {
            self.complete(id, &request, outcome);
        }
    }
}
