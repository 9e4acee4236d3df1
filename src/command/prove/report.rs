//! The ledger in print: a table for people, JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::ledger::{Breach, Figures, Quantiles, Verdict, Violation};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const BOLD: Style = Style::new().bold();

/// Everything there is to tell; the members' names are what `--json` prints, beside those of [`Figures`].
#[derive(Debug, Serialize)]
pub struct Report {
    /// In each call's id.
    pub run: String,
    /// True where something was acknowledged and everything that was is as promised.
    pub kept: bool,
    /// How long events were sent, in seconds.
    pub seconds: f64,
    /// Ended by a signal.
    pub interrupted: bool,
    /// The topic's partitions as the run began.
    pub partitions: usize,
    /// Those that it got during the run.
    pub partitions_added: usize,
    /// Events that were due and never begun, because answers took too long for the rate.
    pub not_sent: u64,
    /// Why a try last got no answer.
    pub last_fault: Option<String>,
    /// Where something is missing and the topic could not be read to its end: why.
    pub unread: Option<String>,
    /// The ledger.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Report {
    /// One JSON object, on several lines.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// The table, with colours that the stream takes out where it is no terminal.
    pub fn table(&self) -> String {
        let figures = &self.figures;
        let mut text = String::new();
        let mut line = |name: &str, count: u64, words: &str, style: Style| {
            let number = grouped(count);
            let (on, off) = (style.render(), style.render_reset());
            // Writing to a text cannot fail.
            let _ = write!(text, "  {name:<24}{on}{number:>12}{off}");
            let gap = if words.is_empty() { "" } else { "   " };
            let _ = writeln!(text, "{gap}{words}");
        };
        let plain = Style::new();
        line("sent", figures.sent, "", plain);
        line("acknowledged", figures.acknowledged, "by a 2xx", plain);
        let refused = figures.refused.values().sum();
        let by_status = figures.refused.iter();
        let by_status: Vec<_> = by_status
            .map(|(status, count)| format!("{status} ×{}", grouped(*count)))
            .collect();
        line("refused tries", refused, &by_status.join(", "), plain);
        let fault = self.last_fault.as_ref();
        let fault = fault.map(|fault| format!("at last: {fault}"));
        let fault = fault.unwrap_or_default();
        line("unanswered tries", figures.unanswered, &fault, plain);
        let words = "no 2xx in any try: outside the promise";
        line("given up", figures.given_up, words, plain);
        let words = "due, but earlier answers took too long";
        line("not sent", self.not_sent, words, plain);
        line("delivered", figures.delivered, "of the acknowledged", plain);
        for (name, count, words) in [
            ("lost", figures.lost, "acknowledged, not in the topic"),
            (
                "out of order",
                figures.out_of_order,
                "before one sent earlier",
            ),
            ("bytes changed", figures.changed, "records"),
            ("wrong key", figures.wrong_key, "records"),
        ] {
            line(name, count, words, if count == 0 { GOOD } else { BAD });
        }
        let words = "records beyond an event's first: allowed";
        line("duplicated", figures.duplicated, words, plain);
        let words = "given up, in the topic all the same: allowed";
        line(
            "landed unacknowledged",
            figures.delivered_unacknowledged,
            words,
            plain,
        );
        line("foreign records", figures.foreign, "ignored", plain);
        let _ = writeln!(
            text,
            "\n  {:<24}{:>12}{:>12}{:>12}",
            "", "p50", "p99", "max"
        );
        for (name, times) in [
            ("acknowledgement", figures.acknowledgement_ms),
            ("arrival in the topic", figures.arrival_ms),
        ] {
            let _ = writeln!(text, "  {name:<24}{}", columns(times));
        }
        self.violations(&mut text);
        text
    }

    fn violations(&self, text: &mut String) {
        if !self.figures.violations.is_empty() {
            let _ = writeln!(
                text,
                "\n  {}Broken by{} (some of them)",
                BAD.render(),
                BAD.render_reset()
            );
        }
        for violation in &self.figures.violations {
            let _ = writeln!(text, "    {}", told(violation));
        }
        if let Some(why) = &self.unread {
            let _ = writeln!(text, "\n  What is missing may be there all the same: {why}");
        }
    }

    /// What it comes to, and what could not be checked.
    pub fn conclusion(&self) -> String {
        let (style, words) = match self.figures.verdict() {
            Verdict::Kept => (GOOD, "The promise was kept."),
            Verdict::Broken => (BAD, "The promise was broken."),
            Verdict::Untested => (
                BAD,
                "Nothing was acknowledged: the promise was not put to the test.",
            ),
        };
        let growth = growth(
            self.partitions,
            self.partitions_added,
            self.figures.calls_moved,
        );
        let growth = growth.map_or_else(String::new, |words| format!("\n{words}"));
        format!("{}{words}{}{growth}", style.render(), style.render_reset())
    }

    /// The title above the table.
    pub fn title(&self) -> String {
        format!(
            "{}Ledger of run {}{}: {:.1} s{}",
            BOLD.render(),
            self.run,
            BOLD.render_reset(),
            self.seconds,
            if self.interrupted {
                ", interrupted"
            } else {
                ""
            }
        )
    }
}

fn columns(times: Option<Quantiles>) -> String {
    let Some(times) = times else {
        return format!("{0:>12}{0:>12}{0:>12}", "-");
    };
    [times.p50, times.p99, times.max]
        .map(|time| format!("{:>12}", duration(time)))
        .concat()
}

/// Three digits or so, with a unit.
fn duration(milliseconds: f64) -> String {
    match milliseconds {
        0.0..10.0 => format!("{milliseconds:.1} ms"),
        10.0..10_000.0 => format!("{milliseconds:.0} ms"),
        _ => {
            let seconds = Duration::from_secs_f64(milliseconds / 1000.0).as_secs_f64();
            format!("{seconds:.1} s")
        }
    }
}

fn told(violation: &Violation) -> String {
    let what = match violation.breach {
        Breach::Lost => "lost",
        Breach::OutOfOrder => "out of order",
        Breach::Changed => "changed",
        Breach::WrongKey => "wrong key",
    };
    let event = match violation.number {
        Some(number) => format!("{}.{number}", violation.call),
        None => format!("an event of {}", violation.call),
    };
    let bytes = violation
        .bytes
        .map(|bytes| format!(", {} bytes", grouped(bytes as u64)));
    let place = violation.partition.zip(violation.offset);
    let place = place.map(|(partition, offset)| format!(", at {partition}@{offset}"));
    format!(
        "{what:<13} {event}{}{}",
        bytes.unwrap_or_default(),
        place.unwrap_or_default()
    )
}

/// What a topic that got partitions during the run leaves unproved.
fn growth(before: usize, added: usize, calls_moved: u64) -> Option<String> {
    let moved = match calls_moved {
        0 => String::from("no call moved."),
        calls => format!(
            "calls that moved: {}. Their order was checked within each partition; between partitions nothing in the topic shows it.",
            grouped(calls)
        ),
    };
    let now = before + added;
    (added > 0).then(|| {
        format!("The topic grew from {before} to {now} partitions during the run; {moved}")
    })
}

/// 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_easy_to_read() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(duration(0.72), "0.7 ms");
        assert_eq!(duration(1234.5), "1234 ms");
        assert_eq!(duration(65_000.0), "65.0 s");
    }

    #[test]
    fn a_topic_that_grew_is_reported_with_what_could_not_be_checked() {
        assert_eq!(growth(6, 0, 0), None);
        assert_eq!(
            growth(1, 7, 0).as_deref(),
            Some("The topic grew from 1 to 8 partitions during the run; no call moved.")
        );
        let moved = growth(2, 4, 17).expect("it grew");
        assert!(
            moved.contains("from 2 to 6 partitions")
                && moved.contains("calls that moved: 17. Their order was checked")
        );
    }

    #[test]
    fn a_violation_is_told_with_what_helps_to_find_it() {
        let violation = Violation {
            breach: Breach::OutOfOrder,
            call: String::from("prove_0_7"),
            number: Some(3),
            bytes: Some(1200),
            partition: Some(2),
            offset: Some(40),
        };
        assert_eq!(
            told(&violation),
            "out of order  prove_0_7.3, 1,200 bytes, at 2@40"
        );
    }
}
