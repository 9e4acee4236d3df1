//! Reports in `/readyz?verbose` how many requests of each source were refused in the last minutes, and why.
//!
//! The counters of the metrics are sampled, so that a request costs nothing for it. The checks inform only: refusing what
//! is not genuine is the relay's task, and another replica would refuse the same.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::metrics::Refusals;
use super::refusal::Reason;
use crate::readiness::{Check, CheckKind, CheckLine, Readiness};

/// How far back a check looks.
const WINDOW: Duration = Duration::from_mins(5);
/// Between two samples that are kept: a check looks back over [`WINDOW`] or up to this much less.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
/// Between two updates of the checks.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);
/// Instead of a source's name, for requests and connections that belong to none.
const NO_SOURCE: &str = "(none)";

/// Adds the check, with a line for each of `sources` and one for what belongs to none.
pub(super) fn add<'a>(readiness: &Readiness, sources: impl Iterator<Item = &'a str>) -> Check {
    let check = readiness.check("source", CheckKind::Informational, "");
    let names = sources.chain([NO_SOURCE]);
    check.set(names.map(|name| line(name, None)).collect());
    check
}

/// Keeps the `check` up to date for as long as it is polled, and calls `on_update` each time. `totals` gives what was counted
/// so far of each present source by its name, and of none.
pub(super) async fn update(
    check: Option<&Check>,
    totals: impl Fn() -> (Vec<(String, Refusals)>, Refusals),
    on_update: impl Fn(),
) -> Infallible {
    let mut windows: HashMap<String, Window> = HashMap::new();
    loop {
        let now = Instant::now();
        let (mut totals, of_none) = totals();
        totals.push((NO_SOURCE.to_owned(), of_none));
        windows.retain(|known, _| totals.iter().any(|(name, _)| name == known));
        let lines = totals.into_iter().map(|(name, total)| {
            let window = windows.entry(name.clone()).or_default();
            line(&name, window.recent(now, &total).as_ref())
        });
        let lines = lines.collect();
        if let Some(check) = check {
            check.set(lines);
        }
        on_update();
        sleep(UPDATE_INTERVAL).await;
    }
}

/// What was counted lately of one source, or of none.
fn line(source: &str, recent: Option<&Refusals>) -> CheckLine {
    let refused = recent.and_then(describe);
    let words = refused.as_deref();
    CheckLine {
        is_failing: words.is_some(),
        message: format!(
            "{source}: {}",
            words.unwrap_or("nothing refused in the last 5 minutes")
        ),
    }
}

/// Samples of one source's counters, the oldest first.
#[derive(Default)]
struct Window(VecDeque<(Instant, Refusals)>);

impl Window {
    /// What was counted within [`WINDOW`] before `now`; `None` at the first call.
    fn recent(&mut self, now: Instant, total: &Refusals) -> Option<Refusals> {
        let samples = &mut self.0;
        // One stays, also after a pause of the whole process.
        while samples.len() > 1 && now.duration_since(samples[0].0) > WINDOW {
            samples.pop_front();
        }
        let recent = samples.front().map(|(_, before)| total.since(before));
        let newest = samples.back();
        if newest.is_none_or(|(at, _)| now.duration_since(*at) >= SAMPLE_INTERVAL) {
            samples.push_back((now, *total));
        }
        recent
    }
}

/// What was refused, in words; `None` if nothing was.
fn describe(recent: &Refusals) -> Option<String> {
    let mut signatures = Vec::new();
    let mut others = Vec::new();
    for (reason, count) in Reason::ALL.into_iter().zip(recent.refused) {
        match (count, reason) {
            // The client left, or was too slow: nothing was refused.
            (0, _)
            | (
                _,
                Reason::ClientGone
                | Reason::HeaderTimeout
                | Reason::TlsTimeout
                | Reason::TlsUnused
                | Reason::WriteTimeout,
            ) => {}
            (_, Reason::SignatureMissing) => signatures.push((count, "missing")),
            (_, Reason::SignatureMalformed) => signatures.push((count, "malformed")),
            (_, Reason::SignatureStale) => signatures.push((count, "stale")),
            (_, Reason::SignatureMismatch) => signatures.push((count, "mismatch")),
            _ => others.push((count, reason.label())),
        }
    }
    let mut parts = Vec::new();
    if !signatures.is_empty() {
        let refused: u64 = signatures.iter().map(|(count, _)| count).sum();
        let verified = refused + recent.matched;
        parts.push(format!(
            "{refused} of {verified} signatures refused in the last 5 minutes: {}",
            list(signatures)
        ));
    }
    if !others.is_empty() {
        let refused: u64 = others.iter().map(|(count, _)| count).sum();
        let noun = if refused == 1 { "request" } else { "requests" };
        parts.push(format!(
            "{refused} {noun} refused in the last 5 minutes: {}",
            list(others)
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The reasons, the most frequent first, each with its number if there are several.
fn list(mut reasons: Vec<(u64, &str)>) -> String {
    if let [(_, only)] = reasons[..] {
        return only.to_owned();
    }
    reasons.sort_by_key(|(count, _)| Reverse(*count));
    let reasons = reasons
        .iter()
        .map(|(count, name)| format!("{name} {count}"));
    reasons.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(matched: u64, refused: &[(Reason, u64)]) -> Refusals {
        let mut all = Refusals {
            matched,
            refused: [0; Reason::ALL.len()],
        };
        for (reason, count) in refused {
            all.refused[*reason as usize] = *count;
        }
        all
    }

    #[test]
    fn a_check_reports_how_many_of_how_many_were_refused_and_why() {
        use Reason::{BodyTooLarge, ClientGone, NotJson, SignatureMismatch, SignatureStale};
        let describe_these = |matched, refused: &[_]| describe(&refusals(matched, refused));
        assert_eq!(describe_these(7, &[(ClientGone, 3)]), None);
        assert_eq!(
            describe_these(0, &[(SignatureMismatch, 132)]).as_deref(),
            Some("132 of 132 signatures refused in the last 5 minutes: mismatch")
        );
        let several = [
            (SignatureStale, 3),
            (SignatureMismatch, 5),
            (BodyTooLarge, 1),
        ];
        assert_eq!(
            describe_these(2, &several).as_deref(),
            Some(
                "8 of 10 signatures refused in the last 5 minutes: mismatch 5, stale 3; \
                 1 request refused in the last 5 minutes: body_too_large"
            )
        );
        assert_eq!(
            describe_these(2, &[(BodyTooLarge, 1), (NotJson, 2)]).as_deref(),
            Some("3 requests refused in the last 5 minutes: not_json 2, body_too_large 1")
        );
    }

    #[test]
    fn only_the_last_minutes_count() {
        let start = Instant::now();
        let mut window = Window::default();
        let mut stale = |seconds: u64, total| {
            let total = refusals(0, &[(Reason::SignatureStale, total)]);
            let recent = window.recent(start + Duration::from_secs(seconds), &total)?;
            Some(recent.refused[Reason::SignatureStale as usize])
        };
        assert_eq!(stale(0, 0), None);
        // Each second one is refused, for a minute.
        for second in 1..=60 {
            assert_eq!(stale(second, second), Some(second));
        }
        for second in 61..=300 {
            assert_eq!(stale(second, 60), Some(60));
        }
        for second in 301..=359 {
            let left = stale(second, 60).unwrap();
            let in_window = 360 - second;
            assert!(
                left <= in_window && left + 10 >= in_window,
                "{second}: {left}"
            );
        }
        assert_eq!(stale(371, 60), Some(0));
        // Of a pause of the process nothing is known but its beginning and its end.
        assert_eq!(stale(2000, 62), Some(2));
        assert_eq!(stale(2011, 62), Some(0));
    }

    #[test]
    fn whatever_else_is_due_regularly_is_called_with_each_update() {
        let calls = std::cell::Cell::new(0);
        let update = update(
            None,
            || (Vec::new(), refusals(0, &[])),
            || calls.set(calls.get() + 1),
        );
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().unwrap();
        let twice = UPDATE_INTERVAL + UPDATE_INTERVAL / 2;
        let ended = runtime.block_on(async { tokio::time::timeout(twice, update).await });
        assert!(ended.is_err() && calls.get() >= 2, "{}", calls.get());
    }
}
