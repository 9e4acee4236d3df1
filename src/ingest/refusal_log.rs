//! Logs refusals: the first of each source and reason at once, then one line a minute with the number since.
//!
//! A full journal refuses at the full rate, and anybody can be refused. So a refusal without a line costs a clock reading
//! and a few atomics, and the memory is fixed at the start: nothing that a sender chooses is kept but its address.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::refusal::{Problem, Reason};
use crate::log_throttle::LineThrottle;

/// Between two lines of one source and reason.
pub(super) const INTERVAL: Duration = Duration::from_mins(1);
/// How long after its interval a line waits for another refusal, which can be described; then it is logged without one.
pub(super) const QUIET: Duration = Duration::from_secs(2);
/// The most characters of a sender's text in one line.
const MAX_SHOWN: usize = 80;

/// When each line may be logged again.
#[derive(Debug)]
pub(super) struct RefusalLog {
    start: Instant,
    /// By source; the last is of requests and connections without one.
    sources: Vec<SourceLines>,
}

#[derive(Debug)]
struct SourceLines {
    name: Option<String>,
    lines: [Line; Reason::ALL.len()],
}

#[derive(Debug, Default)]
struct Line {
    throttle: LineThrottle,
    /// The last client whose refusal was not logged.
    client: Mutex<Option<IpAddr>>,
}

/// Where a refused request came from, and where it went.
pub(super) struct Sender<'a> {
    pub(super) client: IpAddr,
    pub(super) method: &'a str,
    /// Without the query, which may hold a secret.
    pub(super) path: &'a str,
}

impl RefusalLog {
    /// `sources` are their names.
    pub(super) fn new<'a>(sources: impl Iterator<Item = &'a str>) -> Self {
        let names = sources.map(|name| Some(name.to_owned())).chain([None]);
        let sources = names.map(|name| SourceLines {
            name,
            lines: std::array::from_fn(|_| Line::default()),
        });
        Self {
            start: Instant::now(),
            sources: sources.collect(),
        }
    }

    /// How many refusals the line stands for; `None` if it may not be logged yet.
    pub(super) fn permit(
        &self,
        source: Option<usize>,
        reason: Reason,
        client: IpAddr,
    ) -> Option<u64> {
        let none = self.sources.len() - 1;
        let line = &self.sources[source.unwrap_or(none)].lines[reason as usize];
        let suppressed = line.throttle.permit(self.start.elapsed(), INTERVAL);
        // Whichever of several clients refused at this moment is the last one does not matter, so nobody waits.
        if suppressed.is_none()
            && let Ok(mut last) = line.client.try_lock()
        {
            *last = Some(client);
        }
        Some(suppressed? + 1)
    }

    /// Logs what was refused since the last line of each source and reason, once that line's minute is over. Otherwise
    /// the last refusals of a burst would be logged only with the next one.
    pub(super) fn log_overdue(&self) {
        self.log_unreported(self.start.elapsed().saturating_sub(QUIET));
    }

    /// Logs what was refused since the last line of each source and reason: the process ends.
    pub(super) fn log_rest(&self) {
        self.log_unreported(self.start.elapsed() + INTERVAL);
    }

    fn log_unreported(&self, now: Duration) {
        for (source, reason, count, client) in self.unreported(now) {
            let (reason, client) = (reason.label(), client.map(tracing::field::display));
            tracing::warn!(
                source,
                reason,
                count,
                client,
                "refused more for the same reason since the last line; the client is the last one of them"
            );
        }
    }

    /// What no line stands for, though its time has come at `now`: source, reason, number, and the last client.
    fn unreported(
        &self,
        now: Duration,
    ) -> impl Iterator<Item = (Option<&str>, Reason, u64, Option<IpAddr>)> {
        self.sources
            .iter()
            .flat_map(move |SourceLines { name, lines }| {
                let lines = lines.iter().zip(Reason::ALL);
                lines.filter_map(move |(line, reason)| {
                    let count = line.throttle.overdue(now, INTERVAL)?;
                    let client = line.client.try_lock().ok().and_then(|client| *client);
                    Some((name.as_deref(), reason, count, client))
                })
            })
    }

    /// Logs a connection that the HTTP parser or TLS has refused, if it may be logged again. Other ends of connections are
    /// not refusals: a client is slow, or gone. `error` is what the library says of the fault.
    pub(super) fn connection(&self, client: IpAddr, reason: Reason, error: Option<&str>) {
        let Some(refused) = connection_refusal(reason) else {
            return;
        };
        if let Some(count) = self.permit(None, reason, client) {
            let (reason, hint) = (reason.label(), reason.advice());
            tracing::warn!(reason, count, %client, error, hint, "{refused}");
        }
    }
}

/// Why a connection without a valid request is refused; `None` if its client was slow, or is gone.
fn connection_refusal(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::HeadMalformed | Reason::HeadTooLarge => "refusing what is not valid HTTP",
        Reason::TlsPlaintext => "refusing a client that does not use TLS: it was answered 400",
        Reason::TlsIncompatible
        | Reason::TlsDistrusted
        | Reason::TlsFailed
        | Reason::TlsTimeout => "a client cannot connect: the TLS handshake failed",
        Reason::TlsUnused => "a client left after the TLS handshake, without a request",
        _ => return None,
    })
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
        let log = RefusalLog::new(["a", "b"].into_iter());
        let client = IpAddr::from([127, 0, 0, 1]);
        for source in [Some(0), Some(1), None] {
            assert_eq!(log.permit(source, Reason::SignatureStale, client), Some(1));
            assert_eq!(log.permit(source, Reason::UnknownPath, client), Some(1));
            assert_eq!(log.permit(source, Reason::UnknownPath, client), None);
        }
    }

    #[test]
    fn the_last_refusals_of_a_burst_are_reported_once_their_minute_is_over() {
        let log = RefusalLog::new(["a"].into_iter());
        let [one, another] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        for client in [one, one, another] {
            log.permit(Some(0), Reason::SignatureStale, client);
        }
        log.permit(None, Reason::UnknownPath, one);
        let unreported = |now| log.unreported(now).collect::<Vec<_>>();
        assert_eq!(unreported(Duration::ZERO), []);
        let stale = (Some("a"), Reason::SignatureStale, 2, Some(another));
        let minute_over = log.start.elapsed() + INTERVAL;
        assert_eq!(unreported(minute_over), [stale]);
        assert_eq!(unreported(minute_over + INTERVAL), []);
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
