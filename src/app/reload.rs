//! Takes a changed configuration while the relay runs: all of it that can be taken, or nothing.

mod progress;
mod thread;

use std::path::{Path, PathBuf};

use self::progress::Progress;
use super::watch::{WatchedFile, WatchedFiles};
use crate::config::{Config, Environment, Purpose, ReloadMetrics, Reloaded};
use crate::ingest::{Append, Ingest};
use crate::publish::{Control, SourceTopics};
use crate::readiness::{CheckKind, Readiness};
use crate::telemetry::chain;

pub(super) use self::thread::{ReloadThread, Reloads};

/// A fault of the machine rather than of the configuration.
const PUBLISHER_HANGS: &str = "the publisher has not taken the sources' topics within ten seconds: it hangs, in the journal's disk or in \
    Kafka's client; if the next reading, in a few seconds, finds the same, look at that disk or restart ringback";

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
    progress: Progress,
}

/// What became of a changed configuration that is in use.
struct Taken {
    /// The keys that need a restart.
    needs_restart: Vec<String>,
    /// The files that it names, as they were before they were read.
    files: WatchedFiles,
}

impl Reloader {
    pub(super) fn new(
        config: Config,
        path: Option<PathBuf>,
        metrics: ReloadMetrics,
        readiness: &Readiness,
    ) -> Self {
        let check = readiness.check("configuration", CheckKind::Informational, "");
        Self {
            largest_body: config.publish().max_body,
            config,
            path,
            fault: None,
            metrics,
            progress: Progress::new(check),
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

    /// The next refusal is reported even if it repeats the last: an operator asks for it.
    fn forget_fault(&mut self) {
        self.fault = None;
    }

    /// Reads the file again and takes what it says; if that is refused, everything goes on as it is. Returns the files that it names
    /// now, as they were before they were read, or `None` if it is not taken or there is no file. Blocks while it reads.
    fn reload(&mut self, why: &str, ingest: &Ingest, publisher: &Control) -> Option<WatchedFiles> {
        let fresh = read_again(self.path.as_ref()?);
        let route = |sources| publisher.route(sources);
        match fresh.and_then(|fresh| self.take(&fresh, ingest, route)) {
            Ok(taken) => {
                let taken = taken?;
                self.fault = None;
                self.metrics.taken();
                self.report(why, &taken.needs_restart);
                Some(taken.files)
            }
            Err(fault) => {
                // The same fault every few seconds is one line. Whoever reads it finds the check and the metric changed already.
                if self.fault.as_ref() != Some(&fault) {
                    self.metrics.refused();
                    let message = format!(
                        "the changed configuration is refused, and an earlier one goes on: {}",
                        fault.replace('\n', "; ")
                    );
                    self.progress.set(true, &message);
                    tracing::error!(
                        why,
                        error = fault,
                        "the changed configuration is refused; the present one goes on"
                    );
                }
                self.fault = Some(fault);
                None
            }
        }
    }

    /// `route` gives the publisher its topics, and returns false if it does not take them. `None` if the relay has begun to end
    /// meanwhile.
    fn take<A: Append>(
        &mut self,
        fresh: &Config,
        ingest: &Ingest<A>,
        route: impl FnOnce(Vec<SourceTopics>) -> bool,
    ) -> Result<Option<Taken>, String> {
        let reloaded = self.config.reloaded(fresh, self.largest_body);
        let Reloaded {
            config,
            needs_restart,
        } = reloaded.map_err(|errors| errors.join("\n"))?;
        let files = WatchedFiles::new(&config, None);
        let prepared = ingest.prepare(&config.listen, &config.source);
        let prepared = prepared.map_err(|error| chain(&error))?;
        let mut is_over = self.progress.is_over();
        // The publisher knows where a new source's events go before there are any.
        let topics = topics(&config);
        if !is_over && topics != self::topics(&self.config) && !route(topics) {
            // That took a while: if the end has begun meanwhile, nobody has to look at it or to restart ringback.
            is_over = self.progress.is_over();
            if !is_over {
                return Err(String::from(PUBLISHER_HANGS));
            }
        }
        if is_over {
            tracing::info!("shutting down: a changed configuration is not taken any more");
            return Ok(None);
        }
        prepared.open();
        self.report_removed(&config);
        self.config = config;
        Ok(Some(Taken {
            needs_restart,
            files,
        }))
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
            self.progress.set(false, "ok");
            tracing::info!(
                why,
                sources,
                "the configuration was read again and is in use"
            );
            return;
        }
        let keys = needs_restart.join(", ");
        let message = format!("changed, but taken only by a restart: {keys}");
        self.progress.set(true, &message);
        tracing::warn!(
            why,
            sources,
            needs_restart = keys,
            "the configuration was read again and is in use but for what needs a restart"
        );
    }
}

/// What the sources say that do not leave everything to `kafka.topic`: the others concern no publisher.
fn topics(config: &Config) -> Vec<SourceTopics> {
    let mut sources = config.publish().sources;
    sources.retain(|source| source.topic.is_some() || !source.by_event.is_empty());
    sources
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::watch::ChangedFiles;
    use crate::telemetry::Registry;
    use crate::{ingest, journal};

    const EVENT: &[u8] = br#"{"event":"e"}"#;

    fn config(more: &str) -> Config {
        let text = format!(
            "[kafka.client]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n\
             [[source]]\nname = \"s\"\npath = \"/\"\nverify = \"none\"\n{more}"
        );
        Config::parse(&text, "test.toml", &Environment::from([])).unwrap()
    }

    #[test]
    fn a_source_opens_once_the_publisher_has_its_topic_and_its_files_are_watched_from_before_their_reading()
     {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "one").unwrap();
        let (before, after) = (
            config(""),
            config(&format!(
                "[[source]]\nname = \"more\"\npath = \"/more\"\ntopic = \"own\"\nevent_pointer = \"/event\"\n\
                 verify = \"bearer\"\nkeys = [{{ file = {key:?} }}]\n"
            )),
        );
        let registry = Registry::new();
        let limits = journal::memory::Limits {
            budget: 1 << 20,
            patience: std::time::Duration::from_secs(1),
        };
        let metrics = journal::Metrics::register(&registry).unwrap();
        let appender = journal::open_in_memory(limits, &metrics).appender;
        let metrics = ingest::Metrics::register(&registry).unwrap();
        let ingest = Ingest::new(&before.listen, &before.source, appender, metrics).unwrap();
        let metrics = ReloadMetrics::register(&registry).unwrap();
        let mut reloader = Reloader::new(before, None, metrics, &Readiness::new());
        let is_open = || ingest.validates(1, EVENT);

        let refused = reloader.take(&after, &ingest, |_| false);
        assert!(refused.is_err_and(|fault| fault == PUBLISHER_HANGS));
        assert!(!is_open());
        let taken = reloader.take(&after, &ingest, |topics| {
            assert_eq!(topics[0].topic.as_deref(), Some("own"));
            assert!(!is_open());
            // The key has been read.
            std::fs::write(&key, "another").unwrap();
            true
        });
        assert!(is_open());
        let mut files = taken.unwrap().unwrap().files;
        assert!(files.check(ChangedFiles::default()).keys);
        let again = reloader.take(&after, &ingest, |_| panic!("the topics are the same"));
        assert!(again.is_ok_and(|taken| taken.is_some()));
        let progress = reloader.progress.clone();
        let hung = reloader.take(&config(""), &ingest, |_| {
            progress.give_up();
            false
        });
        assert!(
            hung.is_ok_and(|taken| taken.is_none()),
            "no fault of a configuration that nobody wants"
        );
        let late = reloader.take(&config(""), &ingest, |_| panic!("it is too late"));
        assert!(late.is_ok_and(|taken| taken.is_none()));
        assert!(is_open());
    }
}
