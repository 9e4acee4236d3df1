//! What a stopped relay has done, on a terminal.

use super::screen::Screen;
use crate::app::Summary;
use crate::command::render::{count, grouped};
use crate::journal::{CORRUPT_RUNBOOK, Losses, UNREADABLE_RUNBOOK};
use crate::publish::Ack;

/// Shows the summary on a terminal, else logs it.
pub fn report(summary: &Summary) {
    let title = format!("ringback has stopped, after {}.", summary.uptime());
    let Some(mut screen) = Screen::on_terminal(&title) else {
        summary.log();
        return;
    };
    for (name, value) in rows(summary) {
        screen.row(name, &value);
    }
    screen.show();
}

/// What must be looked into is shown only if it has occurred.
fn rows(summary: &Summary) -> Vec<(&'static str, String)> {
    let events = |number, beside, noun| {
        let events = count(number, "event");
        match beside {
            0 => events,
            _ => format!("{events}, and {}", count(beside, noun)),
        }
    };
    let accepted = events(summary.accepted, summary.duplicates, "duplicate");
    let delivered = events(summary.delivered, summary.dead_letters, "dead letter");
    let left = match (summary.left, summary.ack) {
        (Some(0), _) => String::from("nothing"),
        (Some(left), Ack::Disk) => {
            format!(
                "{}, in the journal for the next start",
                count(left, "event")
            )
        }
        (Some(left), Ack::Kafka) => {
            format!("{}, which nobody was promised", count(left, "event"))
        }
        (None, Ack::Disk) => String::from("not known; it stays in the journal for the next start"),
        (None, Ack::Kafka) => String::from("not known; nobody was promised it"),
    };
    let refused = match summary.reasons() {
        None => String::from("nothing"),
        Some(reasons) => format!("{} by reason: {reasons}", grouped(summary.refused())),
    };
    let some = |number, text: String| (number > 0).then_some(text);
    let recovered = format!(
        "{}, found in the journal at the start",
        count(summary.recovered, "event")
    );
    let Losses {
        corrupt,
        unreadable,
    } = summary.losses;
    let lost = format!(
        "{} to damage on disk: see {CORRUPT_RUNBOOK}",
        count(corrupt, "event")
    );
    let skipped = format!(
        "{} that the disk cannot read: see {UNREADABLE_RUNBOOK}",
        count(unreadable, "event")
    );
    let rows = [
        ("Recovered", some(summary.recovered, recovered)),
        ("Accepted", Some(accepted)),
        ("Delivered", Some(delivered)),
        ("Lost", some(corrupt, lost)),
        ("Skipped", some(unreadable, skipped)),
        ("Left", Some(left)),
        ("Refused", Some(refused)),
    ];
    let rows = rows.into_iter();
    rows.filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_figure_is_in_a_sentence_of_its_own() {
        let mut summary = Summary {
            recovered: 0,
            accepted: 1_024,
            duplicates: 3,
            delivered: 1_000,
            dead_letters: 1,
            losses: Losses::default(),
            left: Some(23),
            ack: Ack::Disk,
            refused: vec![("unknown_path", 2), ("not_json", 1)],
            uptime: Duration::from_secs(65),
        };
        let text = |summary: &Summary| {
            let rows = rows(summary).into_iter().map(|(_, value)| value);
            rows.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(
            text(&summary),
            "1,024 events, and 3 duplicates\n\
             1,000 events, and 1 dead letter\n\
             23 events, in the journal for the next start\n\
             3 by reason: unknown_path 2, not_json 1"
        );
        summary.ack = Ack::Kafka;
        assert!(text(&summary).contains("\n23 events, which nobody was promised\n"));
        summary = Summary {
            accepted: 1,
            duplicates: 0,
            delivered: 1,
            dead_letters: 0,
            left: Some(0),
            refused: Vec::new(),
            ..summary
        };
        assert_eq!(text(&summary), "1 event\n1 event\nnothing\nnothing");
        summary.recovered = 4;
        summary.losses = Losses {
            corrupt: 1,
            unreadable: 3,
        };
        assert_eq!(
            text(&summary),
            "4 events, found in the journal at the start\n\
             1 event\n\
             1 event\n\
             1 event to damage on disk: see RingbackEventsLostToDamage in docs/runbook.md\n\
             3 events that the disk cannot read: see RingbackEventsUnreadable in docs/runbook.md\n\
             nothing\n\
             nothing"
        );
    }
}
