//! A record in transit.

use std::rc::Rc;

use rdkafka::message::Headers as _;
use ringback::publish::env::Outgoing;

use super::topics;

/// One record as a client got it.
#[derive(Debug, Clone)]
pub struct Message {
    pub position: u64,
    /// The topic's index.
    pub topic: usize,
    /// The producer that was given it.
    pub client: u64,
    /// Numbers the sendings; a client's own retry keeps its number.
    pub sending: u64,
    pub key: Option<Rc<str>>,
    pub value: Rc<[u8]>,
    pub timestamp_ms: u64,
    pub headers: Rc<Headers>,
}

impl Message {
    pub fn of(outgoing: &Outgoing<'_>, client: u64, sending: u64) -> Self {
        Self {
            position: outgoing.position,
            topic: topics::index(outgoing.topic),
            client,
            sending,
            key: outgoing.key.map(Rc::from),
            value: Rc::from(outgoing.value),
            timestamp_ms: outgoing.timestamp_ms,
            headers: Rc::new(Headers::of(outgoing)),
        }
    }
}

/// The headers that show where the record came from.
#[derive(Debug, PartialEq, Eq)]
pub struct Headers {
    pub journal: String,
    pub position: String,
    pub time: String,
}

impl Headers {
    pub fn of(outgoing: &Outgoing<'_>) -> Self {
        let text = |name: &str| {
            let found = outgoing.headers.iter().find(|header| header.key == name);
            let value = found.and_then(|header| header.value).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        Self {
            journal: text("ringback_journal"),
            position: text("ringback_position"),
            time: text("ce_time"),
        }
    }
}
