//! Every key: the sections that the modules declare, composed.

use std::time::Duration;

use crate::admin;
use crate::ingest;
use crate::journal;
use crate::publish;
use crate::settings::{Setting, SettingValue as _, settings};

settings! {
    /// A whole configuration. One that [`Config::load`] has returned is safe to start with.
    pub struct Config {
        /// What a 2xx means. `"disk"`: the event is synced to the journal, and Kafka may be away. `"kafka"`, for those who cannot
        /// have a volume: Kafka has acknowledged the event with all replicas in sync; if it does not within
        /// `listen.commit_timeout`, the answer is 503. Then events are held in memory, `listen.max_in_flight` bounds it,
        /// nothing is on disk, and there must be no `[journal]`.
        ack: publish::Ack = publish::Ack::Disk;
        listen: ingest::ListenConfig = ingest::ListenConfig::default();
        admin: admin::Config = admin::Config::default();
        journal: journal::Config = journal::Config::default();
        kafka: publish::KafkaConfig = publish::KafkaConfig::default();
        shutdown: ShutdownConfig = ShutdownConfig::default();
        source: Vec<ingest::SourceConfig> = Vec::new(), reloaded, check(|sources| at_least_one(sources)),
            remedy("write [[source]] in double brackets, because there may be several");
    }
}

settings! {
    /// How the process ends on SIGTERM. Kubernetes' `terminationGracePeriodSeconds` must exceed the sum of both by some
    /// seconds.
    pub struct ShutdownConfig {
        /// How long `/readyz` reports unready before the listener closes, so that load balancers stop sending first. A
        /// second SIGTERM or Ctrl-C skips what is left of it.
        readiness_delay: Duration = Duration::from_secs(5), bounds(Duration::ZERO..=Duration::from_mins(10));
        /// Then running requests are finished and the journal is published for at most this long, or until another SIGTERM
        /// or Ctrl-C. What is left stays on disk for the next start. With `ack = "kafka"` keep this longer than
        /// `listen.commit_timeout`: whoever still waits for Kafka then is answered 503.
        drain_deadline: Duration = Duration::from_secs(20),
            bounds(Duration::from_secs(1)..=Duration::from_hours(1));
    }
}

fn at_least_one(sources: &[ingest::SourceConfig]) -> Result<(), String> {
    if sources.is_empty() {
        return Err(String::from(
            "there is none; add [[source]] with name, path and verify, for example name = \"retell\", path = \"/webhook\", \
             verify = \"retell\", keys = [{ env = \"RETELL_API_KEY\" }]",
        ));
    }
    Ok(())
}

/// The sections in their order, with all their keys.
pub fn sections() -> Vec<Setting> {
    Config::kind().keys().to_vec()
}
