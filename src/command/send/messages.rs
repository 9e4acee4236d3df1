//! What is sent: samples of the sender's events, or the bodies in a file.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::samples::{Sample, samples};
use super::{header, typed};
use crate::command::RETELL_KEY;
use crate::command::recording::{self, Replayed};
use crate::command::webhook::{CertificateError, WebhookUrl, remove_transport};
use crate::ingest::{SignError, Signer, SourceConfig, Verify};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The events")]
pub struct MessageArgs {
    /// Only this one of the sender's events; an unknown name lists them [default: each once, but those whose sender waits for an answer with content]
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    event: Option<String>,
    /// The id of what the events are about, which becomes the record's key: the call, chat, object, channel or repository [default: a new one for each round]
    #[arg(long, value_name = "ID", value_parser = id, conflicts_with = "file")]
    call_id: Option<String>,
    /// Send this file as it is; of a file that ends with .ndjson each line; of a recording (ringback dev --record) each request
    /// with its own head, to its own path
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Another header of each request, as 'Name: value'; can be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why nothing, or no more, can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the sender has no event {name:?} among the samples; --event takes one of: {known}")]
    NoEvent { name: String, known: String },
    #[error("cannot read {0}")]
    File(String, #[source] io::Error),
    #[error("{0} holds no event")]
    Empty(String),
    #[error("{file}: {reason}")]
    Recording { file: String, reason: String },
    #[error("a recording is sent as it is: leave out {0}")]
    Recorded(&'static str),
    #[error(
        "{0} needs a sender that signs the {1}, and its key: give --key-env NAME or --key-file FILE, or for Retell set {RETELL_KEY}"
    )]
    Unsigned(&'static str, &'static str),
    #[error(
        "{verify} signs no {what}, so {flag} would change nothing that is checked: leave it out"
    )]
    SignsNo {
        verify: Verify,
        what: &'static str,
        flag: &'static str,
    },
    #[error("cannot connect to {url}: {reason}; {remedy}")]
    Unreachable {
        url: String,
        reason: String,
        remedy: &'static str,
    },
    #[error("cannot sign: the key or the request {0}")]
    Sign(#[source] SignError),
    #[error(transparent)]
    Certificate(CertificateError),
}

impl SendError {
    /// Of a sender whose key is there, and does not cover `what`.
    pub fn signs_no(what: &'static str, flag: &'static str, signer: &Signer) -> Self {
        let verify = signer.verify();
        Self::SignsNo { verify, what, flag }
    }

    /// The first event could not even be posted, so the others need not be tried.
    pub fn unreachable(url: &WebhookUrl, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "nothing listens there: is `ringback serve` or `ringback dev` running, and on this port?"
            }
            _ => "is the URL right, and can it be reached from here?",
        };
        Self::Unreachable {
            url: url.to_string(),
            reason: error.to_string(),
            remedy,
        }
    }
}

/// One event to be posted.
pub struct Message {
    /// As the sender calls it; of a file its name and line.
    pub event: String,
    /// What it is about; empty if a file says that.
    pub id: String,
    /// The id of the message.
    pub delivery: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Of a recorded request, which is sent as it was; then the method and the path with the query.
    pub recorded: Option<(Method, String)>,
}

enum Bodies {
    Samples {
        sent: Vec<Sample>,
        left_out: Vec<Sample>,
    },
    File(String, Vec<Bytes>),
    Recording(String, Vec<Replayed>),
}

/// All of them, again and again.
pub struct Messages {
    bodies: Bodies,
    id: Option<String>,
    headers: HeaderMap,
    run: String,
}

impl MessageArgs {
    /// Reads the file, or chooses the samples of the source's sender.
    pub fn read(&self, source: &SourceConfig) -> Result<Messages, SendError> {
        let bodies = match &self.file {
            Some(file) => {
                let name = file.display().to_string();
                let bytes = std::fs::read(file);
                let bytes = bytes.map_err(|error| SendError::File(name.clone(), error))?;
                if let Some(requests) = recording::read(&bytes) {
                    let file = || name.clone();
                    let requests = requests.map_err(|reason| SendError::Recording {
                        file: file(),
                        reason,
                    })?;
                    if requests.is_empty() {
                        return Err(SendError::Empty(name));
                    }
                    return Ok(self.messages(Bodies::Recording(name, requests)));
                }
                let is_list = file.extension().is_some_and(|end| end == "ndjson");
                let bodies = if is_list {
                    lines(&bytes)
                } else {
                    vec![bytes.into()]
                };
                if bodies.is_empty() {
                    return Err(SendError::Empty(name));
                }
                Bodies::File(name, bodies)
            }
            None => self.samples(source)?,
        };
        Ok(self.messages(bodies))
    }

    fn messages(&self, bodies: Bodies) -> Messages {
        Messages {
            bodies,
            id: self.call_id.clone(),
            headers: self.headers.iter().cloned().collect(),
            run: hex::encode(rand::random::<[u8; 4]>()),
        }
    }

    fn samples(&self, source: &SourceConfig) -> Result<Bodies, SendError> {
        let all = samples(source.preset, source.verify);
        let Some(name) = &self.event else {
            // A relay is not the place for what wants an answer with content.
            let is_event = |sample: &Sample| !source.verify.expects_content(Some(sample.event));
            let (sent, left_out) = all.iter().copied().partition(is_event);
            return Ok(Bodies::Samples { sent, left_out });
        };
        let chosen = all.iter().find(|sample| sample.event == *name);
        let known = || all.iter().map(|sample| sample.event).collect::<Vec<_>>();
        let chosen = chosen.copied().ok_or_else(|| SendError::NoEvent {
            name: name.clone(),
            known: known().join(", "),
        })?;
        Ok(Bodies::Samples {
            sent: vec![chosen],
            left_out: Vec::new(),
        })
    }
}

fn lines(bytes: &[u8]) -> Vec<Bytes> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty());
    lines.map(Bytes::copy_from_slice).collect()
}

impl Messages {
    /// At least 1.
    pub fn len(&self) -> u64 {
        let length = match &self.bodies {
            Bodies::Samples { sent, .. } => sent.len(),
            Bodies::File(_, bodies) => bodies.len(),
            Bodies::Recording(_, requests) => requests.len(),
        };
        length as u64
    }

    /// A sentence about the samples that nobody has chosen and that are not sent either.
    pub fn left_out(&self) -> Option<String> {
        let Bodies::Samples { left_out, .. } = &self.bodies else {
            return None;
        };
        let names: Vec<_> = left_out.iter().map(|sample| sample.event).collect();
        (!names.is_empty()).then(|| {
            format!(
                "Not sent: {}, whose sender waits for an answer with content, which no relay gives; --event sends one.",
                names.join(", ")
            )
        })
    }

    /// True if they are sent as they were recorded.
    pub fn are_recorded(&self) -> bool {
        matches!(self.bodies, Bodies::Recording(..))
    }

    /// The event with this number; after the last comes the first again, about something new.
    pub fn get(&self, number: u64) -> Message {
        let (round, index) = (number / self.len(), number % self.len());
        let index = usize::try_from(index).unwrap_or_default();
        let delivery = format!("send-{}-{number}", self.run);
        match &self.bodies {
            Bodies::Samples { sent, .. } => {
                let sample = sent[index];
                let new = || format!("send-{}-{round}", self.run);
                let id = self.id.clone().unwrap_or_else(new);
                let mut message = sample.message(id, delivery);
                message.headers.extend(self.headers.clone());
                message
            }
            Bodies::File(name, bodies) => {
                let mut headers = typed("application/json");
                headers.extend(self.headers.clone());
                Message {
                    event: format!("{name}:{}", index + 1),
                    id: String::new(),
                    delivery,
                    headers,
                    body: bodies[index].clone(),
                    recorded: None,
                }
            }
            Bodies::Recording(name, requests) => {
                let Replayed {
                    method,
                    target,
                    headers,
                    body,
                    ..
                } = requests[index].clone();
                let mut headers = headers;
                remove_transport(&mut headers);
                headers.extend(self.headers.clone());
                Message {
                    event: format!("{name}:{}", index + 2),
                    id: String::new(),
                    delivery,
                    headers,
                    body,
                    recorded: Some((method, target)),
                }
            }
        }
    }
}

/// An id that means itself in JSON, in a form and in a URL.
pub fn id(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(String::from(
        "write letters, digits and - _ . : / only; for other ids send a body of your own with --file",
    ))
}
