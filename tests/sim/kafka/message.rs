//! A record, and what its headers say.

use std::rc::Rc;

use rdkafka::message::Headers as _;
use ringback::publish::outside::Outgoing;

/// One record as a client got it.
#[derive(Debug, Clone)]
pub struct Message {
    pub position: u64,
    pub key: Option<Rc<str>>,
    pub value: Rc<[u8]>,
    pub timestamp_ms: u64,
    pub headers: Rc<Headers>,
}

/// What the headers say of where it came from.
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
