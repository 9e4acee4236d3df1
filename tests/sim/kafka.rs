//! A Kafka cluster of one topic: leaders, sequence numbers, refusals, and a network that loses and delays.
//!
//! What a broker does with an idempotent producer's batch: any first sequence of a producer that it does not know is
//! accepted, then only the next one; a batch seen before is acknowledged without being written again.

mod answers;
pub mod client;
mod lost;
pub mod lying;
pub mod message;
pub mod metadata;
mod state;
pub mod times;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rdkafka::types::RDKafkaErrorCode as Code;
use ringback::publish::mailbox::{Report, Seen};

use crate::ledger::Ledger;
use crate::random::{Clock, MS, Random, SECOND};
pub use message::{Headers, Message};
use metadata::Growth;
use state::State;
use times::Times;

pub struct Broker {
    pub up: bool,
    /// Counts its ends: an answer that was on its way is lost with the connection.
    ends: u64,
    /// Longest way of a request or an answer, in microseconds.
    pub slowest: u64,
    /// It takes requests and answers none; some it carries out.
    pub silent: bool,
}

pub struct Partition {
    pub leader: usize,
    /// The next sequence number of each producer that has written.
    producers: BTreeMap<u64, u64>,
    /// Every batch is refused so.
    pub refusal: Option<Code>,
    /// The next batch is.
    pub refuses_one: Option<Code>,
}

/// A request on its way.
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
}

enum Event {
    Arrive(u64, Request),
    Answer(u64, Result<(), Code>),
    Timeout(u64),
    Poll(u64),
    Look(u64),
    Mail(u64, Report),
}

/// The cluster, its clients, and the network between them.
pub struct Kafka {
    /// Bytes that a client's queue takes, where that is less than its properties say.
    pub queue_bytes: usize,
    pub brokers: Vec<Broker>,
    pub partitions: Vec<Partition>,
    growth: Growth,
    pub times: Times,
    /// Since when there is no topic.
    pub missing_since: Option<u64>,
    /// Answers that are lost, of a hundred.
    pub lost_answers: u64,
    /// Batches larger than this are refused; so are records marked as too large.
    pub largest_batch: usize,
    /// How long a client takes an unknown topic for one that is only not known yet.
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
    /// When the last report of each client goes out: they stay in order.
    last_mail: BTreeMap<u64, u64>,
    /// Reports that have come to the process, with their client.
    pub mail: Vec<(u64, Report)>,
    /// As do the answers to looks at the topic.
    pub looks: Vec<Result<Seen, String>>,
    pub random: Random,
    clock: Rc<Clock>,
    ledger: Rc<RefCell<Ledger>>,
}

/// For a request without an answer: `socket.timeout.ms`.
const SOCKET_TIMEOUT: u64 = 10 * SECOND;

impl Kafka {
    pub fn new(mut random: Random, clock: Rc<Clock>, ledger: Rc<RefCell<Ledger>>) -> Self {
        let count = random.range(1, 3) as usize;
        let brokers = (0..count).map(|_| Broker {
            up: true,
            ends: 0,
            slowest: 20 * MS,
            silent: false,
        });
        let partitions = (0..random.range(1, 4)).map(|_| Partition::led_by(random.index(count)));
        Self {
            queue_bytes: usize::MAX,
            brokers: brokers.collect(),
            partitions: partitions.collect(),
            growth: Growth::default(),
            times: Times::of(&mut random),
            missing_since: None,
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
            looks: Vec::new(),
            random,
            clock,
            ledger,
        }
    }

    /// When something happens next.
    pub fn next_at(&self) -> Option<u64> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    /// A report comes by then.
    pub fn is_mail_due(&self, by: u64) -> bool {
        let mut due = self.events.range(..(by, 0));
        due.any(|(_, event)| matches!(event, Event::Mail(..)))
    }

    /// Lets the next thing happen.
    pub fn step(&mut self) {
        let Some((_, event)) = self.events.pop_first() else {
            return;
        };
        match event {
            Event::Arrive(id, request) => self.arrive(id, &request),
            Event::Answer(request, outcome) => self.answer(request, outcome),
            Event::Timeout(request) => self.answered(request, Err(Code::RequestTimedOut)),
            Event::Poll(client) => self.poll(client),
            Event::Look(client) => self.looked(client),
            Event::Mail(client, report) => self.mail.push((client, report)),
        }
    }

    /// Everything works again.
    pub fn mend(&mut self) {
        for broker in &mut self.brokers {
            broker.up = true;
            broker.slowest = 20 * MS;
            broker.silent = false;
        }
        for partition in &mut self.partitions {
            partition.refusal = None;
            partition.refuses_one = None;
        }
        self.missing_since = None;
        self.lost_answers = 0;
        self.no_clients = false;
        self.slow_purge = 0;
    }

    pub fn end_broker(&mut self, broker: usize) {
        self.brokers[broker].up = false;
        self.brokers[broker].ends += 1;
    }

    /// Live producers; one process has at most one.
    pub fn live_clients(&self) -> usize {
        self.clients.len()
    }

    /// The threads of all clients that there are now do nothing until then.
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

    /// A report's way from the client to the mailbox; the order stays.
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

    fn way(&mut self, broker: usize) -> u64 {
        let slowest = self.brokers[broker].slowest;
        self.random.latency(slowest / 4, slowest)
    }

    fn transmit(&mut self, request: Request) -> u64 {
        self.next += 1;
        let id = self.next;
        let way = self.way(request.broker);
        self.requests.insert(id, request.clone());
        self.after(way, Event::Arrive(id, request));
        self.after(SOCKET_TIMEOUT, Event::Timeout(id));
        id
    }

    /// It may be from a client that has given it up, or is gone.
    fn arrive(&mut self, id: u64, request: &Request) {
        let broker = &self.brokers[request.broker];
        if !broker.up || broker.ends != request.ends {
            return self.after(MS, Event::Answer(id, Err(Code::BrokerTransportFailure)));
        }
        let silent = broker.silent;
        if silent && self.random.percent(50) {
            return;
        }
        let outcome = self.append(request);
        self.clock.say(|| {
            let positions: Vec<_> = request
                .batch
                .iter()
                .map(|message| message.position)
                .collect();
            format!(
                "broker {}: partition {}, producer {}, sequence {}, {positions:?}: {outcome:?}",
                request.broker, request.partition, request.producer, request.sequence
            )
        });
        if silent {
            return;
        }
        if self.random.percent(self.lost_answers) {
            // Either the connection is lost with it, or nothing more is heard.
            if self.random.percent(50) {
                self.after(MS, Event::Answer(id, Err(Code::BrokerTransportFailure)));
            }
            return;
        }
        let way = self.way(request.broker);
        self.after(way, Event::Answer(id, outcome));
    }

    /// What the partition's leader makes of a batch.
    fn append(&mut self, request: &Request) -> Result<(), Code> {
        if self.missing_since.is_some() {
            return Err(Code::UnknownTopicOrPartition);
        }
        let partition = &self.partitions[request.partition];
        if partition.leader != request.broker {
            return Err(Code::NotLeaderForPartition);
        }
        let count = request.batch.len() as u64;
        let late = self.refuses_times(&request.batch);
        let partition = &mut self.partitions[request.partition];
        if let Some(next) = partition.producers.get(&request.producer) {
            if request.sequence + count <= *next {
                return Ok(());
            }
            if request.sequence != *next {
                return Err(Code::OutOfOrderSequenceNumber);
            }
        } else if self.strict && request.sequence > 0 {
            return Err(Code::UnknownProducerId);
        }
        let refusal = partition.refuses_one.take().or(partition.refusal);
        self.times.refused_at_will |= refusal == Some(Code::InvalidTimestamp);
        if let Some(code) = refusal {
            // Only records without a key are against a compacted topic's setting.
            let keyless = request.batch.iter().any(|message| message.key.is_none());
            let appends = code == Code::NotEnoughReplicasAfterAppend;
            if !appends && (code != Code::InvalidRecord || keyless) {
                return Err(code);
            }
        }
        if let Some(code) = late {
            return Err(code);
        }
        let bytes: usize = request
            .batch
            .iter()
            .map(|message| message.value.len())
            .sum();
        let ledger = self.ledger.clone();
        let mut ledger = ledger.borrow_mut();
        if let Some(code) = ledger.refused_by_topic(&request.batch) {
            return Err(code);
        }
        if bytes > self.largest_batch {
            return Err(Code::MessageSizeTooLarge);
        }
        partition
            .producers
            .insert(request.producer, request.sequence + count);
        for message in &*request.batch {
            ledger.appended(message);
        }
        let wrong = request.batch.iter().find_map(|message| {
            let words = self.judge_time(message)?;
            Some(format!(
                "the record of position {}, {words}",
                message.position
            ))
        });
        if let Some(words) = wrong {
            ledger.violate(words);
        }
        match refusal {
            Some(code) if code == Code::NotEnoughReplicasAfterAppend => Err(code),
            _ => Ok(()),
        }
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
            self.heard(id, &request, outcome);
        }
    }
}
