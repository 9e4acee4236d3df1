//! The thread that reads changed files, so that a disk that hangs, as a network's may, delays neither a signal nor the end of
//! the process.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use super::Reloader;
use super::progress::Progress;
use crate::admin::Admin;
use crate::app::setup::setup;
use crate::app::watch::{ChangedFiles, WatchedFiles};
use crate::ingest::Ingest;
use crate::publish::Control;
use crate::telemetry;

/// How often the files are checked. A Kubernetes Secret takes up to a minute to reach a pod's volume anyway.
const INTERVAL: Duration = Duration::from_secs(5);

/// Everything that is read again while the relay runs, and who takes it.
pub(in crate::app) struct Reloads {
    pub(in crate::app) reloader: Reloader,
    pub(in crate::app) files: WatchedFiles,
    /// Why the changed files of the certificate are not in use yet; they are read again until they are.
    pub(in crate::app) certificate_fault: Option<String>,
    pub(in crate::app) ingest: Ingest,
    pub(in crate::app) publisher: Control,
    pub(in crate::app) admin: Arc<Admin>,
}

/// The running thread. Dropping this ends it, as soon as it does not read any more; nobody waits for that, and what it has read by then
/// is not taken.
pub(in crate::app) struct ReloadThread {
    asked: SyncSender<()>,
    progress: Progress,
}

impl Drop for ReloadThread {
    fn drop(&mut self) {
        self.progress.give_up();
    }
}

impl ReloadThread {
    /// Has everything read again, without waiting for it.
    pub(in crate::app) fn ask(&self) {
        match self.asked.try_send(()) {
            Ok(()) => {}
            Err(TrySendError::Full(())) => tracing::warn!(
                "what was to be read again for an earlier signal is still being read; if that does not end, look at the \
                 disks of the configuration's file and of the files that it names"
            ),
            Err(TrySendError::Disconnected(())) => tracing::error!(
                "nothing can be read again any more, because of a bug in ringback that is logged above: restart it"
            ),
        }
    }

    /// Reports files that hang, once. To be called again and again.
    pub(in crate::app) fn report_hanging(&self) {
        self.progress.report_hanging();
    }
}

impl Reloads {
    /// Checks the files again and again, and reads all of them when it is asked to.
    pub(in crate::app) fn start(mut self) -> io::Result<ReloadThread> {
        // One that waits is enough: it reads what is there by then.
        let (sender, asked) = mpsc::sync_channel(1);
        let progress = self.reloader.progress.clone();
        let thread = thread::Builder::new().name(String::from("reload"));
        thread.spawn(move || {
            loop {
                let asked = asked.recv_timeout(INTERVAL);
                if self.is_over() {
                    return;
                }
                self.reloader.progress.begin();
                match asked {
                    Ok(()) => self.reload_everything("SIGHUP"),
                    Err(RecvTimeoutError::Timeout) => self.reload_what_has_changed(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                self.reloader.progress.end();
            }
        })?;
        let asked = sender;
        Ok(ReloadThread { asked, progress })
    }

    fn is_over(&self) -> bool {
        self.reloader.progress.is_over()
    }

    fn reload_everything(&mut self, why: &str) {
        self.reloader.forget_fault();
        if !self.reload_configuration(why) {
            self.reload_keys(why);
        }
        self.certificate_fault = None;
        self.reload_certificate(why);
        self.reload_token(why);
        // Also if no file has changed: an operator who asks expects a fresh producer.
        self.replace_producer(why);
    }

    fn reload_what_has_changed(&mut self) {
        let changed = self.files.check(self.due());
        let why = if changed.keys {
            "a key file has changed"
        } else {
            "the configuration's file has changed"
        };
        let is_reloaded = changed.configuration && self.reload_configuration(why);
        if changed.keys && !is_reloaded {
            self.reload_keys(why);
        }
        if changed.certificate {
            self.reload_certificate("a file of listen.tls has changed");
        }
        if changed.token {
            self.reload_token("the file of admin.token has changed");
        }
        if changed.credentials {
            self.replace_producer("a file of [kafka.client] has changed");
        }
    }

    /// What is to be read again although it has not changed, because it could not be used.
    fn due(&self) -> ChangedFiles {
        ChangedFiles {
            configuration: self.reloader.is_refused(),
            certificate: self.certificate_fault.is_some(),
            ..ChangedFiles::default()
        }
    }

    /// True if it is in use.
    fn reload_configuration(&mut self, why: &str) -> bool {
        let Some(files) = self.reloader.reload(why, &self.ingest, &self.publisher) else {
            return false;
        };
        self.admin.set_up(setup(self.reloader.config()));
        if self.files.watch(files) {
            self.reload_certificate(why);
        }
        true
    }

    fn reload_keys(&self, why: &str) {
        let config = self.reloader.config();
        match self.ingest.prepare(&config.listen, &config.source) {
            Ok(_) if self.is_over() => {}
            Ok(prepared) => {
                prepared.open();
                tracing::info!(why, "the keys were read again");
            }
            // The configuration's refusal names the key at fault, too.
            Err(_) if self.reloader.is_refused() => {}
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::error!(why, %error, "the keys could not be read; the old ones stay in use");
            }
        }
    }

    fn reload_certificate(&mut self, why: &str) {
        let tls = self.reloader.config().listen.tls.as_ref();
        let Some(read) = tls.and_then(|tls| self.ingest.reload_certificate(tls)) else {
            return;
        };
        match read {
            Ok(validity) => {
                self.certificate_fault = None;
                tracing::info!(why, valid_until = %validity, "the certificate of listen.tls was read again");
            }
            Err(error) => {
                let fault = telemetry::chain(&error);
                // The same fault every few seconds is one line.
                if self.certificate_fault.as_ref() != Some(&fault) {
                    tracing::error!(
                        why,
                        error = fault,
                        "the certificate of listen.tls cannot be used; the present one stays, and the files are read \
                         again every few seconds"
                    );
                }
                self.certificate_fault = Some(fault);
            }
        }
    }

    fn reload_token(&self, why: &str) {
        match self.admin.reload_token() {
            None => {}
            Some(Ok(())) => tracing::info!(why, "the token of [admin] was read again"),
            Some(Err(error)) => {
                let error = telemetry::chain(&error);
                tracing::error!(why, %error, "the token of [admin] could not be read; the present one stays in use");
            }
        }
    }

    fn replace_producer(&self, why: &str) {
        if self.is_over() {
            return;
        }
        tracing::info!(
            why,
            "replacing the Kafka producer; the new one reads its credentials again"
        );
        self.publisher.replace_producer();
    }
}
