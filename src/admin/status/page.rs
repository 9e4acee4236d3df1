//! The page's HTML. `html!` escapes every value, so that a name from the configuration cannot be markup.

use std::cmp::Reverse;
use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use super::View;
use super::counts::{ACCEPTED, DUPLICATE, REFUSED};
use super::figures::whole;
use super::verdict::{self, State, Verdict, span};
use crate::readiness::{CheckKind, CheckLine, CheckState};
use crate::telemetry::COMMIT;
use crate::time::rfc3339;
use crate::words::{about, count, grouped, size};

/// The most rows of refusals: the others are in `/metrics`.
const MAX_REFUSALS: usize = 100;
/// The reason for which a source's own hint is shown too.
const MISMATCH: &str = "signature_mismatch";

impl State {
    /// The class in the stylesheet, and the word beside the colour.
    fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Good => ("good", "ok"),
            Self::Attention => ("warn", "attention"),
            Self::Bad => ("bad", "failing"),
        }
    }
}

pub(super) fn render(view: &View<'_>) -> Markup {
    let verdicts = verdict::all(view);
    let summary = verdicts
        .each_ref()
        .map(|v| format!("{}: {}", v.topic, v.headline));
    let summary = summary.join(", ");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (summary) " – ringback" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="look.css";
                link rel="stylesheet" href="style.css";
                script src="refresh.js" defer {}
            }
            body {
                header {
                    h1 { "ringback" }
                    // For the script, without which the page stays as it is.
                    p #live {}
                }
                main data-summary=(summary) {
                    p.faint { "Version " (env!("CARGO_PKG_VERSION")) ", up " (about(view.uptime)) ", as of " (moment(view.now_ms)) }
                    div.cards { @for verdict in &verdicts { (card(verdict)) } }
                    (sources(view))
                    (refusals(view))
                    (checks(view))
                    (process(view))
                }
                footer {
                    p { "Also here: " a href="readyz?verbose" { "readyz?verbose" } ", " a href="metrics" { "metrics" } "." }
                }
            }
        }
    }
}

fn badge(state: State) -> Markup {
    let (class, word) = state.shown();
    html! { span.badge.(class) { (word) } }
}

fn card(verdict: &Verdict) -> Markup {
    let (class, _) = verdict.state.shown();
    html! {
        section.callout.(class) {
            h2 { (verdict.topic) ": " (verdict.headline) " " (badge(verdict.state)) }
            @if let Some((used, budget)) = verdict.usage {
                meter aria-label="the journal's used part of its budget" min="0" max=(budget.max(1)) value=(used) {}
            }
            ul { @for line in &verdict.lines { li { (line) } } }
        }
    }
}

/// A table that can be scrolled in a narrow window, with the keyboard too.
fn table(name: &str, heads: &Markup, rows: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(name) tabindex="0" {
            table { thead { (heads) } tbody { (rows) } }
        }
    }
}

fn sources(view: &View<'_>) -> Markup {
    let recent = span(view);
    let used = view
        .figures
        .sums("signature_matches_total", ["source", "key"]);
    let rows = html! {
        @for source in &view.setup.sources {
            tr {
                th scope="row" { (source.name) }
                td { @for path in &source.paths { code { (path) } " " } }
                td { (source.verify) @if source.verify == "none" { ": anybody may post" } }
                td {
                    @for (index, key) in source.keys.iter().enumerate() {
                        @let matches = used.get(&[source.name.clone(), key.clone()]).copied().map_or(0, whole);
                        @if index > 0 { ", " }
                        // Without a name it is known by its place in the list.
                        @if *key == index.to_string() { "key " }
                        (key) " "
                        @if matches == 0 { "(not used yet)" } @else { "(" (grouped(matches)) ")" }
                    }
                }
                @for name in [ACCEPTED, DUPLICATE, REFUSED] {
                    td.n { (grouped(view.recent.sum_of(name, &source.name))) }
                    td.n { (grouped(view.total.sum_of(name, &source.name))) }
                }
            }
        }
    };
    let heads = html! {
        tr {
            @for name in ["Source", "Path", "Verified by", "Keys (matches)"] { th scope="col" rowspan="2" { (name) } }
            @for name in ["Accepted", "Duplicates", "Refused"] { th.n scope="colgroup" colspan="2" { (name) } }
        }
        tr { @for _ in 0..3 { th.n scope="col" { "recently" } th.n scope="col" { "in all" } } }
    };
    html! {
        section {
            h2 { "Sources" }
            p.faint { "Since the start, and recently: " (recent) "." }
            (table("Sources", &heads, &rows))
        }
    }
}

fn refusals(view: &View<'_>) -> Markup {
    let recent = |source, reason| {
        let mut counters = view.recent.of(REFUSED);
        let found = counters.find(|(of, label, _)| (*of, *label) == (source, reason));
        found.map_or(0, |(_, _, count)| count)
    };
    let refused = view.total.of(REFUSED);
    let refused =
        refused.map(|(source, reason, all)| (recent(source, reason), all, source, reason));
    let mut refused: Vec<_> = refused.collect();
    refused.sort_unstable_by_key(|row| Reverse(*row));
    let heads = html! {
        tr {
            th scope="col" { "Reason" }
            th scope="col" { "Source" }
            th.n scope="col" { "Recently" }
            th.n scope="col" { "In all" }
            th scope="col" { "What it means, and what to do" }
        }
    };
    let rows = html! {
        @for (recent, all, source, reason) in refused.iter().take(MAX_REFUSALS) {
            tr {
                th scope="row" { code { (reason) } }
                td { @if source.is_empty() { "none" } @else { (source) } }
                td.n { (grouped(*recent)) }
                td.n { (grouped(*all)) }
                td.words {
                    ((view.setup.advice)(reason).unwrap_or_default())
                    @if let Some(hint) = key_hint(view, source).filter(|_| *reason == MISMATCH) { ". " (hint) }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Refused" }
            @if refused.is_empty() {
                p { "Nothing has been refused since the start." }
            } @else {
                p.faint { "Requests that were refused, and connections that failed; recently: " (span(view)) "." }
                (table("Refused", &heads, &rows))
            }
            @if refused.len() > MAX_REFUSALS { p { "More are in " a href="metrics" { "metrics" } "." } }
        }
    }
}

fn key_hint(view: &View<'_>, source: &str) -> Option<&'static str> {
    let mut sources = view.setup.sources.iter();
    sources.find(|known| known.name == source)?.key_hint
}

fn checks(view: &View<'_>) -> Markup {
    let lines = view.checks.iter().flat_map(|check| {
        let lines = check.lines.iter();
        lines.map(move |line| (state(check, line), check.name, &line.message))
    });
    let mut lines: Vec<_> = lines.collect();
    // The others stay in their order.
    lines.sort_by_key(|(state, ..)| Reverse(*state));
    let rows = html! {
        @for (state, name, message) in lines {
            tr {
                th scope="row" { (name) }
                td { (badge(state)) }
                td.words { (message) }
            }
        }
    };
    let heads = html! {
        tr { @for name in ["Check", "State", "In words"] { th scope="col" { (name) } } }
    };
    html! {
        section {
            h2 { "Checks" }
            p.faint { "The source (none) stands for requests and connections that belong to no source." }
            (table("Checks", &heads, &rows))
        }
    }
}

fn state(check: &CheckState, line: &CheckLine) -> State {
    match (line.is_failing, check.kind) {
        (false, _) => State::Good,
        (true, CheckKind::Gating) => State::Bad,
        (true, CheckKind::Informational) => State::Attention,
    }
}

fn process(view: &View<'_>) -> Markup {
    let figure = |name| view.figures.total(name).map_or(0, whole);
    let reloads = view.figures.sums("config_reloads_total", ["result"]);
    let reloads = |result: &str| reloads.get(&[result.to_owned()]).copied().map_or(0, whole);
    let topics = view.figures.sums("publish_topic_partitions", ["topic"]);
    let since = Duration::from_millis(view.now_ms.saturating_sub(view.setup_since_ms));
    let rows = [
        (
            "Version",
            format!("{}, commit {COMMIT}", env!("CARGO_PKG_VERSION")),
        ),
        (
            "Answers after",
            String::from(if view.setup.keeps_on_disk {
                "the sync to disk"
            } else {
                "Kafka's acknowledgement"
            }),
        ),
        (
            "Configuration",
            format!(
                "as it was read {} ago; changes taken: {}, refused: {}",
                about(since),
                grouped(reloads("success")),
                grouped(reloads("failure"))
            ),
        ),
        ("Open connections", grouped(figure("http_connections"))),
        ("Bodies in memory", size(figure("http_body_bytes"))),
    ];
    html! {
        section {
            h2 { "Process" }
            dl {
                @for (name, value) in &rows { dt { (name) } dd { (value) } }
                dt { "Topics" }
                dd {
                    @for ([topic], partitions) in &topics {
                        code { (topic) } " "
                        @if *partitions > 0.0 { "(" (count(whole(*partitions), "partition")) ") " } @else { "(not known in Kafka) " }
                    }
                }
            }
        }
    }
}

fn moment(ms: u64) -> Markup {
    let time = rfc3339(ms);
    // Without the fraction.
    let (date, of_day) = (time.get(..10), time.get(11..19));
    html! { time datetime=(time) { (date.unwrap_or_default()) " " (of_day.unwrap_or_default()) " UTC" } }
}
