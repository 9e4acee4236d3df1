//! The publisher's one thread: waits for mail, polls the client and steps the worker.

use std::time::{Duration, Instant};

use super::Ack;
use super::inbox::Mailbox;
use super::kafka::env::LibrdkafkaEnv;
use super::kafka::properties::linger_ms;
use super::kafka::wall_clock::WallClock;
use super::worker::{Next, Worker};

/// Between two steps that leave nothing to do. With a journal on disk this is a quarter of the time for which a record waits for
/// others of its batch anyway: at a thousand events a second it makes one wake-up for five commits and their reports, instead of
/// one for each. With one in memory a sender waits for it twice, so it is as short as the linger.
const fn pace(ack: Ack) -> Duration {
    Duration::from_millis(match ack {
        Ack::Disk => linger_ms(ack) / 4,
        Ack::Kafka => linger_ms(ack),
    })
}

/// Between two polls while no report is awaited, and so between two comparisons of the wall clock.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two polls while reports are awaited: during an outage none come.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// This many polls at [`pace`] come before longer and longer pauses: 0.1 s, or 20 ms with a journal in memory.
const PROMPT_POLLS: u32 = 20;

/// The `nice` value of the publisher's thread and of librdkafka's, which it starts. If a backlog keeps every core busy, answers
/// come first, and publishing still gets a quarter of a core that it shares with an answering thread (335 to 1,024 in
/// the kernel's `sched_prio_to_weight`).
const NICENESS: i32 = 5;

/// Decides when to poll for reports: librdkafka cannot ring the mailbox.
#[derive(Debug)]
struct PollPacer {
    pace: Duration,
    /// Polls at that pace since the last report.
    without_report: u32,
}

impl PollPacer {
    fn new(pace: Duration) -> Self {
        let without_report = 0;
        Self {
            pace,
            without_report,
        }
    }

    /// How long to wait for mail before the next poll, in addition to the pace.
    fn pause(&self, awaits_reports: bool) -> Duration {
        if !awaits_reports {
            return IDLE_PAUSE;
        }
        match self.without_report.saturating_sub(PROMPT_POLLS) {
            0 => Duration::ZERO,
            late => (self.pace * late).min(MAX_PAUSE),
        }
    }

    /// The thread has slept for the pace; steps at full speed do not count.
    fn on_pace(&mut self, awaits_reports: bool) {
        self.without_report = if awaits_reports {
            self.without_report.saturating_add(1)
        } else {
            0
        };
    }

    /// A poll has brought reports.
    fn on_reports(&mut self) {
        self.without_report = 0;
    }
}

/// Runs until the worker is drained; returns how many records stay in the journal.
pub(super) fn run(mut worker: Worker<LibrdkafkaEnv>, mailbox: &Mailbox, ack: Ack) -> u64 {
    // On Linux the value is a thread's own. If it is not allowed, publishing gets the same share as any other thread.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the publisher's thread keeps its priority");
    }
    let mut until = Some(Instant::now());
    let mut clock = WallClock::new();
    let mut pacer = PollPacer::new(pace(ack));
    loop {
        let poll_at = Instant::now() + pacer.pause(worker.awaits_reports());
        mailbox.wait(until.map_or(poll_at, |until| until.min(poll_at)));
        worker.poll();
        let mut inbox = mailbox.take();
        if !inbox.reports.is_empty() {
            pacer.on_reports();
        }
        if let Some(step) = clock.step_back() {
            tracing::warn!(
                ?step,
                "the wall clock was set back: replacing the Kafka producer"
            );
            inbox.replace_producer = true;
        }
        match worker.step(inbox) {
            Next::At(at) => {
                until = at;
                if at.is_none_or(|at| at > Instant::now()) {
                    std::thread::sleep(pacer.pace);
                    pacer.on_pace(worker.awaits_reports());
                }
            }
            Next::End => return worker.end(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_for_reports_are_prompt_at_first_then_rarer_and_rare_while_none_is_awaited() {
        let pace = pace(Ack::Disk);
        let mut pacer = PollPacer::new(pace);
        assert_eq!(pacer.pause(false), IDLE_PAUSE);
        let mut pauses = Vec::new();
        for _ in 0..PROMPT_POLLS + 30 {
            pauses.push(pacer.pause(true));
            pacer.on_pace(true);
        }
        let prompt = PROMPT_POLLS as usize + 1;
        assert!(pauses[..prompt].iter().all(Duration::is_zero));
        assert_eq!((pauses[prompt], pacer.pause(true)), (pace, MAX_PAUSE));
        pacer.on_reports();
        assert_eq!(pacer.pause(true), Duration::ZERO);
        for _ in 0..=PROMPT_POLLS {
            pacer.on_pace(true);
        }
        pacer.on_pace(false);
        assert_eq!(pacer.pause(true), Duration::ZERO);
    }
}
