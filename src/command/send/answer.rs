//! The answers, each as its sender sees it, and how many there were of each kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::command::render::{grouped, printable, size};
use crate::command::webhook::{Answer, PostError};

/// The headers that say something about the event.
const HEADERS: [&str; 6] = [
    "ringback-id",
    "retry-after",
    "content-type",
    "www-authenticate",
    "allow",
    "connection",
];
/// Characters of the progress bar.
const BAR_WIDTH: usize = 20;

/// What came of one event.
pub struct Answered {
    pub event: String,
    pub id: String,
    pub bytes: usize,
    /// Or why there is none.
    pub answer: Result<Answer, PostError>,
    pub elapsed: Duration,
}

impl Answered {
    pub fn is_accepted(&self) -> bool {
        let answer = self.answer.as_ref();
        answer.is_ok_and(|answer| (200..300).contains(&answer.status))
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let answer = self.answer.as_ref().ok();
        HEADERS.into_iter().filter_map(move |name| {
            let value = answer?.headers.get(name)?;
            Some((name, printable(&String::from_utf8_lossy(value.as_bytes()))))
        })
    }

    pub fn text(&self) -> String {
        let Self { event, id, .. } = self;
        let ms = self.elapsed.as_secs_f64() * 1000.0;
        let mut text = format!("{event}  {id}  {}  ", size(self.bytes as u64));
        let answer = match &self.answer {
            Ok(answer) => answer,
            Err(error) => {
                let _ = write!(text, "{error}");
                return text;
            }
        };
        let status = StatusCode::from_u16(answer.status).ok();
        let reason = status.and_then(|status| status.canonical_reason());
        let _ = write!(
            text,
            "{} {}  {ms:.1} ms",
            answer.status,
            reason.unwrap_or_default()
        );
        for (name, value) in self.headers() {
            let _ = write!(text, "\n  {name}: {value}");
        }
        if !answer.body.is_empty() {
            let body = printable(&String::from_utf8_lossy(&answer.body));
            let _ = write!(text, "\n  {body}");
        }
        text
    }

    pub fn json(&self) -> Value {
        let answer = self.answer.as_ref().ok();
        let body = answer.map(|answer| String::from_utf8_lossy(&answer.body));
        json!({
            "event": self.event,
            "id": self.id,
            "bytes": self.bytes,
            "status": answer.map(|answer| answer.status),
            "headers": self.headers().collect::<BTreeMap<_, _>>(),
            "body": body,
            "error": self.answer.as_ref().err().map(ToString::to_string),
            "ms": self.elapsed.as_secs_f64() * 1000.0,
        })
    }
}

/// The answers for which events are sent.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    Accepted,
    /// What is sent was changed or is too old.
    Unauthorized,
}

impl Expected {
    pub fn words(self) -> &'static str {
        match self {
            Self::Accepted => "2xx",
            Self::Unauthorized => "401, though they must be refused",
        }
    }
}

/// How many answers of each status there were.
#[derive(Default)]
pub struct Tally {
    pub sent: u64,
    pub refused: u64,
    by_status: BTreeMap<String, u64>,
}

impl Tally {
    pub fn count(&mut self, answered: &Answered) {
        self.sent += 1;
        self.refused += u64::from(!answered.is_accepted());
        let status = match &answered.answer {
            Ok(answer) => answer.status.to_string(),
            Err(_) => String::from("none"),
        };
        *self.by_status.entry(status).or_default() += 1;
    }

    /// How many answers were as expected.
    pub fn expected(&self, expected: Expected) -> u64 {
        match expected {
            Expected::Accepted => self.sent - self.refused,
            Expected::Unauthorized => self.by_status.get("401").copied().unwrap_or_default(),
        }
    }

    fn answers(&self) -> String {
        let answers = self.by_status.iter();
        let answers = answers.map(|(status, count)| format!("{status}: {}", grouped(*count)));
        answers.collect::<Vec<_>>().join("  ")
    }

    /// `share` is how much of the work is done, from 0 to 1.
    pub fn progress(&self, count: u64, share: f64) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss
        )]
        let full = ((share * BAR_WIDTH as f64) as usize).min(BAR_WIDTH);
        let bar = "█".repeat(full) + &"░".repeat(BAR_WIDTH - full);
        format!(
            "{bar} {}/{}  {}",
            grouped(self.sent),
            grouped(count),
            self.answers()
        )
    }

    pub fn text(&self, elapsed: Duration) -> String {
        format!(
            "{} sent in {:.1} s; answers: {}",
            grouped(self.sent),
            elapsed.as_secs_f64(),
            self.answers()
        )
    }
}
