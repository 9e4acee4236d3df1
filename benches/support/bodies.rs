//! Bodies shaped like a sender's: a transcript of words with their times, twice, as in Retell's events.
//!
//! The shape matters to parsers (a 7 KB event has about a hundred small objects), the text to compression. All bodies
//! differ, so that a batch does not compress to one of them.

use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The median of a call's last events, and the deviation of its logarithm: one in ten is over 100 KB.
const MEDIAN: f64 = 7_000.0;
const SIGMA: f64 = 2.075;
const LARGEST: f64 = 1_500_000.0;
/// A partial transcript has the last turns only.
const PARTIAL: usize = 4 * 1024;
/// Bytes of an event without a transcript.
const LEAST: usize = 480;
const WORDS_A_TURN: usize = 14;
/// Words as JSON: some with escapes, some raw, as senders mix them.
const WORDS: [&str; 28] = [
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
    "account",
    "order",
    "insurance",
    "claim",
    "thursday",
    "would",
    "like",
    "to",
    "speak",
    "with",
    "na\\u00efve",
    "caf\u{e9}",
    "\\ud83d\\udc4d",
    "\u{6771}\u{4eac}",
];

/// How large bodies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Size {
    /// Like a sender's: many of some KB, few of more than 1 MB.
    Mix,
    /// All of this many bytes.
    Bytes(usize),
}

impl Size {
    /// For the name of a row.
    pub fn label(self) -> String {
        match self {
            Self::Mix => String::from("mix"),
            Self::Bytes(bytes) => bytes.to_string(),
        }
    }
}

/// An event with its key.
pub struct Body {
    pub call_id: String,
    pub kind: &'static str,
    pub bytes: Vec<u8>,
}

/// `count` events, the same for the same seed.
pub fn bodies(size: Size, count: usize, seed: u64) -> Vec<Body> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bodies = Vec::with_capacity(count);
    while bodies.len() < count {
        let call_id: String = (0..32).map(|_| rng.random_range('a'..='z')).collect();
        match size {
            Size::Bytes(bytes) => bodies.push(body("call_ended", call_id, bytes, &mut rng)),
            Size::Mix => {
                let transcript = transcript(&mut rng);
                let length = rng.random_range(6..=14);
                for number in 0..length {
                    let (kind, bytes) = match number {
                        0 => ("call_started", rng.random_range(500..=1000)),
                        _ if number + 1 == length => ("call_analyzed", transcript),
                        _ if number + 2 == length => ("call_ended", transcript),
                        _ => ("transcript_updated", PARTIAL.min(transcript)),
                    };
                    bodies.push(body(kind, call_id.clone(), bytes, &mut rng));
                }
            }
        }
    }
    bodies.truncate(count);
    bodies
}

fn body(kind: &'static str, call_id: String, size: usize, rng: &mut StdRng) -> Body {
    let mut text = format!(
        "{{\"event\":\"{kind}\",\"call\":{{\"call_type\":\"phone_call\",\"call_id\":\"{call_id}\",\
         \"agent_id\":\"agent_2eIJ5Usa57mwvi6Pizi3885HBQ\",\"agent_version\":5,\"call_status\":\"ended\",\
         \"from_number\":\"+12137771234\",\"to_number\":\"+12137771235\",\"direction\":\"inbound\",\
         \"metadata\":{{\"customer\":\"GvEmRzEe\"}},\"opt_out_sensitive_data_storage\":false,\
         \"start_timestamp\":1714608478945,\"end_timestamp\":1714608508945,\"duration_ms\":30000"
    );
    let room = size.saturating_sub(text.len() + 200);
    if size > LEAST * 3 {
        // A word stands once in the text, and in each of the two lists once alone and once in its turn's text.
        let (mut plain, mut turns, mut turn, mut words) =
            (String::new(), String::new(), String::new(), String::new());
        let (mut seconds, mut count) = (0.4, 0);
        while plain.len() + 2 * (turns.len() + turn.len() + words.len()) + 400 < room {
            let word = WORDS[rng.random_range(0..WORDS.len())];
            let end: f64 = seconds + rng.random_range(0.15..0.6);
            // Writing to a String cannot fail.
            let _ = write!(
                words,
                "{{\"word\":\"{word} \",\"start\":{seconds:.3},\"end\":{end:.3}}},"
            );
            let _ = write!(turn, "{word} ");
            let _ = write!(plain, "{word} ");
            seconds = end;
            count += 1;
            if count % WORDS_A_TURN == 0 {
                close_turn(&mut turns, &mut turn, &mut words);
                plain.push_str("\\n");
            }
        }
        close_turn(&mut turns, &mut turn, &mut words);
        let turns = turns.trim_end_matches(',');
        let _ = write!(
            text,
            ",\"transcript\":\"{plain}\",\"transcript_object\":[{turns}],\"transcript_with_tool_calls\":[{turns}]"
        );
    }
    let filler = size.saturating_sub(text.len() + ",\"access_token\":\"\"}}".len());
    let token: String = (0..filler).map(|_| rng.random_range('0'..='z')).collect();
    let _ = write!(
        text,
        ",\"access_token\":\"{}\"}}}}",
        token.replace('\\', "_")
    );
    Body {
        call_id,
        kind,
        bytes: text.into_bytes(),
    }
}

fn close_turn(turns: &mut String, turn: &mut String, words: &mut String) {
    if turn.is_empty() {
        return;
    }
    let _ = write!(
        turns,
        "{{\"role\":\"agent\",\"content\":\"{}\",\"words\":[{}]}},",
        turn.trim_end(),
        words.trim_end_matches(',')
    );
    turn.clear();
    words.clear();
}

/// Log-normal, by the Box-Muller transform.
fn transcript(rng: &mut StdRng) -> usize {
    let (radius, angle): (f64, f64) = (rng.random(), rng.random());
    let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (2.0 * std::f64::consts::PI * angle).cos();
    let size = MEDIAN * (SIGMA * normal).exp();
    size.clamp(512.0, LARGEST) as usize
}
