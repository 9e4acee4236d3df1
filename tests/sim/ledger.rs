//! What was sent, answered, delivered and dead-lettered, and the invariants between them (ARCHITECTURE.md).

mod damage;
mod seams;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Range, RangeInclusive};

use rdkafka::types::RDKafkaErrorCode as Code;
use ringback::event::Event;
use ringback::publish::Reason;

use crate::coverage::{self, Seen};
use crate::kafka::Message;
use crate::kafka::topics::SecondTopic;
pub use damage::LossReport;
pub use seams::Seam;

/// Why an event can never be published, if so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    No,
    /// Larger than the topic's limit.
    TooLarge,
    /// Larger than the client's limit.
    TooLargeForClient,
    Invalid,
    /// Larger than the topic's limit until an operator raises that.
    TooLargeForNow,
    /// The journal's record cannot be decoded as an event, so Kafka never gets it.
    NoEvent,
    /// The body is not JSON: Kafka would take it, but it never comes there.
    Unparsed,
}

/// An envelope that cannot be decoded: its first text claims to be longer than anything can be.
pub const NO_EVENT: [u8; 14] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255];

/// One event of a sender.
#[derive(Debug)]
pub struct Sent {
    pub key: Option<u8>,
    /// The topic's index.
    pub topic: usize,
    pub size: usize,
    pub poison: Poison,
    /// The journal and the position in it, once a 2xx has been sent.
    pub acknowledged: Option<Place>,
    pub delivered: u32,
    pub dead_lettered: bool,
}

/// A journal, numbered in order of creation, and a position in it.
pub type Place = (usize, u64);

#[derive(Default)]
pub struct Ledger {
    pub events: Vec<Sent>,
    places: BTreeMap<Place, usize>,
    journals: Vec<String>,
    /// The latest first delivery of each key in each topic.
    latest: HashMap<(usize, String), Place>,
    /// Records under which a bit was flipped.
    excused: BTreeSet<Place>,
    /// Records whose place could not be read for a time.
    unread: BTreeSet<Place>,
    /// Where starts found segments missing: the journal counts the records before these places, but logs no range.
    missing_before: Vec<Place>,
    /// Records that no checkpoint covered at a crash: damage of these looks like a torn write.
    uncovered: BTreeSet<Place>,
    /// A checkpoint was damaged since the last start: older ones may count again.
    pub checkpoint_damaged: bool,
    /// A start found a damaged checkpoint, or could not read one: it may have cut damage at the journal's end.
    pub slot_lost: bool,
    /// The watermark went back with a lost checkpoint: until it has caught up, published segments may seem to be missing.
    pub went_back: bool,
    /// A segment's header was damaged: what it held is only estimated.
    pub header_damaged: bool,
    /// Records that were written and not acknowledged: a power cut may have left any part of them.
    pub torn: u64,
    /// Ranges that the journals have reported as lost.
    reported: Vec<(usize, RangeInclusive<u64>)>,
    has_reported_unread: bool,
    /// Records in segments that are set aside.
    set_aside: BTreeSet<Place>,
    /// What the names of such segments say: the journal, the first position and one past the last.
    set_aside_names: Vec<(usize, Range<u64>)>,
    pub had_bad_sectors: bool,
    /// Damaged headers that starts have found, each with its journal.
    seams: Vec<(usize, Seam)>,
    /// The producer that was last given each record, and the number of that sending.
    sendings: HashMap<Place, (u64, u64)>,
    /// The first violation found.
    pub violation: Option<String>,
    pub duplicates: u64,
    /// Records that Kafka refuses, with no place for dead letters: each was answered 503 for good.
    given_up: BTreeSet<Place>,
    /// The journals are in memory: what a killed process had in flight may arrive after its successor's events.
    pub is_volatile: bool,
    /// An operator has raised the topic's limit.
    pub limit_raised: bool,
    consecutive_dead_letters: u32,
    pub second_topic: Option<SecondTopic>,
}

impl Poison {
    pub fn code(self) -> Option<Code> {
        match self {
            Self::TooLarge | Self::TooLargeForNow => Some(Code::MessageSizeTooLarge),
            Self::Invalid => Some(Code::InvalidRecord),
            Self::No | Self::TooLargeForClient | Self::NoEvent | Self::Unparsed => None,
        }
    }
}

pub fn key_text(key: u8) -> String {
    format!("call-{key}")
}

/// The event's bytes: its number, its size, and pseudo-random bytes that follow from them.
pub fn body(number: usize, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    bytes.extend_from_slice(&(number as u32).to_le_bytes());
    bytes.extend_from_slice(&(size as u32).to_le_bytes());
    let mut word = (number as u32).wrapping_mul(0x9e37_79b1) | 1;
    bytes.extend((0..size).map(|_| {
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        word as u8
    }));
    bytes
}

impl Ledger {
    pub fn violate(&mut self, words: String) {
        self.violation.get_or_insert(words);
    }

    /// The journal's number; an unknown journal gets the next one.
    pub fn journal(&mut self, id: &str) -> usize {
        if let Some(found) = self.journals.iter().position(|known| known == id) {
            return found;
        }
        self.journals.push(id.to_owned());
        self.journals.len() - 1
    }

    pub fn send(&mut self, key: Option<u8>, size: usize, poison: Poison) -> usize {
        let second = self.second_topic.as_mut();
        self.events.push(Sent {
            topic: second.map_or(0, SecondTopic::next_topic),
            key,
            size,
            poison,
            acknowledged: None,
            delivered: 0,
            dead_lettered: false,
        });
        self.events.len() - 1
    }

    /// A sender got a 2xx.
    pub fn acknowledge(&mut self, number: usize, place: Place) {
        self.take_place(place, number);
        self.events[number].acknowledged = Some(place);
    }

    /// Notes which event a position means: never two.
    fn take_place(&mut self, place: Place, number: usize) {
        let before = *self.places.entry(place).or_insert(number);
        if before != number {
            self.violate(format!(
                "position {place:?} means event {before} and event {number}"
            ));
        }
    }

    /// Which event these bytes are, byte for byte.
    fn identify(&mut self, value: &[u8]) -> Option<usize> {
        let number = value
            .first_chunk::<4>()
            .map(|bytes| u32::from_le_bytes(*bytes) as usize);
        let found = number.filter(|number| {
            let sent = self.events.get(*number);
            sent.is_some_and(|sent| body(*number, sent.size) == value)
        });
        if found.is_none() {
            self.violate(format!(
                "{} bytes that nobody sent ({number:?})",
                value.len()
            ));
        }
        found
    }

    pub fn refused_by_client(&self, message: &Message) -> bool {
        self.poison_of(message) == Poison::TooLargeForClient
    }

    /// Why the topic refuses a batch with these records.
    pub fn refused_by_topic(&self, batch: &[Message]) -> Option<Code> {
        batch
            .iter()
            .find_map(|message| self.poison_of(message).code())
    }

    fn poison_of(&self, message: &Message) -> Poison {
        let number = message.value.first_chunk::<4>();
        let number = number.map(|bytes| u32::from_le_bytes(*bytes) as usize);
        let sent = number.and_then(|number| self.events.get(number));
        let poison = sent.map_or(Poison::No, |sent| sent.poison);
        if poison == Poison::TooLargeForNow && self.limit_raised {
            return Poison::No;
        }
        poison
    }

    /// The topic has taken a record.
    pub fn appended(&mut self, message: &Message) {
        let Some(number) = self.identify(&message.value) else {
            return;
        };
        let place = (self.journal(&message.headers.journal), message.position);
        if message.headers.position != message.position.to_string() {
            self.violate(format!(
                "{place:?} has the position {} in its header",
                message.headers.position
            ));
        }
        self.take_place(place, number);
        let sending = (message.client, message.sending);
        let before = self.sendings.insert(place, sending);
        if before.is_some_and(|before| before.0 == sending.0 && before.1 != sending.1) {
            self.violate(format!("{place:?} was sent twice by one producer"));
        }
        self.consecutive_dead_letters = 0;
        let sent = &mut self.events[number];
        if sent.poison == Poison::Unparsed {
            let words = format!("event {number}, whose body is not JSON, is in the topic");
            return self.violate(words);
        }
        if sent.topic != message.topic {
            let words = format!("event {number} is in the topic {}", message.topic);
            return self.violate(words);
        }
        let key = sent.key.map(key_text);
        let (first, was_dead_lettered) = (sent.delivered == 0, sent.dead_lettered);
        sent.delivered += 1;
        if key.as_deref() != message.key.as_deref() {
            let words = format!("event {number} has the key {:?} in the topic", message.key);
            return self.violate(words);
        }
        if !first {
            self.duplicates += 1;
            return;
        }
        let Some(key) = key else {
            return;
        };
        let latest = self.latest.entry((message.topic, key)).or_insert(place);
        let before = *latest;
        *latest = before.max(place);
        // A request of a process or producer that is gone may still deliver a record that is lost to damage or given up,
        // and the next process may deliver a dead letter whose checkpoint was lost.
        let is_comparable = !self.is_volatile || before.0 == place.0;
        let may_be_late = was_dead_lettered || self.given_up.contains(&place);
        if before > place && is_comparable && !may_be_late && !self.is_excused(place) {
            self.violate(format!(
                "event {number}, {place:?}, was overtaken by {before:?}"
            ));
        }
    }

    /// An event is answered 503 for good, because Kafka refuses it and no topic takes it as a dead letter.
    pub fn give_up(&mut self, journal: &str, position: u64) {
        let place = (self.journal(journal), position);
        self.given_up.insert(place);
    }

    /// A dead letter is durable; false if it replaces its own file.
    pub fn dead_letter(
        &mut self,
        journal: &str,
        position: u64,
        reason: Reason,
        payload: &[u8],
    ) -> bool {
        // Only what Kafka refuses, or cannot be decoded, stops publishing if there is much of it in a row.
        if reason != Reason::Unparsed {
            self.consecutive_dead_letters += 1;
        }
        if self.consecutive_dead_letters >= 10 {
            coverage::seen(Seen::TenDeadLettersInRow);
        }
        let body = match Event::decode(payload) {
            Ok(event) => event.body,
            Err(_) => payload.strip_prefix(&NO_EVENT).unwrap_or(payload),
        };
        let Some(number) = self.identify(body) else {
            return true;
        };
        let place = (self.journal(journal), position);
        self.take_place(place, number);
        let sent = &mut self.events[number];
        let poison = sent.poison;
        let is_new = !std::mem::replace(&mut sent.dead_lettered, true);
        if poison == Poison::No {
            self.violate(format!(
                "event {number}, which Kafka takes, was dead-lettered"
            ));
        }
        if (poison == Poison::Unparsed) != (reason == Reason::Unparsed) {
            let reason = reason.label();
            self.violate(format!(
                "event {number} ({poison:?}) was dead-lettered as {reason}"
            ));
        }
        is_new
    }
}
