//! Events shaped and sized like Retell's, each of which can be recognised in the topic even if a relay has changed it.
//!
//! Every body carries a mark, `prove_<run>_<call>.<number>`, that survives any serialisation of JSON, and text that no
//! serialiser reproduces: the same letter raw and escaped, an escaped slash, spaces after some colons only, a trailing
//! newline. So a relay that parses and serialises always changes bytes.

use std::str::FromStr;

use rand::RngExt as _;

/// Bytes of the smallest body; its fixed parts take most of that.
const MIN_BODY: usize = 512;
/// Bytes of the largest body that may be asked for.
const MAX_BODY: u64 = 64 * 1024 * 1024;
/// Bytes. As Retell AI sends them: the last two events of a call carry its transcript, in the median 7 KB; one in ten over 100 KB.
const MEDIAN: f64 = 7_000.0;
/// From those two quantiles, if the logarithm is normally distributed: ln(100 / 7) / 1.2816.
const SIGMA: f64 = 2.075;
/// Bytes, of a call that never connected.
const MIN_TRANSCRIPT: f64 = 512.0;
/// Bytes, of a call of a bit more than an hour.
const MAX_TRANSCRIPT: f64 = 1_500_000.0;
/// Bytes: a partial transcript has the last turns only.
const PARTIAL_TRANSCRIPT: usize = 4 * 1024;

/// How large bodies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodySize {
    /// Like Retell's: some KB mostly, few over 1 MB.
    Mix,
    /// All of this many bytes.
    Bytes(usize),
}

impl FromStr for BodySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "mix" {
            return Ok(Self::Mix);
        }
        let wrong = || format!("give \"mix\", or {MIN_BODY}B to 64MiB, for example 2000 or 2KiB");
        let size: bytesize::ByteSize = text.parse().map_err(|_| wrong())?;
        let bytes = Some(size.as_u64()).filter(|bytes| *bytes <= MAX_BODY);
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|bytes| *bytes >= MIN_BODY).ok_or_else(wrong)?;
        Ok(Self::Bytes(bytes))
    }
}

/// Makes the events of one run.
#[derive(Debug)]
pub struct Workload {
    run_id: String,
    size: BodySize,
    /// Every transcript is a piece of it.
    text: String,
}

/// One telephone call, sent event by event.
#[derive(Debug)]
pub struct Conversation {
    /// The records' key.
    pub call_id: String,
    /// Events made so far, hence the number of the next one.
    pub sent: u64,
    events: u64,
    /// Bytes of its last events.
    transcript: usize,
}

/// What a record of the topic is.
#[derive(Debug, PartialEq, Eq)]
pub enum Recognised<'a> {
    /// The event of this call with this number.
    Event(String, u64),
    /// The key is this call's, but the value has lost its mark.
    Mangled(&'a str),
    /// Not of this run.
    Foreign,
}

impl Workload {
    /// With a random run id.
    pub fn new(size: BodySize) -> Self {
        let longest = match size {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            BodySize::Mix => MAX_TRANSCRIPT as usize,
            BodySize::Bytes(bytes) => bytes,
        };
        Self {
            run_id: hex::encode(rand::random::<[u8; 5]>()),
            size,
            text: words(longest * 2),
        }
    }

    /// Ten hex digits.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Begins a conversation; `ordinal` must differ from every other's in the run.
    pub fn conversation(&self, ordinal: u64) -> Conversation {
        Conversation {
            call_id: format!("prove_{}_{ordinal}", self.run_id),
            sent: 0,
            // call_started, some of transcript_updated, call_ended, call_analyzed.
            events: rand::rng().random_range(6..=14),
            transcript: transcript_bytes(),
        }
    }

    /// The body of the conversation's next event, or `None` if it is over.
    pub fn next_body(&self, conversation: &mut Conversation) -> Option<Vec<u8>> {
        if conversation.sent == conversation.events {
            return None;
        }
        let (number, last) = (conversation.sent, conversation.events - 1);
        let kind = match number {
            0 => "call_started",
            _ if number == last => "call_analyzed",
            _ if number + 1 == last => "call_ended",
            _ => "transcript_updated",
        };
        let size = match (self.size, kind) {
            (BodySize::Bytes(bytes), _) => bytes,
            (BodySize::Mix, "call_started") => rand::rng().random_range(500..=1000),
            (BodySize::Mix, "transcript_updated") => {
                PARTIAL_TRANSCRIPT.min(conversation.transcript)
            }
            (BodySize::Mix, _) => conversation.transcript,
        };
        conversation.sent += 1;
        Some(self.body(kind, &conversation.call_id, number, size))
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
        // The text is ASCII, so any index is between two characters.
        text.push_str(self.text.get(from..from + room).unwrap_or_default());
        text.push_str(end);
        text.into_bytes()
    }

    /// Recognises a record by the mark in its value, else by its key.
    pub fn recognise<'a>(&self, key: Option<&'a [u8]>, value: &[u8]) -> Recognised<'a> {
        let prefix = format!("prove_{}_", self.run_id);
        let text = String::from_utf8_lossy(value);
        for (at, _) in text.match_indices(&prefix) {
            let rest = &text[at + prefix.len()..];
            let Some((ordinal, rest)) = digits(rest) else {
                continue;
            };
            let number = rest.strip_prefix('.').and_then(digits);
            if let Some((number, _)) = number {
                return Recognised::Event(format!("{prefix}{ordinal}"), number);
            }
        }
        match key.and_then(|key| std::str::from_utf8(key).ok()) {
            Some(key) if key.starts_with(&prefix) => Recognised::Mangled(key),
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

/// Log-normal, by the Box-Muller transform.
fn transcript_bytes() -> usize {
    let (radius, angle): (f64, f64) = (rand::random(), rand::random());
    let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (2.0 * std::f64::consts::PI * angle).cos();
    let size = MEDIAN * (SIGMA * normal).exp();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded on both sides"
    )]
    let size = size.clamp(MIN_TRANSCRIPT, MAX_TRANSCRIPT) as usize;
    size
}

/// ASCII text of at least `length` bytes that compresses about as speech does.
fn words(length: usize) -> String {
    const WORDS: &str = "yes no hello thanks please the appointment tomorrow at number could you repeat that again \
                         account order delivery I would like to speak with";
    let words: Vec<_> = WORDS.split(' ').collect();
    let mut text = String::with_capacity(length + 16);
    let mut rng = rand::rng();
    while text.len() < length {
        text.push_str(words[rng.random_range(0..words.len())]);
        text.push(' ');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_retell_s_events_in_their_order_and_ends() {
        let workload = Workload::new(BodySize::Mix);
        let mut conversation = workload.conversation(3);
        let mut kinds = Vec::new();
        while let Some(body) = workload.next_body(&mut conversation) {
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(event["call"]["call_id"], conversation.call_id);
            kinds.push(event["event"].as_str().unwrap().to_owned());
        }
        assert_eq!(kinds[0], "call_started");
        assert_eq!(kinds[kinds.len() - 2..], ["call_ended", "call_analyzed"]);
        assert!((6..=14).contains(&kinds.len()));
    }

    #[test]
    fn a_size_is_kept_to_the_byte() {
        for size in [MIN_BODY, 2_000, 100_000] {
            let workload = Workload::new(BodySize::Bytes(size));
            let mut conversation = workload.conversation(u64::MAX);
            while let Some(body) = workload.next_body(&mut conversation) {
                assert_eq!(body.len(), size);
            }
        }
    }

    #[test]
    fn the_mix_has_the_measured_median_and_tail() {
        let mut sizes: Vec<_> = (0..20_000).map(|_| transcript_bytes()).collect();
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
    fn a_record_is_recognised_however_its_value_was_serialised() {
        let workload = Workload::new(BodySize::Bytes(600));
        let mut conversation = workload.conversation(12);
        workload.next_body(&mut conversation);
        let body = workload.next_body(&mut conversation).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let event = Recognised::Event(conversation.call_id.clone(), 1);
        let compact = serde_json::to_vec(&value).unwrap();
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        for value in [&body, &compact, &pretty, &body[..300].to_vec()] {
            assert_eq!(workload.recognise(None, value), event);
        }
        assert!(body != compact && body != pretty);
        let key = conversation.call_id.as_bytes();
        for value in [&b""[..], b"{}", &body[..80]] {
            assert_eq!(
                workload.recognise(Some(key), value),
                Recognised::Mangled(&conversation.call_id)
            );
        }
        let other = Workload::new(BodySize::Mix);
        assert_eq!(other.recognise(Some(key), &body), Recognised::Foreign);
        assert_eq!(workload.recognise(None, b"\xff\xfe"), Recognised::Foreign);
    }

    #[test]
    fn sizes_are_bounded_and_say_so() {
        assert_eq!("mix".parse(), Ok(BodySize::Mix));
        assert_eq!("2KiB".parse(), Ok(BodySize::Bytes(2048)));
        for bad in ["", "511", "65MiB", "large", "-1"] {
            let error = bad.parse::<BodySize>().unwrap_err();
            assert!(error.contains("512B to 64MiB"), "{bad}: {error}");
        }
    }
}
