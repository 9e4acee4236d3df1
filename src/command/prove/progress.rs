//! How it goes, on standard error: a bar on a terminal, else a line every few seconds.

use std::io::IsTerminal as _;
use std::time::Duration;

use anstream::eprint;

use super::ledger::Ledger;

/// Characters of the bar.
const WIDTH: usize = 20;

/// Shows how it goes.
pub struct Progress {
    terminal: bool,
    duration: Duration,
}

/// What the run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Events go out.
    Sending,
    /// What is acknowledged is awaited in the topic.
    Settling,
}

impl Progress {
    /// Of a run that sends for so long.
    pub fn new(duration: Duration) -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            duration,
        }
    }

    /// How often to show it.
    pub fn interval(&self) -> Duration {
        if self.terminal {
            Duration::from_millis(200)
        } else {
            Duration::from_secs(5)
        }
    }

    /// Shows how it stands, `now` after the start.
    pub fn show(&self, phase: Phase, now: Duration, ledger: &Ledger) {
        let words = words(phase, now, self.duration, ledger);
        if self.terminal {
            eprint!("\r{} {words}\x1b[K", bar(now, self.duration));
        } else {
            eprint!("{words}\n");
        }
    }

    /// Makes room for what comes after it.
    pub fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn words(phase: Phase, now: Duration, duration: Duration, ledger: &Ledger) -> String {
    let time = match phase {
        Phase::Sending if now > duration => String::from("catching up"),
        Phase::Sending => format!("{}/{} s", now.as_secs(), duration.as_secs()),
        Phase::Settling => String::from("settling"),
    };
    format!(
        "{time}  sent {}  acked {}  refused {}  unanswered {}  on their way {}",
        ledger.begun(),
        ledger.acknowledged(),
        ledger.refusals(),
        ledger.unanswered(),
        ledger.outstanding()
    )
}

fn bar(now: Duration, duration: Duration) -> String {
    let share = now.as_millis() * WIDTH as u128 / duration.as_millis().max(1);
    let full = usize::try_from(share).unwrap_or(WIDTH).min(WIDTH);
    format!("{}{}", "█".repeat(full), "░".repeat(WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_never_overflows() {
        let seconds = Duration::from_secs;
        assert_eq!(bar(seconds(0), seconds(10)), "░".repeat(20));
        assert_eq!(
            bar(seconds(5), seconds(10)),
            "█".repeat(10) + &"░".repeat(10)
        );
        assert_eq!(bar(seconds(50), seconds(10)), "█".repeat(20));
    }

    #[test]
    fn no_more_time_is_told_than_there_is() {
        let seconds = Duration::from_secs;
        let words = words(Phase::Sending, seconds(5), seconds(2), &Ledger::new());
        assert!(words.starts_with("catching up  sent 0"), "{words}");
    }

    #[test]
    fn the_words_fit_beside_the_bar() {
        let words = words(
            Phase::Sending,
            Duration::from_secs(12),
            Duration::from_secs(30),
            &Ledger::new(),
        );
        assert_eq!(
            words,
            "12/30 s  sent 0  acked 0  refused 0  unanswered 0  on their way 0"
        );
    }
}
