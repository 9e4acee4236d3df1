//! The running relay and the phases through which it ends.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, interval, sleep, timeout};

use super::AppError;
use super::account::{Account, Summary};
use super::drain::reached;
use super::reload::ReloadThread;
use crate::admin::Admin;
use crate::config::ShutdownConfig;
use crate::ingest::Ingest;
use crate::journal::{self, Appender};
use crate::publish::{self, Ack, LAST_GRACE, Publisher};
use crate::readiness::{Check, Readiness};
use crate::signal::{Request, Signals};

/// For the last answers to senders whose events Kafka has not acknowledged.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The listener needs half a second to close, also if no request is left.
const LEAST_CLOSING: Duration = Duration::from_millis(750);

/// Between two looks at whether the reading of changed files hangs.
const TICK: Duration = Duration::from_secs(1);

/// Everything but the webhook listener, in the order in which it ends.
pub(super) struct Relay {
    pub(super) ack: Ack,
    pub(super) shutdown: ShutdownConfig,
    /// `None` once it does not serve any more: nothing changes from then on.
    pub(super) reloads: Option<ReloadThread>,
    pub(super) ingest: Ingest,
    pub(super) appender: Appender,
    pub(super) journal_metrics: journal::Metrics,
    pub(super) readiness: Readiness,
    pub(super) publisher: Publisher,
    pub(super) account: Account,
    pub(super) process_check: Check,
    pub(super) journal_check: Check,
    /// Answers until everything else has ended.
    pub(super) admin: Arc<Admin>,
}

/// Where the relay is between its start and its exit.
enum Phase {
    /// Webhooks are accepted.
    Serving,
    /// A signal has asked for the end. Webhooks are still accepted while load balancers notice that `/readyz` fails.
    Unready,
    /// No new connection is accepted; requests in progress are answered.
    Closing,
    /// What is on disk is published until this moment, or another signal. After a failure the listener, if it still runs,
    /// answers 503.
    Draining(Instant, Option<Failure>),
}

/// Why the relay ends although no signal asked for it, with the reason.
enum Failure {
    Poisoned(String),
    ListenerEnded(String),
}

impl Relay {
    /// Runs all phases with the listener `server`, which closes when `close` is dropped.
    pub(super) async fn run(
        mut self,
        mut server: JoinHandle<io::Result<()>>,
        close: oneshot::Sender<Infallible>,
        mut signals: Signals,
    ) -> (Summary, Result<(), AppError>) {
        let mut close = Some(close);
        let mut phase = Phase::Serving;
        loop {
            phase = match phase {
                Phase::Serving => {
                    let next = self.serve(&mut server, &mut signals).await;
                    self.reloads = None;
                    next
                }
                Phase::Unready => self.withdraw(&mut signals).await,
                Phase::Closing => {
                    drop(close.take());
                    self.finish_requests(&mut server, &mut signals).await
                }
                Phase::Draining(until, failure) => {
                    return self.drain(until, failure, signals).await;
                }
            };
        }
    }

    async fn serve(
        &mut self,
        server: &mut JoinHandle<io::Result<()>>,
        signals: &mut Signals,
    ) -> Phase {
        let mut ticks = interval(TICK);
        loop {
            tokio::select! {
                reason = self.appender.poisoned() => return self.fail(Failure::Poisoned(reason)),
                ended = &mut *server => return self.fail(Failure::ListenerEnded(describe(ended))),
                request = signals.next() => match request {
                    Request::Shutdown => return Phase::Unready,
                    Request::Reload => self.reloads.iter().for_each(ReloadThread::ask),
                },
                () = reached(Some(self.account.due)) => self.account.report_rate(),
                _ = ticks.tick() => self.reloads.iter().for_each(ReloadThread::report_hanging),
            }
        }
    }

    fn fail(&self, failure: Failure) -> Phase {
        match &failure {
            Failure::Poisoned(reason) => {
                tracing::error!(
                    %reason,
                    "the journal is poisoned: refusing every webhook, publishing what is on disk, then exiting"
                );
                self.journal_check.fail(&format!("poisoned: {reason}"));
            }
            Failure::ListenerEnded(reason) => {
                tracing::error!(
                    %reason,
                    "the webhook listener has ended: publishing what is on disk, then exiting for a restart"
                );
                self.process_check.fail("the webhook listener has ended");
            }
        }
        Phase::Draining(Instant::now() + self.shutdown.drain_deadline, Some(failure))
    }

    async fn withdraw(&mut self, signals: &mut Signals) -> Phase {
        let delay = self.shutdown.readiness_delay;
        self.process_check.fail("shutting down");
        self.ingest.shutting_down();
        tracing::info!(
            delay = %humantime::format_duration(delay),
            "shutting down: not ready any more; the listener closes after the delay, or at once on another Ctrl-C or SIGTERM"
        );
        tokio::select! {
            () = sleep(delay) => {}
            // A second signal comes from a person at a terminal: there is no load balancer to wait for.
            () = another_shutdown(signals) => {}
        }
        Phase::Closing
    }

    async fn finish_requests(
        &mut self,
        server: &mut JoinHandle<io::Result<()>>,
        signals: &mut Signals,
    ) -> Phase {
        let mut until = Instant::now() + self.shutdown.drain_deadline;
        let share = match self.ack {
            // So that a slow body leaves time for publishing.
            Ack::Disk => (self.shutdown.drain_deadline / 2).max(LEAST_CLOSING),
            // Whatever is to be published has a request that waits for it.
            Ack::Kafka => self.shutdown.drain_deadline,
        };
        let mut finished = tokio::select! {
            finished = timeout(share, &mut *server) => finished.ok(),
            () = another_shutdown(signals), if self.ack == Ack::Kafka => {
                until = Instant::now();
                None
            }
        };
        if finished.is_none() && self.ack == Ack::Kafka {
            tracing::warn!(
                "shutting down: what Kafka has not acknowledged by shutdown.drain_deadline, or another Ctrl-C or SIGTERM, is answered 503"
            );
            self.appender.give_up();
            finished = timeout(LAST_ANSWERS, &mut *server).await.ok();
        }
        match finished {
            Some(Ok(Ok(()))) => {
                tracing::info!("shutting down: the listener is closed, every request is answered");
            }
            Some(ended) => {
                tracing::error!(error = describe(ended), "the webhook listener has failed");
            }
            None => {
                server.abort();
                tracing::warn!(
                    after = %humantime::format_duration(share),
                    "shutting down: requests that are unfinished are cut off"
                );
            }
        }
        Phase::Draining(until, None)
    }

    async fn drain(
        self,
        until: Instant,
        failure: Option<Failure>,
        mut signals: Signals,
    ) -> (Summary, Result<(), AppError>) {
        let remaining = until.saturating_duration_since(Instant::now());
        self.announce_drain(remaining);
        let (ack, control) = (self.ack, self.publisher.control());
        let mut drained = pin!(self.publisher.drain(remaining));
        let mut give_up = None;
        let left = loop {
            tokio::select! {
                left = &mut drained => break left,
                // A thread hangs in the disk or the client.
                () = reached(give_up) => break None,
                // Nothing is lost: the journal keeps what is left.
                () = another_shutdown(&mut signals), if give_up.is_none() => {
                    tracing::info!("shutting down: another Ctrl-C or SIGTERM ends the wait for Kafka");
                    control.end_drain();
                    give_up = Some(Instant::now() + LAST_GRACE);
                }
            }
        };
        let summary = self.account.summary(ack, left);
        let outcome = match failure.or_else(|| self.appender.poison().map(Failure::Poisoned)) {
            None if left == Some(0) => {
                tracing::info!(left, "shut down; the journal is empty");
                Ok(())
            }
            // `left` is missing from the line if it is not known.
            None => {
                match ack {
                    Ack::Disk => {
                        tracing::info!(left, "shut down; what is left stays in the journal");
                    }
                    Ack::Kafka => tracing::info!(
                        left,
                        "shut down; what is left was never acknowledged, neither by Kafka nor to its senders"
                    ),
                }
                Ok(())
            }
            Some(Failure::Poisoned(reason)) => Err(AppError::Poisoned { reason, left }),
            Some(Failure::ListenerEnded(reason)) => {
                // What was in memory had no 2xx, so nothing is left for the next start.
                let left = if ack == Ack::Kafka { Some(0) } else { left };
                Err(AppError::Listener { reason, left })
            }
        };
        (summary, outcome)
    }

    /// Logs what the process still waits for; while Kafka is away that takes the whole time.
    fn announce_drain(&self, remaining: Duration) {
        let left = self.journal_metrics.figures().unpublished;
        if left == Some(0) {
            return;
        }
        let seconds = remaining.as_secs_f64().round();
        let wait = humantime::format_duration(Duration::from_secs_f64(seconds));
        let rest = match self.ack {
            Ack::Disk => "stays on disk for the next start",
            Ack::Kafka => "is dropped, because nobody was promised it",
        };
        tracing::info!(
            left,
            %wait,
            kafka = publish::kafka_failure(&self.readiness),
            "shutting down: publishing what is left in the journal; another Ctrl-C or SIGTERM ends the wait; what is not \
             published by then {rest}"
        );
    }
}

/// Why the listener has ended.
fn describe(ended: Result<io::Result<()>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => String::from("without a reason"),
        Ok(Err(error)) => error.to_string(),
        Err(error) if error.is_panic() => String::from("it has panicked"),
        Err(error) => error.to_string(),
    }
}

async fn another_shutdown(signals: &mut Signals) {
    while signals.next().await != Request::Shutdown {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::app::{App, Ports};
    use crate::config::{Config, Environment};

    /// Runs a relay without a Kafka whose listener is `server`.
    async fn run(server: JoinHandle<io::Result<()>>) -> Result<(), AppError> {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [journal]\npath = {:?}\n[kafka.client]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n\
             [shutdown]\ndrain_deadline = \"1s\"\n\
             [[source]]\nname = \"s\"\npath = \"/\"\nverify = \"none\"\n",
            folder.path()
        );
        let config = Config::parse(&text, "test.toml", &Environment::from([])).unwrap();
        let ports = Ports::bind(
            (config.admin.address, "admin.address"),
            (config.listen.address, "listen.address"),
        )
        .unwrap();
        let app = App::start(config, None, ports, |ingest| ingest)
            .await
            .unwrap();
        let signals = Signals::listen().unwrap();
        let running = app.relay.run(server, oneshot::channel().0, signals);
        tokio::time::timeout(Duration::from_mins(1), running)
            .await
            .expect("it ends on its own")
            .1
    }

    #[tokio::test]
    async fn a_listener_that_ends_on_its_own_ends_the_process_with_an_error() {
        let ends = [
            tokio::spawn(async { panic!("as it is to") }),
            tokio::spawn(async { Err(io::Error::other("the port is gone")) }),
            tokio::spawn(async { Ok(()) }),
        ];
        let reasons = ["it has panicked", "the port is gone", "without a reason"];
        for (end, expected) in ends.into_iter().zip(reasons) {
            let error = run(end).await.expect_err("no signal asked for the end");
            let AppError::Listener { reason, left } = error else {
                panic!("{error}");
            };
            assert_eq!((reason.as_str(), left), (expected, Some(0)));
        }
    }
}
