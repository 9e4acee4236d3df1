//! `ringback prove`: does a running relay keep its promise, on this Kafka, whatever happens to it meanwhile?
//!
//! ```text
//! connections: post, await the reply, retry ─► the relay ─► … ─► the topic
//!   └─► ledger ◄──────────── reader: every record since before the first post ◄─┘
//! ```

mod arguments;
mod connection;
mod error;
pub mod ledger;
mod report;
mod run_state;
mod topic;
mod workload;

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::output::warn;
use super::progress::ProgressLine;
use super::webhook::{WebhookClient, WebhookUrl, connector};
use super::{CommandError, block_on, printed};
use crate::signal::{Request, Signals};
use crate::telemetry;

pub(super) use arguments::ProveArgs;
pub(super) use error::ProveError;

use arguments::Signing;
use connection::{Connection, Schedule};
use ledger::{Ledger, Verdict};
use report::ProofReport;
use run_state::RunState;
use topic::TopicReader;
use workload::Workload;

/// How long the topic must be quiet after it holds everything, before the run ends: duplicates come late.
const QUIET_TIME: Duration = Duration::from_secs(1);
/// How often the ledger is looked at for the end and for progress.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Between two progress lines if standard error is not a terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Characters of the progress bar.
const BAR_WIDTH: usize = 20;

/// Sends, reads, and prints the ledger.
pub(super) fn run(arguments: &ProveArgs) -> Result<(), CommandError> {
    // The progress line has the terminal, and brokers that go away are what a proof is for.
    telemetry::log("error,librdkafka=off,rdkafka=off")?;
    let relay = arguments.relay()?;
    let url = arguments.webhook_url(relay.as_ref());
    let signing = arguments.signing(relay.as_ref(), &url)?;
    let (properties, topic) = arguments.kafka(relay.as_ref(), &url);
    let reader = TopicReader::open(&properties, &topic)?;
    let workload = Arc::new(Workload::new(arguments.size));
    warn(format_args!(
        "Run {}: {} events/s for {} to {url}, {signing}; reading {topic}, {} partitions. Kill what you like; Ctrl-C ends it early.",
        workload.run_id(),
        arguments.rate,
        humantime::format_duration(arguments.duration),
        reader.partitions()
    ));
    let report = block_on(None, prove(arguments, url, signing, reader, workload))?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).map_err(io::Error::other)?
    } else {
        report.text()
    };
    printed(writeln!(anstream::stdout(), "{text}"))?;
    Ok(report.outcome()?)
}

async fn prove(
    arguments: &ProveArgs,
    url: WebhookUrl,
    signing: Signing,
    reader: TopicReader,
    workload: Arc<Workload>,
) -> Result<ProofReport, CommandError> {
    let mut signals = Signals::listen()?;
    let schedule = Schedule {
        rate: arguments.rate,
        duration: arguments.duration,
        conversations: arguments.calls,
        connections: arguments.connections,
    };
    let tls = url
        .certificate
        .as_deref()
        .map(connector)
        .transpose()
        .map_err(ProveError::from)?;
    let url = Arc::new(url);
    let signer = Arc::new(signing.signer().map_err(ProveError::from)?);
    let state = Arc::new(RunState::new());
    let partitions = reader.partitions();
    let reader = reader.start(workload.clone(), state.clone())?;
    let mut line = ProgressLine::new(PROGRESS_INTERVAL);
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    for index in 0..schedule.connections {
        let connection = Connection {
            schedule,
            index,
            workload: workload.clone(),
            state: state.clone(),
            client: WebhookClient::new(url.clone(), tls.clone()),
            signer: signer.clone(),
            stop: stopped.clone(),
        };
        connections.spawn(connection.run());
    }
    let duration = arguments.duration;
    let interrupted = send(
        &mut connections,
        &stop,
        &mut signals,
        &state,
        duration,
        &mut line,
    )
    .await?;
    let seconds = state.elapsed();
    let aborted = state.is_aborted();
    let last_due = interrupted.or(aborted.then_some(Duration::ZERO));
    let due = schedule.due_before(last_due.unwrap_or(duration));
    let settled = aborted || settle(&mut signals, &state, arguments, &mut line).await;
    drop(line);
    #[allow(clippy::disallowed_methods, reason = "once, at the end")]
    let topic = tokio::task::spawn_blocking(move || reader.stop())
        .await
        .map_err(std::io::Error::other)??;
    let figures = state.ledger().figures();
    Ok(ProofReport {
        run: workload.run_id().to_owned(),
        signing: signing.to_string(),
        is_signed: signing.key().is_some(),
        kept: figures.verdict() == Verdict::Kept,
        seconds: seconds.as_secs_f64(),
        interrupted: interrupted.is_some() || !settled,
        partitions,
        partitions_added: topic.partitions - partitions,
        not_sent: due.saturating_sub(figures.sent),
        last_fault: state.last_failure(),
        unread: topic.unread,
        figures,
    })
}

/// Waits until all connections have ended. Returns when a signal asked them to end, since the start.
async fn send(
    connections: &mut JoinSet<()>,
    stop: &watch::Sender<bool>,
    signals: &mut Signals,
    state: &RunState,
    duration: Duration,
    line: &mut ProgressLine,
) -> Result<Option<Duration>, std::io::Error> {
    let mut interrupted = None;
    let mut poll = interval(POLL_INTERVAL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            ended = connections.join_next() => match ended {
                None => return Ok(interrupted),
                // Aborted by the second signal.
                Some(Err(error)) if error.is_cancelled() => {}
                Some(ended) => ended.map_err(std::io::Error::other)?,
            },
            request = signals.next() => if request == Request::Shutdown {
                // The first signal lets requests finish, the second does not.
                if interrupted.is_some() {
                    connections.abort_all();
                }
                interrupted = interrupted.or_else(|| Some(state.elapsed()));
                // Fails only if every connection has ended already.
                let _ = stop.send(true);
            },
            _ = poll.tick() => {
                let now = state.elapsed();
                show_progress(line, &stage(now, duration), now, duration, &state.ledger());
            }
        }
    }
}

/// Waits until the topic holds everything acknowledged and has been quiet for a while, or for `--settle`. Returns false
/// if a signal ended the wait.
async fn settle(
    signals: &mut Signals,
    state: &RunState,
    arguments: &ProveArgs,
    line: &mut ProgressLine,
) -> bool {
    let begun = Instant::now();
    let mut poll = interval(POLL_INTERVAL);
    let mut quiet_since = begun;
    let mut records = 0;
    loop {
        tokio::select! {
            request = signals.next() => if request == Request::Shutdown {
                return false;
            },
            _ = poll.tick() => {
                let ledger = state.ledger();
                let complete = ledger.outstanding() == 0;
                if ledger.records() != records || !complete {
                    records = ledger.records();
                    quiet_since = Instant::now();
                }
                let waited = begun.elapsed();
                // A relay that repeats records without end must not prolong this.
                let over = waited >= arguments.settle
                    && (!complete || waited >= arguments.settle + QUIET_TIME);
                if over || quiet_since.elapsed() >= QUIET_TIME {
                    return true;
                }
                show_progress(line, "settling", state.elapsed(), arguments.duration, &ledger);
            }
        }
    }
}

fn stage(now: Duration, duration: Duration) -> String {
    if now > duration {
        return String::from("catching up");
    }
    format!("{}/{} s", now.as_secs(), duration.as_secs())
}

fn show_progress(
    line: &mut ProgressLine,
    stage: &str,
    now: Duration,
    duration: Duration,
    ledger: &Ledger,
) {
    let bar = if line.is_terminal() {
        bar(now, duration) + " "
    } else {
        String::new()
    };
    line.show(|| bar + &progress(stage, ledger));
}

fn progress(stage: &str, ledger: &Ledger) -> String {
    format!(
        "{stage}  sent {}  acked {}  refused {}  unanswered {}  on their way {}",
        ledger.sent(),
        ledger.acknowledged(),
        ledger.refusals(),
        ledger.unanswered(),
        ledger.outstanding()
    )
}

fn bar(now: Duration, duration: Duration) -> String {
    let share = now.as_millis() * BAR_WIDTH as u128 / duration.as_millis().max(1);
    let full = usize::try_from(share).unwrap_or(BAR_WIDTH).min(BAR_WIDTH);
    format!("{}{}", "█".repeat(full), "░".repeat(BAR_WIDTH - full))
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
    fn after_the_end_of_the_schedule_no_time_is_shown() {
        let seconds = Duration::from_secs;
        assert_eq!(stage(seconds(5), seconds(2)), "catching up");
    }

    #[test]
    fn the_progress_fits_beside_the_bar() {
        let stage = stage(Duration::from_secs(12), Duration::from_secs(30));
        assert_eq!(
            progress(&stage, &Ledger::new()),
            "12/30 s  sent 0  acked 0  refused 0  unanswered 0  on their way 0"
        );
    }
}
