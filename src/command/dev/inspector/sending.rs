//! Sends requests to this process's own webhook listener, and to nowhere else: one that came before, changed or not, or a
//! sample, signed as its sender signs.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::known::keys;
use super::lines::Lines;
use super::reply::{self, Reply};
use super::{Inspected, target};
use crate::command::recording;
use crate::command::send::{AGENT, SendError, id, samples, sign};
use crate::command::webhook::{WebhookClient, remove_transport};
use crate::ingest::{Signer, SourceConfig};

/// The body of `POST /api/send`.
#[derive(Deserialize)]
pub struct SendBody {
    /// The number of the request that is sent again.
    from: Option<u64>,
    /// With the query.
    path: String,
    headers: Vec<(String, String)>,
    /// In base64.
    body: String,
    /// True if a new signature is to be made.
    #[serde(default)]
    sign: bool,
}

/// The body of `POST /api/sample`.
#[derive(Deserialize)]
pub struct SampleBody {
    source: String,
    event: String,
    /// What the event is about; without one it is something new.
    key: Option<String>,
    #[serde(default)]
    tamper: bool,
    #[serde(default)]
    stale: bool,
}

/// What is posted.
struct Outgoing {
    /// With the query.
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Why nothing is sent, in a sentence: it is answered 400.
type Refused = String;

/// `POST /api/send`.
pub async fn send(inspected: &Inspected, send: SendBody) -> Reply {
    let from = send.from;
    match outgoing(inspected, send) {
        Ok(outgoing) => post(inspected, outgoing, from).await,
        Err(sentence) => reply::error(StatusCode::BAD_REQUEST, &sentence),
    }
}

/// `POST /api/sample`.
pub async fn sample(inspected: &Inspected, sample: SampleBody) -> Reply {
    match sampled(inspected, sample) {
        Ok(outgoing) => post(inspected, outgoing, None).await,
        Err(sentence) => reply::error(StatusCode::BAD_REQUEST, &sentence),
    }
}

fn outgoing(inspected: &Inspected, send: SendBody) -> Result<Outgoing, Refused> {
    if !send.path.starts_with('/') {
        return Err(String::from("The path must begin with \"/\"."));
    }
    let body = STANDARD.decode(&send.body);
    let body = body.map_err(|_| String::from("The body must be in base64."))?;
    let mut headers = recording::headers(&send.headers).map_err(|reason| format!("{reason}."))?;
    remove_transport(&mut headers);
    let mut path = send.path;
    if send.sign {
        let (bare, query) = match path.split_once('?') {
            Some((bare, query)) => (bare, Some(query)),
            None => (path.as_str(), None),
        };
        let mut sources = inspected.sources.all().iter();
        let source = sources.find(|source| source.path.contains(bare));
        let source = source.ok_or_else(|| {
            format!("No source has the path {bare}, so it is not known how to sign for it.")
        })?;
        let query = sign(
            &signer(source)?,
            &mut headers,
            query,
            &body,
            &delivery(),
            false,
        )
        .map_err(|error| unsigned(source, &error))?;
        path = target(bare, query.as_deref());
    }
    path.parse::<PathAndQuery>().map_err(|error| {
        format!(
            "The path cannot be sent ({error}): write what no URL has, such as a space, in percent-encoding (%20)."
        )
    })?;
    Ok(Outgoing {
        path,
        headers,
        body: body.into(),
    })
}

fn sampled(inspected: &Inspected, wanted: SampleBody) -> Result<Outgoing, Refused> {
    let source = inspected.sources.by_name(&wanted.source);
    let source = source.ok_or_else(|| format!("There is no source {:?}.", wanted.source))?;
    let mut known = samples(source.preset, source.verify).iter();
    let sample = known.find(|sample| sample.event == wanted.event);
    let sample =
        sample.ok_or_else(|| format!("There is no sample of the event {:?}.", wanted.event))?;
    let key = wanted.key.map_or_else(|| Ok(delivery()), |key| id(&key));
    let key = key.map_err(|reason| format!("The key cannot be used: {reason}."))?;
    let message = sample.message(key, delivery());
    let (mut headers, mut body) = (message.headers, message.body);
    headers.insert(USER_AGENT, AGENT);
    let mut query = None;
    if keys(source).is_empty() {
        if wanted.tamper || wanted.stale {
            return Err(not_noticed(source, "nothing"));
        }
    } else {
        let signer = signer(source)?;
        if wanted.tamper && !signer.signs_body() {
            return Err(not_noticed(source, "no body"));
        }
        query = sign(
            &signer,
            &mut headers,
            None,
            &body,
            &message.delivery,
            wanted.stale,
        )
        .map_err(|error| unsigned(source, &error))?;
    }
    if wanted.tamper {
        body = [&body[..], b" "].concat().into();
    }
    let path = source.path.iter().next().unwrap_or("/");
    Ok(Outgoing {
        path: target(path, query.as_deref()),
        headers,
        body,
    })
}

fn not_noticed(source: &SourceConfig, what: &str) -> Refused {
    let (name, verify) = (&source.name, source.verify);
    format!(
        "The sender of source \"{name}\" (verify = \"{verify}\") signs {what}, so nobody would notice the difference."
    )
}

fn unsigned(source: &SourceConfig, error: &SendError) -> Refused {
    match error {
        SendError::SignsNo { what, .. } => not_noticed(source, &format!("no {what}")),
        other => format!("It cannot be signed: {}.", crate::telemetry::chain(other)),
    }
}

fn signer(source: &SourceConfig) -> Result<Signer, Refused> {
    let mut keys = keys(source).into_iter();
    let key = keys.next().ok_or_else(|| {
        let name = &source.name;
        format!(
            "Source \"{name}\" has no key that can be read here, so nothing can be signed for it."
        )
    })?;
    Ok(key.signer)
}

/// A message's id.
pub fn delivery() -> String {
    format!("send-{}", hex::encode(rand::random::<[u8; 8]>()))
}

/// Posts it, and gives the answer with the number of its row.
async fn post(inspected: &Inspected, outgoing: Outgoing, from: Option<u64>) -> Reply {
    let Outgoing {
        path,
        headers,
        body,
    } = outgoing;
    // On a connection of its own, by which its row is found.
    let mut client = WebhookClient::new(Arc::clone(&inspected.listener), None);
    let begun = Instant::now();
    let answer = client.send(&Method::POST, &path, &headers, &body).await;
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    match answer {
        Ok(answer) => {
            let answered = json!({
                "status": answer.status,
                "headers": Lines::of_map(&answer.headers).pairs(),
                "body": String::from_utf8_lossy(&answer.body),
                "ms": ms,
                "n": inspected.store.sent_from(answer.client, from),
            });
            reply::json(StatusCode::OK, &answered)
        }
        Err(error) => reply::error(
            StatusCode::BAD_GATEWAY,
            &format!("The webhook listener gave no answer: {error}."),
        ),
    }
}
