//! What the page asks for beside the list: a request in full, what is known of this process, and a search.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_DISPOSITION;
use http::{HeaderValue, StatusCode};
use memchr::memmem::Finder;
use serde_json::{Map, Value, json};

use super::Inspected;
use super::reply::{self, Reply};
use super::store::Entry;
use super::verdict::{sentence, verdict};
use crate::command::recording;
use crate::ingest;
use crate::time::now_ms;

/// Requests of one step of a search; other answers may come between two of them.
const SEARCH_STEP: usize = 256;

/// `GET /api/info`.
pub fn info(inspected: &Inspected) -> Reply {
    let bounds = inspected.store.bounds();
    // Of the first source: without a path it would be nobody's.
    let first = inspected.sources.all().first();
    let path = first.and_then(|source| source.path.iter().next());
    let (port, path) = (inspected.listener.port, path.unwrap_or_default());
    let info = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "run": inspected.streams.run(),
        "webhook": format!("http://localhost:{port}{path}"),
        "topic": inspected.topic,
        "bootstrap": inspected.bootstrap,
        "now_ms": now_ms(),
        "keeps": { "requests": bounds.requests, "bytes": bounds.bytes },
        "sources": inspected.sources.json(),
    });
    reply::json(StatusCode::OK, &info)
}

/// `GET /api/requests/{n}`.
pub fn request(entry: &Entry, inspected: &Inspected) -> Reply {
    let request = &entry.request;
    let mut details = match serde_json::to_value(&*entry.row) {
        Ok(Value::Object(row)) => row,
        _ => Map::new(),
    };
    let mut set = |name: &str, value: Value| details.insert(name.to_owned(), value);
    set("query", json!(request.query));
    set("version", json!(request.version));
    set("client", json!(request.client.to_string()));
    set("headers", json!(request.headers.pairs()));
    set("body", json!(STANDARD.encode(&request.body)));
    set("body_is_whole", json!(request.is_whole));
    let verdict = verdict(entry, &inspected.sources);
    set("refusal", refusal(entry, &verdict["remedy"]));
    set("verdict", verdict);
    let unparsed = request.unparsed.as_ref();
    let unparsed = unparsed.map(|error| {
        format!("The body is not one JSON document: {error}. The event is kept as a dead letter and does not come to the topic.")
    });
    set("unparsed", json!(unparsed));
    let record = entry.record.as_ref().map(|record| {
        json!({
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": record.key,
            "headers": record.headers.pairs(),
        })
    });
    set("record", json!(record));
    let answer = entry.answer.as_ref().map(|answer| {
        json!({
            "status": answer.status,
            "headers": answer.headers.pairs(),
            "body": String::from_utf8_lossy(&answer.body),
        })
    });
    set("answer", json!(answer));
    set("forwarded", json!(entry.forwarded.as_deref()));
    reply::json(StatusCode::OK, &Value::Object(details))
}

/// `exact` is what to do about this very signature, if that is known.
fn refusal(entry: &Entry, exact: &Value) -> Value {
    let answer = entry.answer.as_ref();
    let Some((reason, answer)) = entry.row.reason.zip(answer) else {
        return Value::Null;
    };
    let is_exact = reason.starts_with("signature_") && !exact.is_null();
    let general = || json!(ingest::advice(reason).map(sentence));
    json!({
        "status": answer.status,
        "reason": reason,
        "detail": answer.detail,
        "remedy": if is_exact { exact.clone() } else { general() },
    })
}

/// `GET /api/requests/{n}/fixture`.
pub fn fixture(entry: &Entry) -> Reply {
    let request = &entry.request;
    if !request.is_whole {
        return reply::error(
            StatusCode::CONFLICT,
            "The body is not kept whole, so a recording of it would be another request.",
        );
    }
    let mut text = recording::HEADER.to_owned();
    text.push('\n');
    text.push_str(&request.recorded().line());
    text.push('\n');
    let mut reply = reply::bytes("application/x-ndjson", text);
    let name = entry.row.event.as_deref().unwrap_or("request");
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(64)
        .collect();
    let disposition = format!("attachment; filename=\"{name}-{}.ndjson\"", entry.row.n);
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        reply.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    }
    reply
}

/// `GET /api/search`: looks at every kept request once, in steps that keep nobody waiting.
pub async fn search(inspected: &Inspected, query: &str) -> Reply {
    let wanted = form_value(query, "text").unwrap_or_default();
    let mut matches = Vec::new();
    if !wanted.is_empty() {
        let mut before = None;
        let mut search = Search::new(&wanted);
        loop {
            let step = inspected.store.older(before, SEARCH_STEP);
            let Some((oldest, _)) = step.last() else {
                break;
            };
            before = Some(oldest.n);
            for (row, request) in &step {
                let target = request.target();
                let texts = [
                    target.as_bytes(),
                    request.headers.as_bytes(),
                    row.key.as_deref().unwrap_or_default().as_bytes(),
                    &request.body,
                ];
                if texts.iter().any(|text| search.is_in(text)) {
                    matches.push(row.n);
                }
            }
            tokio::task::yield_now().await;
        }
    }
    reply::json(StatusCode::OK, &json!({ "matches": matches }))
}

/// The value of this name in a query, decoded: `+` is a space, `%` begins two hexadecimal digits.
fn form_value(query: &str, name: &str) -> Option<Vec<u8>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.as_bytes();
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        let hex = rest.get(..2).and_then(|digits| hex::decode(digits).ok());
        match (byte, hex) {
            (b'+', _) => decoded.push(b' '),
            (b'%', Some(hex)) => {
                decoded.extend(hex);
                bytes = &rest[2..];
            }
            (other, _) => decoded.push(*other),
        }
    }
    Some(decoded)
}

/// Finds texts in which letters of ASCII match in either case, in a time that grows with the text alone.
struct Search {
    finder: Finder<'static>,
    /// The text in small letters; kept, so that it is allocated once.
    folded: Vec<u8>,
}

impl Search {
    fn new(wanted: &[u8]) -> Self {
        Self {
            finder: Finder::new(&wanted.to_ascii_lowercase()).into_owned(),
            folded: Vec::new(),
        }
    }

    fn is_in(&mut self, text: &[u8]) -> bool {
        self.folded.clear();
        self.folded.extend_from_slice(text);
        self.folded.make_ascii_lowercase();
        self.finder.find(&self.folded).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_whatever_its_case() {
        for (text, wanted, found) in [
            ("The Call", "call", true),
            ("ccccall", "CALL", true),
            ("cal", "call", false),
            ("", "a", false),
            ("Zürich", "ürich", true),
        ] {
            assert_eq!(
                Search::new(wanted.as_bytes()).is_in(text.as_bytes()),
                found,
                "{text}"
            );
        }
    }

    #[test]
    fn a_query_s_value_is_decoded() {
        let value =
            |query| form_value(query, "text").map(|value| String::from_utf8(value).unwrap());
        assert_eq!(
            value("a=b&text=a+b%26%C3%BC%zz%4").as_deref(),
            Some("a b&ü%zz%4")
        );
        assert_eq!(value("texts=a"), None);
    }
}
