//! What is kept of one request: its row in the list, and what its details are made of.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::command::dev::inspector::lines::Lines;
use crate::command::dev::inspector::target;
use crate::command::recording::Recorded;
use crate::ingest::{AuthenticateError, ObservedRequest};

/// Bytes of an entry beside its texts: the structs below and its places in the indices, rounded up.
const OVERHEAD: usize = 1024;

/// What the list shows of a request, as the page receives it.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// From 1.
    pub n: u64,
    /// When it arrived, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub method: String,
    pub path: String,
    pub source: Option<String>,
    pub event: Option<String>,
    pub key: Option<String>,
    /// The `ce_id`.
    pub id: Option<String>,
    /// Of the body, in bytes; `None` if it was not read to its end.
    pub size: Option<usize>,
    /// `None` until it is answered, or if its client has left before.
    pub status: Option<u16>,
    /// The metric's label of a refusal.
    pub reason: Option<&'static str>,
    /// From the end of the head to the answer, in microseconds.
    pub answer_us: Option<u64>,
    pub signature: Signature,
    pub kafka: Option<Place>,
    /// True if it does not come to the topic, because its body is not JSON.
    pub dead_letter: bool,
    /// The row that was sent again.
    pub again: Option<u64>,
    /// The kept row before it that has the same source and id: this one is a duplicate of it.
    pub repeats: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    Valid,
    /// There is none, and the source checks one.
    Missing,
    Invalid,
    /// The source checks none, or the request was refused before.
    Unchecked,
}

/// Where the event is in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// From the request to its arrival in the topic, in milliseconds.
    pub ms: u64,
}

/// A request as it came.
#[derive(Debug)]
pub struct Captured {
    pub at_ms: u64,
    pub client: SocketAddr,
    pub version: String,
    pub method: String,
    /// The path and the query.
    pub path: String,
    pub query: Option<String>,
    pub headers: Lines,
    pub body: Bytes,
    /// False if the body is longer, or was not read to its end.
    pub is_whole: bool,
    /// The label of the key, or what is wrong; `None` if nobody has looked.
    pub signature: Option<Result<Option<String>, AuthenticateError>>,
    /// Why the body is not JSON, if the event was accepted all the same.
    pub unparsed: Option<String>,
}

impl Captured {
    /// A copy: what ingest holds is charged to its memory, or belongs to a connection.
    pub fn of(request: &ObservedRequest<'_>, max_body: usize) -> Self {
        let body = request.body.unwrap_or_default();
        let kept = &body[..body.len().min(max_body)];
        let signature = request.signature.clone();
        Self {
            at_ms: request.at_ms,
            client: request.peer,
            version: format!("{:?}", request.version),
            method: request.method.to_string(),
            path: request.uri.path().to_owned(),
            query: request.uri.query().map(str::to_owned),
            headers: Lines::of_map(request.headers),
            body: Bytes::copy_from_slice(kept),
            is_whole: request.body.is_some() && kept.len() == body.len(),
            signature: signature.map(|verdict| verdict.map(|key| key.map(str::to_owned))),
            unparsed: request.unparsed.map(|error| error.to_string()),
        }
    }

    /// The path with the query.
    pub fn target(&self) -> String {
        target(&self.path, self.query.as_deref())
    }

    /// As a recording has it.
    pub fn recorded(&self) -> Recorded {
        Recorded {
            at_ms: self.at_ms,
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers: self.headers.pairs(),
            body: self.body.clone(),
        }
    }
}

/// What the sender was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Lines,
    pub body: Bytes,
    /// What the sender has to fix, if the request is refused.
    pub detail: Option<String>,
}

/// The record in the topic.
#[derive(Debug)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    pub key: Option<String>,
    pub headers: Lines,
}

/// What the handler of `--forward` has answered.
#[derive(Debug, Serialize)]
pub struct Forwarded {
    pub url: String,
    /// `None` if there was no answer.
    pub status: Option<u16>,
    pub ms: f64,
    /// Why there was none.
    pub error: Option<String>,
    pub body: String,
}

/// One kept request.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Of its last change.
    pub revision: u64,
    pub row: Arc<Row>,
    pub request: Arc<Captured>,
    pub answer: Option<Arc<Answer>>,
    pub record: Option<Arc<Record>>,
    pub forwarded: Option<Arc<Forwarded>>,
}

impl Entry {
    pub fn new(n: u64, observed: &ObservedRequest<'_>, max_body: usize) -> Self {
        let request = Captured::of(observed, max_body);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let row = Row {
            n,
            at_ms: observed.at_ms,
            method: request.method.clone(),
            path: request.path.clone(),
            source: owned(observed.source),
            event: owned(observed.event),
            key: owned(observed.key),
            id: owned(observed.id),
            size: observed.body.map(<[u8]>::len),
            status: None,
            reason: None,
            answer_us: None,
            signature: match &request.signature {
                Some(Ok(Some(_))) => Signature::Valid,
                Some(Err(AuthenticateError::Missing(_))) => Signature::Missing,
                Some(Err(_)) => Signature::Invalid,
                None | Some(Ok(None)) => Signature::Unchecked,
            },
            kafka: None,
            dead_letter: observed.unparsed.is_some(),
            again: None,
            repeats: None,
        };
        Self {
            revision: 0,
            row: Arc::new(row),
            request: Arc::new(request),
            answer: None,
            record: None,
            forwarded: None,
        }
    }

    /// Bytes of memory that it takes, nearly.
    pub fn bytes(&self) -> usize {
        let Row {
            method,
            path,
            source,
            event,
            key,
            id,
            ..
        } = &*self.row;
        // Source and id are in an index too.
        let texts =
            [source, event, key, id, source, id].map(|text| text.as_ref().map_or(0, String::len));
        // Method and path are in the row and in the request.
        let row = texts.iter().sum::<usize>() + 2 * (method.len() + path.len());
        let request = &self.request;
        let head = request.headers.as_bytes().len() + request.query.as_ref().map_or(0, String::len);
        let answer = self.answer.as_ref().map_or(0, |answer| {
            let detail = answer.detail.as_ref().map_or(0, String::len);
            answer.headers.as_bytes().len() + answer.body.len() + detail
        });
        let record = self.record.as_ref().map_or(0, |record| {
            let key = record.key.as_ref().map_or(0, String::len);
            record.headers.as_bytes().len() + key + 2 * record.topic.len()
        });
        let forwarded = self.forwarded.as_ref().map_or(0, |forwarded| {
            let error = forwarded.error.as_ref().map_or(0, String::len);
            forwarded.url.len() + forwarded.body.len() + error
        });
        OVERHEAD + row + head + request.body.len() + answer + record + forwarded
    }
}
