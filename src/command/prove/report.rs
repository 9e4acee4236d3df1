//! The result of a proof: a table for people, JSON for programs.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::error::ProveError;
use super::ledger::{Breach, Figures, Quantiles, Verdict, Violation};
use crate::command::render::grouped;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const BOLD: Style = Style::new().bold();

/// The result of a proof; `--json` prints these member names, beside those of [`Figures`].
#[derive(Debug, Serialize)]
pub struct ProofReport {
    /// Part of each call's id.
    pub run: String,
    /// Where the key that signed the events was read, or why they were not signed.
    pub signing: String,
    /// True if the events were signed.
    #[serde(skip)]
    pub is_signed: bool,
    /// True if something was acknowledged and the promise was kept.
    pub kept: bool,
    /// How long events were sent, in seconds.
    pub seconds: f64,
    /// True if a signal ended it.
    pub interrupted: bool,
    /// The topic's partitions when the run began.
    pub partitions: usize,
    /// Partitions added during the run.
    pub partitions_added: usize,
    /// Events that were due but never sent, because replies took too long for the rate.
    pub not_sent: u64,
    /// Why the last attempt without a reply had none.
    pub last_fault: Option<String>,
    /// If events are missing and the topic was not read to its end: why.
    pub unread: Option<String>,
    #[serde(flatten)]
    pub figures: Figures,
}

impl ProofReport {
    /// Title, table and conclusion, with colours that the output stream removes unless it is a terminal.
    pub fn text(&self) -> String {
        let mut text = self.title();
        self.table(&mut text);
        self.latencies(&mut text);
        self.violations(&mut text);
        text + "\n" + &self.conclusion()
    }

    /// An error unless the promise was kept.
    pub fn outcome(&self) -> Result<(), ProveError> {
        let figures = &self.figures;
        match figures.verdict() {
            Verdict::Kept => Ok(()),
            Verdict::Broken => Err(ProveError::Broken {
                lost: figures.lost,
                out_of_order: figures.out_of_order,
                changed: figures.changed,
                wrong_key: figures.wrong_key,
            }),
            Verdict::Untested => {
                let most_frequent = figures.refused.iter().max_by_key(|(_, count)| **count);
                Err(ProveError::Untested(
                    match (most_frequent, &self.last_fault) {
                        (Some((401, _)), _) => String::from(
                            "answered 401; sign with the relay's key, in RETELL_API_KEY or as --key-env says",
                        ),
                        (Some((status, _)), _) => {
                            format!("answered {status}; is --url the relay's webhook?")
                        }
                        (None, Some(fault)) => {
                            format!("{fault}; is --url the relay's webhook, and the relay up?")
                        }
                        (None, None) => String::from("nothing was sent in that time"),
                    },
                ))
            }
        }
    }

    fn title(&self) -> String {
        let interrupted = if self.interrupted {
            ", interrupted"
        } else {
            ""
        };
        let title = paint(BOLD, &format!("Ledger of run {}", self.run));
        format!("{title}: {:.1} s{interrupted}\n\n", self.seconds)
    }

    fn table(&self, text: &mut String) {
        let f = &self.figures;
        let by_status = f.refused.iter();
        let by_status: Vec<_> = by_status
            .map(|(status, count)| format!("{status} ×{}", grouped(*count)))
            .collect();
        let by_status = by_status.join(", ");
        let refused = f.refused.values().sum();
        let last_fault = self.last_fault.as_ref();
        let last_fault = last_fault.map_or_else(String::new, |fault| format!("last: {fault}"));
        for (name, count, note, is_breach) in [
            ("sent", f.sent, "", false),
            ("acknowledged", f.acknowledged, "by a 2xx", false),
            ("refused tries", refused, &by_status, false),
            ("unanswered tries", f.unanswered, &last_fault, false),
            ("given up", f.given_up, "no 2xx, hence no promise", false),
            ("not sent", self.not_sent, "replies took too long", false),
            ("delivered", f.delivered, "of the acknowledged", false),
            ("lost", f.lost, "acknowledged, not in the topic", true),
            ("out of order", f.out_of_order, "before earlier ones", true),
            ("bytes changed", f.changed, "records", true),
            ("wrong key", f.wrong_key, "records", true),
            (
                "duplicated",
                f.duplicated,
                "further records: allowed",
                false,
            ),
            (
                "landed unacknowledged",
                f.delivered_unacknowledged,
                "given up, but in the topic: allowed",
                false,
            ),
            ("foreign records", f.foreign, "ignored", false),
        ] {
            let style = match (is_breach, count) {
                (false, _) => Style::new(),
                (true, 0) => GOOD,
                (true, _) => BAD,
            };
            let number = paint(style, &format!("{:>12}", grouped(count)));
            let line = format!("  {name:<24}{number}   {note}");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }

    fn latencies(&self, text: &mut String) {
        let columns = ["p50", "p99", "max"].map(|name| format!("{name:>12}"));
        let _ = writeln!(text, "\n  {:<24}{}", "", columns.concat());
        for (name, times) in [
            ("acknowledgement", self.figures.acknowledgement_ms),
            ("arrival in the topic", self.figures.arrival_ms),
        ] {
            let _ = writeln!(text, "  {name:<24}{}", latency_columns(times));
        }
    }

    fn violations(&self, text: &mut String) {
        if !self.figures.violations.is_empty() {
            let _ = writeln!(text, "\n  {} (examples)", paint(BAD, "Broken by"));
        }
        for violation in &self.figures.violations {
            let _ = writeln!(text, "    {}", describe(violation));
        }
        if let Some(why) = &self.unread {
            let _ = writeln!(
                text,
                "\n  Missing events may be in the topic nevertheless: {why}"
            );
        }
    }

    fn conclusion(&self) -> String {
        let (style, words) = match self.figures.verdict() {
            Verdict::Kept => (GOOD, "The promise was kept."),
            Verdict::Broken => (BAD, "The promise was broken."),
            Verdict::Untested => (BAD, "Nothing was acknowledged, so nothing was proved."),
        };
        let growth = growth(
            self.partitions,
            self.partitions_added,
            self.figures.calls_moved,
        );
        let signing = signing(&self.signing, self.is_signed);
        paint(style, words) + &growth.unwrap_or_default() + &signing
    }
}

fn paint(style: Style, text: &str) -> String {
    format!("{}{text}{}", style.render(), style.render_reset())
}

fn latency_columns(times: Option<Quantiles>) -> String {
    let Some(times) = times else {
        return format!("{0:>12}{0:>12}{0:>12}", "-");
    };
    [times.p50, times.p99, times.max]
        .map(|time| format!("{:>12}", duration(time)))
        .concat()
}

/// Two to five digits, with a unit.
fn duration(milliseconds: f64) -> String {
    match milliseconds {
        0.0..10.0 => format!("{milliseconds:.1} ms"),
        10.0..10_000.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.1} s", milliseconds / 1000.0),
    }
}

fn describe(violation: &Violation) -> String {
    let what = match violation.breach {
        Breach::Lost => "lost",
        Breach::OutOfOrder => "out of order",
        Breach::Changed => "changed",
        Breach::WrongKey => "wrong key",
    };
    let mut text = match violation.number {
        Some(number) => format!("{what:<13} {}.{number}", violation.call),
        None => format!("{what:<13} an event of {}", violation.call),
    };
    if let Some(bytes) = violation.bytes {
        let _ = write!(text, ", {} bytes", grouped(bytes as u64));
    }
    if let Some((partition, offset)) = violation.partition.zip(violation.offset) {
        let _ = write!(text, ", at {partition}@{offset}");
    }
    text
}

/// Whose key it was, and what that does not show.
fn signing(how: &str, is_signed: bool) -> String {
    let doubt = if is_signed {
        " Whether the sender signs with the same key, this run does not show."
    } else {
        ""
    };
    format!("\nThe events were {how}.{doubt}")
}

/// What the proof could not check because partitions were added during the run.
fn growth(before: usize, added: usize, calls_moved: u64) -> Option<String> {
    let moved = match calls_moved {
        0 => String::from("no call moved."),
        calls => format!(
            "calls that moved: {}. Their order was checked within each partition; nothing in the topic shows it between partitions.",
            grouped(calls)
        ),
    };
    let now = before + added;
    (added > 0).then(|| {
        format!("\nThe topic grew from {before} to {now} partitions during the run; {moved}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_easy_to_read() {
        assert_eq!(duration(0.72), "0.7 ms");
        assert_eq!(duration(1234.5), "1234 ms");
        assert_eq!(duration(65_000.0), "65.0 s");
    }

    #[test]
    fn whose_key_it_was_is_reported_with_what_that_does_not_show() {
        assert_eq!(
            signing(
                "signed with the key in the environment variable RETELL_API_KEY",
                true
            ),
            "\nThe events were signed with the key in the environment variable RETELL_API_KEY. Whether the sender signs with \
             the same key, this run does not show."
        );
        assert_eq!(
            signing("unsigned (RETELL_API_KEY is not set)", false),
            "\nThe events were unsigned (RETELL_API_KEY is not set)."
        );
    }

    #[test]
    fn a_topic_that_grew_is_reported_with_what_could_not_be_checked() {
        assert_eq!(growth(6, 0, 0), None);
        assert_eq!(
            growth(1, 7, 0).as_deref(),
            Some("\nThe topic grew from 1 to 8 partitions during the run; no call moved.")
        );
        let moved = growth(2, 4, 17).expect("it grew");
        assert!(
            moved.contains("from 2 to 6 partitions")
                && moved.contains("calls that moved: 17. Their order was checked")
        );
    }

    #[test]
    fn a_violation_is_described_with_what_helps_to_find_it() {
        let violation = Violation {
            breach: Breach::OutOfOrder,
            call: String::from("prove_0_7"),
            number: Some(3),
            bytes: Some(1200),
            partition: Some(2),
            offset: Some(40),
        };
        assert_eq!(
            describe(&violation),
            "out of order  prove_0_7.3, 1,200 bytes, at 2@40"
        );
    }
}
