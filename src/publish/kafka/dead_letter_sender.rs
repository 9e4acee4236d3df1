//! Sends dead letters to their topic beside a journal in memory, while everything else goes on.
//!
//! There the topic is the only place that a dead letter has, and its sender waits for it. So each one is tried until its sender gives
//! up, whatever becomes of the others. In between, a failure costs a moment only, because there is nothing to protect from a slow topic:
//! no event waits behind a dead letter. The producer connects at the start, so that no dead letter pays for that.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode;

use super::credentials::Credentials;
use super::dead_letter_producer::{Client, Provenance, SendError};
use super::producer::check_topic;
use super::timeout::SideThread;
use crate::event::Event;
use crate::journal::Record;
use crate::publish::decide::blame::{Blame, Reason};
use crate::publish::env::DeadLetterPlace;
use crate::publish::error::DeliveryError;
use crate::publish::inbox::{Mailbox, SentDeadLetter};

/// Between two tries of one dead letter.
const BACKOFF: Duration = Duration::from_millis(500);
/// Between two producers: a new one reads its credentials again, and takes about a second to connect.
const REPLACEMENT_INTERVAL: Duration = Duration::from_secs(5);
/// For the cluster's answer about the topic, connecting included.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// The sending handle; dropping it ends the thread, and gives up what is on its way.
pub(crate) struct DeadLetterSender(mpsc::Sender<Message>);

enum Message {
    Letter(Letter),
    /// The producer of this generation reports on the record at this position.
    Report {
        generation: u64,
        position: u64,
        outcome: Result<(), DeliveryError>,
    },
    /// What an operator must fix about the topic.
    Topic(Result<(), String>),
    End,
}

struct Letter {
    record: Record,
    reason: Reason,
    /// When its sender gives up.
    deadline: Instant,
    /// When it is to be given to the producer; `None` while the producer has it.
    send_at: Option<Instant>,
}

struct Sending {
    topic: String,
    journal_id: String,
    patience: Duration,
    credentials: Arc<Credentials>,
    mailbox: Arc<Mailbox>,
    messages: mpsc::Sender<Message>,
    metadata_thread: SideThread,
    /// By position.
    letters: BTreeMap<u64, Letter>,
    client: Option<Client>,
    generation: u64,
    built_at: Instant,
    /// Something has failed since then.
    has_failed: bool,
    /// What keeps the topic from taking anything, as far as is known.
    fault: Option<String>,
}

impl DeadLetterSender {
    /// Starts the thread, which connects at once. `patience` is `listen.commit_timeout`.
    pub(crate) fn start(
        topic: &str,
        journal_id: String,
        patience: Duration,
        credentials: Arc<Credentials>,
        mailbox: Arc<Mailbox>,
    ) -> io::Result<Self> {
        let (messages, receiver) = mpsc::channel();
        let mut sending = Sending {
            topic: topic.to_owned(),
            journal_id,
            patience,
            credentials,
            mailbox,
            messages: messages.clone(),
            metadata_thread: SideThread::default(),
            letters: BTreeMap::new(),
            client: None,
            generation: 0,
            built_at: Instant::now(),
            has_failed: false,
            fault: None,
        };
        let thread = thread::Builder::new().name(String::from("dead-letters"));
        thread.spawn(move || {
            sending.build();
            sending.run(&receiver);
        })?;
        Ok(Self(messages))
    }

    /// Tries to send the record until `deadline`. False if the thread has ended.
    pub(crate) fn send(&self, record: Record, reason: Reason, deadline: Instant) -> bool {
        let letter = Letter {
            record,
            reason,
            deadline,
            send_at: Some(Instant::now()),
        };
        self.0.send(Message::Letter(letter)).is_ok()
    }
}

impl Drop for DeadLetterSender {
    fn drop(&mut self) {
        // It fails only if the thread has ended already.
        let _ = self.0.send(Message::End);
    }
}

impl Sending {
    fn run(&mut self, messages: &mpsc::Receiver<Message>) {
        loop {
            let message = match self.next_at() {
                None => messages.recv().ok(),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    match messages.recv_timeout(left) {
                        Err(mpsc::RecvTimeoutError::Timeout) => {
                            self.step(Instant::now());
                            continue;
                        }
                        message => message.ok(),
                    }
                }
            };
            match message {
                Some(Message::Letter(letter)) => {
                    self.letters.insert(letter.record.position, letter);
                }
                Some(Message::Report {
                    generation,
                    position,
                    outcome,
                }) => self.on_report(generation, position, outcome),
                Some(Message::Topic(state)) => self.on_topic(state),
                Some(Message::End) | None => return,
            }
            self.step(Instant::now());
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let letters = self.letters.values();
        let times = letters.map(|letter| {
            let send_at = letter.send_at.unwrap_or(letter.deadline);
            send_at.min(letter.deadline)
        });
        times.min()
    }

    fn step(&mut self, now: Instant) {
        let late = self
            .letters
            .extract_if(.., |_, letter| letter.deadline <= now);
        let late: Vec<_> = late.map(|(_, letter)| letter).collect();
        for letter in late {
            self.has_failed = true;
            let why = self.why();
            self.finish(letter, DeadLetterPlace::NotTaken(why));
        }
        let is_due = |letter: &Letter| letter.send_at.is_some_and(|at| at <= now);
        if !self.letters.values().any(is_due) {
            return;
        }
        let may_replace = now.duration_since(self.built_at) >= REPLACEMENT_INTERVAL;
        if may_replace && (self.has_failed || self.client.is_none()) {
            self.build();
        }
        let due = self.letters.iter().filter(|(_, letter)| is_due(letter));
        let due: Vec<_> = due.map(|(position, _)| *position).collect();
        for position in due {
            self.enqueue(position, now);
        }
    }

    /// Why a dead letter was not taken in time.
    fn why(&self) -> String {
        let client = self.client.as_ref();
        let known = self.fault.clone();
        let known = known.or_else(|| client.and_then(Client::last_error));
        known.unwrap_or_else(|| {
            let patience = humantime::format_duration(self.patience);
            format!("no acknowledgement within {patience}")
        })
    }

    fn finish(&self, letter: Letter, place: DeadLetterPlace) {
        let Letter { record, reason, .. } = letter;
        let sent = SentDeadLetter {
            record,
            reason,
            place,
        };
        self.mailbox.put(|inbox| inbox.dead_letters.push(sent));
    }

    fn enqueue(&mut self, position: u64, now: Instant) {
        let Some(letter) = self.letters.get_mut(&position) else {
            return;
        };
        letter.send_at = Some(now + BACKOFF);
        let Some(client) = &self.client else {
            return;
        };
        let record = &letter.record;
        let queued = match Event::decode_parts(&record.payload, &record.body) {
            Ok(event) => {
                let provenance = Provenance {
                    journal_id: &self.journal_id,
                    position,
                    header: letter.reason.label(),
                };
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "usize has 64 bits on every target"
                )]
                let number = position as usize;
                let time = event.received_ms;
                client.enqueue(&self.topic, &event, &provenance, time, number)
            }
            // It has no headers then, and the topic's readers could not tell what it is.
            Err(error) => {
                let why = error.to_string();
                if let Some(letter) = self.letters.remove(&position) {
                    self.finish(letter, DeadLetterPlace::NotTaken(why));
                }
                return;
            }
        };
        match queued {
            Ok(()) => letter.send_at = None,
            Err(error) => self.on_failed(position, error),
        }
    }

    fn on_report(&mut self, generation: u64, position: u64, outcome: Result<(), DeliveryError>) {
        match outcome {
            // Whichever producer it comes from.
            Ok(()) => {
                if generation == self.generation {
                    self.has_failed = false;
                    self.fault = None;
                }
                if let Some(letter) = self.letters.remove(&position) {
                    self.finish(letter, DeadLetterPlace::Topic(self.topic.clone()));
                }
            }
            Err(error) if generation == self.generation => self.on_failed(position, error),
            Err(_) => {}
        }
    }

    fn on_failed(&mut self, position: u64, error: DeliveryError) {
        if let Blame::Record(_) = error.blame() {
            if let Some(letter) = self.letters.remove(&position) {
                let why = format!("Kafka refuses it: {error}");
                self.finish(letter, DeadLetterPlace::NotTaken(why));
            }
            return;
        }
        if error.code() != RDKafkaErrorCode::QueueFull {
            self.has_failed = true;
            self.fault.get_or_insert_with(|| error.to_string());
        }
        if let Some(letter) = self.letters.get_mut(&position) {
            letter.send_at = Some(Instant::now() + BACKOFF);
        }
    }

    fn on_topic(&mut self, state: Result<(), String>) {
        if let Err(problem) = &state
            && self.fault.as_ref() != Some(problem)
        {
            tracing::warn!(
                "{problem}; until then bodies that are not JSON, and events that Kafka refuses for good, are answered 503"
            );
        }
        self.fault = state.err();
    }

    /// Replaces the producer by one with the credentials that are on disk now. What the old one had is sent again.
    fn build(&mut self) {
        self.built_at = Instant::now();
        self.has_failed = false;
        self.generation += 1;
        self.client = None;
        for letter in self.letters.values_mut() {
            letter.send_at = Some(self.built_at);
        }
        match self.connect() {
            Ok(client) => self.client = Some(client),
            Err(error) => {
                self.fault = Some(error.to_string());
                tracing::error!(topic = self.topic, %error, "cannot build the producer of dead letters; trying again with the next one");
            }
        }
        self.look_at_topic();
    }

    fn connect(&self) -> Result<Client, SendError> {
        let mut properties = self.credentials.read();
        let mut set =
            |name: &str, value: &str| properties.insert(name.to_owned(), value.to_owned());
        // One that fails stops no other, and needs no order: each is a request of its own.
        set("enable.gapless.guarantee", "false");
        set("enable.idempotence", "false");
        set("batch.num.messages", "1");
        // Nobody waits longer for it.
        set("message.timeout.ms", &self.patience.as_millis().to_string());
        let (generation, messages) = (self.generation, self.messages.clone());
        let on_report = move |number: usize, outcome| {
            let report = Message::Report {
                generation,
                position: number as u64,
                outcome,
            };
            // It fails only if the thread has ended.
            let _ = messages.send(report);
        };
        Client::build(&properties, self.credentials.tokens(), Box::new(on_report))
    }

    /// Asks the cluster about the topic, which also connects.
    fn look_at_topic(&self) {
        let Some(producer) = self.client.as_ref().and_then(Client::producer) else {
            return;
        };
        let (topic, messages) = (self.topic.clone(), self.messages.clone());
        self.metadata_thread.spawn(move || {
            let answer = producer
                .client()
                .fetch_metadata(Some(&topic), METADATA_TIMEOUT);
            // While no broker answers, nothing is known of the topic.
            let Ok(metadata) = answer else {
                return;
            };
            let found = metadata.topics().first();
            let code = found.and_then(MetadataTopic::error);
            let state = check_topic(&topic, code.map(RDKafkaErrorCode::from));
            // It fails only if the thread has ended.
            let _ = messages.send(Message::Topic(state));
        });
    }
}
