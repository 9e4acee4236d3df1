//! The running relay: what it waits for, and its ways out.

use std::io;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, timeout};

use super::AppError;
use super::watch::{Changed, KeyFiles};
use crate::admin;
use crate::config::ShutdownConfig;
use crate::ingest::Ingest;
use crate::journal::Appender;
use crate::publish::Publisher;
use crate::readiness::Check;
use crate::signal::{Request, Signals};
use crate::telemetry;

/// Everything that runs, in the order in which it ends.
pub(super) struct Running {
    /// The webhooks' listener.
    pub(super) server: JoinHandle<io::Result<()>>,
    /// Asks it to close.
    pub(super) close: oneshot::Sender<()>,
    pub(super) shutdown: ShutdownConfig,
    pub(super) keys: KeyFiles,
    pub(super) ingest: Ingest,
    pub(super) appender: Appender,
    pub(super) publisher: Publisher,
    pub(super) shutdown_check: Check,
    pub(super) journal_check: Check,
    /// Answers until all else has ended.
    pub(super) _admin: admin::Admin,
}

enum End {
    Asked,
    Poisoned(String),
    Listener(String),
}

impl Running {
    /// Serves until a signal asks for the end (`Ok`), the journal is poisoned or the listener stops on its own (`Err`).
    pub(super) async fn until_the_end(mut self, signals: Signals) -> Result<(), AppError> {
        let mut signals = signals;
        match self.serve(&mut signals).await {
            End::Asked => self.shut_down(signals).await,
            End::Poisoned(reason) => {
                tracing::error!(%reason, "the journal is poisoned: every webhook is refused, what is on disk is published");
                self.journal_check.fail(&format!("poisoned: {reason}"));
                // Requests go on being answered (503) while what is safe is published; the server ends with the process.
                let left = self.publish_what_is_left().await;
                Err(AppError::Poisoned { reason, left })
            }
            End::Listener(reason) => {
                tracing::error!(%reason, "the webhooks' listener has ended: what is on disk is published, then a fresh process is needed");
                self.shutdown_check.fail("the webhooks' listener has ended");
                let left = self.publish_what_is_left().await;
                Err(AppError::Listener { reason, left })
            }
        }
    }

    async fn serve(&mut self, signals: &mut Signals) -> End {
        loop {
            tokio::select! {
                reason = self.appender.poisoned() => return End::Poisoned(reason),
                ended = &mut self.server => return End::Listener(words(ended)),
                request = signals.next() => match request {
                    Request::Shutdown => return End::Asked,
                    Request::Reload => {
                        const WHY: &str = "SIGHUP";
                        reload(&self.ingest, WHY);
                        // Whoever asks by hand wants to see it happen, whatever has changed.
                        renew(&self.publisher, WHY);
                    }
                },
                changed = self.keys.changed() => {
                    let Changed { keys, credentials } = changed;
                    if keys {
                        reload(&self.ingest, "a key file has changed");
                    }
                    if credentials {
                        renew(&self.publisher, "a file of [kafka.client] has changed");
                    }
                }
            }
        }
    }

    async fn publish_what_is_left(self) -> Option<u64> {
        self.publisher.drain(self.shutdown.drain_deadline).await
    }

    async fn shut_down(mut self, mut signals: Signals) -> Result<(), AppError> {
        let ShutdownConfig {
            readiness_delay,
            drain_deadline,
        } = self.shutdown;
        self.shutdown_check.fail("shutting down");
        self.ingest.shutting_down();
        tracing::info!(delay = ?readiness_delay, "shutting down: unready");
        tokio::select! {
            () = sleep(readiness_delay) => {}
            // Asked twice: whoever waits at a terminal has no load balancer to wait for.
            () = second_shutdown(&mut signals) => {}
        }
        let deadline = Instant::now() + drain_deadline;
        // The receiver is gone only if the server has ended already.
        let _ = self.close.send(());
        // Requests get half of the time at most: a body that trickles must not eat what publishing needs.
        match timeout(drain_deadline / 2, &mut self.server).await {
            Ok(Ok(Ok(()))) => {
                tracing::info!("shutting down: the listener is closed, every request is answered");
            }
            Ok(ended) => tracing::error!(error = words(ended), "the listener has failed"),
            Err(_) => {
                self.server.abort();
                tracing::warn!(
                    "shutting down: requests unfinished at half the deadline are cut off"
                );
            }
        }
        drop(self.ingest);
        let left = self
            .publisher
            .drain(deadline.saturating_duration_since(Instant::now()))
            .await;
        if let Some(reason) = self.appender.poison() {
            return Err(AppError::Poisoned { reason, left });
        }
        // Not there where nobody knows.
        tracing::info!(left, "shut down; what is left stays in the journal");
        Ok(())
    }
}

/// How the listener has ended.
fn words(ended: Result<io::Result<()>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => String::from("without a reason"),
        Ok(Err(error)) => error.to_string(),
        Err(error) if error.is_panic() => String::from("it has panicked"),
        Err(error) => error.to_string(),
    }
}

fn reload(ingest: &Ingest, why: &str) {
    match ingest.reload_keys() {
        Ok(()) => tracing::info!(why, "the keys were read anew"),
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::error!(why, %error, "the keys could not be read; the old ones stay");
        }
    }
}

fn renew(publisher: &Publisher, why: &str) {
    tracing::info!(
        why,
        "another Kafka producer takes over, with the credentials that are there now"
    );
    publisher.renew();
}

async fn second_shutdown(signals: &mut Signals) {
    while signals.next().await != Request::Shutdown {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::app::{App, Ports};
    use crate::config::{Config, Environment};

    /// A relay whose Kafka is away and whose listener is `server`.
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
        let ports = Ports::bind(config.admin.address, config.listen.address).unwrap();
        let app = App::start(config, ports, |ingest| ingest).await.unwrap();
        let running = app.beside(oneshot::channel().0, |_, _| server);
        let signals = Signals::listen().unwrap();
        tokio::time::timeout(Duration::from_mins(1), running.until_the_end(signals))
            .await
            .expect("it ends by itself")
    }

    #[tokio::test]
    async fn a_listener_that_ends_by_itself_ends_the_process_with_an_error() {
        let ends = [
            tokio::spawn(async { panic!("as it is to") }),
            tokio::spawn(async { Err(io::Error::other("the port is gone")) }),
            tokio::spawn(async { Ok(()) }),
        ];
        let reasons = ["it has panicked", "the port is gone", "without a reason"];
        for (end, expected) in ends.into_iter().zip(reasons) {
            let error = run(end).await.expect_err("nobody asked for the end");
            let AppError::Listener { reason, left } = error else {
                panic!("{error}");
            };
            assert_eq!((reason.as_str(), left), (expected, Some(0)));
        }
    }
}
