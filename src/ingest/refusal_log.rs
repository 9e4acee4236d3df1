//! Logs refusals: the first of each source and reason at once, then one line a minute with the number since.
//!
//! A full journal refuses at the full rate, and anybody can be refused. So a refusal without a line costs a clock reading
//! and two atomics, and the memory is fixed at the start: nothing that a sender chooses is kept.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::refusal::{Problem, Reason};
use crate::log_throttle::LineThrottle;

/// Between two lines of one source and reason.
const INTERVAL: Duration = Duration::from_mins(1);
/// The most characters of a sender's text in one line.
const MAX_SHOWN: usize = 80;

/// When each line may be logged again.
#[derive(Debug)]
pub(super) struct RefusalLog {
    start: Instant,
    /// By source; the last is of requests and connections without one.
    sources: Vec<[LineThrottle; Reason::ALL.len()]>,
}

/// Where a refused request came from, and where it went.
pub(super) struct Sender<'a> {
    pub(super) client: IpAddr,
    pub(super) method: &'a str,
    /// Without the query, which may hold a secret.
    pub(super) path: &'a str,
}

impl RefusalLog {
    pub(super) fn new(sources: usize) -> Self {
        let throttles = || std::array::from_fn(|_| LineThrottle::default());
        Self {
            start: Instant::now(),
            sources: std::iter::repeat_with(throttles)
                .take(sources + 1)
                .collect(),
        }
    }

    /// How many refusals the line stands for; `None` if it may not be logged yet.
    pub(super) fn permit(&self, source: Option<usize>, reason: Reason) -> Option<u64> {
        let none = self.sources.len() - 1;
        let throttle = &self.sources[source.unwrap_or(none)][reason as usize];
        let suppressed = throttle.permit(self.start.elapsed(), INTERVAL)?;
        Some(suppressed + 1)
    }

    /// Logs a connection that the HTTP parser has refused, if it may be logged again. Other ends of connections are not
    /// refusals: a client is slow, or gone.
    pub(super) fn connection(&self, client: IpAddr, reason: Reason) {
        let hint = match reason {
            Reason::HeadMalformed => {
                "if the sender posts to https://, terminate TLS in front of ringback"
            }
            Reason::HeadTooLarge => "a head may have 64 KiB and 256 headers",
            _ => return,
        };
        if let Some(count) = self.permit(None, reason) {
            let reason = reason.label();
            tracing::warn!(reason, count, %client, hint, "refusing what is not valid HTTP");
        }
    }
}

/// Logs `count` refusals, of which the last is `problem`. `hint` is what an operator should check.
pub(super) fn log(
    source: Option<&str>,
    problem: &Problem,
    count: u64,
    sender: &Sender<'_>,
    hint: Option<&str>,
) {
    let (reason, detail) = (problem.reason.label(), &problem.detail);
    if problem.status.is_server_error() {
        tracing::warn!(
            source,
            reason,
            count,
            "refusing events for a fault of this server: {detail}"
        );
        return;
    }
    tracing::warn!(
        source,
        reason,
        count,
        client = %sender.client,
        method = shown(sender.method),
        path = shown(sender.path),
        hint,
        "refusing requests: {detail}"
    );
}

/// A sender's text, shortened, and escaped so that it cannot control a terminal or end a line.
fn shown(text: &str) -> String {
    let mut shown: String = text.escape_default().take(MAX_SHOWN).collect();
    if text.escape_default().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_and_reason_has_a_line_of_its_own_and_repetitions_are_counted() {
        let log = RefusalLog::new(2);
        for source in [Some(0), Some(1), None] {
            assert_eq!(log.permit(source, Reason::SignatureStale), Some(1));
            assert_eq!(log.permit(source, Reason::UnknownPath), Some(1));
            assert_eq!(log.permit(source, Reason::UnknownPath), None);
        }
    }

    #[test]
    fn a_sender_s_text_is_shown_short_and_on_one_line() {
        assert_eq!(shown("/webhook"), "/webhook");
        assert_eq!(shown("/a\u{1b}[2J\n\u{202e}"), "/a\\u{1b}[2J\\n\\u{202e}");
        let exact = "x".repeat(MAX_SHOWN);
        assert_eq!(shown(&exact), exact);
        assert_eq!(shown(&format!("{exact}y")), format!("{exact}…"));
    }
}
