//! Prints a report: for people, in colour on a terminal, or as JSON.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::super::render::{count, printable};
use super::finding::{Finding, Level, Report};

const FINE: Style = AnsiColor::Green.on_default();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const UNKNOWN: Style = Style::new().dimmed();
/// The width of the first column.
const COLUMN: usize = 8;

pub fn print(report: &Report, as_json: bool) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    if as_json {
        writeln!(out, "{}", json_of(report))?;
    } else {
        write!(out, "{}", text(report))?;
    }
    out.flush()
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    let line = |style: Style, label: &str, text: &str| {
        format!("{style}{label:<COLUMN$}{style:#} {}", printable(text))
    };
    lines.extend(report.fine.iter().map(|what| line(FINE, "ok", what)));
    let unknown = report.unknown.iter();
    lines.extend(unknown.map(|what| line(UNKNOWN, "unknown", what)));
    for finding in &report.findings {
        let style = match finding.level {
            Level::Error => ERROR,
            Level::Warning => WARNING,
        };
        let what = format!("{}: {}", finding.id.label(), finding.what);
        lines.push(line(style, finding.level.label(), &what));
        lines.push(line(Style::new(), "  why", &finding.why));
        lines.push(line(Style::new(), "  do", &finding.remedy));
    }
    let noun = |level| count(report.count(level) as u64, level.label());
    lines.push(format!(
        "{}, {}.\n",
        noun(Level::Error),
        noun(Level::Warning)
    ));
    lines.join("\n")
}

fn json_of(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "id": finding.id.label(),
            "level": finding.level.label(),
            "what": finding.what,
            "why": finding.why,
            "remedy": finding.remedy,
        })
    };
    json!({
        "errors": report.count(Level::Error),
        "warnings": report.count(Level::Warning),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "ok": report.fine,
        "unknown": report.unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Id;
    use super::*;

    fn sample() -> Report {
        let mut report = Report::default();
        report.fine("two brokers answer");
        report.unknown("the clock");
        report.add(
            Level::Warning,
            Id::Replication,
            String::from("one\nreplica"),
            "it matters",
            "add one",
        );
        report
    }

    #[test]
    fn a_person_reads_what_is_fine_then_each_finding_with_its_reason_and_its_remedy() {
        let text = anstream::adapter::strip_str(&text(&sample())).to_string();
        assert_eq!(
            text,
            "ok       two brokers answer\nunknown  the clock\nwarning  replication: one\\u000areplica\n  why    it matters\n  \
             do     add one\n0 errors, 1 warning.\n"
        );
    }

    #[test]
    fn a_program_reads_the_same() {
        let value = json_of(&sample());
        assert_eq!(value["findings"][0]["id"], "replication");
        assert_eq!(value["findings"][0]["remedy"], "add one");
        assert_eq!(value["ok"][0], "two brokers answer");
        assert_eq!(
            (&value["errors"], &value["warnings"]),
            (&json!(0), &json!(1))
        );
    }
}
