//! Events shaped and sized like Retell's, each of which can be recognised in whatever a relay made of it.
//!
//! Every body carries a mark, `prove_<run>_<call>.<number>`, that survives any printing of JSON, and text that no printer
//! of JSON leaves alone: the same letter raw and escaped, an escaped slash, spaces after some colons only, a trailing
//! newline. So a relay that parses and prints, however it does that, changes bytes.

use std::fmt::Write as _;
use std::str::FromStr;

use rand::RngExt as _;

/// The smallest body: what it must carry takes most of that.
const LEAST: usize = 512;
/// The largest that may be asked for.
const MOST: u64 = 64 * 1024 * 1024;
/// As Retell AI sends them: the last two events of a call carry its transcript, in the median 7 KB, in one of ten over 100 KB…
const MEDIAN: f64 = 7_000.0;
/// …so, if the logarithm is normally distributed: ln(100 / 7) / 1.2816.
const SIGMA: f64 = 2.075;
/// A call that never connected.
const SHORTEST: f64 = 512.0;
/// A call of a bit more than an hour.
const LONGEST: f64 = 1_500_000.0;
/// A partial transcript has the last turns only.
const PARTIAL: usize = 4 * 1024;

/// How large bodies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As a sender's are: most of some KB, few of more than 1 MB.
    Mix,
    /// All of so many bytes.
    Bytes(usize),
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "mix" {
            return Ok(Self::Mix);
        }
        let wrong = || format!("give \"mix\", or {LEAST}B to 64MiB, as 2000 or 2KiB");
        let size: bytesize::ByteSize = text.parse().map_err(|_| wrong())?;
        let bytes = Some(size.as_u64()).filter(|bytes| *bytes <= MOST);
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|bytes| *bytes >= LEAST).ok_or_else(wrong)?;
        Ok(Self::Bytes(bytes))
    }
}

/// What all events of a run share.
#[derive(Debug)]
pub struct Run {
    id: String,
    size: Size,
    /// What is said in all calls; each event has a piece of it.
    text: String,
}

/// One call, which grows by its events.
#[derive(Debug)]
pub struct Call {
    /// The `call_id`, and so the records' key.
    pub id: String,
    /// The next event's number.
    pub number: u64,
    /// How many events it has.
    length: u64,
    /// The size of its last events.
    transcript: usize,
}

/// What a record is.
#[derive(Debug, PartialEq, Eq)]
pub enum Recognised<'a> {
    /// This call's event of this number.
    Event(String, u64),
    /// Under the key of this call, with a value that says nothing any more.
    Mangled(&'a str),
    /// Not of this run.
    Foreign,
}

impl Run {
    /// A run unlike every other.
    pub fn new(size: Size) -> Self {
        let longest = match size {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Size::Mix => LONGEST as usize,
            Size::Bytes(bytes) => bytes,
        };
        Self {
            id: hex::encode(rand::random::<[u8; 5]>()),
            size,
            text: talk(longest * 2),
        }
    }

    /// Ten hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Begins the call of this ordinal.
    pub fn call(&self, ordinal: u64) -> Call {
        Call {
            id: format!("prove_{}_{ordinal}", self.id),
            number: 0,
            // call_started, some of what is said, call_ended, call_analyzed.
            length: rand::rng().random_range(6..=14),
            transcript: transcript(),
        }
    }

    /// The call's next event, or `None` once it is over.
    pub fn next(&self, call: &mut Call) -> Option<Vec<u8>> {
        if call.number == call.length {
            return None;
        }
        let (number, last) = (call.number, call.length - 1);
        let kind = match number {
            0 => "call_started",
            _ if number == last => "call_analyzed",
            _ if number + 1 == last => "call_ended",
            _ => "transcript_updated",
        };
        let size = match (self.size, kind) {
            (Size::Bytes(bytes), _) => bytes,
            (Size::Mix, "call_started") => rand::rng().random_range(500..=1000),
            (Size::Mix, "transcript_updated") => PARTIAL.min(call.transcript),
            (Size::Mix, _) => call.transcript,
        };
        call.number += 1;
        Some(self.body(kind, &call.id, number, size))
    }

    fn body(&self, kind: &str, call: &str, number: u64, size: usize) -> Vec<u8> {
        let mut text = format!(
            "{{\"event\":\"{kind}\",\"call\": {{\"call_id\":\"{call}\",\"metadata\":{{\"prove\": \"{call}.{number}\"}},\
             \"agent_name\":\"Zo\u{eb} Zo\\u00eb\",\"recording_url\":\"https:\\/\\/example.com\\/{number}\",\
             \"cost\":1.50,\"transcript\":\""
        );
        let end = "\"}}\n";
        let room = size.saturating_sub(text.len() + end.len());
        let from = rand::rng().random_range(0..=self.text.len().saturating_sub(room));
        // The text is ASCII, so any place is between two characters.
        text.push_str(self.text.get(from..from + room).unwrap_or_default());
        text.push_str(end);
        text.into_bytes()
    }

    /// Which event a record is of: by the mark in its value, else by its key.
    pub fn recognise<'a>(&self, key: Option<&'a [u8]>, value: &[u8]) -> Recognised<'a> {
        let ours = format!("prove_{}_", self.id);
        let text = String::from_utf8_lossy(value);
        for (at, _) in text.match_indices(&ours) {
            let rest = &text[at + ours.len()..];
            let Some((ordinal, rest)) = digits(rest) else {
                continue;
            };
            let number = rest.strip_prefix('.').and_then(digits);
            if let Some((number, _)) = number {
                return Recognised::Event(format!("{ours}{ordinal}"), number);
            }
        }
        match key.and_then(|key| std::str::from_utf8(key).ok()) {
            Some(key) if key.starts_with(&ours) => Recognised::Mangled(key),
            _ => Recognised::Foreign,
        }
    }
}

/// The number that a text starts with, and what follows it.
fn digits(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    Some((number.parse().ok()?, rest))
}

/// The size of a call's last events: log-normal, by the Box-Muller transform.
fn transcript() -> usize {
    let (radius, angle): (f64, f64) = (rand::random(), rand::random());
    let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (2.0 * std::f64::consts::PI * angle).cos();
    let size = MEDIAN * (SIGMA * normal).exp();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded on both sides"
    )]
    let size = size.clamp(SHORTEST, LONGEST) as usize;
    size
}

/// ASCII that compresses about as speech does.
fn talk(length: usize) -> String {
    const WORDS: [&str; 24] = [
        "yes",
        "no",
        "hello",
        "thanks",
        "please",
        "the",
        "appointment",
        "tomorrow",
        "at",
        "number",
        "could",
        "you",
        "repeat",
        "that",
        "again",
        "account",
        "order",
        "delivery",
        "I",
        "would",
        "like",
        "to",
        "speak",
        "with",
    ];
    let mut text = String::with_capacity(length + 16);
    let mut rng = rand::rng();
    while text.len() < length {
        let word = WORDS[rng.random_range(0..WORDS.len())];
        // Writing to a text cannot fail.
        let _ = write!(text, "{word} ");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_retell_s_events_in_their_order_and_ends() {
        let run = Run::new(Size::Mix);
        let mut call = run.call(3);
        let mut kinds = Vec::new();
        while let Some(body) = run.next(&mut call) {
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(event["call"]["call_id"], call.id);
            kinds.push(event["event"].as_str().unwrap().to_owned());
        }
        assert_eq!(kinds[0], "call_started");
        assert_eq!(kinds[kinds.len() - 2..], ["call_ended", "call_analyzed"]);
        assert!((6..=14).contains(&kinds.len()));
    }

    #[test]
    fn a_size_is_kept_to_the_byte() {
        for size in [LEAST, 2_000, 100_000] {
            let run = Run::new(Size::Bytes(size));
            let mut call = run.call(u64::MAX);
            while let Some(body) = run.next(&mut call) {
                assert_eq!(body.len(), size);
            }
        }
    }

    #[test]
    fn the_mix_has_the_median_and_the_tail_that_were_seen() {
        let mut sizes: Vec<_> = (0..20_000).map(|_| transcript()).collect();
        sizes.sort_unstable();
        assert!((6_000..8_000).contains(&sizes[10_000]), "{}", sizes[10_000]);
        assert!(
            (80_000..120_000).contains(&sizes[18_000]),
            "{}",
            sizes[18_000]
        );
        assert!(sizes[19_999] > 1_000_000);
    }

    #[test]
    fn a_record_is_recognised_however_its_value_was_printed() {
        let run = Run::new(Size::Bytes(600));
        let mut call = run.call(12);
        run.next(&mut call);
        let body = run.next(&mut call).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let event = Recognised::Event(call.id.clone(), 1);
        let printed = serde_json::to_vec(&value).unwrap();
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        for value in [&body, &printed, &pretty, &body[..300].to_vec()] {
            assert_eq!(run.recognise(None, value), event);
        }
        assert!(body != printed && body != pretty);
        let key = call.id.as_bytes();
        for value in [&b""[..], b"{}", &body[..80]] {
            assert_eq!(
                run.recognise(Some(key), value),
                Recognised::Mangled(&call.id)
            );
        }
        let other = Run::new(Size::Mix);
        assert_eq!(other.recognise(Some(key), &body), Recognised::Foreign);
        assert_eq!(run.recognise(None, b"\xff\xfe"), Recognised::Foreign);
    }

    #[test]
    fn sizes_are_bounded_and_say_so() {
        assert_eq!("mix".parse(), Ok(Size::Mix));
        assert_eq!("2KiB".parse(), Ok(Size::Bytes(2048)));
        for bad in ["", "511", "65MiB", "large", "-1"] {
            let error = bad.parse::<Size>().unwrap_err();
            assert!(error.contains("512B to 64MiB"), "{bad}: {error}");
        }
    }
}
