//! The three questions that an operator asks first, each answered in a few words.

use std::time::Duration;

use super::View;
use super::counts::{ACCEPTED, ANSWERED, DELIVERED};
use super::figures::whole;
use crate::outage;
use crate::readiness::{CheckKind, CheckState};
use crate::words::{about, count, grouped, size};

/// Events a second, for which the page reckons while there are none.
const ASSUMED_RATE: f64 = 10.0;
/// If the journal is full sooner than this, somebody must look now.
const SOON: Duration = Duration::from_hours(1);
/// How much attention something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Good,
    Attention,
    Bad,
}

/// The answer to one question.
pub(super) struct Verdict {
    pub(super) topic: &'static str,
    pub(super) state: State,
    pub(super) headline: &'static str,
    pub(super) lines: Vec<String>,
    /// Bytes that are used, and those that may be.
    pub(super) usage: Option<(u64, u64)>,
}

/// In the order in which an operator asks.
pub(super) fn all(view: &View<'_>) -> [Verdict; 3] {
    [answering(view), delivering(view), holding(view)]
}

fn answering(view: &View<'_>) -> Verdict {
    let gating = view.checks.iter().filter(|c| c.kind == CheckKind::Gating);
    let mut lines: Vec<_> = gating.flat_map(failures).collect();
    let (state, headline) = if view.is_ready {
        lines.extend(named(view, "journal-room").flat_map(failures));
        let answers = view.recent.of(ANSWERED);
        let faults = answers.filter(|(_, code, _)| *code == "503");
        let faults: u64 = faults.map(|(_, _, count)| count).sum();
        let verdict = match (lines.is_empty(), faults) {
            (false, _) => (State::Bad, "Refusing events"),
            (true, 0) => (State::Good, "Answering"),
            (true, _) => (State::Attention, "Answering, not always"),
        };
        if faults > 0 {
            let requests = count(faults, "request");
            lines.push(format!(
                "{requests} answered 503, {}: see the refusals below",
                span(view)
            ));
        }
        lines.push(accepted(view));
        verdict
    } else {
        (State::Bad, "Not ready")
    };
    Verdict {
        topic: "Webhooks",
        state,
        headline,
        lines,
        usage: None,
    }
}

fn delivering(view: &View<'_>) -> Verdict {
    let checks = ["kafka", "journal-read"];
    let failing = checks.iter().flat_map(|name| named(view, name));
    let mut lines: Vec<_> = failing.flat_map(failures).collect();
    let (state, headline) = if lines.is_empty() {
        (State::Good, "Delivering")
    } else {
        (State::Attention, "Not as it should be")
    };
    let figure = |name| view.figures.total(name);
    if let Some(waiting) = figure("journal_unpublished_events").map(whole) {
        let age = figure("journal_oldest_unpublished_age_seconds").unwrap_or_default();
        lines.push(match waiting {
            0 => String::from("no event waits"),
            _ => format!(
                "{} waiting, the oldest for {}",
                count(waiting, "event"),
                about(seconds(age))
            ),
        });
    }
    let delivered = view.recent.sum(DELIVERED);
    lines.push(format!(
        "{} delivered, {}",
        count(delivered, "event"),
        span(view)
    ));
    let brokers = view.figures.sums("kafka_broker_up", ["broker"]);
    if !brokers.is_empty() {
        let up = brokers.values().filter(|up| **up > 0.0).count();
        lines.push(format!(
            "{up} of {} connected",
            count(brokers.len() as u64, "broker")
        ));
    }
    let dead_letters = figure("dead_letters_total").map_or(0, whole);
    if dead_letters > 0 {
        let kept = count(dead_letters, "dead letter");
        lines.push(format!(
            "{kept} since the start: ringback dead-letter list shows those in files"
        ));
    }
    Verdict {
        topic: "Kafka",
        state,
        headline,
        lines,
        usage: None,
    }
}

fn holding(view: &View<'_>) -> Verdict {
    let figure = |name| view.figures.total(name);
    let (used, budget) = (figure("journal_bytes"), figure("journal_budget_bytes"));
    let (Some(used), Some(budget)) = (used, budget) else {
        return Verdict {
            topic: "Journal",
            state: State::Attention,
            headline: "Not known yet",
            lines: vec![String::from("the journal is being opened")],
            usage: None,
        };
    };
    let is_full = named(view, "journal-room").any(CheckState::is_failing);
    let until_full = figure("journal_exhaustion_seconds").unwrap_or(f64::INFINITY);
    let (state, headline) = if is_full {
        (State::Bad, "Full")
    } else if !view.setup.keeps_on_disk {
        (State::Good, "In memory only")
    } else if until_full < SOON.as_secs_f64() {
        (State::Attention, "Full soon")
    } else {
        (State::Good, "Has room")
    };
    let mut lines = vec![format!(
        "{} of {} used",
        size(whole(used)),
        size(whole(budget))
    )];
    if view.setup.keeps_on_disk {
        lines.push(forecast(view, whole(budget - used), until_full));
    } else {
        lines.push(String::from(
            "with ack = \"kafka\" senders wait for Kafka, and get 503 while it is away",
        ));
    }
    Verdict {
        topic: "Journal",
        state,
        headline,
        lines,
        usage: Some((whole(used), whole(budget))),
    }
}

/// How long the journal's free bytes last.
fn forecast(view: &View<'_>, free: u64, until_full: f64) -> String {
    if until_full.is_finite() {
        return format!(
            "full in {} at the rate of the last minute",
            outage::words(seconds(until_full))
        );
    }
    let (rate, whose) = if view.recent.sum(ACCEPTED) == 0 {
        (ASSUMED_RATE, "no event comes at present; at")
    } else {
        (rate(view), "at the present")
    };
    let lasts = outage::words(outage::held(free, f64::from(outage::EVENT_BYTES) * rate));
    format!("room for an outage of {lasts}: {whose} {rate:.1} events/s, 8 KiB each")
}

/// Accepted events a second, of the last minutes.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(view: &View<'_>) -> f64 {
    view.recent.sum(ACCEPTED) as f64 / view.recent_time.as_secs_f64().max(1.0)
}

fn accepted(view: &View<'_>) -> String {
    let accepted = grouped(view.recent.sum(ACCEPTED));
    format!("{accepted} accepted, {}: {:.1}/s", span(view), rate(view))
}

/// The time over which the recent figures were counted.
pub(super) fn span(view: &View<'_>) -> String {
    format!("last {}", about(view.recent_time))
}

fn named<'a>(view: &'a View<'_>, name: &str) -> impl Iterator<Item = &'a CheckState> {
    view.checks.iter().filter(move |check| check.name == name)
}

/// What is not as it should be, in the check's words.
fn failures(check: &CheckState) -> impl Iterator<Item = String> {
    let failing = check.lines.iter().filter(|line| line.is_failing);
    failing.map(|line| line.message.clone())
}

/// No longer than a duration can be.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
