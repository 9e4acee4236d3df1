//! Takes a changed configuration while the relay runs: all of it that can be taken, or nothing.

mod thread;

use std::path::{Path, PathBuf};

use super::watch::WatchedFile;
use crate::config::{Config, Environment, Purpose, ReloadMetrics, Reloaded};
use crate::ingest::Ingest;
use crate::publish::{Control, SourceTopics};
use crate::readiness::{Check, CheckKind, Readiness};
use crate::telemetry::chain;

pub(super) use self::thread::{ReloadThread, Reloads};

/// The configuration's file, as it was before it was read.
pub struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) watched: WatchedFile,
}

impl ConfigFile {
    /// To be called before the file is read: a change in between then counts as one.
    pub fn new(path: PathBuf) -> Self {
        Self {
            watched: WatchedFile::new(path.clone()),
            path,
        }
    }
}

/// The configuration in use, and how another one takes its place.
pub(super) struct Reloader {
    config: Config,
    /// `None` if the configuration is in no file.
    path: Option<PathBuf>,
    /// The largest body of the configuration at the start, in bytes.
    largest_body: u64,
    /// Why the changed configuration is not in use. It is read again until it is.
    fault: Option<String>,
    metrics: ReloadMetrics,
    check: Check,
}

impl Reloader {
    pub(super) fn new(
        config: Config,
        path: Option<PathBuf>,
        metrics: ReloadMetrics,
        readiness: &Readiness,
    ) -> Self {
        let check = readiness.check("configuration", CheckKind::Informational, "");
        check.pass("ok");
        Self {
            largest_body: config.publish().max_body,
            config,
            path,
            fault: None,
            metrics,
            check,
        }
    }

    /// What is in use.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// True while a changed configuration is refused: what it names may have come meanwhile.
    pub(super) fn is_refused(&self) -> bool {
        self.fault.is_some()
    }

    /// Reads the file again and takes what it says; if that is refused, everything goes on as it is. False if it is, or if there
    /// is no file. Blocks while it reads.
    pub(super) fn reload(&mut self, why: &str, ingest: &Ingest, publisher: &Control) -> bool {
        let Some(path) = &self.path else {
            return false;
        };
        let reloaded = read_again(path).and_then(|fresh| self.take(&fresh, ingest, publisher));
        match reloaded {
            Ok(needs_restart) => {
                self.fault = None;
                self.metrics.taken();
                self.report(why, &needs_restart);
                true
            }
            Err(fault) => {
                // The same fault every few seconds is one line. Whoever reads it finds the check and the metric changed already.
                if self.fault.as_ref() != Some(&fault) {
                    self.metrics.refused();
                    self.check.fail(&format!(
                        "the changed configuration is refused, and an earlier one goes on: {}",
                        fault.replace('\n', "; ")
                    ));
                    tracing::error!(
                        why,
                        error = fault,
                        "the changed configuration is refused; the present one goes on"
                    );
                }
                self.fault = Some(fault);
                false
            }
        }
    }

    /// Returns the keys that need a restart.
    fn take(
        &mut self,
        fresh: &Config,
        ingest: &Ingest,
        publisher: &Control,
    ) -> Result<Vec<String>, String> {
        let reloaded = self.config.reloaded(fresh, self.largest_body);
        let Reloaded {
            config,
            needs_restart,
        } = reloaded.map_err(|errors| errors.join("\n"))?;
        let (before, after) = (self.config.publish().sources, config.publish().sources);
        if before == after {
            let reloaded = ingest.reload(&config.listen, &config.source);
            reloaded.map_err(|error| chain(&error))?;
        } else {
            // The publisher knows where a new source's events go before there are any. The others' go where they went until all of it
            // is taken.
            let is_new = |new: &SourceTopics| before.iter().all(|old| old.source != new.source);
            let added = after.iter().filter(|new| is_new(new));
            publisher.route(before.iter().chain(added).cloned().collect());
            let reloaded = ingest.reload(&config.listen, &config.source);
            publisher.route(if reloaded.is_ok() { after } else { before });
            reloaded.map_err(|error| chain(&error))?;
        }
        self.report_removed(&config);
        self.config = config;
        Ok(needs_restart)
    }

    /// Says what becomes of the events of sources that `config` does not have any more: nothing else would, if that topic is
    /// missing.
    fn report_removed(&self, config: &Config) {
        let is_left = |name: &str| config.source.iter().any(|source| source.name == name);
        let names = self.config.source.iter().map(|source| source.name.as_str());
        let removed: Vec<_> = names.filter(|name| !is_left(name)).collect();
        if !removed.is_empty() {
            tracing::warn!(
                sources = removed.join(", "),
                topic = config.kafka.topic,
                "these sources were removed: what they still have in the journal goes to kafka.topic, which must exist, or \
                 everything behind it waits"
            );
        }
    }

    fn report(&self, why: &str, needs_restart: &[String]) {
        let sources = self.config.source.len();
        if needs_restart.is_empty() {
            self.check.pass("ok");
            tracing::info!(
                why,
                sources,
                "the configuration was read again and is in use"
            );
            return;
        }
        let keys = needs_restart.join(", ");
        self.check
            .fail(&format!("changed, but taken only by a restart: {keys}"));
        tracing::warn!(
            why,
            sources,
            needs_restart = keys,
            "the configuration was read again and is in use but for what needs a restart"
        );
    }
}

/// The configuration as it is in its file now, or why it cannot be read.
fn read_again(path: &Path) -> Result<Config, String> {
    // A pipe, which a shell's <(…) is, has had its content. Opening another one could wait for ever.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(format!(
            "{} is not a regular file, so that it cannot be read again: write the configuration to a file, and start with that",
            path.display()
        ));
    }
    Config::load(path, &Environment::of_process(), Purpose::Relay).map_err(|error| chain(&error))
}
