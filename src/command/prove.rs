//! `ringback prove`: is a running relay's promise kept, on this Kafka, through whatever happens to it meanwhile?
//!
//! ```text
//! lanes: post, await the answer, retry ─► the relay ─► … ─► the topic
//!   └─► ledger ◄──────────────── reader: every record since before the first post ◄─┘
//! ```

mod error;
mod events;
mod lane;
pub mod ledger;
mod options;
mod post;
mod progress;
mod report;
mod target;
mod topic;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::signal::{Request, Signals};
use crate::telemetry;

use super::CommandError;
pub use error::ProveError;
pub use options::Arguments;

use events::Run;
use lane::{Lane, Schedule};
use ledger::{Ledger, Verdict};
use post::{PostError, Poster};
use progress::{Phase, Progress};
use report::Report;
use target::Target;

/// How long the topic must be quiet, once it holds everything, before the books are closed: what is repeated comes late.
const QUIET: Duration = Duration::from_secs(1);
/// How often the books are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// What the run's first answer says of all others; until it is there, only the one event is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// Not there yet.
    Awaited,
    /// Whatever it was, other events may fare otherwise.
    GoOn,
    /// Nobody is there, or will ever take such events: sending more would prove nothing.
    Hopeless,
}

/// What lanes, reader and command share.
struct Books {
    begun: Instant,
    first: watch::Sender<First>,
    ledger: Mutex<Ledger>,
    fault: Mutex<Option<String>>,
}

impl Books {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            first: watch::Sender::new(First::Awaited),
            ledger: Mutex::new(Ledger::new()),
            fault: Mutex::new(None),
        }
    }

    /// Since the start.
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the last reason for which a try got no answer.
    fn note(&self, error: &PostError) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        *fault = Some(error.to_string());
    }
}

/// Sends, reads, and prints the ledger.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    // The progress has the terminal, and that brokers are gone is what one came to see.
    telemetry::log("error,librdkafka=off,rdkafka=off")?;
    let relay = arguments.relay()?;
    let target = arguments.target(relay.as_ref());
    let (key, signed) = arguments.key(relay.as_ref(), &target)?;
    let (properties, name) = arguments.kafka(relay.as_ref());
    let topic = topic::Topic::open(&properties, &name)?;
    let run = Arc::new(Run::new(arguments.size));
    eprintln!(
        "Run {}: {} events/s for {} to {target}, {signed}; reading {name}, {} partitions. Kill what you like; Ctrl-C ends it early.",
        run.id(),
        arguments.rate,
        humantime::format_duration(arguments.duration),
        topic.partitions()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(prove(arguments, target, key, topic, &run))?;
    runtime.shutdown_background();
    if arguments.json {
        println!("{}", report.json().map_err(std::io::Error::other)?);
    } else {
        println!(
            "{}\n\n{}\n{}",
            report.title(),
            report.table(),
            report.conclusion()
        );
    }
    verdict(&report).map_err(CommandError::from)
}

async fn prove(
    arguments: &Arguments,
    target: Target,
    key: Option<SecretString>,
    topic: topic::Topic,
    run: &Arc<Run>,
) -> Result<Report, CommandError> {
    let mut signals = Signals::listen()?;
    let schedule = Schedule {
        rate: arguments.rate,
        duration: arguments.duration,
        calls: arguments.calls,
        lanes: arguments.connections,
    };
    let target = Arc::new(target);
    let books = Arc::new(Books::new());
    let partitions = topic.partitions();
    let reading = topic.read(run.clone(), books.clone())?;
    let progress = Progress::new(arguments.duration);
    let (stop, stopping) = watch::channel(false);
    let mut lanes = JoinSet::new();
    for ordinal in 0..schedule.lanes {
        let lane = Lane {
            schedule,
            ordinal,
            run: run.clone(),
            books: books.clone(),
            poster: Poster::new(target.clone(), key.clone()),
            stop: stopping.clone(),
        };
        lanes.spawn(lane.run());
    }
    let ended = send(&mut lanes, &stop, &mut signals, &progress, &books).await?;
    let seconds = books.now();
    let hopeless = *books.first.borrow() == First::Hopeless;
    let last_due = ended.or(hopeless.then_some(Duration::ZERO));
    let due = schedule.due_before(last_due.unwrap_or(schedule.duration));
    let settled = hopeless || settle(&mut signals, arguments.settle, &progress, &books).await;
    progress.clear();
    #[allow(clippy::disallowed_methods, reason = "once, at the end")]
    let read = tokio::task::spawn_blocking(move || reading.stop())
        .await
        .map_err(std::io::Error::other)??;
    let figures = books.ledger().figures();
    let last_fault = books.fault.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Report {
        run: run.id().to_owned(),
        kept: figures.verdict() == Verdict::Kept,
        seconds: seconds.as_secs_f64(),
        interrupted: ended.is_some() || !settled,
        partitions,
        partitions_added: read.partitions - partitions,
        not_sent: due.saturating_sub(figures.sent),
        last_fault: last_fault.clone(),
        unread: read.unread,
        figures,
    })
}

/// Waits until all lanes have ended; when they were asked to by a signal.
async fn send(
    lanes: &mut JoinSet<()>,
    stop: &watch::Sender<bool>,
    signals: &mut Signals,
    progress: &Progress,
    books: &Books,
) -> Result<Option<Duration>, std::io::Error> {
    let mut ended = None;
    let mut tick = tokio::time::interval(progress.interval());
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tick.tick().await;
    loop {
        tokio::select! {
            lane = lanes.join_next() => match lane {
                None => return Ok(ended),
                // One that was cut off has been asked for.
                Some(Err(error)) if error.is_cancelled() => {}
                Some(lane) => lane.map_err(std::io::Error::other)?,
            },
            request = signals.next() => if request == Request::Shutdown {
                // The second time, answers are not waited for either.
                if ended.is_some() {
                    lanes.abort_all();
                }
                ended = ended.or_else(|| Some(books.now()));
                // Nobody listens any more only where every lane has ended already.
                let _ = stop.send(true);
            },
            _ = tick.tick() => progress.show(Phase::Sending, books.now(), &books.ledger()),
        }
    }
}

/// Waits until the topic holds everything acknowledged and has been quiet for a while, or for `patience`; false where a
/// signal ended it.
async fn settle(
    signals: &mut Signals,
    patience: Duration,
    progress: &Progress,
    books: &Books,
) -> bool {
    let begun = Instant::now();
    let mut shown = begun;
    let mut look = tokio::time::interval(LOOK);
    let mut quiet_since = begun;
    let mut records = 0;
    loop {
        tokio::select! {
            request = signals.next() => if request == Request::Shutdown {
                return false;
            },
            _ = look.tick() => {
                let ledger = books.ledger();
                let complete = ledger.outstanding() == 0;
                if ledger.records() != records || !complete {
                    records = ledger.records();
                    quiet_since = Instant::now();
                }
                let waited = begun.elapsed();
                // A relay that repeats without end must not keep this waiting.
                let over = waited >= patience && (!complete || waited >= patience + QUIET);
                if over || quiet_since.elapsed() >= QUIET {
                    return true;
                }
                if shown.elapsed() >= progress.interval() {
                    progress.show(Phase::Settling, books.now(), &ledger);
                    shown = Instant::now();
                }
            }
        }
    }
}

fn verdict(report: &Report) -> Result<(), ProveError> {
    let figures = &report.figures;
    match figures.verdict() {
        Verdict::Kept => Ok(()),
        Verdict::Broken => Err(ProveError::Broken {
            lost: figures.lost,
            out_of_order: figures.out_of_order,
            changed: figures.changed,
            wrong_key: figures.wrong_key,
        }),
        Verdict::Untested => {
            let most = figures.refused.iter().max_by_key(|(_, count)| **count);
            let why = match (most, &report.last_fault) {
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
            };
            Err(ProveError::Untested(why))
        }
    }
}
